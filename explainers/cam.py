"""Class Activation Mapping (Zhou et al., CVPR 2016), which Grad-CAM generalises (the paper's section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cam_maps(features: Tensor, weight: Tensor) -> Tensor:
    """CAM of T scores: ReLU(sum_k w_k A^k), (T, h, w), at least 0, from the weights that the network has.

    Args:
        features: (1, K, h, w), the feature maps A^k that are averaged.
        weight: (T, K), what the last linear layer multiplies their means with for each score.
    """
    return F.relu(torch.einsum("tk,khw->thw", weight, features[0]))


@torch.no_grad()
def linear_maps(features: Tensor, weight: Tensor) -> Tensor:
    """Grad-CAM's maps of all C scores of a network whose scores are weight @ features.mean + bias, without a gradient.

    There alpha_k^c is w_k^c / (h w): Grad-CAM is CAM, as appendix A of the paper shows.

    Args:
        features: (1, K, h, w), as for `cam_maps`.
        weight: (C, K).

    Returns:
        (C, h, w), ReLU(sum_k alpha_k A^k), at least 0.
    """
    _, _, height, width = features.shape
    return cam_maps(features, weight / (height * width))


def normalised_difference(first: Tensor, second: Tensor) -> Tensor:
    """The largest difference of maps (T, h, w), at least 0, when each is divided by its own maximum: (T,), 0 to 1."""
    divided = [maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo().tiny) for maps in (first, second)]
    return (divided[0] - divided[1]).abs().amax(dim=(1, 2))
