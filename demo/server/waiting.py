"""How event handlers wait for the engine, without holding up the event loop."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import gradio as gr
from gradio.context import LocalContext

from demo.engine import MAX_OF_ONE, MAX_WAITING, Engine
from demo.errors import BusyError
from demo.job import Job
from demo.query import Query, Result

T = TypeVar("T")

AT_ONCE = 2  # photographs of one visitor that are opened at a time: whoever sends many holds up nobody
NEWS_SECONDS = 0.25  # after which somebody who waits is told the place, and a closed connection is noticed

# Threads that wait for their turn to open an image, more than may wait for large ones: see demo.images. No other work
# waits for them.
_OPENERS = ThreadPoolExecutor(64, "opener")

_asking: Counter[str] = Counter()
_opening: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

R = TypeVar("R", bound=Result)
Making = Callable[[], Query[R]]  # may take a while, and raise InputError


def visitor() -> str:
    """Who asks, in the handler of an event: a page, a client, or all that comes from an address by plain HTTP."""
    request = LocalContext.request.get(None)
    if request is None:
        return ""
    by_plain_http = "/call/" in request.url.path  # each is a session of its own
    if by_plain_http or not getattr(request, "session_hash", None):  # an assistant has none
        return f"address {request.client.host}"
    return f"page {request.session_hash}"


def listened_event() -> Any:
    """Gradio's event whose handler this is, of which `has_left` can be asked also when it has ended; or none."""
    page, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    return page._queue.event_ids_to_events.get(event) if page is not None else None


def has_left(event: Any) -> bool:
    """Whether nobody listens any more to an event, as of `listened_event`."""
    return event is not None and not event.alive


def in_background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that goes on when the event that begins it has ended, or has lost its listener."""
    context = contextvars.copy_context()
    context.run(LocalContext.event_id.set, None)
    return asyncio.create_task(work, context=context)


async def opening(function: Callable[[], T], client: str | None = None) -> T:
    """Run a function that opens a user's image beside the event loop.

    Args:
        client: who asks; by default as of `visitor`.

    Raises:
        InputError: too many wait for that, of this user or in all.
        asyncio.CancelledError: the connection was closed before it began.
    """
    who, event = client or visitor(), listened_event()

    def opened() -> T:
        if has_left(event):
            raise asyncio.CancelledError
        return function()

    if _asking[who] >= MAX_OF_ONE or _asking.total() >= MAX_WAITING:
        raise BusyError
    _asking[who] += 1
    try:
        async with _opening.setdefault(who, asyncio.Semaphore(AT_ONCE)):
            in_context = contextvars.copy_context().run
            return await asyncio.get_running_loop().run_in_executor(_OPENERS, in_context, opened)
    finally:
        _asking[who] -= 1
        if not _asking[who]:
            del _asking[who]


async def ask(engine: Engine, made: Making[R], *, cache: bool = True, client: str | None = None) -> Job[R]:
    """`Engine.ask` beside the event loop, as it opens the photograph, which the making of the query may read.

    Args:
        client: who asks; by default as of `visitor`.

    Raises:
        asyncio.CancelledError: nobody listens any more.
    """
    if has_left(listened_event()):
        raise asyncio.CancelledError
    who = client or visitor()
    asked = asyncio.create_task(opening(lambda: engine.ask(made(), cache=cache, client=who), who))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:  # its thread goes on
        asked.add_done_callback(partial(_leave, engine, who))
        raise


def _leave(engine: Engine, who: str, asked: asyncio.Task[Job]) -> None:
    if not asked.cancelled() and asked.exception() is None:
        engine.leave(asked.result(), who)


async def arrived(engine: Engine, future: Future[T], asked: Job | None = None) -> T:
    """The value of one of the engine's futures; meanwhile the page shows how many others are answered before.

    Args:
        asked: the query whose future it is, from `ask`; the engine gives it up if the wait is cancelled.

    Raises:
        asyncio.CancelledError: nobody listens any more.
    """
    who, event = visitor(), listened_event()
    value = asyncio.wrap_future(future)
    value.add_done_callback(lambda value: value.cancelled() or value.exception())  # or asyncio complains
    shown = 0
    try:
        while not (await asyncio.wait({value}, timeout=NEWS_SECONDS))[0]:
            if has_left(event):
                raise asyncio.CancelledError
            place = engine.position(who)
            if place != shown:
                gr.Progress()((place, None) if place else None, unit="before you")
            shown = place
    except asyncio.CancelledError:
        if asked is not None:
            engine.leave(asked, who)
        raise
    return value.result()


async def answer(engine: Engine, made: Making[R], *, cache: bool = True) -> R:
    """`Engine.answer` beside the event loop."""
    pending = await ask(engine, made, cache=cache)
    return await arrived(engine, pending.result, pending)
