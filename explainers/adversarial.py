"""Noise that nobody sees and that changes what a network says (Goodfellow et al. 2015; the paper's section 6.2)."""

import torch
from torch import Tensor

from explainers.gradcam import Score


def targeted_noise(
    score: Score, image: Tensor, step: Tensor, *, most: int, passes: int, enough: float = float("inf")
) -> Tensor:
    """Noise that raises a score, by the fast gradient sign method in several passes.

    Args:
        score: maps an image (1, 3, H, W) to one number, (1,).
        image: (1, 3, H, W), as the model takes it.
        step: (3, 1, 1), one level of a channel, in the image's units: of 256 levels 1 / (255 std).
        most: levels by which a value may change.
        passes: forward and backward passes, each of which changes every value by one level.
        enough: the score at which it stops.

    Returns:
        int64 (1, 3, H, W), levels from -most to most; the noised image is `image + levels * step`.
    """
    levels = torch.zeros_like(image)
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(passes):
            noised = (image + levels * step).requires_grad_()
            value = score(noised)
            if value.item() >= enough:
                break
            (gradient,) = torch.autograd.grad(value.sum(), noised)
            levels = (levels + gradient.sign()).clamp(-most, most)
    return levels.long()
