"""The only door to the networks: `Engine.answer` gives the result of a query."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from cachetools import LRUCache
from PIL import Image

from demo.answers import answers, checked, is_dear, kind
from demo.errors import TOO_MUCH, InputError
from demo.images import open_photo
from demo.line import Line
from demo.models import Library, Model
from demo.models.altered import blocks
from demo.query import Photo, Query, Result
from demo.records import Records
from demo.threads import in_a_thread
from explainers import METHODS, Passes, finished

MOST_DEAR = 8  # queries that are answered pass by pass at the same time
CACHE_BYTES = 48 * 2**20
MOST_CHARACTERS = 20_000  # of a text
MOST_WAITING, MOST_OF_ONE = 512, 64  # queries, of all visitors and of one; each holds a photograph of 3 MB at most
STOPPING = "The demo is being stopped: try again in a few minutes."

T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """What there is to choose of a model.

    Attributes:
        name: as in the catalogue.
        layers: where Grad-CAM may look, the default one first.
        targets: the classes or answers that it knows; none if any text can be one.
        blocks: what "randomised" weights make random, from the top down; none if its weights are never altered.
    """

    name: str
    layers: tuple[str, ...]
    targets: tuple[str, ...]
    blocks: tuple[str, ...]


@dataclass(eq=False)
class Pending:
    """A query that waits for its turn.

    Attributes:
        photo: the photograph, opened.
        keep: whether the answer is kept, for whoever asks the same.
        model: its model, once that is open; the library may have dropped it when the query's turn comes.
        said: `Result.said`, as soon as it is known.
        result: the answer.
        visitors: who asked, and has not left; each as often as that.
        asked, begun: when it was, by `time.monotonic`; none as long as it waits.
        done: how many passes of a dear query, and of how many.
    """

    query: Query
    photo: Image.Image
    keep: bool
    model: Model = field(init=False)
    said: Future[dict[str, float]] = field(default_factory=Future)
    result: Future[Result] = field(default_factory=Future)
    visitors: list[str] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)
    begun: float | None = None
    done: tuple[int, int] = (0, 0)

    def say(self, said: dict[str, float]) -> None:
        with suppress(InvalidStateError):
            self.said.set_result(said)

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


class Engine:
    """Answers queries in one thread, which runs all networks.

    More than one would not be quicker, as each uses all cores; and each thread that computes gets a team of its own
    from OpenMP, which makes every one of them 1.3 to 1.7 times slower while they live. A model is opened in a thread
    that ends with that, so that nobody waits for it who does not use it. Visitors who wait are answered in turn, one
    query of each; but photographs that wait for one model and layer are explained together, up to as many as the model
    says, and between the passes of a dear query others are answered.
    """

    def __init__(self, library: Library, cache_bytes: int = CACHE_BYTES) -> None:
        self.library = library
        self._kept: LRUCache[Any, Any] = LRUCache(cache_bytes, getsizeof=_nbytes)  # by content
        self._pending: dict[Query, Pending] = {}
        self._line: Line[Pending] = Line()
        self._begun: deque[tuple[Pending, Passes[None]]] = deque()  # the dear queries that are being answered
        self._changed = threading.Condition()
        self._closing = False
        self.records = Records(lambda: len(self._pending), lambda: self._kept.currsize)
        self._networks = threading.Thread(target=self._run, name="networks", daemon=True)
        self._networks.start()

    def is_well(self) -> bool:
        """Whether queries are answered."""
        return self._networks.is_alive() and not self._closing

    def close(self, seconds: float = 4.0) -> None:
        """Take no more queries, drop those that wait, and wait for the passes that have begun, at most so long."""
        with self._changed:
            self._closing = True
            waiting = [pending for pending in self._pending.values() if pending.begun is None]
            for pending in waiting:
                self._line.remove(pending)
                self._forget(pending)
            for pending in self._pending.values():
                if is_dear(pending.query):
                    pending.visitors.clear()
        for pending in waiting:
            pending.fail(InputError(STOPPING))
        with self._changed:
            self._changed.wait_for(lambda: not self._pending, seconds)

    def answer(self, query: Query) -> Result:
        """The result of a query, after its turn.

        Raises:
            InputError: it cannot be answered; the message says why.
        """
        return self.ask(query).result.result()

    def ask(self, query: Query, *, keep: bool = True, visitor: str = "") -> Pending:
        """Begin to answer a query; no network runs for one that is known, or is being answered for somebody else.

        Args:
            keep: whether photograph and answer are kept; not those of a film, which nobody asks for again.
            visitor: who asks; those who wait are answered in turn.

        Raises:
            InputError: the file is no picture, a text is too long, the model is not here, or too much waits already.
        """
        query = replace(query, model=self.library.find(query.task, query.model).name)
        if unknown := set(query.methods) - METHODS.keys():
            raise InputError(f"No method “{str(min(unknown, key=str))[:80]}”. Methods: {', '.join(METHODS)}.")
        if any(len(str(text)) > MOST_CHARACTERS for text in (query.text, *query.targets, *query.layers)):
            raise InputError(f"The text is longer than {MOST_CHARACTERS} characters: shorten it.")
        self.library.require(query.task, query.model)
        photo = self.open(query.photo) if keep else open_photo(query.photo.data)
        with self._changed:
            if (pending := self._pending.get(query)) is not None and pending.visitors:
                self._join(pending, visitor)
                return pending
            pending = Pending(query, photo, keep, visitors=[visitor])
            if (known := self._known(query)) is not None:
                self.records.add_outcome(query.task, query.model, "known")
                pending.said.set_result(known.said)
                pending.result.set_result(known)
                return pending
            own = sum(visitor in other.visitors for other in self._pending.values())
            if self._closing or len(self._pending) >= MOST_WAITING or own >= MOST_OF_ONE:
                self.records.add_outcome(query.task, query.model, "refused")
                raise InputError(STOPPING if self._closing else TOO_MUCH)
            self._pending[query] = pending
        pending.result.add_done_callback(lambda result: self._record(pending, result))
        opening = self._when_open(query.task, query.model, lambda model: model, query.weights)
        opening.add_done_callback(lambda opening: self._line_up(pending, opening))
        return pending

    def _record(self, pending: Pending, result: Future[Result]) -> None:
        now = time.monotonic()
        error, query = result.exception(), pending.query
        if isinstance(error, UnwantedError):
            self.records.add_outcome(query.task, query.model, "left")
            return
        waited = (pending.begun or now) - pending.asked
        outcome = "answered" if error is None else "refused" if isinstance(error, InputError) else "failed"
        self.records.add_outcome(query.task, query.model, outcome, now - pending.asked, waited)

    def _join(self, pending: Pending, visitor: str) -> None:
        """Let one more visitor wait for a query, in the line of whoever is served first."""
        if visitor not in pending.visitors and pending in self._line:
            self._line.add(visitor, pending)
        pending.visitors.append(visitor)

    def leave(self, pending: Pending, visitor: str = "") -> None:
        """Somebody does not wait for a query any more.

        One that nobody waits for is given up, but for the pass that has begun.
        """
        with self._changed:
            if visitor in pending.visitors:
                pending.visitors.remove(visitor)
            if visitor not in pending.visitors:
                self._line.leave(visitor, pending)
            unwanted = not pending.visitors and pending.begun is None
            if unwanted:
                self._forget(pending)
        if unwanted:
            pending.fail(UnwantedError())

    def place(self, visitor: str) -> int:
        """How many others are answered before a visitor, who waits."""
        with self._changed:
            return self._line.before(visitor)

    def _line_up(self, pending: Pending, opening: Future[Model]) -> None:
        """Let a query wait for its turn, now that its model is open."""
        with self._changed:
            gone = not pending.visitors or pending.result.done()
            error = opening.exception() or (UnwantedError() if gone else None)
            if error is None:
                pending.model = opening.result()
                for visitor in dict.fromkeys(pending.visitors):
                    self._line.add(visitor, pending)
                self._changed.notify_all()
            else:
                self._forget(pending)
        if error is not None:
            pending.fail(error)

    def open(self, photo: Photo) -> Image.Image:
        """The picture in an uploaded file.

        Raises:
            InputError: it is none.
        """
        with self._changed:
            picture = self._kept.get(photo.digest)
        if picture is None:
            picture = open_photo(photo.data)
            with self._changed:
                self._kept[photo.digest] = picture
        return picture

    def _known(self, query: Query) -> Result | None:
        known = self._kept.get(query)
        if known is None or known.rows:
            return known
        if not query.targets:
            return replace(known, query=replace(known.query, photo=query.photo))
        whole = self._kept.get(known.query)
        return whole if whole is None or whole.said == known.said else replace(whole, said=known.said)

    def about(self, task: str, name: str) -> Future[About]:
        """What there is to choose of a model whose files are here, as soon as it is open."""
        return self._when_open(task, name, _about)

    def _when_open(self, task: str, name: str, use: Callable[[Model], T], weights: str = "") -> Future[T]:
        """What `use` makes of a model, as soon as it is open."""
        used: Future[T] = Future()
        try:
            if (model := self.library.opened(task, name, weights)) is None:
                return in_a_thread("opener", lambda: use(self.library.load(task, name, weights)))
            used.set_result(use(model))
        except Exception as error:  # whoever waits is told
            used.set_exception(error)
        return used

    def _run(self) -> None:
        """Batch by batch; and of the dear queries that have begun, one after the other goes on by a pass."""
        begun = self._begun
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._line or begun)
                together = self._line.take(lambda first: first.model.batch, _alike, self._is_ready)
                for pending in together:
                    pending.begun = time.monotonic()
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

    def _is_ready(self, pending: Pending) -> bool:
        """Whether a query's turn may come: of the dear ones, which hold much memory, few are begun and one of each."""
        if not is_dear(pending.query):
            return True
        theirs = any(visitor in dear.visitors for dear, _ in self._begun for visitor in pending.visitors)
        return len(self._begun) < MOST_DEAR and not theirs

    def _goes_on(self, dear: Pending, work: Passes[None]) -> bool:
        """Do one pass of a dear query's work; whether there is more, which somebody waits for."""
        try:
            dear.done = next(work)
        except StopIteration:
            return False
        if dear.visitors:
            return True
        dear.fail(InputError(STOPPING) if self._closing else UnwantedError())
        work.close()
        return False

    def _finish(self, together: list[Pending]) -> Passes[None]:
        try:
            yield from self._answer(together)
        except Exception as error:  # nobody is to wait for ever
            for pending in together:
                pending.fail(error)
        finally:
            with self._changed:
                for pending in together:
                    self._forget(pending)

    def _forget(self, pending: Pending) -> None:
        if self._pending.get(pending.query) is pending:  # and not one that was asked when this one was given up
            del self._pending[pending.query]
            self._changed.notify_all()

    def _answer(self, together: list[Pending]) -> Passes[None]:
        model = together[0].model
        asked: list[tuple[Pending, Query]] = []
        for pending in together:
            try:
                asked.append((pending, checked(model, pending.query)))
            except Exception as error:  # each fails for itself alone
                pending.fail(error)
        if not asked:
            return
        try:
            results = yield from answers(
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
                    yield from self._answer([pending])
            return
        for (pending, _), result in zip(asked, results, strict=True):
            if pending.keep:
                self._keep(pending.query, result)
            with suppress(InvalidStateError):  # the demo is being stopped
                pending.result.set_result(result)

    def _keep(self, query: Query, result: Result) -> None:
        """Keep a result for its query; and what the model says for that query as it was asked, and without targets."""
        photo = Photo(query.photo.digest, b"")  # equal to the photograph, whose file is kept once
        alone = Query(photo, query.task, query.model, query.text, weights=query.weights)
        given = replace(query, photo=photo)
        said = replace(result, query=replace(result.query, photo=photo), rows=())
        with self._changed, suppress(ValueError):  # one that is too large for what may be kept
            self._kept[result.query] = result
            for asked in {given, alone} if result.said and not (query.region or query.noise) else {given}:
                if asked != result.query:
                    self._kept[asked] = said


def _alike(first: Pending, other: Pending) -> bool:
    """Whether a model can answer two queries in one pass."""
    return kind(first.query) is not None and kind(first.query) == kind(other.query)


def _nbytes(kept: Result | Image.Image) -> int:
    """About how much memory is taken by what is kept."""
    if isinstance(kept, Image.Image):
        return 3 * kept.width * kept.height
    pictures = (picture for row in kept.rows for picture in row.pictures.values())
    texts = 8 * sum(len(str(text)) for text in (kept.query.text, *kept.query.targets))  # as given and as read
    told = (tensor.nbytes for row in kept.rows if row.steps is not None for tensor in vars(row.steps).values())
    files = len(kept.query.photo.data) + (len(kept.noised.data) if kept.noised is not None else 0)
    return 1000 + texts + files + sum(picture.nbytes for picture in pictures) + sum(told)


def _about(model: Model) -> About:
    targets = tuple(getattr(model, "classes", getattr(model, "answers", ())))
    return About(model.name, tuple(model.layers), targets, tuple(blocks(model)))
