"""Occlusion maps: how the score falls when a patch of the image is covered (Zeiler and Fergus, ECCV 2014)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.progress import Slow


def occlusion_maps(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    patch: int,
    stride: float,
    fill: float | Tensor = 0.0,
    batch: int = 1,
) -> Slow[Tensor]:
    """Compute how much each of T scores falls when a patch of the image is covered, for patches on a grid.

    Args:
        score: maps images (B, C, H, W) to their scores (B, T), or one image to (T,). It is called with up to `batch`
            covered images at a time, and once more.
        image: (1, C, H, W), as the model takes it.
        patch: side of the patches in pixels, at most H and W.
        stride: the most pixels from one patch to the next. The patches are spread evenly from one edge of the image
            to the other, and cover every pixel if `stride` is at most `patch`.
        fill: the value of covered pixels, one or (C, 1, 1) for the channels; 0 is the mean colour of images
            normalised by mean and deviation.

    Yields:
        How many patches are done, and of how many; `finish` runs all.

    Returns:
        float32 (T, h, w) with h = ceil((H - patch) / stride) + 1, w likewise. Negative where covering raises a score.

    Raises:
        ValueError: the patch is larger than the image, or patch or stride is not positive.
    """
    height, width = image.shape[-2:]
    if not (0 < patch <= min(height, width) and stride > 0):
        raise ValueError(f"patch {patch} and stride {stride} do not fit an image of {height} x {width}")
    rows, columns = (_starts(side, patch, stride) for side in (height, width))
    corners = [(top, left) for top in rows for left in columns]
    with torch.no_grad():
        uncovered = score(image).reshape(1, -1)
    falls = []
    for first in range(0, len(corners), batch):
        some = corners[first : first + batch]
        covered = image.repeat(len(some), 1, 1, 1)
        for one, (top, left) in zip(covered, some, strict=True):
            one[:, top : top + patch, left : left + patch] = fill
        with torch.no_grad():
            falls.append(uncovered - score(covered).reshape(len(some), -1))
        yield first + len(some), len(corners)
    return torch.cat(falls).float().T.reshape(-1, len(rows), len(columns))


def _starts(side: int, patch: int, stride: float) -> list[int]:
    gaps = math.ceil((side - patch) / stride - 1e-6)  # a stride that is a fraction is rounded
    return [round((side - patch) * i / max(gaps, 1)) for i in range(gaps + 1)]


def mean_over_cells(falls: Tensor, reach: int) -> Tensor:
    """Average the falls of the patches that cover each cell, where patches overlap.

    Args:
        falls: (T, h, w), as of `occlusion_maps`.
        reach: how many strides a patch is wide.

    Returns:
        (T, h + reach - 1, w + reach - 1), cells as wide as a stride that lie side by side over the image.
    """
    patch = falls.new_ones(1, 1, reach, reach)
    sums, counts = (F.conv_transpose2d(each[:, None], patch)[:, 0] for each in (falls, torch.ones_like(falls)))
    return sums / counts
