"""A question on its way to its result."""

import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from PIL import Image

from demo.errors import BusyError
from demo.query import Query, RegionResult, Result

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
        checked: the question in the model's spelling; see `demo.check.check`.
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


class AbandonedError(BusyError):
    """Nobody waits for a question any more."""

    def __init__(self) -> None:
        super().__init__("Nobody waited for this any more: ask again.")
