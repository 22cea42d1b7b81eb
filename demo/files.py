"""Pictures and numbers as files: for the page, the API and the download."""

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from demo.images import png
from demo.query import Row
from demo.rendering import COLOURS, OPACITY, Colours, draw

_PAINTERS = ThreadPoolExecutor(2, "painter")  # packing a picture takes most of the time, and leaves Python free


def row_files(
    photo: Image.Image,
    row: Row,
    limits: Mapping[str, float],
    colours: Colours = COLOURS[0],
    opacity: float = OPACITY,
    uniform: bool = True,
) -> dict[str, bytes]:
    """The pictures of a row as PNG files by method, for each method that has a limit, as of `scales`."""

    def drawn(method: str) -> bytes:
        return png(draw(photo, row, method, limits[method], colours, opacity, uniform))

    return dict(zip(limits, _PAINTERS.map(drawn, limits), strict=True))


def archive(rows: Sequence[Row], files: dict[str, bytes]) -> bytes:
    """A zip of the files and of the details of all rows. The same content gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        numbers = json.dumps([row.details.to_dict() for row in rows], indent=2).encode()
        for name, data in (files | {"details.json": numbers}).items():
            zipped.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def file_name(text: str) -> str:
    """The text with all that is unusual in the name of a file replaced."""
    return re.sub(r"[^\w.-]+", "_", text)[-80:]
