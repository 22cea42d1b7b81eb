"""What runs the networks: one thread of this process, to which queries come in turn; or has a GPU lent for them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from PIL import Image

from demo import IS_LENT_A_GPU, zerogpu
from demo.answers import Answers, answers, checked, is_dear, kind
from demo.errors import InputError
from demo.line import Line
from demo.models import Library, Model
from demo.models.altered import blocks
from demo.query import Query, Result
from demo.threads import in_a_thread
from explainers import Passes, finished

MOST_DEAR = 8  # queries that are answered pass by pass at the same time
STOPPING = "The demo is being stopped: try again in a few minutes."
BROKEN = "The device that runs the models has failed. Try again when the demo has been restarted."

T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """What there is to choose of a model.

    Attributes:
        name: as in the catalogue.
        layers: where Grad-CAM may look, the default one first.
        targets: the classes or answers that it knows; none if any text can be one.
        blocks: what "randomised" weights make random, from the top down; none if its weights are never altered.
        attends: whether it has weights of its own for the cells of the image.
    """

    name: str
    layers: tuple[str, ...]
    targets: tuple[str, ...]
    blocks: tuple[str, ...]
    attends: bool = False


@dataclass(eq=False)
class Pending:
    """A query that waits for its turn.

    Attributes:
        photo: the photograph, opened.
        keep: keeps the answer for whoever asks the same, before it is told; none if nothing of this is to be kept.
        said: `Result.said`, as soon as it is known.
        result: the answer.
        visitors: who asked, and has not left; each as often as that.
        asked, begun: when it was, by `time.monotonic`; none as long as it waits.
        done: how many passes of a dear query, and of how many.
    """

    query: Query
    photo: Image.Image
    keep: Callable[[Result], None] | None
    said: Future[dict[str, float]] = field(default_factory=Future)
    result: Future[Result] = field(default_factory=Future)
    visitors: list[str] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)
    begun: float | None = None
    done: tuple[int, int] = (0, 0)

    def say(self, said: dict[str, float]) -> None:
        with suppress(InvalidStateError):
            self.said.set_result(said)

    def succeed(self, result: Result) -> None:
        self.say(result.said)
        if self.keep is not None:
            self.keep(result)
        with suppress(InvalidStateError):  # the demo is being stopped
            self.result.set_result(result)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # which asyncio cannot hand on, so that whoever waits would for ever
            error = RuntimeError(repr(error))
        for future in (self.said, self.result):
            with suppress(InvalidStateError):  # it has its value already
                future.set_exception(error)


class UnwantedError(InputError):
    """Nobody waits for a query any more."""

    def __init__(self) -> None:
        super().__init__("Nobody waited for this any more: ask again.")


class Networks(Protocol):
    """What an engine asks: the networks of this process, or those of a cluster."""

    def require(self, task: str, name: str) -> None:
        """Raise InputError if a model is not here, or cannot be."""

    def about(self, task: str, name: str) -> Future[About]:
        """What there is to choose of a model, as soon as it is open."""

    def answer(self, pending: Pending) -> None:
        """Begin to answer a query: its futures are set, in another thread."""

    def join(self, pending: Pending, visitor: str) -> None:
        """One more visitor waits for a query."""

    def leave(self, pending: Pending, visitor: str) -> None:
        """A visitor does not wait for a query any more; one that nobody waits for is not begun, or goes no further."""

    def place(self, visitor: str) -> int:
        """How many others are answered before a visitor, who waits."""

    def is_well(self) -> bool:
        """Whether queries are answered."""

    def close(self) -> None:
        """Begin with nothing any more; what has begun is finished, but for the dear queries."""


class OwnNetworks:
    """Answers queries in one thread of this process, which runs all networks.

    More than one would not be quicker, as each uses all cores; and each thread that computes gets a team of its own
    from OpenMP, which makes every one of them 1.3 to 1.7 times slower while they live. A model is opened in a thread
    that ends with that, so that nobody waits for it who does not use it. Visitors who wait are answered in turn, one
    query of each; but photographs that wait for one model and layer are explained together, up to as many as the model
    says, and between the passes of a dear query others are answered.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._answers = zerogpu.lent() if IS_LENT_A_GPU else answers
        self._line: Line[Pending] = Line()
        self._models: dict[Pending, Model] = {}  # of what waits; the library may have dropped them when its turn comes
        self._begun: deque[tuple[Pending, Passes[None]]] = deque()  # the dear queries that are being answered
        self._changed = threading.Condition()
        self._closing = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="networks", daemon=True)
        self._thread.start()

    def require(self, task: str, name: str) -> None:
        self._library.require(task, name)

    def about(self, task: str, name: str) -> Future[About]:
        return self._when_open(task, name, _about)

    def answer(self, pending: Pending) -> None:
        query = pending.query
        opening = self._when_open(query.task, query.model, lambda model: model)
        opening.add_done_callback(lambda opening: self._line_up(pending, opening))

    def join(self, pending: Pending, visitor: str) -> None:
        with self._changed:
            if pending in self._line:
                self._line.add(visitor, pending)

    def leave(self, pending: Pending, visitor: str) -> None:
        with self._changed:
            self._line.leave(visitor, pending)
            if pending not in self._line and pending.begun is None:
                self._models.pop(pending, None)

    def place(self, visitor: str) -> int:
        with self._changed:
            return self._line.before(visitor)

    def is_well(self) -> bool:
        return self._thread.is_alive() and not self._broken

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _line_up(self, pending: Pending, opening: Future[Model]) -> None:
        """Let a query wait for its turn, now that its model is open."""
        if (error := opening.exception()) is not None:
            pending.fail(error)
            return
        with self._changed:
            visitors = list(pending.visitors)
            if visitors and not pending.result.done():
                self._models[pending] = opening.result()
                for visitor in visitors:
                    self._line.add(visitor, pending)
                self._changed.notify_all()
                return
        pending.fail(UnwantedError())

    def _when_open(self, task: str, name: str, use: Callable[[Model], T]) -> Future[T]:
        """What `use` makes of a model, as soon as it is open."""
        used: Future[T] = Future()
        try:
            if (model := self._library.opened(task, name) or self._awaited(task, name)) is None:
                return in_a_thread("opener", lambda: use(self._library.load(task, name)))
            used.set_result(use(model))
        except Exception as error:  # whoever waits is told
            used.set_exception(error)
        return used

    def _awaited(self, task: str, name: str) -> Model | None:
        """The model that other queries wait with, so that one which the library has dropped is not opened twice."""
        with self._changed:
            same = (model for one, model in self._models.items() if (one.query.task, one.query.model) == (task, name))
            return next(same, None)

    def _run(self) -> None:
        """Batch by batch; and of the dear queries that have begun, one after the other goes on by a pass."""
        begun = self._begun
        while begun or not self._closing:
            with self._changed:
                self._changed.wait_for(lambda: self._line or self._closing or begun)
                together = self._take()
            if together:
                work = self._finish(together)
                if is_dear(together[0].query):
                    begun.append((together[0], work))
                else:
                    finished(work)
            if begun:
                pending, work = begun.popleft()
                if self._goes_on(pending, work):
                    begun.append((pending, work))

    def _take(self) -> list[Pending]:
        """The queries that are answered next; none if the demo is being stopped."""
        if self._closing:
            return []
        taken = self._line.take(lambda first: self._models[first].batch, _alike, self._is_ready)
        for pending in taken:
            pending.begun = time.monotonic()
        return taken

    def _is_ready(self, pending: Pending) -> bool:
        """Whether a query's turn may come: of the dear ones, which hold much memory, few are begun and one of each.

        With altered weights one of all, as it holds its copy until it ends, and two copies exist at most.
        """
        if not is_dear(pending.query):
            return True
        begun = [dear for dear, _ in self._begun]
        theirs = any(visitor in dear.visitors for dear in begun for visitor in pending.visitors)
        altered = bool(pending.query.weights) and any(dear.query.weights for dear in begun)
        return len(begun) < MOST_DEAR and not theirs and not altered

    def _goes_on(self, dear: Pending, work: Passes[None]) -> bool:
        """Do one pass of a dear query's work; whether there is more, which somebody waits for."""
        try:
            dear.done = next(work)
        except StopIteration:
            return False
        if dear.visitors and not self._closing:
            return True
        dear.fail(InputError(STOPPING) if self._closing else UnwantedError())
        work.close()
        return False

    def _finish(self, together: list[Pending]) -> Passes[None]:
        try:
            with self._changed:
                model, *_ = [self._models.pop(pending) for pending in together]
            if self._broken:
                raise InputError(BROKEN)
            query = together[0].query
            if query.weights:  # a copy is made now, as what waits would hold one each
                model = self._library.altered(query.task, model, query.weights)
            yield from _answer(self._answers, model, together)
        except Exception as error:  # nobody is to wait for ever
            for pending in together:
                pending.fail(error)
        errors = [pending.result.exception() for pending in together if pending.result.done()]
        if any(isinstance(error, RuntimeError) for error in errors) and not self._library.computes():
            self._broken = True


def _answer(work: Answers, model: Model, together: list[Pending]) -> Passes[None]:
    asked: list[tuple[Pending, Query]] = []
    for pending in together:
        try:
            asked.append((pending, checked(model, pending.query)))
        except Exception as error:  # each fails for itself alone
            pending.fail(error)
    if not asked:
        return
    try:
        results = yield from work(
            model,
            [query for _, query in asked],
            [pending.photo for pending, _ in asked],
            lambda place, said: asked[place][0].say(said),
        )
    except Exception as error:  # whoever waits is told
        if len(asked) == 1:
            asked[0][0].fail(error)
        else:
            for pending, _ in asked:
                yield from _answer(work, model, [pending])
        return
    for (pending, _), result in zip(asked, results, strict=True):
        pending.succeed(result)


def _alike(first: Pending, other: Pending) -> bool:
    """Whether a model can answer two queries in one pass."""
    return kind(first.query) is not None and kind(first.query) == kind(other.query)


def _about(model: Model) -> About:
    targets = tuple(getattr(model, "classes", getattr(model, "answers", ())))
    return About(model.name, tuple(model.layers), targets, tuple(blocks(model)), hasattr(model, "attention"))
