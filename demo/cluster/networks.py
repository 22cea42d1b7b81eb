"""The networks of a Ray cluster, as an engine asks them."""

import importlib.util
import itertools
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from demo.answers import is_dear
from demo.cluster.messages import packed, received
from demo.errors import InputError
from demo.models.entries import ENTRIES, Entry
from demo.networks import STOPPING, About, Pending, UnwantedError

ROOT = Path(__file__).parents[2]
GONE = "The computers that run the networks cannot be reached: try again in a minute."
AGAIN_SECONDS = 5  # from one try to reach a cluster that is gone to the next
CONNECT_SECONDS = 300  # in which a first replica is there
ALIVE_SECONDS = 5  # from one sign of life of the process that is connected to the cluster to the next
SILENCE_SECONDS = 30  # after which that process counts as gone
LAST = ("refused", "failed", "result")  # kinds of news after which there is none

# For the page nothing is to be downloaded: it is the replicas that do.
REMOTE_ENTRIES: Mapping[str, Sequence[Entry]] = {
    task: [replace(entry, source=None) for entry in entries] for task, entries in ENTRIES.items()
}
# What to offer if the replicas are to download nothing.
SHIPPED_ENTRIES: Mapping[str, Sequence[Entry]] = {
    task: [entry for entry in entries if entry.shipped] for task, entries in ENTRIES.items()
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

    def hear(self, kind: str, value: Any) -> None:
        """Take a piece of news, as of `Replica.answer`, or "failed" and an error."""
        try:
            self._take(kind, value)
        except Exception as error:  # news that does not fit fails this alone
            self.fail(error)

    def _take(self, kind: str, value: Any) -> None:
        if kind == "refused":
            self.fail(InputError(value))
        elif kind == "failed":
            self.fail(RuntimeError(value))
        elif self.pending is None:
            with suppress(InvalidStateError):
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

    def fail(self, error: Exception) -> None:
        if self.pending is not None:
            self.pending.fail(error)
        with suppress(InvalidStateError):
            self.about.set_exception(error)


class Driver:
    """The process that is connected to a cluster, `demo.cluster.driver`.

    Raises:
        InputError: it cannot reach the cluster.
    """

    def __init__(self, device: str, address: str) -> None:
        # Whoever asks never waits until the process reads, which may be writing itself.
        self._messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._pipe, theirs = Pipe()
        command = [sys.executable, "-m", "demo.cluster.driver", str(theirs.fileno()), device, address]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,  # what stops the page from outside lets this finish what has begun
        )
        theirs.close()
        try:
            _, kind, value = self.received(CONNECT_SECONDS)
        except Exception:  # it has ended, or is not to be understood
            kind, value = "refused", "there was no answer"
        if kind == "refused":
            self.stop()
            raise InputError(
                f"No Ray cluster runs the networks ({value}): `ray start --head` starts one, and `ray start "
                "--address` lets this computer join one."
            )
        threading.Thread(target=self._write, name="to the cluster", daemon=True).start()

    def send(self, message: bytes) -> None:
        """Have a message, as of `packed`, written at once or later."""
        self._messages.put(message)

    def received(self, seconds: float) -> Any:
        """The next message.

        Raises:
            EOFError, OSError: the process has ended, or has said nothing for so long.
        """
        if not self._pipe.poll(seconds):
            raise EOFError
        return received(self._pipe)

    def stop(self) -> None:
        """Stop the process, and write nothing more."""
        self._process.kill()
        self._process.wait()
        self._messages.put(None)

    def _write(self) -> None:
        with suppress(OSError):  # the process has ended, of which whoever reads hears, too
            while (message := self._messages.get()) is not None:
                self._pipe.send_bytes(message)


class Cluster:
    """Hands queries on to a Ray cluster, through a process of its own; while the cluster is gone it tries to reach it.

    A query that several visitors wait for waits in the line of the first of them.

    Args:
        address: of the cluster, or "" for one on this computer that ends with the demo.
        device: what the replicas run on, where they are not there yet.

    Raises:
        InputError: there is no Ray here, or no cluster.
    """

    def __init__(self, address: str = "", device: str = "auto") -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("Ray is not here: `pip install -r requirements-cluster.txt` installs it.")
        self._connect = partial(Driver, device, address)
        self._numbers = itertools.count(1)
        self._asked: dict[int, Asked] = {}
        self._lock = threading.Lock()  # of what is asked and the driver; nobody who holds it waits for anything
        self._closing = threading.Event()
        self._driver: Driver | None = self._connect()  # none while the cluster is gone
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def require(self, task: str, name: str) -> None:
        if self._driver is None:
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
            keep = pending.keep is not None
            self._send(Asked(pending, Future()), "answer", query, _kept_as(query.task, query.model), visitor, keep)

    def join(self, pending: Pending, visitor: str) -> None:
        pass

    def leave(self, pending: Pending, visitor: str) -> None:
        if pending.visitors:
            return
        with self._lock:
            number = next((number for number, asked in self._asked.items() if asked.pending is pending), None)
            if number is None:
                return
            del self._asked[number]
            if self._driver is not None:
                self._driver.send(packed(number, "leave"))
        pending.fail(UnwantedError())

    def place(self, visitor: str) -> int:
        with self._lock:
            waiting = [asked for asked in self._asked.values() if asked.pending and asked.pending.begun is None]
        return min(
            (asked.before for asked in waiting if asked.pending and visitor in asked.pending.visitors), default=0
        )

    def is_well(self) -> bool:
        return self._driver is not None and self._thread.is_alive()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            pending = [asked.pending for asked in self._asked.values() if asked.pending is not None]
        for one in pending:
            if is_dear(one.query):
                one.fail(InputError(STOPPING))

    def _send(self, asked: Asked, *what: Any) -> None:
        number = next(self._numbers)
        try:
            message = packed(number, *what)
        except Exception as error:  # whatever cannot be sent fails alone
            asked.fail(error)
            return
        with self._lock:
            if (driver := self._driver) is not None:
                self._asked[number] = asked
                driver.send(message)
        if driver is None:
            asked.fail(InputError(GONE))

    def _run(self) -> None:
        """Hand on what the cluster tells; when it is gone, say so to whoever waits, and connect again until closed."""
        while True:
            try:
                if self._driver is None:
                    if self._closing.wait(AGAIN_SECONDS):
                        return
                    driver = self._connect()
                    if self._closing.is_set():
                        driver.stop()
                        return
                    self._driver = driver
                self._hear(*self._driver.received(SILENCE_SECONDS))
            except Exception as error:  # it has ended, is not to be understood, or cannot be started now
                known = isinstance(error, EOFError | OSError | InputError)
                logging.getLogger(__name__).warning("The cluster is not reached: %r", error, exc_info=not known)
                self._lose()

    def _lose(self) -> None:
        with self._lock:
            driver, self._driver = self._driver, None
            lost = list(self._asked.values())
            self._asked.clear()
        for asked in lost:
            asked.fail(InputError(GONE))
        if driver is not None:
            driver.stop()

    def _hear(self, number: int, kind: str, value: Any) -> None:
        with self._lock:
            asked = self._asked.get(number)
            if asked is not None and kind in LAST:
                del self._asked[number]
        if asked is not None:
            asked.hear(kind, value)


def _kept_as(task: str, name: str) -> str:
    """What Serve knows a downloaded model by; "" for a shipped one, which every replica has."""
    return f"{task}/{name}" if (task, name) in _DOWNLOADED else ""
