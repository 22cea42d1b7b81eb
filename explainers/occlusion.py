"""Occlusion maps: where covering the image lowers a score (Zeiler and Fergus, 2014; the paper's section 4.2)."""

from collections.abc import Callable

import torch
from torch import Tensor


def occlusion_maps(
    score: Callable[[Tensor], Tensor], image: Tensor, *, patch: int, stride: int, fill: float = 0.0
) -> Tensor:
    """How much each of T scores falls when a square of the image is covered, for squares on a grid.

    Args:
        score: maps an image (1, 3, H, W) to (T,), as for `explain`. It is called once for each square and once more.
        image: (1, 3, H, W), as the model takes it.
        patch: side of the squares in pixels, at most H and W.
        stride: pixels from one square to the next.
        fill: what the squares are filled with; 0 is the mean colour of images normalised by mean and deviation.

    Returns:
        float32 (T, h, w) with h = (H - patch) // stride + 1, w likewise; negative where covering raises the score.

    Raises:
        ValueError: the patch is larger than the image, or patch or stride is not positive.
    """
    height, width = image.shape[-2:]
    if not 0 < patch <= min(height, width) or stride < 1:
        raise ValueError(f"patch {patch} and stride {stride} do not fit an image of {height} x {width}")
    with torch.no_grad():
        whole = score(image)
        rows = []
        for top in range(0, height - patch + 1, stride):
            row = []
            for left in range(0, width - patch + 1, stride):
                covered = image.clone()
                covered[..., top : top + patch, left : left + patch] = fill
                row.append(whole - score(covered))
            rows.append(torch.stack(row, dim=1))
        return torch.stack(rows, dim=1).float()
