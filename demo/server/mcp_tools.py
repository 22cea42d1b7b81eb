"""The endpoints as tools for assistants (Model Context Protocol): images go in as text, and come out as one image."""

import base64
from contextlib import suppress
from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like
from PIL import Image

from demo.errors import ADDRESS, InputError
from demo.images import MAX_BYTES, TOO_LARGE, png
from demo.server.uploads import save

IMAGE = "image_text"  # the component
IMAGE_INPUT = (
    "the image as a data URL, data:image/jpeg;base64,...; or the path that an upload to /gradio_api/upload returned"
)
PREFIX = "tool_"  # of the endpoints that the tools are
GAP = 8  # pixels between two pictures


def keep_tools(page: gr.Blocks) -> None:
    """Offer assistants the tools alone: of the endpoints for programs they would get paths and not pictures."""
    server: Any = page.mcp_server_obj
    tools = [name for name in server.tool_to_endpoint.values() if name.startswith(f"/{PREFIX}")]
    server.tool_to_endpoint = {name.removeprefix(f"/{PREFIX}"): name for name in tools}


def upload_of(image: str) -> dict[str, Any]:
    """The upload that an assistant's text means.

    Raises:
        InputError: it is an address elsewhere, no base64 of data, or the image is too large.
    """
    if not image.startswith("data:"):
        own = image.partition("/gradio_api/file=")[2]  # as results are named
        if is_http_url_like(image) and not own:
            raise InputError(ADDRESS)
        return {"path": own or image}
    kind, _, text = image.partition(",")
    if len(text) > MAX_BYTES * 4 / 3 + 4:
        raise InputError(TOO_LARGE)
    with suppress(ValueError):
        if kind.endswith(";base64"):
            return {"path": save(base64.b64decode(text, validate=True), "image")}
    raise InputError("The data URL cannot be read. Send data:image/jpeg;base64, and then the image in base64.")


def with_one_picture(replied: Any) -> Any:
    """What an endpoint returns, its pictures, of equal size, side by side in one file."""
    if not isinstance(replied, list):
        return replied
    *files, details = replied
    pictures = [Image.open(file) for file in files]
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), "white")
    for number, picture in enumerate(pictures):
        row.paste(picture, (number * (width + GAP), 0))
    return [save(png(row), "panels.png"), details]
