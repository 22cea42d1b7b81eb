"""The page's script as files, which a browser fetches once."""

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.viewer.scripts import FILES

# A new version of the script has other addresses.
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


async def script(request: Request) -> Response:
    """One of the files, whatever version is asked for."""
    if (content := FILES.get(request.path_params["name"])) is None:
        return JSONResponse({"detail": "Not Found"}, 404)
    return Response(content, media_type="text/javascript", headers=KEPT)


SCRIPTS = Route("/why/{version}/{name}", script, middleware=[Middleware(GZipMiddleware)])
