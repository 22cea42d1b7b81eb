"""The files that visitors upload, and those that the page hands out."""

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils, utils
from gradio.routes import App

from demo import give_back_memory
from demo.errors import InputError
from demo.images import open_photo, png, read_upload
from demo.query import Photo, photo_of

Upload = dict[str, Any] | None

NO_PHOTO = "There is no photograph: choose one first."
LARGE = 2**20  # bytes of an upload
FORGET = 3000  # seconds after the last use of an upload or a result
MOST_BYTES = 2**30  # on disk, of all uploads and results together
TIDY_SECONDS = 10.0


def uploaded(upload: Upload) -> Photo:
    """The photograph that an image input gives under `NETWORK`: the file, or if that is large what it is opened as.

    Raises:
        InputError: nothing was uploaded, what is named is not an uploaded file, it is empty or too large, or it is
            large and no picture.
    """
    return _photo(path_of(upload))


@lru_cache(32)  # by path, which has the hash of the content in it: all tabs of a visitor share one
def _photo(path: str) -> Photo:
    data = read_upload(path)
    return photo_of(data if len(data) <= LARGE else png(open_photo(data)))


def path_of(upload: Upload) -> str:
    """Where an uploaded file lies.

    Raises:
        InputError: nothing was uploaded, or what is named is not an uploaded file.
    """
    if not upload:
        raise InputError(NO_PHOTO)
    if not isinstance(upload, dict) or not isinstance(upload.get("path"), str | None):
        raise InputError('The image is not an uploaded file: send {"path": ...} as the upload returned it.')
    # A request can name any file of this computer; only those that were uploaded may be opened.
    with suppress(ValueError, OSError):  # a null character in the path; deleted just now
        path = Path(upload.get("path") or "").resolve()
        if path.is_relative_to(Path(utils.get_upload_folder()).resolve()) and path.is_file():
            path.touch()  # the age at which it is deleted counts from its last use
            return str(path)
    raise InputError("The photograph is not on the server any more: choose it again.")


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
    """As long as the server runs, uploads, results and free memory are bounded; at its end the files are deleted."""
    page = app.get_blocks()
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
        tidy(page, forget=0)


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
    """A photograph that a browser cannot show (TIFF, HEIC) as one that it can."""
    with suppress(InputError):  # said where the photograph is used
        return save(png(open_photo(Path(path_of(upload)))), "photograph.png")
    return gr.skip()
