"""Noise that nobody sees and that changes what a network says (Goodfellow et al. 2015; the paper's section 6.2)."""

import torch
from torch import Tensor

from explainers.gradcam import Score, without_cudnn_error
from explainers.passes import Passes, finished


def targeted_noise(
    score: Score, image: Tensor, step: Tensor, *, room: tuple[Tensor, Tensor], passes: int, enough: float
) -> Tensor:
    """Noise that raises a score: the fast gradient sign method in several passes (Kurakin et al. 2017).

    Args:
        score: maps an image (1, C, H, W) to one number, (1,).
        image: (1, C, H, W), as the model takes it.
        step: (C, 1, 1), one level of a channel, in the image's units: of 256 levels 1 / (255 std).
        room: by how many levels each value may change, from the lowest, at most 0, to the highest: (1, C, H, W) each.
        passes: forward and backward passes, each of which changes every value by one level.
        enough: the score at which it stops.

    Returns:
        int64 (1, C, H, W), levels; the noised image is `image + levels * step`.
    """
    return finished(noise_passes(score, image, step, room=room, passes=passes, enough=enough))


def noise_passes(
    score: Score, image: Tensor, step: Tensor, *, room: tuple[Tensor, Tensor], passes: int, enough: float
) -> Passes[Tensor]:
    """`targeted_noise`, with a pause after each pass."""
    levels = torch.zeros_like(image)
    for done in range(1, passes + 1):
        with torch.inference_mode(False), torch.enable_grad():
            noised = (image + levels * step).requires_grad_()
            value = score(noised)
            if value.item() >= enough:
                break
            with without_cudnn_error():
                (gradient,) = torch.autograd.grad(value.sum(), noised)
        levels = (levels + gradient.sign()).clamp(*room)
        yield done, passes
    return levels.long()
