"""What the organiser of a demo asks it, beside the page: whether it is well, and its numbers."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.engine import Engine


def routes(engine: Engine) -> list[Route]:
    """`/health`, which is 200 as long as queries are answered, and `/metrics`, for Prometheus."""

    async def health(_request: Request) -> Response:
        return JSONResponse({"healthy": engine.is_well()}, 200 if engine.is_well() else 503)

    async def metrics(_request: Request) -> Response:
        return Response(engine.records.as_text(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/health", health), Route("/metrics", metrics)]
