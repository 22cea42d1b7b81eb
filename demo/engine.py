"""The only door to the networks: `Engine.answer` gives the result of a query."""

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from cachetools import LRUCache
from PIL import Image

from demo.errors import TOO_MUCH, InputError
from demo.images import open_photo
from demo.models import Library
from demo.networks import STOPPING, About, Networks, OwnNetworks, Pending, UnwantedError
from demo.query import Photo, Query, Result
from demo.records import Records
from explainers import METHODS

CACHE_BYTES = 48 * 2**20
MOST_CHARACTERS = 20_000  # of a text
MOST_WAITING, MOST_OF_ONE = 512, 64  # queries, of all visitors and of one; each holds a photograph of 3 MB at most


class Engine:
    """Answers queries: those that are known at once, equal ones together, and the others by its networks in turn.

    Args:
        library: the models that can be asked.
        cache_bytes: of the photographs and answers that are kept.
        networks: what answers; if none are given, the models of the library in a thread of this process.
    """

    def __init__(self, library: Library, cache_bytes: int = CACHE_BYTES, networks: Networks | None = None) -> None:
        self.library = library
        self._networks = networks or OwnNetworks(library)
        self._kept: LRUCache[Any, Any] = LRUCache(cache_bytes, getsizeof=_nbytes)  # by content
        self._pending: dict[Query, Pending] = {}
        self._changed = threading.Condition()
        self._closing = False
        self.records = Records(lambda: len(self._pending), lambda: self._kept.currsize)

    def is_well(self) -> bool:
        """Whether queries are answered."""
        return self._networks.is_well() and not self._closing

    def close(self, seconds: float = 4.0) -> None:
        """Take no more queries, drop those that wait, and wait for the passes that have begun, at most so long."""
        with self._changed:
            self._closing = True
        self._networks.close()
        with self._changed:
            waiting = [pending for pending in self._pending.values() if pending.begun is None]
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
        self._networks.require(query.task, query.model)
        photo = self.open(query.photo) if keep else open_photo(query.photo.data)
        with self._changed:
            if (pending := self._pending.get(query)) is not None and pending.visitors:
                pending.visitors.append(visitor)
                self._networks.join(pending, visitor)
                return pending
            pending = Pending(query, photo, partial(self._keep, query) if keep else None, visitors=[visitor])
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
        pending.result.add_done_callback(lambda result: self._end(pending, result))
        self._networks.answer(pending)
        return pending

    def _end(self, pending: Pending, result: Future[Result]) -> None:
        """Write down what became of a query."""
        with self._changed:
            if self._pending.get(pending.query) is pending:  # and not one that was asked when this one was given up
                del self._pending[pending.query]
                self._changed.notify_all()
        query, now, error = pending.query, time.monotonic(), result.exception()
        if isinstance(error, UnwantedError):
            self.records.add_outcome(query.task, query.model, "left")
            return
        waited = (pending.begun or now) - pending.asked
        outcome = "answered" if error is None else "refused" if isinstance(error, InputError) else "failed"
        self.records.add_outcome(query.task, query.model, outcome, now - pending.asked, waited)

    def leave(self, pending: Pending, visitor: str = "") -> None:
        """Somebody does not wait for a query any more.

        One that nobody waits for is given up, but for the pass that has begun.
        """
        with self._changed:
            if visitor in pending.visitors:
                pending.visitors.remove(visitor)
            if visitor not in pending.visitors:
                self._networks.leave(pending, visitor)
            unwanted = not pending.visitors and pending.begun is None
        if unwanted:
            pending.fail(UnwantedError())

    def place(self, visitor: str) -> int:
        """How many others are answered before a visitor, who waits."""
        return self._networks.place(visitor)

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

    def about(self, task: str, name: str) -> Future[About]:
        """What there is to choose of a model whose files are here, as soon as it is open."""
        return self._networks.about(task, name)

    def _known(self, query: Query) -> Result | None:
        known = self._kept.get(query)
        if known is None or known.rows:
            return known
        if not query.targets:
            return replace(known, query=replace(known.query, photo=query.photo))
        whole = self._kept.get(known.query)
        return whole if whole is None or whole.said == known.said else replace(whole, said=known.said)

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


def _nbytes(kept: Result | Image.Image) -> int:
    """About how much memory is taken by what is kept."""
    if isinstance(kept, Image.Image):
        return 3 * kept.width * kept.height
    pictures = (picture for row in kept.rows for picture in row.pictures.values())
    texts = 8 * sum(len(str(text)) for text in (kept.query.text, *kept.query.targets))  # as given and as read
    told = (tensor.nbytes for row in kept.rows if row.steps is not None for tensor in vars(row.steps).values())
    files = len(kept.query.photo.data) + (len(kept.noised.data) if kept.noised is not None else 0)
    return 1000 + texts + files + sum(picture.nbytes for picture in pictures) + sum(told)
