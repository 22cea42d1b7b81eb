"""Score-CAM (Wang et al., CVPR workshops 2020): feature maps weighted by what the network says of what they show."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.passes import Passes, finished


def score_cam(score: Callable[[Tensor], Tensor], image: Tensor, features: Tensor, *, batch: int = 1) -> Tensor:
    """ReLU(sum_k w_k A^k) with w the softmax over k of the score of the image times the stretched A^k in 0 to 1.

    Args:
        score: maps images (B, C, H, W) to their scores (B, T). It is called with up to `batch` of the K masked images.
        image: (1, C, H, W), as the model takes it.
        features: (1, K, h, w), the feature maps A^k of a layer. They are stretched bilinearly, as `gradcam` is.

    Returns:
        float32 (T, h, w), at least 0.
    """
    return finished(score_cam_passes(score, image, features, batch=batch))


def score_cam_passes(
    score: Callable[[Tensor], Tensor], image: Tensor, features: Tensor, *, batch: int
) -> Passes[Tensor]:
    """`score_cam`, with a pause after each batch."""
    found: list[Tensor] = []
    for maps in features[0].split(batch):
        masks = F.interpolate(maps[:, None], size=image.shape[2:], mode="bilinear", align_corners=False)
        low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
        shares = (masks - low) / (high - low).clamp(min=torch.finfo().eps)
        with torch.no_grad():
            found.append(score(image * shares))
        yield sum(map(len, found)), len(features[0])
    weights = torch.cat(found).float().softmax(dim=0)
    return F.relu(torch.einsum("kt,khw->thw", weights, features[0]))
