"""Score-CAM (Wang et al., CVPR workshops 2020): feature maps weighted by the score of the image under each."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.progress import Slow


def score_cam(score: Callable[[Tensor], Tensor], image: Tensor, features: Tensor, *, batch: int = 1) -> Slow[Tensor]:
    """Compute ReLU(sum_k w_k A^k), where w is the softmax over k of the score of the image times A^k.

    Each A^k is stretched to the image, bilinearly as `gradcam` is, and scaled to 0..1.

    Args:
        score: maps images (B, C, H, W) to their scores (B, T). It is called with up to `batch` of the K masked images.
        image: (1, C, H, W), as the model takes it.
        features: (1, K, h, w), the feature maps A^k of a layer.

    Yields:
        How many of the K masked images are done, and K; `finish` runs all.

    Returns:
        float32 (T, h, w), at least 0.
    """
    scores: list[Tensor] = []
    for maps in features[0].split(batch):
        masks = F.interpolate(maps[:, None], size=image.shape[2:], mode="bilinear", align_corners=False)
        low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
        shares = (masks - low) / (high - low).clamp(min=torch.finfo().eps)
        with torch.no_grad():
            scores.append(score(image * shares))
        yield sum(map(len, scores)), len(features[0])
    weights = torch.cat(scores).float().softmax(dim=0)
    return F.relu(torch.einsum("kt,khw->thw", weights, features[0]))
