"""The ways of looking at a score, as a table: what each is called, shows and costs, and how it is computed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from explainers.gradcam import LayerMaps


@dataclass(frozen=True)
class Method:
    """A way of looking.

    Attributes:
        title: its name in the field.
        sentence: what its picture shows and what it does not.
        kind: "map", (T, h, w) cells of a layer, at least 0; or "gradient", (T, 3, H, W) at the pixels, signed.
        passes: how far its backward passes go: to the "layer", or on to the "pixels".
        function: computes it from what is shared by all methods: from the `LayerMaps` of T scores if its passes end at
            the layer, else from their `Explanation`.
        product: the keys of the gradient and the map whose pointwise product it is, where it is one (section 3.2 of
            the paper).
    """

    title: str
    sentence: str
    kind: Literal["map", "gradient"]
    passes: Literal["layer", "pixels"]
    function: Callable[[Any], Tensor]
    product: tuple[str, str] | None = None


def counterfactual_map(found: LayerMaps) -> Tensor:
    """What speaks against a score: ReLU(sum_k -alpha_k A^k), (T, h, w), at least 0.

    Grad-CAM with the gradient negated (section 3.3 of the paper's long version, IJCV 2020): the regions without which
    the network would be surer.
    """
    return F.relu(-found.signed)


METHODS = {
    "guided_backprop": Method(
        "Guided Backprop",
        "Fine detail that the score reacts to. Close to an edge detector: much the same outlines "
        "whatever is explained, only stronger or weaker, so it does not tell classes apart.",
        "gradient",
        "pixels",
        lambda explanation: explanation.pixel_gradient,
    ),
    "gradcam": Method(
        "Grad-CAM",
        "Where the evidence for what is explained lies, in coarse cells",
        "map",
        "layer",
        lambda found: found.maps,
    ),
    "guided_gradcam": Method(
        "Guided Grad-CAM",
        "The two multiplied: the fine detail of the first, only where the second finds evidence.",
        "gradient",
        "pixels",
        lambda explanation: explanation.guided_gradcam,
        product=("guided_backprop", "gradcam"),
    ),
    "counterfactual": Method(
        "Counterfactual",
        "What speaks against it: the cells without which the score would be higher",
        "map",
        "layer",
        counterfactual_map,
    ),
}
