"""A box from a map: how the paper localises objects with Grad-CAM (section 4.1)."""

import numpy as np
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from explainers.region import Box

THRESHOLD = 0.15  # of the maximum


def box_from_map(heat: Tensor, size: tuple[int, int]) -> Box | None:
    """The box around the largest connected segment of a map where it is above 15% of its maximum.

    Args:
        heat: (h, w), at least 0.
        size: height and width of the image, to which the map is stretched.

    Returns:
        left, top, right, bottom in shares of the image's width and height; none if the map is zero.
    """
    stretched = F.interpolate(heat[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    segments, count = ndimage.label((stretched > THRESHOLD * stretched.max()).cpu().numpy())
    if count == 0:
        return None
    largest = int(np.bincount(segments.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects(segments)[largest]
    height, width = size
    return columns.start / width, rows.start / height, columns.stop / width, rows.stop / height
