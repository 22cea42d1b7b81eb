"""The page's files, which a browser fetches once."""

from pathlib import Path

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.viewer.page_files import FILES, VERSION

# Some computers take a script for plain text.
TYPES = {".js": "text/javascript", ".webp": "image/webp"}
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}  # a new version has other addresses


async def page_file(request: Request) -> Response:
    """One of the files, of this version alone."""
    version, name = request.path_params["version"], request.path_params["name"]
    if version != VERSION or name not in FILES:
        return JSONResponse({"detail": "Not Found"}, 404, {"Cache-Control": "no-store"})
    return Response(FILES[name], media_type=TYPES[Path(name).suffix], headers=KEPT)


PAGE_FILES = Route("/why/{version}/{name}", page_file, middleware=[Middleware(GZipMiddleware)])
