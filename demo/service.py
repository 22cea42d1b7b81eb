"""What surrounds the page: what holds off strangers, whether all is well, and numbers."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.engine import Engine
from demo.images import MAX_BYTES, TOO_LARGE

MOST_BODY = MAX_BYTES + 2**20  # bytes of a request: a photograph, and what surrounds it

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


class _Headers:
    """Gives all answers the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _Bodies:
    """Refuses requests that are too large: Gradio takes a thousand files in one, and writes all to disk."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = 0

        async def receive_bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MOST_BODY:
                raise HTTPException(413, TOO_LARGE)
            return message

        await self._app(scope, receive_bounded if scope["type"] == "http" else receive, send)


def surroundings(engine: Engine) -> dict[str, Any]:
    """What the server of the page is made with: `routes`, and what is done to all requests."""
    return {"routes": routes(engine), "middleware": [Middleware(_Headers), Middleware(_Bodies)]}


def routes(engine: Engine) -> list[Route]:
    """`/health`, which is 200 as long as queries are answered, and `/metrics`, for Prometheus."""

    async def health(_request: Request) -> Response:
        healthy = engine.is_well()
        return JSONResponse({"healthy": healthy}, 200 if healthy else 503)

    async def metrics(_request: Request) -> Response:
        return Response(engine.records.as_text(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/health", health), Route("/metrics", metrics)]
