"""How event handlers wait for the engine, without holding up the event loop."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakValueDictionary

import gradio as gr
from gradio.context import LocalContext

from demo.engine import MOST_OF_ONE, MOST_WAITING, Engine
from demo.errors import TOO_MUCH, InputError
from demo.networks import Pending, UnwantedError
from demo.query import Query, Result

T = TypeVar("T")

AT_ONCE = 2  # photographs of one visitor that are opened at a time: whoever sends many holds up nobody
NEWS_SECONDS = 1.0  # after which somebody who waits is told the place

# Threads that wait for their turn to open an image, more than may wait for large ones: see demo.images. No other work
# waits for them.
_OPENERS = ThreadPoolExecutor(64, "opener")

_asking: Counter[str] = Counter()
_opening: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

Making = Callable[[], Query]  # may take a while, and raise InputError


def visitor() -> str:
    """Who asks, in the handler of an event: a page, a client, or all that comes from an address by plain HTTP."""
    request = LocalContext.request.get(None)
    if request is None:
        return ""
    by_plain_http = "/call/" in request.url.path  # each is a session of its own
    if by_plain_http or not getattr(request, "session_hash", None):  # an assistant has none
        return f"address {request.client.host}"
    return f"page {request.session_hash}"


def has_left() -> bool:
    """Whether nobody listens any more to the event whose handler this is."""
    page, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    events = page._queue.event_ids_to_events if page is not None else {}
    return event in events and not events[event].alive


async def opening(function: Callable[[], T]) -> T:
    """Run a function that opens a user's image beside the event loop.

    Raises:
        InputError: too many wait for that, of this user or in all.
    """
    who = visitor()
    if _asking[who] >= MOST_OF_ONE or _asking.total() >= MOST_WAITING:
        raise InputError(TOO_MUCH)
    _asking[who] += 1
    try:
        async with _opening.setdefault(who, asyncio.Semaphore(AT_ONCE)):
            in_context = contextvars.copy_context().run
            return await asyncio.get_running_loop().run_in_executor(_OPENERS, in_context, function)
    finally:
        _asking[who] -= 1
        if not _asking[who]:
            del _asking[who]


async def ask(engine: Engine, made: Making, *, keep: bool = True) -> Pending:
    """`Engine.ask` beside the event loop, as it opens the photograph, which the making of the query may read."""
    who = visitor()
    return await opening(lambda: engine.ask(made(), keep=keep, visitor=who))


async def arrived(engine: Engine, future: Future[T]) -> T:
    """The value of one of the engine's futures; meanwhile the page shows how many others are answered before.

    Raises:
        UnwantedError: nobody listens any more.
    """
    value = asyncio.wrap_future(future)
    value.add_done_callback(lambda value: value.cancelled() or value.exception())  # or asyncio complains
    shown = 0
    while not (await asyncio.wait({value}, timeout=NEWS_SECONDS))[0]:
        if has_left():
            raise UnwantedError
        place = engine.place(visitor())
        if place != shown:
            gr.Progress()((place, None) if place else None, unit="before you")
        shown = place
    return value.result()


async def answer(engine: Engine, made: Making, *, keep: bool = True) -> Result:
    """`Engine.answer` beside the event loop."""
    pending = await ask(engine, made, keep=keep)
    try:
        return await arrived(engine, pending.result)
    except (asyncio.CancelledError, UnwantedError):
        engine.leave(pending, visitor())
        raise
