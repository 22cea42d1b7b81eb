"""Image files as their formats define them: what one would cost to decode is known before it is decoded."""

import re
import struct
from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageFile
from pillow_heif import HeifImageFile, register_heif_opener

from demo.errors import InputError

MAX_PIXELS = 50_000_000  # a 50-megapixel phone camera still fits; Pillow's own limits start at 89 million
MAX_PIECES = 50_000  # strips, tiles, segments or chunks of one file: a million strips take 20 seconds
MAX_SCANS = 300  # of a progressive JPEG; cameras and encoders write about ten
MAX_SCANNED_PIXELS = 1_000_000_000  # pixels times scans: about three seconds

# Pillow opens much more, some of it (EPS) by running other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "BMP", "TIFF")
register_heif_opener()
Image.init()

# Memory that decoding takes, in bytes per pixel; of WebP and AVIF for several copies of the canvas.
_BYTES_PER_PIXEL = {"JPEG": 1, "MPO": 1, "WEBP": 16, "AVIF": 13}  # MPO: a JPEG with further ones behind it
_MANY_BYTES_PER_PIXEL = 8
_TRANSPARENT_COLOUR_BYTES_PER_PIXEL = 12  # a copy with transparency is made first
MAX_MEMORY = 400_000_000
LARGE_MEMORY, LARGE_SCANNED_PIXELS = 130_000_000, 200_000_000

TOO_MANY_PIXELS = (
    f"The image has more than {MAX_PIXELS // 1_000_000} million pixels. Make it smaller and upload it again."
)
DAMAGED = (
    "The image is damaged or incomplete. Upload it again, or open it in an image editor and save it as JPEG or PNG."
)
UNKNOWN = "The file is not an image that can be opened here. Save it as JPEG or PNG and upload it again."
RUN_LENGTHS = "A BMP image with run-length encoding cannot be opened. Save it as PNG or JPEG and upload it again."
TOO_MANY_SCANS = "The JPEG stores its image in too many passes. Save it again as an ordinary JPEG and upload it again."

_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # not the zeros and restarts within a scan
_SOF0, _SOI, _EOI, _SOS = 0xC0, 0xD8, 0xD9, 0xDA
_JPEG_IN_TIFF = (6, 7)  # values of the tag Compression
_IMAGE_WIDTH, _COMPRESSION, _STRIPS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = (
    256, 259, 273, 279, 322, 323, 324, 325
)  # fmt: skip
# Texts may unpack to gigabytes and do not change the image.
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_HEIF_OVERLAY = re.compile(rb"infe[\2\3].{5,9}iovl", re.DOTALL)  # an image made of any number of others


class Opened(NamedTuple):
    """An image file whose header has been read.

    Attributes:
        image: not decoded yet.
        data: the file, without what is not needed to decode it.
        large: whether decoding it takes much memory or time.
        complete: whether its end marker is there; only of JPEG.
    """

    image: Image.Image
    data: bytes
    large: bool
    complete: bool = True


def identify(data: bytes) -> Opened:
    """Read the header of an image file.

    Raises:
        InputError: it is of another kind, damaged, or would take too much memory or time to decode.
    """
    if data.startswith(b"\x89PNG"):
        data = without_texts(data)
    elif data.startswith(b"GIF8"):
        data = without_comments(data)
    scans, complete = jpeg_scans(data) if data.startswith(b"\xff\xd8") else (1, True)
    if scans > MAX_SCANS:
        raise InputError(TOO_MANY_SCANS)
    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise InputError(TOO_MANY_PIXELS) from None
    except Exception:  # on a damaged header Pillow raises almost anything
        raise InputError(UNKNOWN) from None
    try:
        return _checked(image, data, scans, complete)
    except InputError:
        raise
    except Exception:  # tags of a wrong type
        raise InputError(DAMAGED) from None


def _checked(image: ImageFile.ImageFile, data: bytes, scans: int, complete: bool) -> Opened:
    if image.tile and image.tile[0].codec_name == "bmp_rle":  # Pillow unpacks it in Python, without bound
        raise InputError(RUN_LENGTHS)
    pixels = image.width * image.height
    bytes_per_pixel = _BYTES_PER_PIXEL.get(image.format or "", _MANY_BYTES_PER_PIXEL)
    if image.has_transparency_data and image.mode not in ("RGBA", "LA"):
        bytes_per_pixel = max(bytes_per_pixel, _TRANSPARENT_COLOUR_BYTES_PER_PIXEL)
    memory = pixels * bytes_per_pixel
    if pixels > MAX_PIXELS:
        raise InputError(TOO_MANY_PIXELS)
    if memory > MAX_MEMORY:
        most = MAX_MEMORY // bytes_per_pixel // 1_000_000
        raise InputError(f"An image of this kind may have at most {most} million pixels. Save it as JPEG.")
    if len(image.tile) > MAX_PIECES or _has_hidden_images(image, data):
        raise InputError(DAMAGED)
    scanned = pixels * scans
    if image.format == "TIFF":
        scanned = _scanned_pixels_of_tiff(image, data)
    if scanned > MAX_SCANNED_PIXELS:
        raise InputError(TOO_MANY_SCANS)
    if scans > 1 and image.format in ("JPEG", "MPO"):  # all coefficients are kept until the last scan
        memory = pixels * 6
    return Opened(image, data, memory > LARGE_MEMORY or scanned > LARGE_SCANNED_PIXELS, complete)


def jpeg_scans(data: bytes) -> tuple[int, bool]:
    """Count the scans of a JPEG file: each is a pass over all pixels. Also returns whether its end marker is there.

    Raises:
        InputError: it has more than MAX_PIECES segments.
    """
    scans, position = 0, 0
    for _ in range(MAX_PIECES):
        found = _JPEG_MARKER.search(data, position)
        if found is None or scans > MAX_SCANS:
            return scans, False
        marker, position = found[1][0], found.end()
        if marker == _EOI:
            return scans, True
        scans += marker == _SOS
        if marker >= _SOF0 and marker != _SOI:  # libjpeg skips reserved markers within a scan without a length
            position += int.from_bytes(data[position : position + 2])
    raise InputError(DAMAGED)


def without_texts(data: bytes) -> bytes:
    """Remove texts from a PNG file, and all colour profiles but the first.

    Raises:
        InputError: it has more than MAX_PIECES chunks.
    """
    kept, position, has_profile = [data[:8]], 8, False
    for _ in range(MAX_PIECES):
        if position + 8 > len(data):
            return b"".join(kept)
        length, name = struct.unpack_from(">I4s", data, position)
        if name not in _PNG_TEXTS and not (name == b"iCCP" and has_profile):
            kept.append(data[position : position + 12 + length])
        has_profile = has_profile or name == b"iCCP"
        position += 12 + length
        if name == b"IEND":
            return b"".join(kept)
    raise InputError(DAMAGED)


def without_comments(data: bytes) -> bytes:
    """Remove from a GIF file what stands before its first image and does not change it.

    Pillow's time for one long comment grows with the square of its length.

    Raises:
        InputError: that is stored in more than MAX_PIECES pieces.
    """
    position = 13 + (3 * 2 ** ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 128 else 0)
    head, control, start = data[:position], b"", position
    for _ in range(MAX_PIECES):
        if position == start and data[position : position + 1] != b"!":
            return head + control + data[position:]
        position += 2 if position == start else 0
        size = int.from_bytes(data[position : position + 1])
        position += 1 + size
        if not size:
            if data[start + 1 : start + 2] == b"\xf9":  # graphic control: the transparent colour
                control = data[start:position]
            start = position
    raise InputError(DAMAGED)


def _has_hidden_images(image: Image.Image, data: bytes) -> bool:
    """Whether a HEIF image is put together from images with many more pixels than it has itself."""
    if not isinstance(image, HeifImageFile):
        return False
    tiles = image.info.get("tiling") or {}
    tiled = [tiles.get(name, 1) for name in ("num_columns", "num_rows", "tile_width", "tile_height")]
    hidden = tiled[0] * tiled[1] * tiled[2] * tiled[3] > 2 * image.width * image.height + 2**20
    return hidden or _HEIF_OVERLAY.search(data) is not None


def _scanned_pixels_of_tiff(image: Image.Image, data: bytes) -> int:
    """Count the pixels of a TIFF file times the scans that store them, which are several only in JPEG.

    Raises:
        InputError: its strips or tiles share bytes, so that decoding takes longer than the file is long, or are too
            many or much larger than the image.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    offsets, sizes = ((tags.get(strips) or tags.get(tiles) or ()) for strips, tiles in
                      ((_STRIPS, _TILES), (_STRIP_BYTES, _TILE_BYTES)))  # fmt: skip
    pixels, pieces = image.width * image.height, max(len(offsets), 1)
    shared = pieces > 1 and (len(sizes) != pieces or sum(sizes) > 2 * len(data))
    if shared or pieces > MAX_PIECES or tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_HEIGHT, 0) > 4 * pixels + 2**20:
        raise InputError(DAMAGED)
    if tags.get(_COMPRESSION) not in _JPEG_IN_TIFF:
        return pixels
    return data.count(bytes((0xFF, _SOS))) * pixels // pieces
