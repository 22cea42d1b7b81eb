"""Grad-CAM step by step, as in the paper's figure 2: which feature maps count, and how their sum grows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.gradcam import LayerMaps

SHOWN = 12  # feature maps, those with the largest weights


@dataclass(frozen=True, eq=False)
class Steps:
    """How the map of one score comes about. Detached float32 tensors, on the processor wherever the image is.

    Attributes:
        order: (N,), int64, the indices k of the N feature maps with the largest |alpha_k|, the largest first.
        weights: (N,), their alpha_k.
        features: (N, h, w), those feature maps A^k.
        gradients: (N, h, w), the gradient of the score at them, whose means the alpha_k are (equation 1).
        counts: (M,), int64, numbers of maps from 1 to all K.
        sums: (M, h, w), the sum of alpha_k A^k over so many maps, in the same order; the last is that over all.
        shares: (M,), how much of the last one each is: 1 - |sum_n - sum|^2 / |sum|^2, at most 1; negative if
            nothing at all is nearer.
    """

    order: Tensor
    weights: Tensor
    features: Tensor
    gradients: Tensor
    counts: Tensor
    sums: Tensor
    shares: Tensor


def steps(maps: LayerMaps, place: int) -> Steps:
    """The steps to the map of the score at a place of those that were explained."""
    weights, gradients = maps.weights[place], maps.gradients[place]
    features = maps.features[place % len(maps.features)]
    order = weights.abs().argsort(descending=True)
    counts = _counts(len(order))
    # The running sum alone, and not the K maps that it passes.
    sums, total, before = [], torch.zeros_like(features[0]), 0
    for count in counts:
        some = order[before:count]
        total = total + torch.einsum("k,khw->hw", weights[some], features[some])
        sums.append(total)
        before = count
    stacked = torch.stack(sums)
    missing = (stacked - total).square().sum(dim=(1, 2)) / total.square().sum().clamp(min=torch.finfo().tiny)
    shown = order[:SHOWN]
    found = shown, weights[shown], features[shown], gradients[shown], torch.tensor(counts), stacked, 1 - missing
    return Steps(*(tensor.cpu() for tensor in found))


def _counts(maps: int) -> list[int]:
    """One by one as far as the maps are shown, then in steps of about a quarter more, to all."""
    counts = list(range(1, min(SHOWN, maps) + 1))
    while counts[-1] < maps:
        counts.append(min(counts[-1] + max(counts[-1] // 4, 1), maps))
    return counts
