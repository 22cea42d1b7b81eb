"""How the image processor of a model turns an image into numbers, measured on images that show it.

Image processors have many settings, and classes that add their own. Whatever they do in between, most resize, crop,
and map the colours of each pixel to numbers by a scale and an offset. This is measured, and what does more is refused.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demo.errors import first_line
from demo.models.network import GREY, ChannelOrder, Geometry, squash

SIZES = (512, 320)  # of the images that show whether the size of the output depends on theirs
LEVELS = 8.0  # of 255: how far the texture may be from what it should be, in the mean; see `_resample`
NOISE = 8  # levels of noise in the texture, by which filters differ
PROBES = ((128, 128, 128), (37, 150, 210), (200, 90, 10))  # colours by which a scale and an offset are verified
FILTERS = (
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.LANCZOS,
    Image.Resampling.BOX,
    Image.Resampling.HAMMING,
    Image.Resampling.NEAREST,
)


class UnfitError(ValueError):
    """A model cannot be opened. The message says of "it" what is wrong, and what to do."""


Process = Callable[[Image.Image], Tensor]  # an image to (1, C, h, w), float32


def processing(processor: Any) -> Process:
    """What an image processor of transformers makes of one image.

    Raises:
        UnfitError: when it is called: the processor fails, or gives anything but an image.
    """

    def process(image: Image.Image) -> Tensor:
        try:
            values = processor(images=image, return_tensors="pt")["pixel_values"]
        except Exception as error:  # a processor of somebody's can be wrong in any way
            size = dict(getattr(processor, "size", None) or {})
            if size and not ({"height", "shortest_edge"} & size.keys()):
                raise UnfitError(
                    f"its image processor cannot resize to {size}: give “size” in preprocessor_config.json a “height” "
                    "and a “width”"
                ) from error
            raise UnfitError(
                f"its image processor cannot process an image ({first_line(error)}): check that it does by "
                "AutoImageProcessor.from_pretrained, and save it anew"
            ) from error
        if values.ndim != 4:
            raise UnfitError(
                f"its {type(processor).__name__} cuts an image into patches, and models that take these instead of "
                "images cannot be explained here: use one of a fixed image size"
            )
        return values.float()

    return process


def measured_geometry(
    process: Process, channels: int, side: int | None = None, resample: int | None = None
) -> Geometry:
    """The geometry by which a prepared image is what `process` makes of it, apart from a crop or a border.

    Args:
        channels: how many the network takes.
        side: of the square that the network takes, where it says so: for a processor that leaves images as large as
            they are.
        resample: the filter that the processor names, which counts if it fits what it does.

    Raises:
        UnfitError: no geometry does that; the message says what differs.
    """
    fixed = _side(process)
    if (side := fixed or side) is None:
        raise UnfitError(
            "its image processor does not resize images: set “do_resize” and “size” in preprocessor_config.json"
        )
    mode = "L" if channels == 1 and _takes_grey(process, side) else "RGB"
    order, mean, std = _levels(process, side, mode)
    if channels == 1 and len(mean) == 3 and np.ptp(mean) < 1e-6 and np.ptp(std) < 1e-6:
        order, mean, std = GREY, mean[:1], std[:1]
    if len(mean) != channels:
        raise UnfitError(
            f"the network takes images of {channels} channel{'s' * (channels > 1)}, and its image processor gives "
            f"{len(mean)}: set “image_mean” and “image_std” in preprocessor_config.json to {channels} values each"
        )
    geometry = Geometry(side, mean, std, order=order)
    return geometry._replace(resample=_resample(process, geometry, mode, resample)) if fixed else geometry


def _side(process: Process) -> int | None:
    """The side of the squares that square images become; None if it depends on theirs."""
    shapes = {tuple(process(Image.new("RGB", (size, size))).shape[2:]) for size in SIZES}
    height, width = min(shapes)
    if len(shapes) > 1:
        return None
    if height != width:
        raise UnfitError(
            f"it takes pictures of {width} x {height} pixels, not square ones, which are all that is possible here"
        )
    return height


def _takes_grey(process: Process, side: int) -> bool:
    """Whether grey images are processed to one channel."""
    try:
        return process(Image.new("L", (side, side))).shape[1] == 1
    except UnfitError:
        return False


def _levels(process: Process, side: int, mode: str) -> tuple[ChannelOrder, list[float], list[float]]:
    """Of the numbers of each channel the colours that they stand for, and their mean and deviation in 0..1."""

    def of(colour: tuple[int, int, int]) -> np.ndarray:
        image = Image.new("RGB", (side, side), colour).convert(mode)
        middle = slice(side // 4, side - side // 4)
        values = process(image)[0, :, middle, middle].double().flatten(1).numpy()
        if np.ptp(values, axis=1).max() > 1e-3 * max(np.abs(values).max(), 1e-6):
            raise UnfitError("its image processor changes an image from place to place")
        return values.mean(axis=1)

    black, white = of((0, 0, 0)), of((255, 255, 255))
    scale = white - black
    if np.abs(scale).min() < 1e-9 or not np.isfinite(scale).all():
        raise UnfitError("its image processor makes black and white the same")
    primaries = np.stack([of((255, 0, 0)), of((0, 255, 0)), of((0, 0, 255))], axis=1)  # (C, 3)
    mix = (primaries - black[:, None]) / scale[:, None]
    order = _order(mix)
    for probe in PROBES:
        expected = black + scale * (mix @ np.array(probe)) / 255
        if np.abs((of(probe) - expected) / scale).max() > 0.01:
            raise UnfitError("its image processor changes colours by more than a scale and an offset")
    return order, (0 - black / scale).tolist(), (1 / scale).tolist()


def _order(mix: np.ndarray) -> ChannelOrder:
    """The order of the colours by the shares (C, 3) of red, green and blue in each channel."""
    if mix.shape == (3, 3) and np.allclose(mix, np.eye(3), atol=0.01):
        return "RGB"
    if mix.shape == (3, 3) and np.allclose(mix, np.eye(3)[::-1], atol=0.01):
        return "BGR"
    if np.allclose(mix, [[0.299, 0.587, 0.114]], atol=0.01):
        return GREY
    raise UnfitError("its image processor mixes red, green and blue in a way of its own")


def _resample(process: Process, geometry: Geometry, mode: str, named: int | None) -> Image.Resampling:
    """The filter by which images are made smaller: that with which a texture becomes most like what is processed.

    Where the processor crops the texture or gives it a border, the same is done before it is squashed.
    """
    side = geometry.side
    middle = slice(side // 4, side - side // 4)
    window = _window(process, geometry, mode)
    border = max(0, math.ceil(-window[0]), math.ceil(window[1] - 2 * side))
    texture = _texture(2 * side).convert(mode)
    bordered = np.pad(_array(texture), [(border, border), (border, border), (0, 0)], "edge").astype(np.uint8)
    enlarged = Image.fromarray(bordered[..., 0] if mode == "L" else bordered)
    start, end = (edge + border for edge in window)
    processed = _levels_of(process, geometry, texture)

    def difference(kind: Image.Resampling) -> float:
        squashed = _array(enlarged.resize((side, side), kind, (start, start, end, end)))
        return np.abs(squashed - processed)[middle, middle].mean()

    if named in FILTERS and difference(Image.Resampling(named)) <= LEVELS:
        return Image.Resampling(named)
    nearest = min(FILTERS, key=difference)
    if (levels := difference(nearest)) > LEVELS:
        raise UnfitError(
            "its image processor does more to an image than to resize, crop, scale and normalise it: what it makes "
            f"of a texture differs by {levels:.0f} of 255 levels"
        )
    return nearest


def _levels_of(process: Process, geometry: Geometry, image: Image.Image) -> np.ndarray:
    """What is made of an image, as levels from 0 to 255 in the order of its channels, (H, W, C)."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (geometry.mean, geometry.std))
    values = process(image)[0] * std + mean
    return 255 * values.permute(1, 2, 0).numpy()[..., :: -1 if geometry.order == "BGR" else 1]


def _window(process: Process, geometry: Geometry, mode: str) -> tuple[float, float]:
    """The left and the right edge of what is seen of a square of twice the side, in its pixels; outside is a border.

    They are where a line through what is made of a ramp from 0 to 256 ends.
    """
    side, size = geometry.side, 2 * geometry.side
    middle = slice(side // 4, side - side // 4)
    ramp = np.broadcast_to((np.arange(size) + 0.5) * 256 / size, (size, size)).astype(np.uint8)
    levels = _levels_of(process, geometry, Image.fromarray(ramp).convert(mode))
    along = levels[middle].mean(axis=(0, 2))[middle] + 0.5  # the mean of what bytes cut off
    slope, start = np.polyfit(np.arange(side)[middle] + 0.5, along, 1)
    left, right = (size * (start + slope * end) / 256 for end in (0, side))
    if abs(left) < 2 and abs(right - size) < 2:
        return 0, size
    if not -size / 4 < left < right < size * 5 / 4:
        raise UnfitError("its image processor mirrors or moves an image, or gives it a border")
    return left, right


def _array(image: Image.Image) -> np.ndarray:
    """(H, W, C), float32."""
    return np.asarray(image, np.float32).reshape(*image.size[::-1], -1)


def _texture(size: int) -> Image.Image:
    """A square with clouds of colour and some noise."""
    random = np.random.default_rng(0)
    clouds = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
    noise = random.integers(-NOISE, NOISE + 1, (size, size, 3))
    return Image.fromarray((_array(squash(clouds, size)) + noise).clip(0, 255).astype(np.uint8))
