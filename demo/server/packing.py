"""The page's own text is packed on its way, which Gradio sends as it is."""

import re

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

# Whole texts alone: what is streamed would be held back.
PACKED = re.compile(r"/|/config|/theme\.css|/assets/.*\.(js|css)")
LEVEL = 4  # of 9: each opening of the page takes it


class Packing:
    """Packs the page, its configuration, and Gradio's script and styles, for browsers that take it so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._packing = GZipMiddleware(app, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        app = self._packing if scope["type"] == "http" and PACKED.fullmatch(path) else self._app
        await app(scope, receive, send)
