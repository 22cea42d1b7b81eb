"""The methods as a table: the title, sentence, cost and function of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from explainers.cam import cam_maps
from explainers.excitation import excitation_maps
from explainers.gradcam import LayerMaps, Reshape
from explainers.occlusion import mean_over_cells, occlusion_maps
from explainers.progress import Slow
from explainers.relu_rules import Rule
from explainers.score_cam import score_cam
from explainers.variants import counterfactual_map, gradcam_plus_plus, layer_cam, maximum_map


@dataclass(frozen=True)
class Patches:
    """How the image is covered for an occlusion map.

    Attributes:
        size: side of a patch, in shares of the image's: rounded to whole strides.
        stride: from one patch to the next, in the same shares: rounded so that a whole number of them is the side,
            and at most `size`, so that every pixel is covered.
        fill: the colour of a patch: a key of `FILLS`.
    """

    size: float = 1 / 4
    stride: float = 1 / 8
    fill: str = "mean"

    def cells(self, side: int) -> tuple[int, int]:
        """How many cells as wide as a stride divide a side of so many pixels, and how many of them a patch covers."""
        cells = round(1 / max(min(self.stride, self.size), 1 / side))
        return cells, max(round(self.size * cells), 1)

    def passes(self, side: int) -> int:
        """How many forward passes an occlusion map takes."""
        cells, reach = self.cells(side)
        return (cells - reach + 1) ** 2


FILLS = {"mean": None, "black": 0.0, "white": 1.0}  # of the colours from 0 to 1; None is their mean


@dataclass(frozen=True, eq=False)
class MethodInputs:
    """The inputs of a method with passes of its own, for T scores of one image.

    Attributes:
        score: images (B, C, H, W) to (B, T).
        image: (1, C, H, W).
        layer: its output, reshaped by `reshape`, is the feature maps A^k.
        layer_maps: Grad-CAM's maps of that layer.
        linear_weights: returns (T, K), what multiplies the mean of the A^k if the scores are one linear layer of it;
            None otherwise.
        attention: returns (h, w), how the network weights the cells of the image by itself; None if it doesn't.
        patches: how an occlusion map covers the image.
        fill: (C, 1, 1), the covered pixels, as the network takes them.
        batch: how many images the network takes together.
    """

    score: Callable[[Tensor], Tensor]
    image: Tensor
    layer: nn.Module
    reshape: Reshape
    layer_maps: LayerMaps
    linear_weights: Callable[[], Tensor | None]
    attention: Callable[[], Tensor | None]
    patches: Patches
    fill: Tensor
    batch: int


@dataclass(frozen=True)
class Method:
    """A way to explain a score.

    Attributes:
        title: its name in the field.
        sentence: what its picture shows and what it does not.
        kind: "map", (T, h, w) cells, at least 0; "signed", the same of both signs; or "gradient", (T, C, H, W) at the
            pixels, signed.
        passes: where its backward passes go: to the "layer"; on to the pixels under a ReLU rule; or it has its "own".
        function: computes it: from the `LayerMaps` of T scores if its passes end at the layer, from their
            `Explanation` under the rule, or from `MethodInputs`.
        product: the keys of the gradient and the map whose pointwise product it is, where it is one (section 3.2 of
            the paper).
        cost: how many forward passes a slow method takes for K feature maps, these patches and an image of so many
            pixels a side. Its function is a generator: see `explainers.progress`.
        covers: whether it covers the image by patches.
        newer: whether it was published after the paper.
    """

    title: str
    sentence: str
    kind: Literal["map", "signed", "gradient"]
    passes: Literal["layer", "own"] | Rule
    function: Callable[[Any], Any]
    product: tuple[str, str] | None = None
    cost: Callable[[int, Patches, int], int] | None = None
    covers: bool = False
    newer: bool = False


def _cam(inputs: MethodInputs) -> Tensor:
    if (weights := inputs.linear_weights()) is None:
        raise ValueError("it needs scores that are one linear layer of the mean of the layer's feature maps")
    return cam_maps(inputs.layer_maps.features, weights)


def _attention(inputs: MethodInputs) -> Tensor:
    if (weights := inputs.attention()) is None:
        raise ValueError("it needs a network that attends to places of the photograph")
    return weights.expand(len(inputs.layer_maps.maps), *weights.shape)


def _excitation(inputs: MethodInputs, *, contrastive: bool) -> Tensor:
    return excitation_maps(
        lambda image: inputs.score(image)[0],
        inputs.image,
        inputs.layer,
        contrastive=contrastive,
        reshape=inputs.reshape,
    )


def _occlusion(inputs: MethodInputs) -> Slow[Tensor]:
    side = min(inputs.image.shape[-2:])
    cells, reach = inputs.patches.cells(side)
    patch = math.ceil(side * reach / cells)  # or a pixel between two patches may stay uncovered
    stride = (side - patch) / (cells - reach) if cells > reach else side
    falls = yield from occlusion_maps(
        inputs.score, inputs.image, patch=patch, stride=stride, fill=inputs.fill, batch=inputs.batch
    )
    return mean_over_cells(falls, reach)


def _score_cam(inputs: MethodInputs) -> Slow[Tensor]:
    return score_cam(inputs.score, inputs.image, inputs.layer_maps.features, batch=inputs.batch)


METHODS = {
    "guided_backprop": Method(
        "Guided Backprop",
        "Fine detail that the score reacts to. Close to an edge detector: much the same outlines "
        "whatever is explained, only stronger or weaker, so it does not tell classes apart.",
        "gradient",
        "guided",
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
        "guided",
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
    "gradient": Method(
        "Gradient",
        "How the score would change with each pixel, and nothing else (Simonyan et al. 2014). True to the network, "
        "but noisy: it says what the score is sensitive to, not where its evidence lies.",
        "gradient",
        "plain",
        lambda explanation: explanation.pixel_gradient,
    ),
    "deconvolution": Method(
        "Deconvolution",
        "The gradient with only what is positive passed back through each ReLU (Zeiler and Fergus 2014). It ignores "
        "which ReLUs were on, so it shows edges and patterns more than reasons.",
        "gradient",
        "deconv",
        lambda explanation: explanation.pixel_gradient,
    ),
    "deconvolution_gradcam": Method(
        "Deconvolution Grad-CAM",
        "Deconvolution, only where Grad-CAM finds evidence: Guided Grad-CAM with the other rule, with more artefacts.",
        "gradient",
        "deconv",
        lambda explanation: explanation.guided_gradcam,
        product=("deconvolution", "gradcam"),
    ),
    "gradcam_signed": Method(
        "Grad-CAM without ReLU",
        "What speaks for and against it in one picture: what the ReLU of Grad-CAM cuts off is the second colour",
        "signed",
        "layer",
        lambda found: found.signed,
    ),
    "gradcam_maximum": Method(
        "Grad-CAM, maximum for mean",
        "Feature maps weighted by their largest gradient instead of the mean: the same at a layer that the network "
        "averages, less certain to point at the object elsewhere",
        "map",
        "layer",
        maximum_map,
    ),
    "gradcam_plus_plus": Method(
        "Grad-CAM++",
        "Cells with a positive gradient count more, so that several objects of a class show as one does "
        "(Chattopadhyay et al. 2018). It leaves out what speaks against the class; made for maps without negative "
        "values",
        "map",
        "layer",
        gradcam_plus_plus,
        newer=True,
    ),
    "layer_cam": Method(
        "Layer-CAM",
        "Each cell weighted by its own gradient (Jiang et al. 2021): sharper than Grad-CAM at early layers, much like "
        "it at the last one, but without what speaks against it",
        "map",
        "layer",
        layer_cam,
        newer=True,
    ),
    "cam": Method(
        "CAM",
        "Feature maps weighted by the network's own last layer (Zhou et al. 2016): Grad-CAM up to a factor, but only "
        "where a network averages its maps before one linear layer",
        "map",
        "own",
        _cam,
    ),
    "attention": Method(
        "Attention",
        "The weights that the network itself gives to places when it reads the question (Lu et al. 2016): where it "
        "looked, the same whatever answer is explained, and not what moved the answer",
        "map",
        "own",
        _attention,
    ),
    "excitation": Method(
        "Excitation backprop",
        "The chance that a walk down the positive weights, from what is explained, passes a cell (Zhang et al. 2016). "
        "Much the same whatever is explained",
        "map",
        "own",
        lambda inputs: _excitation(inputs, contrastive=False),
    ),
    "c_mwp": Method(
        "Contrastive excitation (c-MWP)",
        "The same less what a walk from its opposite passes: this tells classes apart",
        "map",
        "own",
        lambda inputs: _excitation(inputs, contrastive=True),
    ),
    "occlusion": Method(
        "Occlusion",
        "How far the score falls when squares over a cell are covered (Zeiler and Fergus 2014). It assumes nothing of "
        "the network, but a square is no real photograph, and each takes a forward pass",
        "signed",
        "own",
        _occlusion,
        cost=lambda _features, patches, side: patches.passes(side),
        covers=True,
    ),
    "score_cam": Method(
        "Score-CAM",
        "Feature maps weighted by what the network says of the photograph seen through each (Wang et al. 2020): no "
        "gradient, and a forward pass for each map",
        "map",
        "own",
        _score_cam,
        cost=lambda features, _patches, _side: features,
        newer=True,
    ),
}
