"""The only door to the networks: `Engine.answer` returns the result of a question."""

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from cachetools import LRUCache
from PIL import Image

from demo.errors import TOO_MUCH, BusyError, InputError
from demo.images import open_photo
from demo.job import AbandonedError, Job
from demo.models import Library
from demo.query import (
    AdversarialResult,
    Explain,
    ExplainResult,
    ImageFile,
    ModelInfo,
    Precision,
    PredictResult,
    Query,
    Result,
    prediction_query,
)
from demo.records import Records
from demo.worker import STOPPING, LocalWorker, Worker
from explainers import METHODS

CACHE_BYTES = 48 * 2**20
MAX_CHARACTERS = 20_000  # of a text
MAX_TARGETS = 100  # each takes backward passes; a caption has 50 words at most
MAX_WAITING, MAX_OF_ONE = 512, 64  # questions, of all clients and of one; each holds an image of 3 MB at most

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Completed:
    """In the cache, for a question with empty fields: the completed one, under which its result is cached.

    Attributes:
        predictions: which the completed question need not have had computed.
    """

    query: Explain
    predictions: dict[str, float]


class Engine:
    """Answers questions: known ones from the cache, equal ones together, and the others by its worker in turn.

    Args:
        library: the models that can be asked.
        cache_bytes: of images and results in the cache.
        worker: what computes; by default a thread of this process, with the models of the library.
        precision: of explanations for which none is asked; see `Explain`.
    """

    def __init__(
        self,
        library: Library,
        cache_bytes: int = CACHE_BYTES,
        worker: Worker | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.library = library
        self._precision = precision
        self._worker = worker or LocalWorker(library)
        self._cache: LRUCache[Any, Any] = LRUCache(cache_bytes, getsizeof=_nbytes)  # by SHA-256, or by question
        self._jobs: dict[Query, Job] = {}
        self._changed = threading.Condition()
        self._closing = False
        self.records = Records(lambda: len(self._jobs), lambda: self._cache.currsize)

    def is_well(self) -> bool:
        """Whether questions are answered."""
        return self._worker.is_well() and not self._closing

    def close(self, seconds: float = 4.0) -> None:
        """Take no more questions, refuse those that wait, and wait this long at most for those that have started."""
        with self._changed:
            self._closing = True
        self._worker.close()
        with self._changed:
            waiting = [job for job in self._jobs.values() if job.started is None]
        for job in waiting:
            job.fail(BusyError(STOPPING))
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs, seconds)

    def answer(self, query: Query[R]) -> R:
        """Return the result of a question, after its turn.

        Raises:
            InputError: it cannot be answered; the message says why.
        """
        return self.ask(query).result.result()

    def ask(self, query: Query[R], *, cache: bool = True, client: str = "") -> Job[R]:
        """Begin to answer a question; no network runs for one that is known, or is being answered for another client.

        Args:
            cache: keep image and result; not for the frames of a camera, which nobody asks about again.
            client: the id of who asks; clients that wait are answered in turn.

        Raises:
            InputError: the file is no image, a text is too long, the model is not installed, or too much waits.
        """
        query = self._named(query)
        _check_size(query)
        self._worker.require(query.task, query.model)
        image = self.open(query.image) if cache else open_photo(query.image.data)
        with self._changed:
            if (job := self._jobs.get(query)) is not None and job.clients:
                job.clients.append(client)
                self._worker.join(job, client)
                return job
            if (known := self._cached(query)) is not None:
                self.records.add_outcome(query.task, query.model, "known")
                job = Job(query, image)
                job.succeed(known)
                return job
            self._check_room(query, client)
            job = Job(query, image, partial(self._keep, query) if cache else None, clients=[client])
            self._jobs[query] = job
        job.result.add_done_callback(lambda result: self._end(job, result))
        self._worker.submit(job)
        return job

    def _named(self, query: Query[R]) -> Query[R]:
        """The question with its model as in the catalogue, and the precision of this engine where none is asked."""
        query = replace(query, model=self.library.find(query.task, query.model).name)
        if self._precision is not None and isinstance(query, Explain) and query.precision is None:
            return _with(query, precision=self._precision)
        return query

    def _check_room(self, query: Query, client: str) -> None:
        own = sum(client in job.clients for job in self._jobs.values())
        if self._closing or len(self._jobs) >= MAX_WAITING or own >= MAX_OF_ONE:
            self.records.add_outcome(query.task, query.model, "refused")
            raise BusyError(STOPPING if self._closing else TOO_MUCH)

    def _end(self, job: Job, result: Future[Result]) -> None:
        """Record how a question ended."""
        with self._changed:
            if self._jobs.get(job.query) is job:  # not one that was asked after this one was cancelled
                del self._jobs[job.query]
                self._changed.notify_all()
        query, now, error = job.query, time.monotonic(), result.exception()
        if isinstance(error, AbandonedError):
            self.records.add_outcome(query.task, query.model, "left")
            return
        waited = (job.started or now) - job.asked
        outcome = "answered" if error is None else "refused" if isinstance(error, InputError) else "failed"
        self.records.add_outcome(query.task, query.model, outcome, now - job.asked, waited)

    def leave(self, job: Job, client: str = "") -> None:
        """A client does not wait for a question any more. One that nobody waits for ends with its current pass."""
        with self._changed:
            if client in job.clients:
                job.clients.remove(client)
            if client not in job.clients:
                self._worker.leave(job, client)
            unwanted = not job.clients and job.started is None
        if unwanted:
            job.fail(AbandonedError())

    def position(self, client: str) -> int:
        """How many others are answered before a client that waits."""
        return self._worker.position(client)

    def open(self, file: ImageFile) -> Image.Image:
        """The image in a file.

        Raises:
            InputError: it is none.
        """
        with self._changed:
            image = self._cache.get(file.sha256)
        if image is None:
            image = open_photo(file.data)
            with self._changed:
                self._cache[file.sha256] = image
        return image

    def info(self, task: str, name: str) -> Future[ModelInfo]:
        """What can be chosen of a model that is installed, as soon as it is open."""
        return self._worker.info(task, name)

    def _cached(self, query: Query) -> Result | None:
        known = self._cache.get(query)
        if isinstance(known, Completed):
            whole = self._cache.get(known.query)
            known = whole and replace(whole, predictions=known.predictions)
        return known and _with_image(known, query.image)

    def _keep(self, query: Query, result: Result) -> None:
        """Cache a result for its completed question; and for the question as asked, and its predictions alone."""
        image = query.image.without_data()  # the opened image is cached once
        asked, whole = replace(query, image=image), _with_image(result, image)
        with self._changed, suppress(ValueError):  # too large for the cache
            self._cache[whole.query] = whole
            if not isinstance(whole, ExplainResult):
                self._cache[asked] = whole
                return
            if asked != whole.query:
                self._cache[asked] = Completed(whole.query, whole.predictions)
            if whole.predictions and whole.query.precision != "bfloat16":
                alone = prediction_query(asked)
                text = whole.query.text if alone.text else ""
                self._cache[alone] = PredictResult(replace(alone, text=text), whole.predictions)


def _with_image(result: R, image: ImageFile) -> R:
    return _with(result, query=_with(result.query, image=image))


def _with(value: Any, **fields: Any) -> Any:
    """`replace`, which does not know the type of a union's member."""
    return replace(value, **fields)


def _check_size(query: Query) -> None:
    if isinstance(query, Explain):
        if unknown := set(query.methods) - METHODS.keys():
            raise InputError(f"No method “{str(min(unknown, key=str))[:80]}”. Methods: {', '.join(METHODS)}.")
        if len(query.targets) > MAX_TARGETS:
            raise InputError(f"At most {MAX_TARGETS} targets are explained at a time, and these are more.")
    texts = [value for value in vars(query).values() if isinstance(value, str | tuple)]
    if any(len(str(text)) > MAX_CHARACTERS for text in texts):
        raise InputError(f"The text is longer than {MAX_CHARACTERS} characters: shorten it.")


def _nbytes(kept: Result | Completed | Image.Image) -> int:
    """About how much memory a cached value takes."""
    if isinstance(kept, Image.Image):
        return 3 * kept.width * kept.height
    total = 1000 + 8 * len(kept.query.text)  # as asked and as completed
    if isinstance(kept.query, Explain):
        total += 8 * sum(len(str(target)) for target in kept.query.targets)
    if isinstance(kept, ExplainResult):
        for row in kept.rows:
            total += sum(array.nbytes for array in (*row.pictures.values(), *(row.steps or {}).values()))
    if isinstance(kept, AdversarialResult):
        total += len(kept.image.data)
    return total
