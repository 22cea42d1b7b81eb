"""Image files. What a user uploads becomes a small, upright RGB image as a browser shows it, or one error message."""

import threading
from contextlib import suppress
from io import BytesIO
from math import ceil
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from demo.errors import BusyError, InputError
from demo.image_colours import deep_range, eight_bits, is_deep, to_srgb, white_is_zero
from demo.image_files import DAMAGED, Opened, identify

MAX_BYTES = 10 * 2**20
MAX_SIDE = 640  # of what is shown; the networks take less
MAX_MISSING = 0.02  # of the rows of an image whose end is missing

# Bounds the processor and the memory for all users together, whoever opens an image: two at a time, and one of those
# that take much. An ordinary image waits for no large one.
_SMALL = threading.Semaphore(2)
_LARGE = threading.Semaphore(1)
_LARGE_WAITING = threading.Semaphore(32)

TOO_LARGE = f"The file is larger than {MAX_BYTES // 2**20} MB. Make it smaller, or save it as JPEG."


def open_photo(source: str | Path | bytes) -> Image.Image:
    """Open an uploaded image, the file or what is in it; of an animation the first frame.

    Returns:
        An RGB image in sRGB, turned as its EXIF orientation says, transparency laid over white, the longest side
        scaled down to at most MAX_SIDE pixels. It carries no metadata. Greys of 16 bits: see `deep_range`; those of 32
        bits, which have no agreed white, are mapped from their own darkest and brightest.

    Raises:
        InputError: the file is missing, empty, over MAX_BYTES, or as of `identify`; it is damaged, or has lost more
            than MAX_MISSING of its rows; or too many large images are waiting to be opened.
    """
    with _SMALL:
        opened = _identify(source)
        if not opened.large:
            return _decoded(opened)
    del opened  # nothing is held by those who wait
    if not _LARGE_WAITING.acquire(blocking=False):
        raise BusyError
    try:
        with _LARGE:
            return _decoded(_identify(source))
    finally:
        _LARGE_WAITING.release()


def is_large(data: bytes) -> bool:
    """Whether an image file takes much memory or time to open.

    Raises:
        InputError: as of `identify`.
    """
    with _SMALL:
        return identify(data).large


def _identify(source: str | Path | bytes) -> Opened:
    return identify(source if isinstance(source, bytes) else read_upload(source))


def _decoded(opened: Opened) -> Image.Image:
    message = DAMAGED
    try:
        return _photograph(opened)
    except InputError as error:
        message = str(error)
    except Exception:  # on damaged data Pillow raises almost anything
        pass
    del opened  # an error that was raised above would hold the image as long as it is told
    raise InputError(message)


def read_upload(path: str | Path) -> bytes:
    """What is in an uploaded file.

    Raises:
        InputError: it is missing, empty or over MAX_BYTES.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError):  # ValueError: a null character in the path
        raise InputError("The file cannot be read. Choose the image and upload it again.") from None
    check_size(data)
    return data


def check_size(data: bytes) -> None:
    """Raise InputError if an image file is empty or over MAX_BYTES."""
    if not data:
        raise InputError("The file is empty. Choose the image and upload it again.")
    if len(data) > MAX_BYTES:
        raise InputError(TOO_LARGE)


def _photograph(opened: Opened) -> Image.Image:
    image = opened.image if opened.complete else _completed(opened.data)
    info, is_grey, is_inverted = image.info, image.mode[0] in "1LIF", white_is_zero(image)
    values = None
    if is_deep(image.mode):
        _load(image)
        values = deep_range(image, opened.data)
    image = _thumbnail(image)
    image.load()  # a TIFF turns itself here and then says so in its EXIF
    orientation = 1
    with suppress(Exception):  # an image whose EXIF is broken is still an image
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if image.mode == "F":
        image = eight_bits(image, values, is_inverted)
    image = to_srgb(image, info, is_grey)

    photograph = Image.new("RGB", image.size, "white")
    photograph.paste(image, mask=image if image.mode == "RGBA" else None)
    photograph.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(photograph)


def _thumbnail(image: Image.Image) -> Image.Image:
    """Decode an image, and scale it down to at most MAX_SIDE pixels."""
    # A large JPEG is decoded at the smallest size, of those in powers of two, that is not below what is needed.
    scale = MAX_SIDE / max(image.size)
    image.draft(None, (ceil(image.width * scale), ceil(image.height * scale)))
    _load(image)
    if is_deep(image.mode):
        image = image.convert("F")
    elif image.has_transparency_data and image.mode not in ("RGBA", "LA"):
        image = image.convert("RGBA")
    elif image.mode in ("1", "P"):  # these cannot be scaled smoothly
        image = image.convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), reducing_gap=None)
    return image.convert("RGBA") if image.mode == "LA" else image


def _load(image: Image.Image) -> None:
    """Decode an image, a PNG also where its last bytes are missing."""
    try:
        image.load()
    except OSError:
        if not isinstance(image, PngImageFile) or image.info.get("interlace"):
            raise
        # Rows that were not decoded are zero, or another value that stood there before.
        assert image.fp is not None
        other = Image.open(image.fp, formats=["PNG"])
        other.im = Image.new(image.mode, image.size, 1).im
        with suppress(OSError):
            other.load()
        image.tile = other.tile = []
        last = ceil((1 - MAX_MISSING) * image.height) - 1
        row = (0, last, image.width, last + 1)
        if image.crop(row).tobytes() != other.crop(row).tobytes():
            raise


def _completed(data: bytes) -> Image.Image:
    """Decode a JPEG without an end marker.

    It is decoded twice, with different bytes at its end. Pixels that differ are missing from the file.
    """
    end = b"\xff\xd9"
    image, other = (
        _thumbnail(Image.open(BytesIO(data + filler + end), formats=["JPEG"])) for filler in (b"", bytes(len(data)))
    )
    rows = np.asarray(image) != np.asarray(other)
    if rows.reshape(image.height, -1).any(1).mean() > MAX_MISSING:
        raise InputError(DAMAGED)
    return image


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = BytesIO()
    # Runs of bytes alone: a quarter of the default's time, for files up to 4% larger.
    picture.save(buffer, "PNG", compress_level=1, compress_type=3)
    return buffer.getvalue()
