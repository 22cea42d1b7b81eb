"""What every request passes: bounds of what comes in, headers of what goes out, and sentences for what fails."""

import asyncio
import logging
import traceback
from collections import Counter
from contextlib import AbstractContextManager, nullcontext

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.errors import TOO_MUCH, UNFIT
from demo.images import MAX_BYTES, TOO_LARGE

# Gradio's page has scripts and styles in its text, and makes functions of what its components bring along.
POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "connect-src": "'self' data: blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self' https://huggingface.co https://*.hf.space",  # where a Space stands in a frame
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{what} {allowed}" for what, allowed in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}

MOST_BODY = MAX_BYTES + 2**20  # bytes of a request: a photograph and what surrounds it, or a query of the page
MAX_PARTS = 5  # of an upload, most of them open files: those of a request of `POST /ask`, and its questions
SMALL_BODY = 2**16  # bytes of a request that is not counted as an upload, which those of the page are below
MAX_CONCURRENT_UPLOADS, MAX_CONCURRENT_UPLOADS_OF_ONE = 128, 64  # in all, and from one address: a classroom may be one
UPLOAD_SECONDS = 120.0  # in which an upload has to arrive: 10 MB at 0.7 Mbit/s
TOO_MANY_PARTS = "The upload has too many parts. Upload one image at a time."
TOO_SLOW = "The upload took too long. Make the image smaller, or try again with a better connection."
NO_ROOM = "The server cannot keep files at the moment: try again later."


class Guard:
    """Gives all answers the headers, takes no large body, and answers with a sentence where a route fails."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._uploads: Counter[str] = Counter()  # that are coming in, by address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken, more, begun, counted = 0, True, False, False
        headers = Headers(scope=scope)
        parts = _PartCounter(headers.get("content-type", ""))
        length = int(headers.get("content-length", 0))
        address = (scope.get("client") or ("",))[0]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UPLOAD_SECONDS

        def arrived() -> None:
            nonlocal counted
            self._uploads[address] -= counted
            self._uploads += Counter()  # forgets addresses without uploads
            counted = False

        async def receive_at_most() -> Message:
            nonlocal taken, more
            if more:
                try:
                    async with asyncio.timeout_at(deadline):
                        message = await receive()
                except TimeoutError:
                    raise MultiPartException(TOO_SLOW) from None
            else:
                message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY:
                raise MultiPartException(TOO_LARGE)
            if parts.add(message.get("body", b"")) > MAX_PARTS + 1:  # and the end
                raise MultiPartException(TOO_MANY_PARTS)
            if message["type"] == "http.disconnect" and taken and more:
                raise MultiPartException("The upload was broken off.")
            if not (more := message.get("more_body", False)):
                arrived()
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        counted = bool(parts.boundary) or length > SMALL_BODY or "transfer-encoding" in headers
        busy = counted and (
            self._uploads.total() >= MAX_CONCURRENT_UPLOADS or self._uploads[address] >= MAX_CONCURRENT_UPLOADS_OF_ONE
        )
        self._uploads[address] += counted
        try:
            if length > MOST_BODY:
                await JSONResponse({"detail": TOO_LARGE}, 413)(scope, receive, send_with_headers)
            elif busy:
                await JSONResponse({"detail": TOO_MUCH}, 503)(scope, receive, send_with_headers)
            else:
                with _held_open(scope, address):
                    await self._app(scope, receive_at_most, send_with_headers)
        except Exception as error:
            if begun and isinstance(error.__cause__, HTTPException):  # a stream of events has said what it is
                await send({"type": "http.response.body"})
            elif begun:
                raise
            else:
                await _failed(error)(scope, receive, send_with_headers)
        finally:
            arrived()


def _held_open(scope: Scope, address: str) -> AbstractContextManager[None]:
    """Keep the session of a page as long as its connection is open."""
    _, found, session = scope["path"].partition("/gradio_api/heartbeat/")
    opened = getattr(getattr(scope.get("app"), "state_holder", None), "opened", None)
    return opened(session, address) if found and opened is not None else nullcontext()


class _PartCounter:
    """Counts the parts of an upload as it comes in."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        self.boundary = options.get(b"boundary", b"") if kind == b"multipart/form-data" else b""
        self._delimiter = b"--" + self.boundary
        self._count, self._rest = 0, b""

    def add(self, body: bytes) -> int:
        """Return how many parts have begun."""
        if self.boundary:
            text = self._rest + body
            self._count += text.count(self._delimiter)
            self._rest = text[len(text) - len(self._delimiter) + 1 :] if len(text) >= len(self._delimiter) else text
        return self._count


def _failed(error: Exception) -> Response:
    """What is answered where a route fails, which in Gradio's is what does not fit; it is logged without its text."""
    ours = isinstance(error, OSError | MemoryError)
    where = traceback.extract_tb(error.__traceback__)[-1]
    logging.getLogger(__name__).warning("%s in %s:%s", type(error).__name__, where.filename, where.lineno)
    return JSONResponse({"detail": NO_ROOM if ours else UNFIT}, 503 if ours else 400)
