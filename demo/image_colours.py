"""Pixel values as a browser shows them: colour profiles, gammas and deep greys become sRGB of 8 bits."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # by the profile's colour space
_ORDINARY_GAMMA = 1 / 2.2
_SENSOR_WHITES = (2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)
_BITS, _PHOTOMETRIC, _MAX_SAMPLE = 258, 262, 281  # tags of TIFF
_WHITE_IS_ZERO = 0


def is_deep(mode: str) -> bool:
    """Whether images of this mode are greys of more than 8 bits."""
    return mode == "F" or mode.startswith("I")


def deep_range(image: Image.Image, data: bytes) -> tuple[float, float] | None:
    """Find the values of black and white in an image of deep greys, as its file or its camera means them.

    Those of 16 bits: white is what the file says, else the largest value of the fewest bits, of 8, 10, 12, 14 or 16,
    that hold its brightest pixel: cameras store 10 to 14 bits in 16.

    Returns:
        The lowest and the highest; where `white_is_zero` black is the highest. None for greys of 32 bits, which have
        no agreed white: it is their own brightest value.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if not image.mode.startswith("I;16"):
        return None
    known = image if image.mode == "I;16" else image.convert("I")  # Pillow finds no extremes in other byte orders
    brightest = max(known.getextrema())
    bits = tags.get(_BITS, (16,))[0]
    stated = tags.get(_MAX_SAMPLE, (2**bits - 1,) if bits < 16 else ())
    if image.format == "PNG" and b"sBIT" in data[: data.find(b"IDAT")]:  # values then fill all 16 bits
        stated = (_SENSOR_WHITES[-1],)
    stated = stated if isinstance(stated, tuple) else (stated,)
    white = next((white for white in (*stated, *_SENSOR_WHITES) if white >= brightest), _SENSOR_WHITES[-1])
    return 0, white


def eight_bits(image: Image.Image, values: tuple[float, float] | None, white_is_zero: bool) -> Image.Image:
    """Map greys in mode "F" to mode "L", with black and white at these `values`, or at their own extremes."""
    grey = np.nan_to_num(np.asarray(image))
    levels = (255, 0) if white_is_zero else (0, 255)
    return Image.fromarray(np.interp(grey, values or (grey.min(), grey.max()), levels).round().astype(np.uint8))


def white_is_zero(image: Image.Image) -> bool:
    """Whether an image is from a TIFF file that says so."""
    tags: Any = getattr(image, "tag_v2", {})
    return tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def to_srgb(image: Image.Image, info: dict[Any, Any], is_grey: bool) -> Image.Image:
    """Convert an image to RGB, or RGBA where it has transparency, by the colour profile or gamma of its file.

    A profile that is broken, or of another kind of image, is ignored, as browsers do.
    """
    shown = _by_profile(image, info.get("icc_profile"), is_grey)
    if shown is None:
        shown = image if image.mode == "RGBA" else image.convert("RGB")
        gamma = info.get("gamma", _ORDINARY_GAMMA)
        if "srgb" not in info and 0.05 < gamma < 5 and abs(gamma - _ORDINARY_GAMMA) > 0.01:
            linear = np.linspace(0, 1, 256) ** (1 / gamma)
            table = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
            values = (255 * table).round().astype(int).tolist()
            shown = shown.point(values * 3 + (list(range(256)) if shown.mode == "RGBA" else []))
    return shown


def _by_profile(image: Image.Image, profile: bytes | None, is_grey: bool) -> Image.Image | None:
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _PROFILE_MODES[source.profile.xcolor_space]
        if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not is_grey):
            return None
        target = ImageCms.createProfile("sRGB")
        shown = ImageCms.profileToProfile(image.convert(mode), source, target, outputMode="RGB")
    except Exception:  # a broken profile; littleCMS raises almost anything
        return None
    if shown is not None and image.mode == "RGBA":
        shown.putalpha(image.getchannel("A"))
    return shown
