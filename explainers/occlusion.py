"""Occlusion maps: where covering the image lowers a score (Zeiler and Fergus, 2014; the paper's section 4.2)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.passes import Passes, finished


def occlusion_maps(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    patch: int,
    stride: int,
    fill: float | Tensor = 0.0,
    batch: int = 1,
) -> Tensor:
    """How much each of T scores falls when a square of the image is covered, for squares on a grid.

    Args:
        score: maps images (B, C, H, W) to their scores (B, T), or one image to (T,). It is called with up to `batch`
            covered images at a time, and once more.
        image: (1, C, H, W), as the model takes it.
        patch: side of the squares in pixels, at most H and W.
        stride: the most pixels from one square to the next. The squares are spread evenly from one edge of the image
            to the other, and cover every pixel if `stride` is at most `patch`.
        fill: what the squares are filled with, one value or (C, 1, 1) for the channels; 0 is the mean colour of
            images normalised by mean and deviation.

    Returns:
        float32 (T, h, w) with h = ceil((H - patch) / stride) + 1, w likewise. Negative where covering raises a score.

    Raises:
        ValueError: the patch is larger than the image, or patch or stride is not positive.
    """
    height, width = image.shape[-2:]
    if not 0 < patch <= min(height, width) or stride < 1:
        raise ValueError(f"patch {patch} and stride {stride} do not fit an image of {height} x {width}")
    rows, columns = (_spread(side, patch, stride) for side in (height, width))
    return finished(occlusion_passes(score, image, rows, columns, fill=fill, batch=batch))


def occlusion_passes(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    rows: Sequence[slice],
    columns: Sequence[slice],
    *,
    fill: float | Tensor,
    batch: int,
) -> Passes[Tensor]:
    """Compute `occlusion_maps` for the rectangles of these rows and columns, (T, rows, columns), batch by batch."""
    places = [(high, wide) for high in rows for wide in columns]
    with torch.no_grad():
        whole = score(image).reshape(1, -1)
    falls = []
    for start in range(0, len(places), batch):
        some = places[start : start + batch]
        covered = image.repeat(len(some), 1, 1, 1)
        for one, (high, wide) in zip(covered, some, strict=True):
            one[:, high, wide] = fill
        with torch.no_grad():
            falls.append(whole - score(covered).reshape(len(some), -1))
        yield start + len(some), len(places)
    return torch.cat(falls).float().T.reshape(-1, len(rows), len(columns))


def over_each(side: int, cells: int, reach: int) -> list[slice]:
    """The pixels of the squares that begin at each cell and cover `reach` of the equal cells of a side."""
    edges = [round(side * cell / cells) for cell in range(cells + 1)]
    return [slice(*pair) for pair in zip(edges, edges[reach:], strict=False)]


def _spread(side: int, patch: int, stride: int) -> list[slice]:
    gaps = -((patch - side) // stride)
    starts = [round((side - patch) * i / max(gaps, 1)) for i in range(gaps + 1)]
    return [slice(start, start + patch) for start in starts]


def over_cells(falls: Tensor, reach: int) -> Tensor:
    """The means of the falls of the squares that cover each cell, where squares overlap.

    Args:
        falls: (T, h, w), as of `occlusion_maps`.
        reach: how many strides a square is wide.

    Returns:
        (T, h + reach - 1, w + reach - 1), cells of a stride's width that lie side by side over the image.
    """
    square = falls.new_ones(1, 1, reach, reach)
    sums, counts = (F.conv_transpose2d(each[:, None], square)[:, 0] for each in (falls, torch.ones_like(falls)))
    return sums / counts
