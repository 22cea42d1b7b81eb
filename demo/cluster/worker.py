"""The worker that has a Ray cluster compute."""

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
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from demo.cluster.messages import Message, pack, unpack
from demo.errors import BusyError, InputError
from demo.explain import is_slow
from demo.job import AbandonedError, Job
from demo.models.entries import ENTRIES, Entry
from demo.query import ModelInfo, from_json, to_json
from demo.worker import STOPPING

ROOT = Path(__file__).parents[2]
GONE = "The computers that run the networks cannot be reached: try again in a minute."
GONE_SECONDS = 10  # after which Ray ends the process that is connected to a cluster that is gone
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
class Request:
    """A request to the cluster: to answer the question of a job, or for the info of a model.

    Attributes:
        position: how many others are answered before a question.
    """

    job: Job | None = None
    info: Future[ModelInfo] = field(default_factory=Future)
    position: int = 0

    def receive(self, news: Message) -> None:
        """Take a piece of news, as of `Replica.answer`, or "failed" and an error."""
        try:
            self._take(news.kind, news.values.get("value"), news.data)
        except Exception as error:  # news that does not fit fails this alone
            self.fail(error)

    def _take(self, kind: str, value: Any, data: bytes) -> None:
        if kind == "refused":
            self.fail(InputError(value))
        elif kind == "failed":
            self.fail(RuntimeError(value))
        elif self.job is None:
            with suppress(InvalidStateError):
                self.info.set_result(from_json(data))
        elif kind == "waits":
            self.position = value
        elif kind == "started":
            self.position, self.job.started = 0, self.job.asked + value
        elif kind == "progress":
            self.job.progress = tuple(value)
        elif kind == "predictions":
            self.job.predict(value)
        else:
            result = from_json(data)
            self.job.succeed(replace(result, query=replace(result.query, image=self.job.query.image)))

    def fail(self, error: Exception) -> None:
        if self.job is not None:
            self.job.fail(error)
        with suppress(InvalidStateError):
            self.info.set_exception(error)


class Driver:
    """The process that is connected to a cluster, `demo.cluster.driver`.

    Raises:
        InputError: it cannot reach the cluster.
    """

    def __init__(self, device: str, address: str) -> None:
        # A queue, as the process may be writing itself, and not read.
        self._messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._pipe, theirs = Pipe()
        command = [sys.executable, "-m", "demo.cluster.driver", str(theirs.fileno()), device, address]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env={"RAY_gcs_rpc_server_reconnect_timeout_s": str(GONE_SECONDS)} | os.environ | {"PYTHONPATH": paths},
            start_new_session=True,  # what stops the page from outside lets this finish what has begun
        )
        theirs.close()
        try:
            news = self.receive(CONNECT_SECONDS)
        except Exception:  # it has ended, or its message makes no sense
            news = Message(0, "refused", {"value": "there was no answer"})
        if news.kind == "refused":
            self.stop()
            reason = news.values["value"]
            raise InputError(
                f"No Ray cluster runs the networks ({reason}): `ray start --head` starts one, and `ray start "
                "--address` lets this computer join one."
            )
        threading.Thread(target=self._write, name="to the cluster", daemon=True).start()

    def send(self, packed: bytes) -> None:
        """Write a message at once or later."""
        self._messages.put(packed)

    def receive(self, seconds: float) -> Message:
        """Wait for the next message; see `unpack`.

        Raises:
            EOFError, OSError: the process has ended, or has said nothing for so long.
        """
        if not self._pipe.poll(seconds):
            raise EOFError
        return unpack(self._pipe.recv_bytes())

    def stop(self) -> None:
        """Stop the process, and write nothing more."""
        self._process.kill()
        self._process.wait()
        self._messages.put(None)

    def _write(self) -> None:
        with suppress(OSError):  # the process has ended, of which whoever reads hears, too
            while (message := self._messages.get()) is not None:
                self._pipe.send_bytes(message)


class ClusterWorker:
    """A `Worker` that hands questions to a Ray cluster through another process, and reconnects to one that is gone.

    A question of several clients waits in the queue of the first of them.

    Args:
        address: of the cluster, or "" for one on this computer that ends with the demo.
        device: that the replicas run on, where they are not running yet.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str = "", device: str = "auto") -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("Ray is not here: `pip install -r requirements-cluster.txt` installs it.")
        self._connect = partial(Driver, device, address)
        self._numbers = itertools.count(1)
        self._requests: dict[int, Request] = {}
        self._lock = threading.Lock()  # of the requests and the driver; its holder waits for nothing
        self._closing = threading.Event()
        self._driver: Driver | None = self._connect()  # none while the cluster is gone
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._thread.start()

    def require(self, task: str, name: str) -> None:
        if self._driver is None:
            raise BusyError(GONE)

    def info(self, task: str, name: str) -> Future[ModelInfo]:
        request = Request()
        self._send(request, "info", task=task, name=name, model=_multiplexed_id(task, name))
        return request.info

    def submit(self, job: Job) -> None:
        query, client = job.query, next(iter(job.clients), None)
        if client is None:
            job.fail(AbandonedError())
            return
        try:
            text = to_json(query)
        except Exception as error:  # a question that cannot be sent fails alone
            job.fail(error)
            return
        self._send(
            Request(job),
            "answer",
            data=query.image.data,
            query=text,
            sha256=query.image.sha256,
            model=_multiplexed_id(query.task, query.model),
            client=client,
            cache=job.cache is not None,
        )

    def join(self, job: Job, client: str) -> None:
        pass

    def leave(self, job: Job, client: str) -> None:
        if job.clients:
            return
        with self._lock:
            number = next((number for number, request in self._requests.items() if request.job is job), None)
            if number is None:
                return
            del self._requests[number]
            if self._driver is not None:
                self._driver.send(pack(Message(number, "leave", {})))
        job.fail(AbandonedError())

    def position(self, client: str) -> int:
        with self._lock:
            requests = list(self._requests.values())
        waiting = [one for one in requests if one.job and one.job.started is None and client in one.job.clients]
        return min((request.position for request in waiting), default=0)

    def is_well(self) -> bool:
        return self._driver is not None and self._thread.is_alive()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            jobs = [request.job for request in self._requests.values() if request.job is not None]
        for job in jobs:
            if is_slow(job.query):
                job.fail(BusyError(STOPPING))

    def _send(self, request: Request, kind: str, *, data: bytes = b"", **values: Any) -> None:
        number = next(self._numbers)
        packed = pack(Message(number, kind, values, data))
        with self._lock:
            if (driver := self._driver) is not None:
                self._requests[number] = request
                driver.send(packed)
        if driver is None:
            request.fail(BusyError(GONE))

    def _run(self) -> None:
        """Hand on the news; when the cluster is gone, fail what waits, and connect again until closed."""
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
                self._receive(self._driver.receive(SILENCE_SECONDS))
            except Exception as error:  # it has ended, makes no sense, or cannot be started now
                known = isinstance(error, EOFError | OSError | InputError)
                logging.getLogger(__name__).warning("The cluster is not reached: %r", error, exc_info=not known)
                self._lose()

    def _lose(self) -> None:
        with self._lock:
            driver, self._driver = self._driver, None
            lost = list(self._requests.values())
            self._requests.clear()
        for request in lost:
            request.fail(BusyError(GONE))
        if driver is not None:
            driver.stop()

    def _receive(self, news: Message) -> None:
        with self._lock:
            request = self._requests.get(news.number)
            if request is not None and news.kind in LAST:
                del self._requests[news.number]
        if request is not None:
            request.receive(news)


def _multiplexed_id(task: str, name: str) -> str:
    """The name of a downloaded model in Serve; "" for a shipped one, which every replica has."""
    return f"{task}/{name}" if (task, name) in _DOWNLOADED else ""
