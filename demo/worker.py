"""The thread that runs all networks: a fair queue of questions, batches, progress and cancelling."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from PIL import Image

from demo.check import check
from demo.errors import InputError
from demo.explain import OnPredictions, answer, answer_slowly, batch_key, is_slow
from demo.models import Library, Model
from demo.models.altered import blocks
from demo.query import ModelInfo, Query, RegionResult, Result
from explainers import Slow, finish

MAX_SLOW = 8  # slow questions that are answered pass by pass at the same time
MAX_ALONE = 2  # questions of one client in a batch, if no other waits
STOPPING = "The demo is being stopped: try again in a few minutes."
BROKEN = "The device that runs the models has failed. Try again when the demo has been restarted."

R = TypeVar("R", bound=Result)


@dataclass(eq=False)
class Job(Generic[R]):
    """A question on its way to its result.

    Attributes:
        image: of the question, opened.
        cache: stores the result before it is set; None if it is not to be cached.
        predictions: set before the result, where the model's predictions are known earlier.
        clients: the ids of who asked and still waits, each as often as that.
        asked, started: times, by `time.monotonic`; `started` is None while it waits.
        progress: how many passes of a slow question are done, and of how many.
        checked: the question in the model's spelling; see `check`.
    """

    query: Query[R]
    image: Image.Image
    cache: Callable[[R], None] | None = None
    predictions: Future[dict[str, float]] = field(default_factory=Future)
    result: Future[R] = field(default_factory=Future)
    clients: list[str] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)
    started: float | None = None
    progress: tuple[int, int] = (0, 0)
    checked: Query[R] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for future in (self.predictions, self.result):
            future.set_running_or_notify_cancel()  # one client of several cannot cancel it

    def check(self, model: Model) -> bool:
        """Whether a model can answer the question; else the job fails."""
        try:
            self.checked = check(model, self.query)
        except Exception as error:  # of this job alone
            self.fail(error)
            return False
        return True

    def predict(self, predictions: dict[str, float]) -> None:
        with suppress(InvalidStateError):
            self.predictions.set_result(predictions)

    def succeed(self, result: R) -> None:
        self.predict({} if isinstance(result, RegionResult) else result.predictions)
        if self.cache is not None:
            self.cache(result)
        with suppress(InvalidStateError):  # the demo is being stopped
            self.result.set_result(result)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # asyncio cannot raise it where the result is awaited
            error = RuntimeError(repr(error))
        for future in (self.predictions, self.result):
            with suppress(InvalidStateError):
                future.set_exception(error)


class AbandonedError(InputError):
    """Nobody waits for a question any more."""

    def __init__(self) -> None:
        super().__init__("Nobody waited for this any more: ask again.")


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


class FairQueue:
    """Waiting jobs, served client by client in turn. A job of several clients waits in the queue of each."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Job]] = {}  # the first client is served next

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, job: Job) -> bool:
        return any(job in queue for queue in self._queues.values())

    def position(self, client: str) -> int:
        """How many others are served before a client that waits."""
        return list(self._queues).index(client) if client in self._queues else 0

    def add(self, client: str, job: Job) -> None:
        queue = self._queues.setdefault(client, deque())
        if job not in queue:
            queue.append(job)

    def remove(self, client: str, job: Job) -> None:
        """Remove a job from the queue of one client, if it is there."""
        queue = self._queues.get(client, deque())
        if job in queue:
            queue.remove(job)
            if not queue:
                del self._queues[client]

    def next_batch(
        self,
        max_size: Callable[[Job], int],
        together: Callable[[Job, Job], bool],
        ready: Callable[[Job], bool] = lambda _: True,
    ) -> list[Job]:
        """Take the first job of the first client, and others that can be computed together with it.

        Args:
            max_size: of the batch, by its first job.
            together: whether a job can be computed with the first.
            ready: whether a job can be computed now; others are passed over.

        Returns:
            At most one job of each client, or two where a single one waits: so a new client never waits for more than
            two jobs of another. Nothing, if nothing is ready.
        """
        turn = next(((client, job) for client, queue in self._queues.items() for job in queue if ready(job)), None)
        if turn is None:
            return []
        client, first = turn
        batch = [first]
        for other, queue in self._queues.items():
            count = 1 if len(self._queues) > 1 else MAX_ALONE
            if other == client:
                count -= 1  # the first is its own
            batch += [job for job in queue if job not in batch and ready(job) and together(first, job)][:count]
        batch = batch[: max_size(first)]
        self._take(batch)
        self._move_behind_the_others(client)
        return batch

    def _take(self, batch: list[Job]) -> None:
        for job in batch:
            for client in list(self._queues):
                self.remove(client, job)

    def _move_behind_the_others(self, client: str) -> None:
        if (queue := self._queues.pop(client, None)) is not None:
            self._queues[client] = queue


Compute = Callable[[Model, Sequence[Query], Sequence[Image.Image], OnPredictions], Slow[list[Result]]]


def compute(
    model: Model, queries: Sequence[Query], images: Sequence[Image.Image], on_predictions: OnPredictions
) -> Slow[list[Result]]:
    """Answer questions as `answer`, or a slow one as `answer_slowly`."""
    if is_slow(queries[0]):
        return [(yield from answer_slowly(model, queries[0], images[0], on_predictions))]
    return answer(model, queries, images, on_predictions)


class LocalWorker:
    """Answers questions in one thread of this process, which runs all networks.

    More than one would not be faster, as each uses all cores. And each thread that computes gets its own team from
    OpenMP, which makes every one of them 1.3 to 1.7 times slower while they live. A model is opened in another thread,
    so that nobody waits for it who does not use it. Clients are served in turn; images that wait for one model and
    layer are explained together, and between the passes of a slow question others are answered.

    Args:
        compute: answers the questions, in the worker's thread.
    """

    def __init__(self, library: Library, compute: Compute = compute) -> None:
        self._library = library
        self._compute = compute
        self._queue = FairQueue()
        self._models: dict[Job, Model] = {}  # of waiting jobs; the library may have dropped them meanwhile
        self._slow: deque[tuple[Job, Slow[None]]] = deque()
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
        with self._changed:
            model, *_ = [self._models.pop(job) for job in batch]
        work = self._work(model, batch)
        if is_slow(batch[0].query):
            self._slow.append((batch[0], work))
        else:
            finish(work)

    def _step(self, job: Job, work: Slow[None]) -> None:
        """Do one pass of a slow job."""
        try:
            job.progress = next(work)
        except StopIteration:
            return
        if job.clients and not self._closing:
            self._slow.append((job, work))
            return
        job.fail(InputError(STOPPING) if self._closing else AbandonedError())
        work.close()

    def _work(self, model: Model, batch: list[Job]) -> Slow[None]:
        query = batch[0].query
        try:
            if self._broken:
                raise InputError(BROKEN)
            if query.weights is not None:  # a copy is made now, as waiting jobs would hold one each
                model = self._library.altered(query.task, model, query.weights)
            yield from self._answer(model, [job for job in batch if job.check(model)])
        except Exception as error:  # or clients wait for ever
            for job in batch:
                job.fail(error)
        errors = [job.result.exception() for job in batch if job.result.done()]
        if any(isinstance(error, RuntimeError) for error in errors) and not self._library.computes():
            self._broken = True

    def _answer(self, model: Model, jobs: list[Job]) -> Slow[None]:
        """Answer jobs together; or if that fails each alone, so that none fails for another."""
        try:
            yield from self._answer_together(model, jobs)
            return
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
        for job in jobs:  # not while the error holds the memory of the batch
            yield from self._answer(model, [job])

    def _answer_together(self, model: Model, jobs: list[Job]) -> Slow[None]:
        if not jobs:
            return
        queries, images = [job.checked for job in jobs], [job.image for job in jobs]
        results = yield from self._compute(model, queries, images, lambda index, found: jobs[index].predict(found))
        for job, result in zip(jobs, results, strict=True):
            job.succeed(result)


def _together(first: Job, other: Job) -> bool:
    key = batch_key(first.query)
    return key is not None and key == batch_key(other.query)


def model_info(model: Model) -> ModelInfo:
    """What can be chosen of an open model."""
    return ModelInfo(model.name, tuple(model.layers), tuple(model.labels), tuple(blocks(model)), model.attends)
