"""The thread that runs all networks: batches of questions, slow ones pass by pass."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from PIL import Image

from demo.check import check
from demo.errors import BusyError
from demo.explain import OnPredictions, answer, batch_key, is_slow
from demo.fair_queue import FairQueue
from demo.job import AbandonedError, Job
from demo.models import Library, Model
from demo.models.altered import blocks
from demo.query import ModelInfo, Query, Result
from explainers import Slow, finish

MAX_SLOW = 8  # slow questions that are answered pass by pass at the same time
STOPPING = "The demo is being stopped: try again in a few minutes."
BROKEN = "The device that runs the models has failed. Try again when the demo has been restarted."


class Worker(Protocol):
    """What computes the engine's questions: a thread of this process, or a cluster."""

    def require(self, task: str, name: str) -> None:
        """Raise InputError if a model is not installed, or cannot be."""

    def info(self, task: str, name: str) -> Future[ModelInfo]:
        """What can be chosen of a model, as soon as it is open."""

    def submit(self, job: Job) -> None:
        """Begin to answer a question: its futures are set, in another thread."""

    def join(self, job: Job, client: str) -> None:
        """One more client waits for a question."""

    def leave(self, job: Job, client: str) -> None:
        """A client does not wait for a question any more; one that nobody waits for is not started, or stops."""

    def position(self, client: str) -> int:
        """How many others are answered before a client that waits."""

    def is_well(self) -> bool:
        """Whether questions are answered."""

    def close(self) -> None:
        """Start nothing any more; what has started is finished, but for slow questions."""


Compute = Callable[[Model, Sequence[Query], Sequence[Image.Image], OnPredictions], Slow[list[Result]]]


class LocalWorker:
    """Answers questions in one thread of this process, which runs all networks.

    More than one would not be faster, as each uses all cores. And each thread that computes gets its own team from
    OpenMP, which makes every one of them 1.3 to 1.7 times slower while they live. A model is opened in another thread,
    so that nobody waits for it who does not use it. Clients are served in turn; images that wait for one model and
    layer are explained together, and between the passes of a slow question others are answered.

    Args:
        compute: answers the questions, in the worker's thread; see `demo.explain.answer`.
    """

    def __init__(self, library: Library, compute: Compute = answer) -> None:
        self._library = library
        self._compute = compute
        self._queue = FairQueue()
        self._models: dict[Job, Model] = {}  # of waiting jobs; the library may have dropped them meanwhile
        self._slow: deque[tuple[Job, Slow[list[Result]]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()

    def require(self, task: str, name: str) -> None:
        self._library.require(task, name)

    def info(self, task: str, name: str) -> Future[ModelInfo]:
        info: Future[ModelInfo] = Future()
        info.set_running_or_notify_cancel()

        def on_open(opened: Future[Model]) -> None:
            try:
                info.set_result(model_info(opened.result()))
            except Exception as error:  # raised where the info is awaited
                info.set_exception(error)

        self._open(task, name).add_done_callback(on_open)
        return info

    def submit(self, job: Job) -> None:
        self._open(job.query.task, job.query.model).add_done_callback(lambda opened: self._enqueue(job, opened))

    def join(self, job: Job, client: str) -> None:
        with self._changed:
            if job in self._queue:
                self._queue.add(client, job)

    def leave(self, job: Job, client: str) -> None:
        with self._changed:
            self._queue.remove(client, job)
            if job not in self._queue and job.started is None:
                self._models.pop(job, None)

    def position(self, client: str) -> int:
        with self._changed:
            return self._queue.position(client)

    def is_well(self) -> bool:
        return self._thread.is_alive() and not self._broken

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _open(self, task: str, name: str) -> Future[Model]:
        """The model of the library, or that of waiting jobs, as the library may have dropped it."""
        opened: Future[Model] = Future()
        try:
            if (model := self._library.opened(task, name) or self._waiting_model(task, name)) is None:
                return self._library.open(task, name)
            opened.set_result(model)
        except Exception as error:  # raised where the model is awaited
            opened.set_exception(error)
        return opened

    def _waiting_model(self, task: str, name: str) -> Model | None:
        with self._changed:
            same = (model for job, model in self._models.items() if (job.query.task, job.query.model) == (task, name))
            return next(same, None)

    def _enqueue(self, job: Job, opened: Future[Model]) -> None:
        if (error := opened.exception()) is not None:
            job.fail(error)
            return
        with self._changed:
            clients = list(job.clients)
            if clients and not job.result.done():
                self._models[job] = opened.result()
                for client in clients:
                    self._queue.add(client, job)
                self._changed.notify_all()
                return
        job.fail(AbandonedError())

    def _run(self) -> None:
        """Answer batch by batch; between two, one slow job goes on by a pass."""
        while self._slow or not self._closing:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing or self._slow)
                batch = self._next_batch()
            if batch:
                self._start(batch)
            if self._slow:
                self._step(*self._slow.popleft())

    def _next_batch(self) -> list[Job]:
        if self._closing:
            return []
        batch = self._queue.next_batch(lambda first: self._models[first].batch, _together, self._is_ready)
        for job in batch:
            job.started = time.monotonic()
        return batch

    def _is_ready(self, job: Job) -> bool:
        """Whether a job may start: slow ones hold much memory, so few have started, and one of each client.

        With altered weights one of all, as it holds its copy until it ends, and two copies exist at most.
        """
        if not is_slow(job.query):
            return True
        started = [slow for slow, _ in self._slow]
        theirs = any(client in slow.clients for slow in started for client in job.clients)
        altered = job.query.weights is not None and any(slow.query.weights is not None for slow in started)
        return len(started) < MAX_SLOW and not theirs and not altered

    def _start(self, batch: list[Job]) -> None:
        """Answer a batch, or begin with a slow job."""
        with self._changed:
            model, *_ = [self._models.pop(job) for job in batch]
        query = batch[0].query
        try:
            if self._broken:
                raise BusyError(BROKEN)
            if query.weights is not None:  # a copy is made now, as waiting jobs would hold one each
                model = self._library.altered(query.task, model, query.weights)
        except Exception as error:
            self._fail(batch, error)
            return
        jobs = [job for job in batch if self._is_checked(job, model)]
        if jobs and is_slow(query):
            self._slow.append((jobs[0], self._passes(model, jobs)))
        elif jobs:
            self._answer(model, jobs)

    def _is_checked(self, job: Job, model: Model) -> bool:
        """Whether the model can answer the job; else it fails, and no other."""
        try:
            job.checked = check(model, job.query)
        except Exception as error:
            self._fail([job], error)
            return False
        return True

    def _answer(self, model: Model, jobs: list[Job]) -> None:
        """Answer jobs together; or if that fails each alone, so that none fails for another."""
        try:
            for job, result in zip(jobs, finish(self._passes(model, jobs)), strict=True):
                job.succeed(result)
            return
        except Exception as error:
            if len(jobs) == 1:
                self._fail(jobs, error)
                return
        for job in jobs:  # not while the error holds the memory of the batch
            self._answer(model, [job])

    def _passes(self, model: Model, jobs: list[Job]) -> Slow[list[Result]]:
        queries, images = [job.checked for job in jobs], [job.image for job in jobs]
        return self._compute(model, queries, images, lambda index, predictions: jobs[index].predict(predictions))

    def _step(self, job: Job, passes: Slow[list[Result]]) -> None:
        """Do one pass of a slow job."""
        try:
            try:
                job.progress = next(passes)
            except StopIteration as stop:
                job.succeed(stop.value[0])
                return
        except Exception as error:
            self._fail([job], error)
            return
        if job.clients and not self._closing:
            self._slow.append((job, passes))
        else:
            job.fail(BusyError(STOPPING) if self._closing else AbandonedError())

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        # Before a client hears of it, and asks again.
        if isinstance(error, RuntimeError) and not self._broken and not self._library.computes():
            self._broken = True
        for job in jobs:
            job.fail(error)


def _together(first: Job, other: Job) -> bool:
    key = batch_key(first.query)
    return key is not None and key == batch_key(other.query)


def model_info(model: Model) -> ModelInfo:
    """What can be chosen of an open model."""
    return ModelInfo(model.name, tuple(model.layers), tuple(model.labels), tuple(blocks(model)), model.attends)
