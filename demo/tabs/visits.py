"""What a tab knows of one visitor, and how its event handlers take turns and wait for the engine."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import gradio as gr

from demo.engine import Engine, Pending
from demo.errors import InputError
from demo.query import Query, Result

T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """What the panels show: rows of one or two queries that have been answered, and why there is no further row."""

    queries: tuple[Query, ...] = ()
    note: str = ""


@dataclass
class Visit:
    """What a tab keeps of one visitor, beside what stands in the widgets; a `gr.State` holds it.

    Handlers of different visitors run at the same time, those of one `in_turn`.

    Attributes:
        seen: the upload and the model that the widgets are about; none while the page opens.
        text: the caption that the strip of words is about, or the question that the answers belong to.
        word: the position of the word in the panels.
        offered: the suggested questions.
        shown: what the panels show.
        turn: of the handlers that read and write the above; that of the strip of all layers is one.
        drawing: of the one that draws the panels of what is shown then.
    """

    seen: tuple[Any, str] | None = None
    text: str = ""
    word: int = -1
    offered: list[str] = field(default_factory=list)
    shown: Shown = Shown()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)


Given = dict[Any, Any]  # the values of an event's inputs, by component
Making = Callable[[], Query]  # may take a while, and raise InputError


def in_turn(visit: gr.State, handler: Callable[..., Any], lock: str = "turn") -> Callable[..., AsyncIterator[Any]]:
    """The handler of an event, run when the visitor's handlers before it have ended and all that they show is sent.

    So the last click is answered last.

    Args:
        visit: holds the `Visit`; it is among the inputs of the event, which are given by component.
        handler: an asynchronous function or generator, of what an event gives to what it shows.
        lock: which of the visit's turns it takes.
    """

    @functools.wraps(handler)
    async def taking_turns(given: Given, *event: Any) -> AsyncIterator[Any]:
        async with getattr(given[visit], lock):
            # Gradio goes on with a generator when it has sent what came before.
            if inspect.isasyncgenfunction(handler):
                async for shown in handler(given, *event):
                    yield shown
            else:
                yield await handler(given, *event)

    return taking_turns


async def ask(engine: Engine, made: Making) -> Pending:
    """`Engine.ask` beside the event loop, as it opens the photograph, which the making of the query may read."""
    return await asyncio.to_thread(lambda: engine.ask(made()))


async def arrived(future: Future[T]) -> T:
    """The value of one of the engine's futures."""
    # Shielded, because others may wait for the same.
    return await asyncio.shield(asyncio.wrap_future(future))


async def answer(engine: Engine, made: Making) -> Result:
    """`Engine.answer` without holding up the event loop."""
    return await arrived((await ask(engine, made)).result)


async def show(engine: Engine, made: Making) -> Shown:
    """A query to show, completed; or why it cannot be answered."""
    try:
        return Shown(((await answer(engine, made)).query,))
    except InputError as error:
        return Shown(note=str(error))
