"""Arrays to pictures: heat maps over the photograph, and gradients around mid-grey."""

from typing import Literal, get_args

import matplotlib
import numpy as np
from PIL import Image

MAX_SIDE = 640

Colours = Literal["viridis", "jet"]
COLOURS: tuple[Colours, ...] = get_args(Colours)

OPACITY = 0.5  # where nobody has chosen one


def panel(photo: Image.Image) -> Image.Image:
    """The photograph at the size of all panels of its row: its own shape, longest side at most MAX_SIDE pixels."""
    copy = photo.copy()
    copy.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BICUBIC)
    return copy


def overlay(photo: Image.Image, heat: np.ndarray, peak: float, colours: Colours, opacity: float) -> Image.Image:
    """A Grad-CAM map in colours, blended over the photograph.

    Args:
        photo: RGB, sets the size of the result.
        heat: (H, W), at least 0, of any size; it is stretched over the photograph bilinearly.
        peak: the value that gets the strongest colour: the map's own maximum, or that of several maps which
            share a scale. At 0 the whole map gets the weakest colour.
        colours: "viridis", even in brightness and readable without red-green vision, or "jet", the paper's.
        opacity: from 0, the bare photograph, to 1, the bare map.
    """
    stretched = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(photo.size, Image.Resampling.BILINEAR))
    share = stretched / peak if peak > 0 else np.zeros_like(stretched)
    coloured = matplotlib.colormaps[colours](share.clip(0, 1), bytes=True)[..., :3]
    return Image.blend(photo, Image.fromarray(np.ascontiguousarray(coloured)), opacity)


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
