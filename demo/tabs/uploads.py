"""The files that visitors upload, and those that the page hands out."""

import asyncio
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

from demo.errors import InputError
from demo.images import open_photo, png, read_upload
from demo.query import Photo, photo_of

Upload = dict[str, Any] | None

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
        raise InputError("There is no photograph: choose one first.")
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
    """As long as the server runs, uploads and results are bounded; at its end they are deleted."""
    page, folder = app.get_blocks(), utils.get_upload_folder()
    Path(folder).mkdir(parents=True, exist_ok=True)

    async def again_and_again() -> None:
        while True:
            with suppress(OSError):  # somebody else is at the folder, too
                await asyncio.to_thread(tidy, page)
            await asyncio.sleep(TIDY_SECONDS)

    task = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        task.cancel()
        _delete(page, _known(page))


def tidy(page: gr.Blocks) -> None:
    """Delete uploads and results that were not used for FORGET seconds, and the oldest of those above MOST_BYTES.

    No query that waits needs them, as it holds its photograph. What Gradio leaves in their folder goes too: uploads
    that were broken off, and empty folders.
    """
    folder, now = Path(utils.get_upload_folder()), time.time()
    gone, found = set(), {}
    for file in {*_known(page), *map(str, folder.glob("tmp*"))}:
        try:
            found[file] = Path(file).stat()
        except OSError:
            gone.add(file)
    free = MOST_BYTES
    for file in sorted(found, key=lambda file: found[file].st_mtime, reverse=True):
        free -= 512 * found[file].st_blocks
        if free < 0 or now - found[file].st_mtime >= FORGET:
            gone.add(file)
    _delete(page, gone)
    for path in folder.iterdir():
        with suppress(OSError):  # there is something in it
            if now - path.stat().st_mtime >= FORGET:
                path.rmdir()


def _known(page: gr.Blocks) -> set[str]:
    """The files of visitors that Gradio knows, without those of the page itself."""
    of_the_page = set().union(*(block.keep_in_cache for block in page.blocks.values()))
    # Copies, because others add to these sets meanwhile: Gradio's own deletion ends for ever when that happens.
    return set().union(*map(list, page.temp_file_sets)) - of_the_page


def _delete(page: gr.Blocks, files: set[str]) -> None:
    for known in page.temp_file_sets:
        known -= files
    for file in files:
        with suppress(OSError):  # gone already, or a folder
            Path(file).unlink()


def displayable(upload: Upload) -> Any:
    """A photograph that a browser cannot show (TIFF, HEIC) as one that it can."""
    with suppress(InputError):  # said where the photograph is used
        return save(png(open_photo(Path(path_of(upload)))), "photograph.png")
    return gr.skip()
