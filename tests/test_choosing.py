"""Waiting for a model that was chosen: what it says meanwhile, and how it ends."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from helpers import in_a_loop

from demo.errors import InputError
from demo.models import Entry, Library
from demo.models.choosing import Choices, Progress


@dataclass(eq=False)
class Held:
    """Ten bytes, of which six arrive when they may."""

    path: Path = Path("held")
    go_on: threading.Event = field(default_factory=threading.Event)
    fails: bool = False
    arrived: bool = False

    def is_here(self) -> bool:
        return self.arrived

    def download(self, expect, count) -> None:
        expect(10)
        count(4)
        assert self.go_on.wait(20)
        if self.fails:
            raise OSError("no room")
        count(6)
        self.arrived = True


class Shop:
    """Choices of the models "shipped", "a" and "b", and what was opened of them."""

    def __init__(self) -> None:
        self.sources = {"a": Held(), "b": Held()}
        self.opened: list[str] = []
        self.may_open = threading.Event()
        self.may_open.set()
        entries = [Entry(name, 1.0, self.open, source) for name, source in self.sources.items()]
        self.library = Library(entries={"vqa": [Entry("shipped", 1.0, self.open), *entries]})
        self.pool = ThreadPoolExecutor()
        self.choices = Choices(self.library, "vqa", self.load)

    def open(self, name: str, _device: str) -> object:
        assert self.may_open.wait(20)
        if name == "b":
            raise ValueError("not weights")
        self.opened.append(name)
        return object()

    def load(self, task: str, name: str) -> Future:
        return self.pool.submit(self.library.load, task, name)

    async def wait(self, name: str, said: list[Progress], session: str = "me") -> str:
        """How the choice ends."""
        async with self.choices.choose(session, name) as choice:
            try:
                async for progress in choice.progress():
                    said.append(progress)
            except InputError as error:
                return str(error)
            return "counts" if choice.wanted else "replaced" if choice.replaced else "forgotten"


@pytest.fixture
def shop():
    shop = Shop()
    yield shop
    for source in shop.sources.values():
        source.go_on.set()
    shop.may_open.set()
    shop.pool.shutdown()


async def until(said: list[Progress], progress: Progress) -> None:
    async with asyncio.timeout(20):
        while progress not in said:
            await asyncio.sleep(0.02)


def test_what_is_said_until_a_model_is_here_and_open(shop):
    shop.may_open.clear()

    async def run() -> tuple[str, list[Progress]]:
        said: list[Progress] = []
        waiting = asyncio.create_task(shop.wait("a", said))
        await until(said, Progress("a", 4, 10))
        shop.sources["a"].go_on.set()
        await until(said, Progress("a", opening=True))
        assert not waiting.done()
        shop.may_open.set()
        return await waiting, said

    ended, said = in_a_loop(run())
    assert (ended, shop.opened) == ("counts", ["a"])
    assert [progress.opening for progress in said] == sorted(progress.opening for progress in said)


def test_a_model_that_is_open_and_no_model_at_all_are_there_at_once(shop):
    shop.library.load("vqa", "shipped")

    async def run(name: str) -> list[Progress]:
        said: list[Progress] = []
        assert await shop.wait(name, said) == "counts"
        return said

    assert in_a_loop(run("")) == []
    assert not any(progress.total for progress in in_a_loop(run("shipped")))
    assert shop.opened == ["shipped"]


def test_the_latest_choice_counts_and_waits_for_the_end_of_the_one_before(shop):
    async def run() -> list[str]:
        first_said: list[Progress] = []
        second_said: list[Progress] = []
        ended: list[str] = []

        async def wait(name: str, said: list[Progress]) -> None:
            ended.append(await shop.wait(name, said))

        first = asyncio.create_task(wait("a", first_said))
        await until(first_said, Progress("a", 4, 10))
        second = asyncio.create_task(wait("shipped", second_said))
        await asyncio.gather(first, second)
        return ended

    assert in_a_loop(run()) == ["replaced", "counts"]
    shop.sources["a"].go_on.set()
    assert shop.opened == ["shipped"]


def test_a_stopped_download_says_so_and_goes_on_for_others(shop):
    async def run() -> None:
        mine: list[Progress] = []
        theirs: list[Progress] = []
        me = asyncio.create_task(shop.wait("a", mine))
        they = asyncio.create_task(shop.wait("a", theirs, "they"))
        await until(mine, Progress("a", 4, 10))
        await until(theirs, Progress("a", 4, 10))
        shop.choices.stop("me")
        assert await me == "The download was stopped."
        shop.sources["a"].go_on.set()
        assert await they == "counts"

    in_a_loop(run())
    assert shop.opened == ["a"]
    shop.choices.stop("me")  # nothing is waited for any more


@pytest.mark.parametrize("how", ["stop", "leave"])
def test_a_download_that_nobody_waits_for_any_more_stops(shop, how):
    async def run() -> None:
        said: list[Progress] = []
        waiting = asyncio.create_task(shop.wait("a", said))
        await until(said, Progress("a", 4, 10))
        download = shop.library.join(shop.sources["a"])
        if how == "leave":  # as when somebody closes the page
            waiting.cancel()
        else:
            shop.choices.stop("me")
        with suppress(asyncio.CancelledError):
            assert await waiting == "The download was stopped."
        download.leave()
        shop.sources["a"].go_on.set()
        assert await asyncio.to_thread(download.ended.wait, 20)

    in_a_loop(run())
    assert not shop.sources["a"].arrived
    assert shop.opened == []


def test_a_model_that_cannot_be_had_or_opened_is_an_error_and_the_next_choice_works(shop):
    shop.sources["a"].fails = True

    async def run(name: str) -> str:
        shop.sources[name].go_on.set()
        ended = await shop.wait(name, [])
        assert await shop.wait("shipped", []) == "counts"
        return ended

    assert in_a_loop(run("a")).startswith("a cannot be downloaded (no room): try again")
    assert in_a_loop(run("b")) == "b cannot be opened (not weights). Delete held and pick it again."
    with pytest.raises(InputError, match="No model “c” for vqa"):
        in_a_loop(shop.wait("c", []))
