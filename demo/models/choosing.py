"""Choosing a model: waiting for its download and its opening, until it is here or something else is chosen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from demo.errors import InputError
from demo.models.downloads import Download
from demo.models.library import Library

BETWEEN = 0.3  # seconds from one `Progress` to the next

OpenModel = Callable[[str, str], Future[Any]]  # takes a task and a name; done when the model is open


class Progress(NamedTuple):
    """How far a model is: how many bytes have arrived, of how many (0: not known yet), or that it is being opened."""

    name: str
    done: int = 0
    total: int = 0
    opening: bool = False


@dataclass(eq=False)
class Choice:
    """A model that a session has chosen; see `Choices.choose`.

    Attributes:
        name: of the model, or "" for none.
        wanted: whether it still counts.
        replaced: whether the session has chosen again, and that choice is shown after this one.
    """

    name: str
    _task: str
    _download: Download | None
    _open_model: OpenModel
    wanted: bool = True
    replaced: bool = False
    _stopped: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def progress(self) -> AsyncIterator[Progress]:
        """What to show until the model is open; it ends early and without an error when it is not wanted any more.

        Raises:
            InputError: the model cannot be downloaded or opened, or the download was stopped.
        """
        if (download := self._download) is not None:
            while self.wanted and not self._stopped and not download.ended.is_set():
                yield Progress(self.name, download.done, download.total)
                await asyncio.sleep(BETWEEN)
            if self.wanted and self._stopped:
                raise InputError("The download was stopped.")
            if self.wanted:
                download.check(self.name)
        if self.name and self.wanted:  # open it before anything depends on it
            opening = asyncio.wrap_future(self._open_model(self._task, self.name))
            opening.add_done_callback(asyncio.Future.exception)  # has been looked at, also if nobody waits for it
            while self.wanted and not (await asyncio.wait([opening], timeout=BETWEEN))[0]:
                yield Progress(self.name, opening=True)
            if self.wanted:
                await opening


class Choices:
    """What each session has chosen of a task's models and still waits for; of several choices the latest counts."""

    def __init__(self, library: Library, task: str, open_model: OpenModel) -> None:
        self._library = library
        self._task = task
        self._open_model = open_model
        self._latest: dict[str, Choice] = {}  # by session

    @asynccontextmanager
    async def choose(self, session: str, name: str) -> AsyncIterator[Choice]:
        """The choice of a model, or with "" of none, from the end of the session's choice before to its own end.

        Raises:
            InputError: no such model.
        """
        source = self._library.find(self._task, name).source if name else None
        download = self._library.join(source) if source else None
        choice = Choice(name, self._task, download, self._open_model)
        earlier = self._latest.get(session)
        self._latest[session] = choice
        try:
            if earlier:
                earlier.wanted, earlier.replaced = False, True
                await earlier._ended.wait()
            yield choice
        finally:
            if download:
                download.leave()
            choice._ended.set()
            if self._latest.get(session) is choice:
                del self._latest[session]

    def stop(self, session: str) -> None:
        """Stop the download that the session waits for; it goes on for others who do."""
        if choice := self._latest.get(session):
            choice._stopped = True
