"""Noise that nobody sees and that changes a network's prediction (Goodfellow et al. 2015; the paper's section 6.2)."""

import torch
from torch import Tensor

from explainers.gradcam import Score, without_cudnn_error
from explainers.progress import Slow


def targeted_noise(
    score: Score,
    image: Tensor,
    step: Tensor,
    *,
    bounds: tuple[Tensor, Tensor],
    passes: int,
    enough: float,
    grey: bool = False,
) -> Slow[Tensor]:
    """Find noise that raises a score: the fast gradient sign method in several passes (Kurakin et al. 2017).

    Args:
        score: maps an image (1, C, H, W) to one number, (1,).
        image: (1, C, H, W), as the model takes it.
        step: (C, 1, 1), one level of a channel, in the image's units: of 256 levels 1 / (255 std).
        bounds: by how many levels each value may change, from the lowest, at most 0, to the highest: (1, C, H, W)
            each.
        passes: the most forward and backward passes, each of which changes every value by one level.
        enough: the score at which it stops.
        grey: all channels get the same noise, as the image is grey.

    Yields:
        How many passes are done, and the most; `finish` runs all.

    Returns:
        int64 (1, C, H, W), levels; the noisy image is `image + levels * step`.
    """
    levels = torch.zeros_like(image)
    for done in range(1, passes + 1):
        with torch.inference_mode(False), torch.enable_grad():
            noisy = (image + levels * step).requires_grad_()
            value = score(noisy)
            if value.item() >= enough:
                break
            with without_cudnn_error():
                (gradient,) = torch.autograd.grad(value.sum(), noisy)
        if grey:
            gradient = (gradient * step).sum(dim=1, keepdim=True).expand_as(gradient)
        levels = (levels + gradient.sign()).clamp(*bounds)
        yield done, passes
    return levels.long()
