"""Picture files. What a stranger uploads becomes a small, upright RGB photograph, or one clear sentence."""

from contextlib import suppress
from io import BytesIO
from math import ceil
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from demo.errors import InputError

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 50_000_000  # a 50-megapixel telephone still fits; Pillow's own limits start at 89 million
MAX_PIECES = 50_000  # that a picture is stored in: a TIFF may name a million strips, which take 20 seconds
MAX_SIDE = 640  # of what is shown; the networks take less

# Pillow opens much more, some of it (EPS) by running other programs. HEIF is there only where a plugin adds it.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "BMP", "TIFF")
Image.init()

TOO_LARGE = (
    f"The file is larger than {MAX_BYTES // 2**20} MB: make the picture smaller, or save it as JPEG, and upload it "
    "again."
)
_TOO_MANY_PIXELS = (
    f"The picture has more than {MAX_PIXELS // 1_000_000} million pixels: make it smaller and upload it again."
)
_DAMAGED = (
    "The picture is damaged or incomplete: upload it again, or open it in a picture program and save it anew as "
    "JPEG or PNG."
)


def open_photo(source: str | Path | bytes) -> Image.Image:
    """Open an uploaded picture, the file or what is in it; of an animation the first frame.

    Returns an RGB image, turned as its EXIF orientation says, transparency laid over white, the longest side scaled
    down to at most MAX_SIDE pixels. It carries no metadata. Greys of 16 bits are mapped from 0..65535 to 0..255;
    those of 32 bits, which have no agreed white, from their own darkest and brightest.

    Raises InputError for anything else: a file that is missing, empty, over MAX_BYTES or MAX_PIXELS, damaged,
    or of another kind.
    """
    data = source if isinstance(source, bytes) else read_upload(source)
    try:
        return _photograph(_identify(data))  # which is not kept here: what it is converted to is as large
    except InputError:
        raise
    except Exception:  # on damaged data Pillow raises almost anything
        raise InputError(_DAMAGED) from None


def read_upload(path: str | Path) -> bytes:
    """What is in an uploaded file.

    Raises:
        InputError: it is missing, empty or over MAX_BYTES.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError):  # ValueError: a null character in the path
        raise InputError("The file cannot be read: choose the picture and upload it again.") from None
    if not data:
        raise InputError("The file is empty: choose the picture and upload it again.")
    if len(data) > MAX_BYTES:
        raise InputError(TOO_LARGE)
    return data


def _identify(data: bytes) -> Image.Image:
    try:
        picture = Image.open(BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError:
        raise InputError(_TOO_MANY_PIXELS) from None
    except Exception:  # on a damaged header Pillow raises almost anything
        raise InputError(
            "The file is not a picture that can be opened here: save it as JPEG or PNG and upload that."
        ) from None
    if picture.width * picture.height > MAX_PIXELS:
        raise InputError(_TOO_MANY_PIXELS)
    if len(picture.tile) > MAX_PIECES:
        raise InputError(_DAMAGED)
    return picture


def _photograph(picture: Image.Image) -> Image.Image:
    mode = picture.mode
    if mode == "F" or mode.startswith("I"):
        picture = picture.convert("F")
    elif picture.has_transparency_data and mode != "RGBA":
        picture = picture.convert("RGBA")
    elif mode in ("1", "P"):  # these cannot be scaled smoothly
        picture = picture.convert("RGB")
    # A large JPEG is decoded at the smallest size, of those in powers of two, that is not below what is needed.
    scale = MAX_SIDE / max(picture.size)
    picture.draft(None, (ceil(picture.width * scale), ceil(picture.height * scale)))
    picture.thumbnail((MAX_SIDE, MAX_SIDE), reducing_gap=None)
    picture.load()  # a TIFF turns itself here and then says so in its EXIF
    orientation = 1
    with suppress(Exception):  # a picture whose EXIF is broken is still a picture
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    if picture.mode == "F":
        grey = np.nan_to_num(np.asarray(picture))
        black_to_white = (0, 65535) if mode.startswith("I;16") else (grey.min(), grey.max())
        picture = Image.fromarray(np.interp(grey, black_to_white, (0, 255)).round().astype(np.uint8))

    photograph = Image.new("RGB", picture.size, "white")
    photograph.paste(picture, mask=picture if picture.mode == "RGBA" else None)
    photograph.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(photograph)


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = BytesIO()
    # Runs of bytes alone: a quarter of the default's time, for files up to 4% larger.
    picture.save(buffer, "PNG", compress_level=1, compress_type=3)
    return buffer.getvalue()
