"""Arrays to pictures: heat maps over the photograph, and gradients around mid-grey."""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import matplotlib
import numpy as np
from PIL import Image

from demo.query import Row
from explainers import METHODS

Colours = Literal["viridis", "inferno", "jet"]
COLOURS: tuple[Colours, ...] = get_args(Colours)  # the first in files; the page has its own first

OPACITY = 0.5  # where nobody has chosen one

SIGNED = "RdBu_r"  # blue, white, red: readable without red-green vision

LEGENDS = {
    "map": ": the closer a colour is to yellow, the more evidence (in the paper's colours: to red).",
    "signed": ": red for it, blue against it, the paler the weaker.",
    "gradient": "",
}


def scales(rows: Sequence[Row], methods: Iterable[str]) -> dict[str, float]:
    """For each method the value that is drawn strongest, the same in all rows: their peak, or `gradient_limit`."""
    limits: dict[str, float] = {}
    for key in methods:
        # As one line of values: rows at different layers have maps of different shapes.
        values = np.concatenate([row.pictures[key].ravel() for row in rows])
        limits[key] = gradient_limit(values) if METHODS[key].kind == "gradient" else map_limit(values)
    return limits


def draw(
    photo: Image.Image,
    row: Row,
    method: str,
    scale: float,
    colours: Colours = COLOURS[0],
    opacity: float = OPACITY,
    uniform: bool = True,
) -> Image.Image:
    """The picture of a method for a row, of the size of the photograph; `scale` is that of `scales`."""
    array = row.pictures[method]
    if METHODS[method].kind == "gradient":
        return gradient_picture(array, scale, photo.size)
    signed = METHODS[method].kind == "signed"
    return overlay(photo, array, scale, SIGNED if signed else colours, opacity, uniform, signed)


def map_limit(maps: np.ndarray) -> float:
    """The value of maps that gets the strongest colour: the highest, or the lowest if that is further from zero."""
    return float(np.abs(maps).max())


def overlay(
    photo: Image.Image,
    heat: np.ndarray,
    peak: float,
    colours: str,
    opacity: float,
    uniform: bool = True,
    signed: bool = False,
) -> Image.Image:
    """A heatmap in colours, blended over the image.

    Args:
        photo: RGB, sets the size of the result.
        heat: (h, w), of any size; it is stretched over the image bilinearly. At least 0, unless `signed`.
        peak: the absolute value that gets the strongest colour: the map's own maximum, or that of several maps
            which share a scale. At 0 the whole map is drawn as zeros.
        colours: "viridis" and "inferno", even in brightness and readable without red-green vision, "jet", the
            paper's, or any other of matplotlib's.
        opacity: from 0, the bare image, to 1, the bare map where it is opaque.
        uniform: the same opacity everywhere, as in the paper. Otherwise it grows in proportion to the absolute
            value, from 0 at zero to `opacity` at the peak, so that the image stays itself where there is no evidence.
        signed: zero gets the colour in the middle, instead of the first.
    """
    stretched = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(photo.size, Image.Resampling.BILINEAR))
    share = stretched / peak if peak > 0 else np.zeros_like(stretched)
    steps = 128 + 128 * share if signed else 256 * share
    coloured = Image.fromarray(colour_table(colours)[steps.clip(0, 255).astype(np.uint8)])
    if uniform:
        return Image.blend(photo, coloured, opacity)
    opacities = (255 * opacity * np.abs(share).clip(0, 1)).round().astype(np.uint8)
    return Image.composite(coloured, photo, Image.fromarray(opacities))


def colour_table(colours: str) -> np.ndarray:
    """The 256 colours of a colour map, the weakest first: uint8 (256, 3)."""
    return matplotlib.colormaps[colours](np.arange(256), bytes=True)[:, :3]


def gradient_limit(gradients: np.ndarray) -> float:
    """The absolute value that `gradient_picture` shows at full contrast: the 99.5th percentile of all given.

    A percentile, because the few largest values of a gradient are many times the rest and would leave it grey.
    """
    return float(np.percentile(np.abs(gradients), 99.5))


def gradient_picture(gradient: np.ndarray, limit: float, size: tuple[int, int]) -> Image.Image:
    """A gradient at the pixels as a picture: zero is mid-grey, positive brighter, negative darker, for each channel.

    Args:
        gradient: (3, H, W).
        limit: the absolute value that becomes black or white; larger ones are cut. At 0 all is grey.
        size: width and height of the result.
    """
    share = (gradient / limit).clip(-1, 1) if limit > 0 else np.zeros_like(gradient)
    grey = (127.5 + 127.5 * share).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(grey.transpose(1, 2, 0))).resize(size, Image.Resampling.BILINEAR)
