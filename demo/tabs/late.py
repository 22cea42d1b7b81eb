"""The columns of methods that take longer than the panels: each is filled when it is ready, and holds up no other."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from demo.engine import Engine
from demo.errors import InputError
from demo.job import Job
from demo.query import PATCHES, Explain, Row
from demo.server.waiting import arrived, ask, has_left, in_background, listened_event
from demo.tasks.sentence import measured, passes, price
from demo.viewer import data
from explainers import METHODS, Patches

NEWS_SECONDS = 1.0  # after which a column says how far it is
LEFT_SECONDS = 15.0  # a page that has not asked for so long has gone


@dataclass(eq=False)
class Column:
    """A method that is shown for all rows.

    Attributes:
        queries: of each row, by this method alone.
        pending: what the engine answers of the queries.
        task: gives what the browser is sent, when all are answered; none until it is started.
        rows: the answers; none for a row that has no picture.
    """

    queries: list[Explain]
    pending: list[Job] = field(default_factory=list)
    task: asyncio.Task[dict[str, Any]] | None = None
    rows: list[Row | None] = field(default_factory=list)


class Late:
    """The late columns of what a tab shows.

    A column that costs much begins when somebody wants it; and all end when something else is shown, or the page has
    gone.

    Attributes:
        number: tells it from what was shown before.
        asked: the number of the page's last request.
    """

    def __init__(self, engine: Engine, queries: Sequence[Explain], methods: Sequence[str], patches: Patches) -> None:
        self.number = round(1000 * time.monotonic())
        self.asked = 0
        self._engine = engine
        self._columns = {key: Column([_alone(query, key, patches) for query in queries]) for key in methods}
        self._passes: dict[str, int] = {}
        self._gone: asyncio.TimerHandle | None = None

    def takes_over(self, before: "Late") -> bool:
        """Go on with those columns that were there before; whether these are all, and nothing is new."""
        same = [key for key, column in self._columns.items() if before._asks(key) == column.queries]
        whole = len(same) == len(self._columns) == len(before._columns)
        for key in [] if whole else same:
            self._columns[key] = before._columns.pop(key)
        return whole

    def _asks(self, key: str) -> list[Explain]:
        return self._columns[key].queries if key in self._columns else []

    def prices(self, rows: Sequence[Row]) -> dict[str, str]:
        """What each column costs, in words; nothing if it begins by itself."""
        patches = {key: column.queries[0].patches for key, column in self._columns.items()} if rows else {}
        self._passes = {key: sum(passes(METHODS[key], patches[key], row) for row in rows) for key in patches}
        return {key: price(count, rows) for key, count in self._passes.items()}

    def begun(self) -> list[str]:
        """The columns that are filled, or are going to be."""
        return [key for key, column in self._columns.items() if column.task is not None]

    def want(self, asked: int, keys: Sequence[str]) -> None:
        """Begin with the columns that are wanted and those that cost little, and give the others up.

        A request that was overtaken by a later one changes nothing.
        """
        if asked <= self.asked:
            return
        self.asked = asked
        for key, column in self._columns.items():
            if METHODS[key].cost and key not in keys:
                self._stop(key)
            elif column.task is None:
                column.task = in_background(self._fill(key, column))

    def _stop(self, key: str) -> None:
        """Give a column up, unless it is filled."""
        column = self._columns[key]
        if column.task is None or column.task.done():
            return
        column.task.cancel()
        self._columns[key] = Column(column.queries)

    def leave(self) -> None:
        """Give up what is not filled."""
        if self._gone is not None:
            self._gone.cancel()
        for key in self._columns:
            self._stop(key)

    async def news(self, known: Sequence[str]) -> dict[str, Any]:
        """The columns that are filled and not known yet; or after a while, how far the others are."""
        if self._gone is not None:
            self._gone.cancel()
        self._gone = asyncio.get_running_loop().call_later(LEFT_SECONDS, self.leave)
        begun = {key: column for key, column in self._columns.items() if column.task is not None and key not in known}
        tasks = [column.task for column in begun.values() if column.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=NEWS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if has_left(listened_event()):
            self.leave()
        # Not those that were stopped meanwhile.
        wanted = {key: column for key, column in begun.items() if self._columns.get(key) is column}
        filled = {key: column.task.result() for key, column in wanted.items() if column.task and column.task.done()}
        running = {
            key: _progress(column, self._passes.get(key, 0)) for key, column in wanted.items() if key not in filled
        }
        return {"time": self.number, "columns": filled, "running": running}

    async def _fill(self, key: str, column: Column) -> dict[str, Any]:
        """Of each row the picture, as of `data.pictures`, or why there is none; and what it took."""
        found = await asyncio.gather(*(self._row(column, query) for query in column.queries))
        column.rows = [row for row, _ in found]
        notes = [note if row is None else measured(row, key) for row, note in found]
        drawn = iter(data.pictures([row for row in column.rows if row is not None], [key]))
        pictures = [next(drawn)[key] if row is not None else None for row in column.rows]
        notes = [f"{note} {_scale(picture)}" for note, picture in zip(notes, pictures, strict=True)]
        return {"pictures": pictures, "notes": notes}

    async def _row(self, column: Column, query: Explain) -> tuple[Row | None, str]:
        """What the engine answers; or none, and why."""
        try:
            pending = await ask(self._engine, lambda: query)
            column.pending.append(pending)
            return (await arrived(self._engine, pending.result, pending)).rows[0], ""
        except InputError as error:
            return None, str(error)
        except Exception:
            logging.exception("a column could not be computed")
            return None, "This could not be computed here: choose another method, or another model."

    def filled(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with the pictures of the columns that are filled."""
        found = []
        for place, row in enumerate(rows):
            pictures = dict(row.pictures)
            for key, column in self._columns.items():
                if place < len(column.rows) and (late := column.rows[place]) is not None:
                    pictures[key] = late.pictures[key]
            found.append(replace(row, pictures=pictures))
        return found


def renewed(before: Late | None, late: Late) -> Late:
    """The columns, those that were there before as they are; what is not wanted any more is given up."""
    if before is None:
        return late
    if late.takes_over(before):
        return before
    before.leave()
    return late


def _scale(picture: dict[str, Any] | None) -> str:
    """How weak a picture is beside stronger ones of its column, on whose scale it is drawn."""
    if picture is None or picture["limit"] >= picture["shared"]:
        return ""
    return f"On one scale for all rows, the strongest here is {picture['limit'] / picture['shared']:.0%} of it."


def _alone(query: Explain, key: str, patches: Patches) -> Explain:
    """The query by one method, with the patches only if that looks at them: no other is asked anew for them."""
    # Grad-CAM's map costs nothing beside, and is what CAM is compared with.
    return replace(query, methods=(key, "gradcam"), patches=patches if METHODS[key].covers else PATCHES)


def _progress(column: Column, passes: int) -> str:
    """How far a column is of so many passes for all its rows, in words, once it has begun."""
    done, of = (sum(counts) for counts in zip((0, 0), *(pending.progress for pending in column.pending), strict=True))
    return f"{done:,} of {max(of, passes):,} forward passes" if of else ""
