"""The files that visitors upload, and those that the page hands out."""

import asyncio
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr
from cachetools import LRUCache
from gradio import processing_utils, utils
from gradio.routes import App

from demo.errors import BusyError, InputError, UnknownImageError
from demo.images import check_size, is_large, open_photo, png, read_upload
from demo.process import give_back_memory
from demo.query import ImageFile, image_file
from demo.server.sessions import Sessions

Upload = dict[str, Any] | None

GONE = "The image is not on the server any more. Choose it again."
NO_PHOTO = "There is no image. Choose one first."
LARGE = 2**20  # bytes of an upload
SHA256 = re.compile("[0-9a-f]{64}")
SHOWN_BY_BROWSERS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")  # the first bytes of such files
GREY_OF_16_BITS = b"\x10\0"  # where a PNG says what it is: see demo.image_colours
FORGET = 3000  # seconds after the last use of an upload or a result
MOST_BYTES = 2**30  # on disk, of all uploads and results together
TIDY_SECONDS = 10.0

# By path, which has the hash of the content in it: all tabs of a user share one. One that is requested while it is
# opened is waited for, in some of the threads that open images: see demo.server.waiting.
MAX_WAITING = 16
_photos: LRUCache[str, Future[ImageFile]] = LRUCache(32)
_photos_lock = threading.Lock()
_waiting = threading.Semaphore(MAX_WAITING)


def uploaded(upload: Upload) -> ImageFile:
    """The photograph that an image input gives under `NETWORK`: the file, or if that is large what it is opened as.

    Raises:
        InputError: nothing was uploaded, what is named is not an uploaded file, it is empty or too large, it is large
            and no picture, or too many requests wait for it.
    """
    return _photo(path_of(upload))


def known_image(name: str) -> ImageFile:
    """The image that a question names: by the SHA-256 of its file, or by the path that an upload returned.

    Raises:
        InputError: as `uploaded`; UnknownImageError if it is not here, or not any more.
    """
    return uploaded({"path": str(_place(name)) if SHA256.fullmatch(name) else name})


def keep(image: ImageFile) -> None:
    """Keep an image as long as an upload, for `known_image` by its SHA-256."""
    place = _place(image.sha256)
    if place.exists():
        place.touch()  # as if it had been used
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        file.write(image.data)
    Path(file.name).replace(place)  # whole, or not at all


def _place(sha256: str) -> Path:
    return Path(utils.get_upload_folder(), "images", sha256)


def opened_file(data: bytes) -> ImageFile:
    """An image file: as it is, or if it is large what it is opened as.

    Raises:
        InputError: it is empty or too large, or it is large and no image.
    """
    check_size(data)
    return image_file(png(open_photo(data)) if len(data) > LARGE or is_large(data) else data)


def _photo(path: str) -> ImageFile:
    with _photos_lock:
        if is_first := path not in _photos:
            _photos[path] = Future()
        photo = _photos[path]
    if is_first:
        try:
            photo.set_result(opened_file(read_upload(path)))
        except BaseException as error:  # for those who wait, too; the next request tries again
            with _photos_lock:
                if _photos.get(path) is photo:
                    del _photos[path]
            photo.set_exception(error)
    elif not photo.done():
        if not _waiting.acquire(blocking=False):
            raise BusyError
        try:
            return photo.result()
        finally:
            _waiting.release()
    return photo.result()


def path_of(upload: Upload) -> str:
    """Where an uploaded file lies.

    Raises:
        InputError: nothing was uploaded, or what is named is not an uploaded file.
    """
    if not upload:
        raise InputError(NO_PHOTO)
    if not isinstance(upload, dict) or not isinstance(upload.get("path"), str | None):
        raise InputError('The image is not an uploaded file: send {"path": ...} as the upload returned it.')
    path = upload.get("path") or ""
    if not is_kept(path):
        raise UnknownImageError(GONE)
    with suppress(OSError):  # deleted just now
        Path(path).touch()  # the age at which it is deleted counts from its last use
    return str(Path(path).resolve())


def is_kept(path: str) -> bool:
    """Whether a file was uploaded and is still there. A request can name any file; only these may be opened."""
    with suppress(ValueError, OSError):  # a null character in the path
        found = Path(path).resolve()
        return found.is_relative_to(Path(utils.get_upload_folder()).resolve()) and found.is_file()
    return False


def identity(upload: Upload) -> str:
    """What tells one upload from another, whatever stands for it."""
    return str(upload.get("path")) if isinstance(upload, dict) else ""


def about(upload: Upload, text: str = "") -> str:
    """What choices are about: a photograph, and a caption or question; the photograph alone is the beginning."""
    return f"{identity(upload)}\n{text}"


def save(data: bytes, name: str) -> str:
    """Put a file where the server may hand it out, and return its path there, which is made of its hash."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        # This copies it, and then renames the copy into place: another visitor may just be fetching the same file.
        return processing_utils.save_file_to_cache(file, utils.get_upload_folder())


@asynccontextmanager
async def tidied(app: App) -> AsyncIterator[None]:
    """As long as the server runs, uploads, results and free memory are bounded."""
    page = app.get_blocks()
    app.state_holder = Sessions(page)
    Path(utils.get_upload_folder()).mkdir(parents=True, exist_ok=True)

    async def again_and_again() -> None:
        while True:
            try:
                await asyncio.to_thread(tidy, page)
                await asyncio.to_thread(give_back_memory)
            except Exception:  # the next time it may go
                logging.getLogger(__name__).exception("Uploads and results could not be tidied.")
            await asyncio.sleep(TIDY_SECONDS)

    task = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        task.cancel()


def tidy(page: gr.Blocks, forget: float = FORGET) -> None:
    """Delete uploads and results that were not used for `forget` seconds, and the oldest of those above MOST_BYTES.

    No query that waits needs them, as it holds its photograph. All that lies in the folder of uploads is one, but for
    the files of the page itself.
    """
    folder, now = Path(utils.get_upload_folder()), time.time()
    of_the_page = set().union(*(block.keep_in_cache for block in page.blocks.values()))
    found: dict[Path, os.stat_result] = {}
    for path in folder.rglob("*"):
        with suppress(OSError):  # it is gone already
            if str(path) not in of_the_page and path.is_file():
                found[path] = path.stat()
    free = MOST_BYTES
    for path in sorted(found, key=lambda path: found[path].st_mtime, reverse=True):
        free -= 512 * found[path].st_blocks
        if free < 0 or now - found[path].st_mtime >= forget:
            path.unlink(missing_ok=True)
    for path in folder.iterdir():
        with suppress(OSError):  # there is something in it
            if now - path.stat().st_mtime >= forget:
                path.rmdir()
    for known in page.temp_file_sets:
        # A copy, because others add to it meanwhile: Gradio's own deletion ends for ever when that happens.
        known -= {file for file in list(known) if not Path(file).exists()}


def displayable(upload: Upload) -> Any:
    """An image that a browser cannot show (TIFF, HEIC), or shows darker than it is opened, as one that it can."""
    with suppress(InputError, OSError):  # said where the image is used
        path = path_of(upload)
        with Path(path).open("rb") as file:
            head = file.read(26)
            is_shown = head.startswith(SHOWN_BY_BROWSERS) and not (
                head.startswith(b"\x89PNG") and head.endswith(GREY_OF_16_BITS)
            )
        if not is_shown:
            return save(png(open_photo(_photo(path).data)), "photograph.png")
    return gr.skip()
