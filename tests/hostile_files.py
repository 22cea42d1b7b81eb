"""Files that would become large or are no image, and what each gets."""

import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image
from samples import BOMB, OTHER, corner, encoded

DAMAGED = "damaged or incomplete"
EMPTY = "empty. Choose the image and upload it again"


def zeros(count: int) -> bytes:
    """`count` zeros, deflated."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(count // 2**20)), packer.flush()])


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    side: int, *, depth: int = 8, colour: int = 2, between: bytes = b"", pixels: bytes | int = 2**20, height: int = 0
) -> bytes:
    """A PNG file, square unless `height` is given; `pixels` are deflated data, or a number of zeros to deflate."""
    header = struct.pack(">IIBBBBB", side, height or side, depth, colour, 0, 0, 0)
    data = zeros(pixels) if isinstance(pixels, int) else pixels
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(width: int, height: int, compression: int, data: bytes, strips: int = 1, samples: int = 1) -> bytes:
    """Grey, all strips of one row where there are several."""
    start = 8 + 2 + 9 * 12 + 4
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, strips, start), (277, 3, 1, samples), (278, 4, 1, height if strips == 1 else 1),
        (279, 4, strips, len(data)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + directory + bytes(4) + data


def tiff_of_many_pages(pages: int) -> bytes:
    one = encoded(Image.new("L", (8, 8)), "TIFF")
    start = struct.unpack_from("<I", one, 4)[0]
    directory = one[start : start + 2 + 12 * struct.unpack_from("<H", one, start)[0]]
    places = [len(one) + page * (len(directory) + 4) for page in range(pages)]
    rest = b"".join(directory + struct.pack("<I", following) for following in [*places[1:], 0])
    return one[:4] + struct.pack("<I", places[0]) + one[8:] + rest


def gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    return b"GIF89a" + struct.pack("<HHxxx", *screen) + b"," + struct.pack("<xxxxHHx", *frame) + b"\2\0;"


def gif_of_many_frames(frames: int) -> bytes:
    shades = [Image.new("RGB", (8, 8), (shade % 256, shade // 256, 0)) for shade in range(frames)]
    return encoded(shades[0], "GIF", save_all=True, append_images=shades[1:])


def avif(side: int) -> bytes:
    """A small picture whose header gives another size."""
    small = encoded(Image.new("RGB", (64, 48)), "AVIF")
    place = small.index(b"ispe") + 8
    return small[:place] + struct.pack(">II", side, side) + small[place + 8 :]


def animated_webp(side: int) -> bytes:
    """An animation whose frames are small, and whose canvas is not."""
    small = encoded(corner(), "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    return small[:24] + struct.pack("<I", side - 1)[:3] * 2 + small[30:]


def webp(side: int) -> bytes:
    return b"RIFF\x1e\0\0\0WEBPVP8L\x12\0\0\0\x2f" + struct.pack("<I", side - 1 | side - 1 << 14) + bytes(13)


@cache
def sound_heic() -> bytes:
    return encoded(Image.new("RGB", (2048, 2048)), "HEIF", quality=10)


def heic(side: int) -> bytes:
    """An image of 4 million pixels whose header gives another size."""
    sound = sound_heic()
    place = sound.index(b"ispe") + 8
    return sound[:place] + struct.pack(">II", side, side) + sound[place + 8 :]


LARGE = [640, 640]
# Of each what the refusal says, or the sides of what it opens as; and what makes it.
FILES: dict[str, tuple[str | list[int], Callable[[], bytes]]] = {
    "png of one bit": (BOMB, lambda: png(60_000, depth=1, colour=0, pixels=60_000 * 7_501)),
    "png as large as may be": (LARGE, lambda: png(7000, colour=6, pixels=200 * 2**20)),
    "png with one large text": ([8, 8], lambda: png(8, between=chunk(b"zTXt", b"k\0\0" + zeros(100 * 2**20)))),
    "png with many texts": ([8, 8], lambda: png(8, between=chunk(b"zTXt", b"k\0\0" + zeros(2**20)) * 200)),
    "png with international text": (
        [8, 8],
        lambda: png(8, between=chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(100 * 2**20))),
    ),
    "png with a profile": (OTHER, lambda: png(8, between=chunk(b"iCCP", b"k\0\0" + zeros(100 * 2**20)))),
    "png with more pixels than it says": ([8, 8], lambda: png(8, pixels=100 * 2**20)),
    "webp": (BOMB, lambda: webp(16_383)),
    "webp as large as may be": (
        LARGE,
        lambda: encoded(Image.new("RGBA", (5000, 5000)), "WEBP", lossless=True, quality=0, method=0),
    ),
    "webp of 34 bytes": ("at most 25 million pixels", lambda: webp(7000)),
    "heic": (BOMB, lambda: heic(60_000)),
    "heic with more pixels than it says": (DAMAGED, lambda: heic(64)),
    "png of greys with transparency": (LARGE, lambda: encoded(Image.new("LA", (7000, 7000)), "PNG", compress_level=1)),
    "png with a transparent colour": (
        "at most 33 million pixels",
        lambda: encoded(Image.new("RGB", (7000, 7000)), "PNG", compress_level=1, transparency=(0, 0, 0)),
    ),
    "avif as large as may be": (LARGE, lambda: encoded(Image.new("RGBA", (5500, 5500)), "AVIF", speed=10)),
    "gif of many frames": ([8, 8], lambda: gif_of_many_frames(3000)),
    "avif": (OTHER, lambda: avif(60_000)),
    "tiff as large as may be": (LARGE, lambda: tiff(7000, 7000, 8, zeros(47 * 2**20))),
    "tiff with more pixels than it says": ([64, 64], lambda: tiff(64, 64, 8, zeros(100 * 2**20))),
    "tiff wider than any": (BOMB, lambda: tiff(2**31, 1, 1, bytes(4096))),
    "tiff of many strips that are not there": (OTHER, lambda: tiff(64, 64, 1, bytes(4096), strips=2**31)),
    "tiff of many strips": (DAMAGED, lambda: tiff(64, 64, 1, bytes(800_000), strips=100_000)),
    "tiff of many samples": (OTHER, lambda: tiff(6000, 6000, 8, zeros(36 * 2**20), samples=65_535)),
    "tiff of many pages": ([8, 8], lambda: tiff_of_many_pages(40_000)),
    "png that says that it is large": (BOMB, lambda: png(60_000, pixels=b"")),
    "png under the limit of Pillow": (BOMB, lambda: png(10_000, pixels=b"")),
    "gif": (BOMB, lambda: gif((60_000, 60_000), (9, 9))),
    "gif with a larger frame": (BOMB, lambda: gif((9, 9), (60_000, 60_000))),
    "webp of small frames": (BOMB, lambda: animated_webp(10_000)),
    "text": (OTHER, lambda: b"hello\n" * 50),
    "html": (OTHER, lambda: b"<!doctype html><title>x</title><img src=x>"),
    "svg": (OTHER, lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>'),
    "zip": (OTHER, lambda: b"PK\3\4" + bytes(40)),
    "pdf": (OTHER, lambda: encoded(corner(), "PDF")),
    "eps": (OTHER, lambda: encoded(corner(), "EPS")),
    "heic that holds nothing": (OTHER, lambda: b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(64)),
    "one byte": (OTHER, lambda: b"\x89"),
    "nothing": (EMPTY, lambda: b""),
}
