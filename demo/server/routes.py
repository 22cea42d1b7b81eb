"""The routes that are not Gradio's: questions, whether all is well, and numbers for Prometheus."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.engine import Engine
from demo.server.ask import AskRoute
from demo.server.guard import Guard
from demo.server.packing import Packing
from demo.server.page_files import PAGE_FILES

# Of Gradio, and not used here: what keeps for ever what strangers send, has another program read it, or fetches it.
CLOSED = (
    "/gradio_api/process_recording",
    "/gradio_api/deep_link",
    "/gradio_api/file=http{address:path}",
    "/gradio_api/file/http{address:path}",
)


def surroundings(engine: Engine) -> dict[str, Any]:
    """What the server of the page is made with: what guards it, and `routes`."""
    return {"routes": routes(engine), "middleware": [Middleware(Guard), Middleware(Packing)]}


def routes(engine: Engine) -> list[Route]:
    """Questions, the script, `/health`, which is 200 as long as questions are answered, `/metrics`, and `CLOSED`."""

    async def health(_request: Request) -> Response:
        healthy = engine.is_well()
        return JSONResponse({"healthy": healthy}, 200 if healthy else 503)

    async def metrics(_request: Request) -> Response:
        return Response(engine.records.as_text(), media_type=CONTENT_TYPE_LATEST)

    async def nowhere(_request: Request) -> Response:
        return JSONResponse({"detail": "Not Found"}, 404)

    closed = [Route(path, nowhere, methods=["GET", "POST"]) for path in CLOSED]
    ask = Route("/ask", AskRoute(engine).answer, methods=["POST"])
    return [ask, PAGE_FILES, Route("/health", health), Route("/metrics", metrics), *closed]
