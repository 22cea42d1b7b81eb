"""Images get the colours that a browser shows: compared with littleCMS, and with values worked out by hand."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from samples import encoded

from demo.images import open_photo

GRADIENT = Image.merge(
    "RGB", [Image.linear_gradient("L"), Image.linear_gradient("L").rotate(90), Image.new("L", (256, 256), 60)]
)


def matrix_profile(primaries: list[tuple[float, float]], gamma: float, space: bytes = b"RGB ") -> bytes:
    """An ICC profile of version 2 with these chromaticities, for a white of D50, or a grey one."""
    x, y = np.array(primaries).T if primaries else (np.array([]), np.array([]))
    tags = {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    if primaries:
        columns = np.array([x / y, np.ones(3), (1 - x - y) / y])
        columns = columns * np.linalg.solve(columns, [0.9642, 1, 0.8249])
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True):
            tags[name] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * part) for part in column))
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    else:
        tags[b"kTRC"] = curve
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags |= {b"desc": text + b"\0" * (-len(text) % 4), b"cprt": b"text\0\0\0\0x\0\0\0"}
    place, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", place + len(data), len(content))
        data += content
    head = bytes(8) + b"\2\x10\0\0mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    whole = head + struct.pack(">I", len(tags)) + table + data
    return struct.pack(">I", len(whole)) + whole[4:]


WIDE = matrix_profile([(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], 1.8)  # as ProPhoto
LINEAR_GREY = matrix_profile([], 1.0, b"GRAY")


def converted(image: Image.Image, profile: bytes) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("profile", [WIDE, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()])
def test_a_colour_profile_is_converted(kind, profile):
    file = encoded(GRADIENT, kind, icc_profile=profile, **({"lossless": True} if kind == "WEBP" else {}))
    found = np.asarray(open_photo(file)).astype(int)
    assert np.abs(found - converted(GRADIENT, profile)).max() <= 1
    assert (np.abs(found - np.asarray(GRADIENT)).mean() > 5) == (profile is WIDE)


def test_a_profile_and_transparency():
    alpha = Image.linear_gradient("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    image = GRADIENT.copy()
    image.putalpha(alpha)
    share = np.asarray(alpha)[..., None] / 255
    expected = converted(GRADIENT, WIDE) * share + 255 * (1 - share)
    assert np.abs(np.asarray(open_photo(encoded(image, "PNG", icc_profile=WIDE))) - expected).max() <= 1.5


def test_a_profile_of_a_palette_is_of_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([200, 30, 30, 10, 200, 10])
    image.putpixel((1, 0), 1)
    found = np.asarray(open_photo(encoded(image, "PNG", icc_profile=WIDE))).astype(int)
    assert np.abs(found - converted(image.convert("RGB"), WIDE)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile(mode):
    """Half of the light is 188 in sRGB."""
    image = Image.new("L", (8, 8), 128).convert(mode)
    assert open_photo(encoded(image, "PNG", icc_profile=LINEAR_GREY)).getpixel((0, 0)) == pytest.approx(
        (188,) * 3, abs=1
    )


@pytest.mark.parametrize("profile", [b"", b"no profile", WIDE[:200], LINEAR_GREY, bytes(100_000)])
def test_a_profile_that_is_broken_or_of_greys_is_ignored(profile):
    assert np.array_equal(np.asarray(open_photo(encoded(GRADIENT, "PNG", icc_profile=profile))), np.asarray(GRADIENT))


def test_cmyk_without_a_profile_and_with_one_of_another_kind():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for profile in (None, WIDE):
        found = open_photo(encoded(image, "JPEG", quality=100, **({"icc_profile": profile} if profile else {})))
        assert found.getpixel((8, 8)) == pytest.approx((255, 0, 0), abs=3)


def with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    return (
        png[:33] + struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) + png[33:]
    )


@pytest.mark.parametrize(("gamma", "expected"), [(100_000, 188), (45_455, 128), (0, 128)])
def test_the_gamma_of_a_png(gamma, expected):
    file = with_chunk(encoded(Image.new("RGB", (4, 4), (128, 128, 128)), "PNG"), b"gAMA", struct.pack(">I", gamma))
    assert open_photo(file).getpixel((0, 0)) == pytest.approx((expected,) * 3, abs=1)
    file = with_chunk(file, b"sRGB", b"\0")  # which goes before it
    assert open_photo(file).getpixel((0, 0)) == (128, 128, 128)


def ramp(brightest: int) -> Image.Image:
    return Image.fromarray(np.linspace(0, brightest, 256).round().astype("<u2")[None].repeat(4, 0))


@pytest.mark.parametrize(
    ("brightest", "white"), [(200, 255), (1000, 1023), (4095, 4095), (4000, 4095), (10_000, 16_383), (16_384, 65_535)]
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_white_of_16_bit_greys_is_that_of_the_fewest_bits_that_hold_them(kind, brightest, white):
    assert open_photo(encoded(ramp(brightest), kind)).getpixel((255, 0))[0] == round(255 * brightest / white)


def test_white_of_16_bit_greys_is_what_the_file_says():
    stated = with_chunk(encoded(ramp(4095), "PNG"), b"sBIT", b"\x10")
    assert open_photo(stated).getpixel((255, 0)) == (16, 16, 16)
    tagged = encoded(ramp(1000), "TIFF", tiffinfo={281: 2000})
    assert open_photo(tagged).getpixel((255, 0))[0] == pytest.approx(127.5, abs=0.5)


def white_is_zero(bits: int, data: bytes, width: int, compression: int = 1) -> bytes:
    entries = [
        (256, 4, width),
        (257, 4, 1),
        (258, 3, bits),
        (259, 3, compression),
        (262, 3, 0),
        (273, 4, 134),
        (277, 3, 1),
        (278, 4, 1),
        (279, 4, len(data)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    return (b"II*\0\x08\0\0\0" + directory + bytes(4)).ljust(134, b"\0") + data


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    ("bits", "data"),
    [(1, b"\x40"), (8, bytes([255, 0])), (16, struct.pack("<HH", 65535, 0)), (16, struct.pack("<HH", 4095, 0))],
)
def test_white_is_zero_where_a_tiff_says_so(bits, data, is_packed):
    pixels = bytes([data[0] ^ 0xC0]) if bits == 1 else data  # black, then white
    file = white_is_zero(bits, zlib.compress(pixels) if is_packed else pixels, 2, 8 if is_packed else 1)
    photo = open_photo(file)
    assert (photo.getpixel((0, 0)), photo.getpixel((1, 0))) == ((0, 0, 0), (255, 255, 255))
