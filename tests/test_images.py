"""What a stranger uploads either opens as the picture it is, or is refused in one sentence that says what to do."""

import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hostile_files import FILES, png
from PIL import ExifTags, Image
from samples import BLACK, RED, WHITE, assert_corner, corner, encoded

from demo.errors import InputError
from demo.images import MAX_BYTES, MAX_SIDE, open_photo

KINDS = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "AVIF": {"quality": 95}, "BMP": {}}
KINDS["TIFF"] = {"compression": "tiff_lzw"}


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


@pytest.fixture
def opened(tmp_path):
    """A function that writes bytes to a file, whose name tells nothing, and opens it as a photograph."""

    def open_bytes(data: bytes) -> Image.Image:
        (tmp_path / "upload").write_bytes(data)
        return open_photo(tmp_path / "upload")

    return open_bytes


STORED = [("RGB", kind) for kind in KINDS] + [("P", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF")]


@pytest.mark.parametrize(("mode", "kind"), STORED)
def test_every_kind_opens_in_its_own_colours(opened, mode, kind):
    assert_corner(opened(encoded(corner().convert(mode), kind, **KINDS[kind])))


def test_colours_of_16_bits(opened):
    pixel = zlib.compress(b"\0" + bytes.fromhex("8001 40ff ffff"))
    assert opened(png(1, pixels=pixel, depth=16)).getpixel((0, 0)) == pytest.approx((128, 64, 255), abs=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_greys(opened, mode):
    grey = Image.new("L", (8, 4), 0)
    grey.paste(255, (4, 0, 8, 4))
    photo = opened(encoded(grey.convert(mode), "PNG"))
    assert (photo.getpixel((1, 1)), photo.getpixel((6, 1))) == (BLACK, WHITE)


@pytest.mark.parametrize(
    ("kind", "dtype", "values", "expected"),
    [
        ("PNG", "<u2", [0, 257, 32896, 65535], [0, 1, 128, 255]),
        ("PNG", "<u2", [30000, 30000, 31000, 31000], [117, 117, 121, 121]),  # a dull picture stays dull
        ("TIFF", ">u2", [0, 257, 32896, 65535], [0, 1, 128, 255]),
        ("TIFF", "<i4", [-1000, 0, 0, 1000], [0, 128, 128, 255]),
        ("TIFF", "<f4", [0.0, 0.2, 0.6, 1.0], [0, 51, 153, 255]),
        ("TIFF", "<f4", [np.nan, 0.2, 0.6, 1.0], [0, 51, 153, 255]),
    ],
)
def test_deep_greys_are_scaled_and_not_clipped(opened, kind, dtype, values, expected):
    photo = opened(encoded(Image.fromarray(np.array([values], dtype)), kind))
    assert [photo.getpixel((x, 0)) for x in range(4)] == [(grey, grey, grey) for grey in expected]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(opened, kind):
    red = Image.fromarray(np.array([[[255, 0, 0, 0], [255, 0, 0, 128], [255, 0, 0, 255]]], np.uint8))
    photo = opened(encoded(red, kind, **KINDS[kind]))
    assert [photo.getpixel((x, 0)) for x in range(3)] == [WHITE, (255, 127, 127), RED]


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "P"), ("PNG", "L"), ("PNG", "RGB"), ("GIF", "P")])
def test_a_transparent_colour_is_white(opened, kind, mode):
    picture = Image.new(mode, (2, 1), 0)
    if mode == "P":
        picture.putpalette([0, 0, 0, 200, 200, 200])
    picture.putpixel((1, 0), {"P": 1, "L": 200, "RGB": (200, 200, 200)}[mode])
    photo = opened(encoded(picture, kind, transparency=BLACK if mode == "RGB" else 0))
    assert (photo.getpixel((0, 0)), photo.getpixel((1, 0))) == (WHITE, (200, 200, 200))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_shows_its_first_frame(opened, kind):
    more = [Image.new("RGB", (64, 48), colour) for colour in ("lime", "black")]
    assert_corner(opened(encoded(corner(), kind, save_all=True, append_images=more, **KINDS[kind])))


# How a camera stores an upright picture under EXIF orientation 2, 3, ... 8.
TURNS = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_orientation_ends_upright(opened, kind, orientation):
    turned = corner() if orientation == 1 else corner().transpose(Image.Transpose[TURNS[orientation - 2]])
    assert_corner(opened(encoded(turned, kind, exif=exif(orientation), **KINDS[kind])))


def test_a_deep_grey_is_turned_too(opened):
    photo = opened(encoded(Image.fromarray(np.array([[0, 65535]], "<u2")), "PNG", exif=exif(6)))
    assert (photo.size, photo.getpixel((0, 0)), photo.getpixel((0, 1))) == ((1, 2), BLACK, WHITE)


def test_broken_exif_does_not_cost_the_picture(opened):
    assert_corner(opened(encoded(corner(), "PNG", exif=b"Exif\0\0garbage")))


def test_no_metadata_is_kept(opened):
    photo = opened(encoded(corner(48, 64), "JPEG", exif=exif(6), icc_profile=b"a profile", comment=b"a comment"))
    assert (photo.info, dict(photo.getexif())) == ({}, {})


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("size", "expected"), [((640, 8), (640, 8)), ((1281, 961), (640, 480)), ((3000, 2000), (640, 427))]
)
def test_the_longest_side_is_at_most_640(opened, kind, size, expected):
    assert_corner(opened(encoded(corner(*size), kind, **KINDS[kind])), expected)


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (1, 1)), ((10000, 1), (640, 1)), ((1, 10000), (1, 640))])
def test_no_side_vanishes(opened, size, expected):
    assert opened(encoded(Image.new("RGB", size, RED), "PNG")).size == expected


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_fine_detail_is_averaged_and_not_dropped(opened, mode):
    board = Image.fromarray((np.indices((64, 4096)).sum(0) % 2 * 255).astype(np.uint8))
    photo = opened(encoded(board.convert(mode), "PNG"))
    assert photo.getextrema() == ((pytest.approx(127, abs=3),) * 2,) * 3


@pytest.mark.parametrize("name", ("text", "html", "svg", "zip", "pdf", "eps", "one byte", "nothing", "gif", "heic"))
def test_a_refusal_says_what_is_wrong_and_what_to_do(opened, name):
    sentence, made = FILES[name]
    with pytest.raises(InputError, match=sentence):
        opened(made())


def test_bytes_are_counted(opened):
    picture = encoded(corner(), "PNG")
    assert_corner(opened(picture.ljust(MAX_BYTES, b"\0")))
    with pytest.raises(InputError, match=r"larger than 10 MB\. Make it smaller"):
        opened(picture.ljust(MAX_BYTES + 1, b"\0"))


@pytest.mark.parametrize("name", ["", "missing", "a\0b"])
def test_no_file_to_read(tmp_path, name):
    with pytest.raises(InputError, match=r"cannot be read\. Choose the image and upload it again"):
        open_photo(f"{tmp_path}/{name}")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow, about damaged metadata
@pytest.mark.parametrize("kind", KINDS)
def test_half_a_picture_is_refused(opened, kind):
    data = encoded(Image.effect_noise((64, 48), 90).convert("RGB"), kind, **KINDS[kind])
    with pytest.raises(InputError, match="as JPEG or PNG"):
        opened(data[: len(data) // 2])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_open_or_are_refused(opened, kind):
    chance = random.Random(7)
    sound = encoded(corner(24, 16), kind, **KINDS[kind])
    seen = set()
    for _ in range(60):
        data = bytearray(sound if chance.random() < 0.5 else sound[: chance.randrange(1, len(sound))])
        for _ in range(chance.randrange(6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            photo = opened(bytes(data))
            seen.add((photo.mode, 1 <= min(photo.size) <= max(photo.size) <= MAX_SIDE))
        except InputError:
            seen.add("refused")
    assert seen == {("RGB", True), "refused"}


def test_eight_threads_open_what_one_opens(tmp_path):
    paths = [tmp_path / kind for kind in KINDS]
    for path in paths:
        path.write_bytes(encoded(corner(1200, 900), path.name, **KINDS[path.name]))
    alone = [open_photo(path).tobytes() for path in paths]
    with ThreadPoolExecutor(8) as pool:
        assert [photo.tobytes() for photo in pool.map(open_photo, paths * 2)] == alone * 2
