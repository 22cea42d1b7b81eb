"""What others make of the same feature maps and gradients as Grad-CAM: (T, h, w) from the `LayerMaps` of T scores."""

import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.gradcam import LayerMaps


def counterfactual_map(found: LayerMaps) -> Tensor:
    """What speaks against a score: ReLU(sum_k -alpha_k A^k), at least 0.

    Grad-CAM with the gradient negated (section 3.3 of the paper's long version, IJCV 2020): the regions without which
    the network would be surer.
    """
    return F.relu(-found.signed)


def maximum_map(found: LayerMaps) -> Tensor:
    """Grad-CAM whose weights are the largest gradient of a feature map instead of the mean, at least 0.

    The ablation of global max pooling (the long version's appendix on the design of Grad-CAM). Where the gradient is
    the same in all cells, as at the layer that a network averages, it is Grad-CAM.
    """
    return _weighted(found, found.gradients.amax(dim=(2, 3)))


def gradcam_plus_plus(found: LayerMaps) -> Tensor:
    """Grad-CAM++ (Chattopadhyay et al., WACV 2018), equations 13 and 19 for a score that is a logit, at least 0.

    For feature maps that are at least 0, as behind a ReLU: with others the weights may be of any size.
    """
    squared, cubed = found.gradients**2, found.gradients**3
    below = 2 * squared + found.features.sum(dim=(2, 3), keepdim=True) * cubed
    shares = torch.where(below != 0, squared / below, 0)
    return _weighted(found, (shares * F.relu(found.gradients)).sum(dim=(2, 3)))


def layer_cam(found: LayerMaps) -> Tensor:
    """Layer-CAM (Jiang et al., TIP 2021), equations 6 and 7: each cell is weighted by its gradient if positive."""
    return F.relu((F.relu(found.gradients) * found.features).sum(dim=1))


def _weighted(found: LayerMaps, weights: Tensor) -> Tensor:
    """ReLU(sum_k w_k A^k) for weights (T, K)."""
    return F.relu((weights[:, :, None, None] * found.features).sum(dim=1))
