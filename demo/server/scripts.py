"""The page's script as files, which a browser fetches once."""

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.viewer.scripts import FILES, VERSION

KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}  # a new version has other addresses


async def script(request: Request) -> Response:
    """One of the files, of this version alone."""
    version, name = request.path_params["version"], request.path_params["name"]
    if version != VERSION or name not in FILES:
        return JSONResponse({"detail": "Not Found"}, 404, {"Cache-Control": "no-store"})
    return Response(FILES[name], media_type="text/javascript", headers=KEPT)


SCRIPTS = Route("/why/{version}/{name}", script, middleware=[Middleware(GZipMiddleware)])
