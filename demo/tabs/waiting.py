"""How event handlers wait for the engine, without holding up the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar
from weakref import WeakValueDictionary

import gradio as gr
from gradio.context import LocalContext

from demo.engine import Engine, Pending
from demo.query import Query, Result

T = TypeVar("T")

AT_ONCE = 2  # photographs of one visitor that are opened at a time: whoever sends many holds up nobody
NEWS_SECONDS = 1.0  # after which somebody who waits is told the place

_opening: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

Making = Callable[[], Query]  # may take a while, and raise InputError


def visitor() -> str:
    """Who asks, in the handler of an event: a page, a client, or all that comes from an address by plain HTTP."""
    request = LocalContext.request.get(None)
    if request is None:
        return ""
    by_plain_http = "/call/" in request.url.path  # each is a session of its own
    return str(request.client.host if by_plain_http else request.session_hash)


async def ask(engine: Engine, made: Making, *, keep: bool = True) -> Pending:
    """`Engine.ask` beside the event loop, as it opens the photograph, which the making of the query may read."""
    who = visitor()
    async with _opening.setdefault(who, asyncio.Semaphore(AT_ONCE)):
        return await asyncio.to_thread(lambda: engine.ask(made(), keep=keep, visitor=who))


async def arrived(engine: Engine, future: Future[T]) -> T:
    """The value of one of the engine's futures; meanwhile the page shows how many others are answered before."""
    value = asyncio.wrap_future(future)
    while not (await asyncio.wait({value}, timeout=NEWS_SECONDS))[0]:
        if place := engine.place(visitor()):
            gr.Progress()((place, None), unit="before you")
    return value.result()


async def answer(engine: Engine, made: Making, *, keep: bool = True) -> Result:
    """`Engine.answer` beside the event loop."""
    pending = await ask(engine, made, keep=keep)
    try:
        return await arrived(engine, pending.result)
    except asyncio.CancelledError:
        engine.leave(pending, visitor())
        raise
