"""What would take long to decode, or much memory, is refused by its structure; what lacks only its end is opened."""

import io
import random
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_pillow
from samples import BOMB, OTHER, RED, assert_corner, corner, encoded

from demo.errors import TOO_MUCH, InputError
from demo.image_files import MAX_PIECES, MAX_SCANS, jpeg_scans
from demo.images import open_photo

PASSES, DAMAGED = "too many passes", "damaged or incomplete"
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8))


def progressive(scans: int, side: int = 16) -> bytes:
    """A JPEG whose last scan stands there so often."""
    file = encoded(corner(side, side), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    return file[:last] + file[last:-2] * scans + file[-2:]


def test_scans_are_counted_and_no_bytes_that_look_like_them():
    assert jpeg_scans(encoded(corner(), "JPEG")) == (1, True)
    sound = encoded(corner(), "JPEG", progressive=True)
    scans, complete = jpeg_scans(sound)
    assert (scans, complete) == (10, True)
    described = encoded(corner(), "JPEG", progressive=True, comment=b"\xff\xda" * 1000)
    assert jpeg_scans(described + b"\xff\xda" * 1000) == (10, True)
    assert jpeg_scans(sound[:-2]) == (10, False)


def test_a_jpeg_of_many_scans_is_refused():
    assert_corner(open_photo(progressive(100)), (16, 16), tolerance=20)
    with pytest.raises(InputError, match=PASSES):
        open_photo(progressive(MAX_SCANS))
    with pytest.raises(InputError, match=PASSES):  # fewer scans of many pixels
        open_photo(progressive(250, 2048))


def test_scans_behind_a_reserved_marker_are_counted():
    """It has no length; the decoder goes on behind it within the scan."""
    file = progressive(MAX_SCANS)
    with pytest.raises(InputError, match=PASSES):
        open_photo(file[:-2].replace(b"\xff\xda", b"\xff\x02\xff\xff\xff\xda") + file[-2:])


def test_a_run_of_fill_bytes_is_read_once():
    """The time for one that is read again from each of its bytes would be years."""
    assert jpeg_scans(b"\xff\xd8" + b"\xff" * 10_000_000 + b"\x01") == (0, False)


def test_a_jpeg_of_many_scans_in_another_one_is_not_looked_at():
    """As cameras append previews, and phones films."""
    assert_corner(open_photo(encoded(corner(), "JPEG") + progressive(MAX_SCANS)))


def test_an_mpo_opens_as_its_first_image_and_its_scans_are_counted():
    first, last = corner(), Image.new("RGB", (64, 48))
    assert_corner(open_photo(encoded(first, "MPO", save_all=True, append_images=[last])))
    file = encoded(first, "MPO", save_all=True, append_images=[last], progressive=True)
    scan = file.rindex(b"\xff\xda", 0, file.index(b"\xff\xd9"))
    with pytest.raises(InputError, match=PASSES):
        open_photo(file[:scan] + file[scan : file.index(b"\xff\xd9")] * MAX_SCANS + file[file.index(b"\xff\xd9") :])


def tiff(file: bytes, width: int, height: int, compression: int, pieces: int = 1, **tags: int) -> bytes:
    """A TIFF of RGB whose strips are all the same bytes, at the same place."""
    rows, colours = height // pieces, 6 if compression == 7 else 2
    found: dict[int, tuple[int, ...]] = {256: (width,), 257: (height,), 258: (8, 8, 8), 259: (compression,)}
    found |= {262: (colours,), 277: (3,), 278: (rows,), 279: (len(file),) * pieces, 273: (8,) * pieces, 530: (2, 2)}
    found |= {int(tag[1:]): (value,) for tag, value in tags.items()}
    table, longer = b"", b""
    end = 8 + len(file) + 2 + 12 * len(found) + 4
    for tag, values in sorted(found.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        value = packed if len(values) == 1 else struct.pack("<I", end + len(longer))
        longer += packed if len(values) > 1 else b""
        table += struct.pack("<HHI", tag, 4, len(values)) + value
    return (
        b"II*\0" + struct.pack("<I", 8 + len(file)) + file + struct.pack("<H", len(found)) + table + bytes(4) + longer
    )


def test_a_jpeg_of_many_scans_in_a_tiff_is_refused():
    assert open_photo(tiff(progressive(1), 16, 16, 7)).size == (16, 16)
    with pytest.raises(InputError, match=PASSES):
        open_photo(tiff(progressive(4000, 512), 512, 512, 7))


def test_a_tiff_whose_strips_share_their_bytes_is_refused():
    with pytest.raises(InputError, match=DAMAGED):
        open_photo(tiff(zlib.compress(bytes(3 * 16)) + bytes(1000), 16, 1000, 8, pieces=1000))


def test_a_tiff_whose_tile_is_much_larger_than_it_is_refused():
    packed = zlib.compress(bytes(3 * 2**20))
    with pytest.raises(InputError, match=DAMAGED):
        open_photo(tiff(packed, 16, 16, 8, _322=30_000, _323=30_000, _324=8, _325=len(packed)))


SMALL = {kind: encoded(corner(), kind) for kind in ("JPEG", "PNG", "GIF")}
GIF_HEAD = 13 + 3 * 2 ** ((SMALL["GIF"][10] & 7) + 1)
EMPTY_CHUNK = bytes(4) + b"zzZz" + struct.pack(">I", zlib.crc32(b"zzZz"))
MANY = {
    "jpeg segments": SMALL["JPEG"][:2] + b"\xff\xfe\0\2" * MAX_PIECES + SMALL["JPEG"][2:],
    "png chunks": SMALL["PNG"][:33] + EMPTY_CHUNK * MAX_PIECES + SMALL["PNG"][33:],
    "gif extensions": SMALL["GIF"][:GIF_HEAD] + b"!\1\0" * MAX_PIECES + SMALL["GIF"][GIF_HEAD:],
}


@pytest.mark.parametrize("name", MANY)
def test_a_file_of_many_pieces_is_refused(name):
    with pytest.raises(InputError, match=DAMAGED):
        open_photo(MANY[name])


def bmp(compression: int, bits: int, body: bytes, side: int = 16) -> bytes:
    masks = struct.pack("<III", 0x7C00, 0x03E0, 0x001F) if compression == 3 else bytes(4 * 2**bits)
    start = 54 + len(masks)
    head = struct.pack(
        "<IIIIiiHHIIiiII", start + len(body), 0, start, 40, side, side, 1, bits, compression, len(body), 0, 0, 0, 0
    )
    return b"BM" + head + masks + body


@pytest.mark.parametrize(("compression", "bits"), [(1, 8), (2, 4)])
def test_a_bmp_of_run_lengths_is_refused(compression, bits):
    """One of a kilobyte can take all memory."""
    with pytest.raises(InputError, match="as PNG or JPEG"):
        open_photo(bmp(compression, bits, b"\0\2\xff\xff" * 100 + b"\0\1"))


def test_a_bmp_of_bit_fields_opens():
    assert open_photo(bmp(3, 16, struct.pack("<H", 0x7C00) * 256)).getpixel((3, 3)) == RED


def test_a_tiff_whose_tags_have_a_wrong_type_is_refused():
    file = tiff(zlib.compress(bytes(3 * 256)), 16, 16, 8, _322=65, _323=65)
    for tag in (322, 323):
        file = file.replace(struct.pack("<HH", tag, 4), struct.pack("<HH", tag, 2))  # texts
    with pytest.raises(InputError, match=DAMAGED):
        open_photo(file)


def test_a_gif_with_a_long_comment_opens():
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 30_000 + b"\0"
    assert_corner(open_photo(SMALL["GIF"][:GIF_HEAD] + comment + SMALL["GIF"][GIF_HEAD:]))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"tEXt"])
def test_large_texts_of_a_png_do_not_cost_the_image(name):
    packed = zlib.compress(bytes(2**22))
    text = {b"zTXt": b"k\0\0" + packed, b"iTXt": b"k\0\1\0\0\0" + packed, b"tEXt": b"k\0" + b"a" * 2**22}[name]
    assert_corner(open_photo(SMALL["PNG"][:33] + chunk(name, text) * 2 + SMALL["PNG"][33:]))


def heic(image: Image.Image, **options: int) -> bytes:
    buffer = io.BytesIO()
    from_pillow(image).save(buffer, quality=95, **options)
    return buffer.getvalue()


def test_heic_opens_in_its_colours_whole_and_in_tiles():
    assert_corner(open_photo(heic(corner())), tolerance=12)
    assert_corner(open_photo(heic(corner(600, 448), tile_size=256)), (600, 448), tolerance=12)


def test_the_exif_of_a_heic_does_not_turn_it():
    """Its own property does, which says the same in files of iPhones."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    corner().save(buffer, "HEIF", quality=95, exif=exif)
    assert_corner(open_photo(buffer.getvalue()), tolerance=12)


@pytest.mark.parametrize("side", [60_000, 8])
def test_a_heic_that_lies_about_its_size_is_refused(side):
    file = bytearray(heic(Image.new("RGB", (512, 512), RED)))
    place = file.index(b"ispe") + 8
    file[place : place + 8] = struct.pack(">II", side, side)
    with pytest.raises(InputError, match=f"{BOMB}|{OTHER}|{DAMAGED}"):
        open_photo(bytes(file))


def test_a_heic_with_tiles_much_larger_than_it_is_refused():
    file = bytearray(heic(corner(600, 448), tile_size=256))
    grid = file.index(struct.pack(">HH", 600, 448), file.index(b"idat")) if b"idat" in file else None
    assert grid is not None
    tiles = file.index(b"ispe", file.index(b"ipco")) + 8
    while struct.unpack_from(">II", file, tiles) != (256, 256):
        tiles = file.index(b"ispe", tiles) + 8
    file[tiles : tiles + 8] = struct.pack(">II", 7000, 7000)
    with pytest.raises(InputError):
        open_photo(bytes(file))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["", "progressive"])
def test_an_image_without_its_end_marker_opens_as_it_is(kind, options):
    file = encoded(NOISE, kind, **(options if kind == "JPEG" else {}))
    lost = {"JPEG": 2, "PNG": 12, "GIF": 1, "WEBP": 0}[kind]
    whole = np.asarray(open_photo(file))
    assert np.array_equal(whole, np.asarray(open_photo(file[: len(file) - lost])))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_without_its_last_bytes_opens_also_where_it_is_black_and_not_where_it_lacks_rows(mode):
    image = Image.new("L", (128, 96))
    image.paste(255, (0, 0, 128, 48))
    image = image.convert(mode)
    file = encoded(image, "PNG", compress_level=0)
    whole = np.asarray(open_photo(file))
    end = file.rindex(b"IEND") - 4
    assert np.array_equal(
        np.asarray(open_photo(file[: end - 9]))[:-2], whole[:-2]
    )  # of the last row one byte is missing
    with pytest.raises(InputError, match=DAMAGED):
        open_photo(file[: end - (end - 41) // 10])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_that_lacks_rows_is_refused(kind):
    file = encoded(NOISE, kind)
    for share in (0.5, 0.9):
        with pytest.raises(InputError, match=DAMAGED):
            open_photo(file[: int(len(file) * share)])


def test_of_many_large_images_one_is_opened_at_a_time_and_few_wait():
    """And of many large ones most are refused at once, while equal ones wait."""
    large = encoded(Image.new("L", (4100, 4100)), "PNG", compress_level=1)
    ends: list[object] = []

    def ask() -> None:
        try:
            ends.append(open_photo(large).size)
        except InputError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    assert open_photo(SMALL["PNG"]).size == (64, 48)
    for thread in threads:
        thread.join()
    assert set(ends) <= {(640, 640), TOO_MUCH}
    assert ends.count((640, 640)) >= 32


def test_files_with_bytes_changed_open_or_are_refused():
    chance = random.Random(3)
    sound = [heic(corner()), tiff(progressive(1), 16, 16, 7), progressive(20), MANY["gif extensions"][:2000]]
    for number in range(200):
        file = bytearray(sound[number % len(sound)])
        for _ in range(1 + chance.randrange(6)):
            file[chance.randrange(len(file))] = chance.randrange(256)
        try:
            assert open_photo(bytes(file)).mode == "RGB"
        except InputError as error:
            assert str(error)
