"""How event handlers wait for the engine, without holding up the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from demo.engine import Engine, Pending
from demo.query import Query, Result

T = TypeVar("T")

Making = Callable[[], Query]  # may take a while, and raise InputError


async def ask(engine: Engine, made: Making, *, keep: bool = True) -> Pending:
    """`Engine.ask` beside the event loop, as it opens the photograph, which the making of the query may read."""
    return await asyncio.to_thread(lambda: engine.ask(made(), keep=keep))


async def arrived(future: Future[T]) -> T:
    """The value of one of the engine's futures."""
    # Shielded, because others may wait for the same.
    return await asyncio.shield(asyncio.wrap_future(future))


async def answer(engine: Engine, made: Making, *, keep: bool = True) -> Result:
    """`Engine.answer` beside the event loop."""
    pending = await ask(engine, made, keep=keep)
    try:
        return await arrived(pending.result)
    except asyncio.CancelledError:
        engine.leave(pending)
        raise
