"""The networks of a Ray cluster, as an engine asks them."""

import importlib.util
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from demo.cluster.messages import received, send
from demo.errors import InputError
from demo.models.entries import ENTRIES, Entry
from demo.networks import About, Pending, UnwantedError

ROOT = Path(__file__).parents[2]
GONE = "The computers that run the networks cannot be reached: try again in a minute."
AGAIN_SECONDS = 5  # from one try to reach a cluster that is gone to the next

# For the page nothing is to be downloaded: it is the replicas that do.
REMOTE_ENTRIES: Mapping[str, Sequence[Entry]] = {
    task: [replace(entry, source=None) for entry in entries] for task, entries in ENTRIES.items()
}
_DOWNLOADED = {(task, entry.name) for task, entries in ENTRIES.items() for entry in entries if not entry.shipped}


@dataclass(eq=False)
class Asked:
    """What waits for an answer of the cluster: a query, or what there is to choose of a model.

    Attributes:
        before: how many others are answered before a query.
    """

    pending: Pending | None
    about: Future[About]
    before: int = 0

    def hear(self, kind: str, value: Any) -> bool:
        """Take a piece of news, as of `Replica.answer`; whether it is the last one."""
        if kind == "refused":
            self.fail(InputError(value))
        elif kind == "failed":
            self.fail(RuntimeError(value))
        elif self.pending is None:
            self.about.set_result(value)
        elif kind == "waits":
            self.before = value
        elif kind == "begun":
            self.before, self.pending.begun = 0, self.pending.asked + value
        elif kind == "done":
            self.pending.done = value
        elif kind == "said":
            self.pending.say(value)
        else:
            self.pending.succeed(replace(value, query=replace(value.query, photo=self.pending.query.photo)))
        return kind in ("refused", "failed", "result")

    def fail(self, error: Exception) -> None:
        if self.pending is not None:
            self.pending.fail(error)
        with suppress(InvalidStateError):
            self.about.set_exception(error)


class Cluster:
    """Hands queries on to a Ray cluster, through a process of its own; while the cluster is gone it tries to reach it.

    Args:
        address: of the cluster, or "" for one on this computer that ends with the demo.
        device: what the replicas run on, where they are not there yet.

    Raises:
        InputError: there is no Ray here, or no cluster.
    """

    def __init__(self, address: str = "", device: str = "auto") -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("Ray is not here: `pip install -r requirements-cluster.txt` installs it.")
        self._command = [device, address]
        self._numbers = itertools.count(1)
        self._asked: dict[int, Asked] = {}
        self._lock = threading.Lock()
        self._pipe: Connection | None = None  # none while the cluster is gone
        pipe = self._connect()
        threading.Thread(target=self._run, args=(pipe,), name="cluster", daemon=True).start()

    def require(self, task: str, name: str) -> None:
        if self._pipe is None:
            raise InputError(GONE)

    def about(self, task: str, name: str) -> Future[About]:
        asked = Asked(None, Future())
        self._send(asked, "about", task, name, _kept_as(task, name))
        return asked.about

    def answer(self, pending: Pending) -> None:
        query, visitor = pending.query, next(iter(pending.visitors), None)
        if visitor is None:
            pending.fail(UnwantedError())
        else:
            self._send(Asked(pending, Future()), "answer", query, _kept_as(query.task, query.model), visitor)

    def join(self, pending: Pending, visitor: str) -> None:
        pass  # it waits in the line of whoever asked first

    def leave(self, pending: Pending, visitor: str) -> None:
        if pending.visitors:
            return
        with self._lock:
            number = next((number for number, asked in self._asked.items() if asked.pending is pending), None)
            if number is None:
                return
            del self._asked[number]
            if self._pipe is not None:
                with suppress(OSError):
                    send(self._pipe, number, "leave")
        pending.fail(UnwantedError())

    def place(self, visitor: str) -> int:
        with self._lock:
            waiting = [asked for asked in self._asked.values() if asked.pending and asked.pending.begun is None]
        return min(
            (asked.before for asked in waiting if asked.pending and visitor in asked.pending.visitors), default=0
        )

    def is_well(self) -> bool:
        return self._pipe is not None

    def close(self) -> None:
        pass  # what waits in the cluster is told by the engine, and left when this process ends

    def _send(self, asked: Asked, *what: Any) -> None:
        with self._lock:
            if (pipe := self._pipe) is not None:
                number = next(self._numbers)
                self._asked[number] = asked
                with suppress(OSError):  # the process has ended: `_run` hears of it, too
                    send(pipe, number, *what)
        if pipe is None:
            asked.fail(InputError(GONE))

    def _connect(self) -> Connection:
        """A new process that is connected to the cluster.

        Raises:
            InputError: it cannot be reached.
        """
        ours, theirs = Pipe()
        command = [sys.executable, "-m", "demo.cluster.driver", str(theirs.fileno()), *self._command]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        subprocess.Popen(command, pass_fds=[theirs.fileno()], env=os.environ | {"PYTHONPATH": paths})
        theirs.close()
        try:
            _, kind, value = received(ours)
        except (EOFError, OSError):
            kind, value = "refused", "the process that was to connect has ended"
        if kind == "refused":
            raise InputError(
                f"No Ray cluster can be reached ({value}): `ray start --head` starts one, and `ray start --address` "
                "lets this computer join one."
            )
        return ours

    def _run(self, pipe: Connection) -> None:
        """Hand on what the cluster tells; when it is gone, say so to whoever waits, and reach it again."""
        while True:
            with self._lock:
                self._pipe = pipe
            self._hear(pipe)
            with self._lock:
                self._pipe, lost = None, list(self._asked.values())
                self._asked.clear()
            for asked in lost:
                asked.fail(InputError(GONE))
            pipe = self._connect_again()

    def _hear(self, pipe: Connection) -> None:
        with suppress(EOFError, OSError):
            while True:
                number, kind, value = received(pipe)
                asked = self._asked.get(number)
                if asked is not None and asked.hear(kind, value):
                    with self._lock:
                        self._asked.pop(number, None)

    def _connect_again(self) -> Connection:
        while True:
            time.sleep(AGAIN_SECONDS)
            with suppress(InputError):
                return self._connect()


def _kept_as(task: str, name: str) -> str:
    """What Serve knows a downloaded model by; "" for a shipped one, which every replica has."""
    return f"{task}/{name}" if (task, name) in _DOWNLOADED else ""
