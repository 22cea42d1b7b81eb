"""What a part of the image speaks for: how much of each score's evidence lies in a box."""

import torch
from torch import Tensor

Box = tuple[float, float, float, float]


def region_evidence(maps: Tensor, box: Box) -> Tensor:
    """For each map the share of it that lies in a box, times its sum: the sum of the map inside the box.

    With Grad-CAM's maps of a network whose score is linear in the mean of its last feature maps this is in units of
    the score: all cells, with their signs and with the bias, add up to it.

    Args:
        maps: (T, h, w), at least 0, as `Explanation.maps`.
        box: left, top, right, bottom in shares of the image's width and height, 0 to 1. A cell on its edge counts
            with the share of its area that is inside.

    Returns:
        (T,), at least 0.

    Raises:
        ValueError: the box is empty, or not inside the image.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"the box must be (left, top, right, bottom), increasing and within 0 to 1, got {box}")
    _, height, width = maps.shape
    inside = torch.outer(_covered(height, top, bottom), _covered(width, left, right)).to(maps)
    return (maps * inside).sum(dim=(1, 2))


def _covered(cells: int, start: float, end: float) -> Tensor:
    """How much of each of the cells, of equal length from 0 to 1, lies between start and end."""
    edges = torch.arange(cells + 1) / cells
    return (edges[1:].clamp(max=end) - edges[:-1].clamp(min=start)).clamp(min=0) * cells
