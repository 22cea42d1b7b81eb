"""The shared explainer: one forward pass, then Grad-CAM, Guided Backprop and Guided Grad-CAM for every score."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers.relu_rules import RULES, InPlaceOnViews, Rule, follow, relu_nodes


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` found for T scores of one image of H x W pixels, at a layer of K feature maps of h x w.

    Detached float32 tensors on the image's device. No map is normalised.

    Attributes:
        scores: (T,), the explained numbers.
        weights: (T, K), the neuron importance weights alpha_k of the paper's equation 1.
        maps: (T, h, w), ReLU(sum_k alpha_k A^k), equation 2, at least 0.
        gradcam: (T, H, W), `maps` up-sampled bilinearly to the image, at least 0.
        pixel_gradient: (T, 3, H, W), the score's gradient at the pixels under the ReLU rule: Guided
            Backprop under the default rule.
        guided_gradcam: (T, 3, H, W), the pointwise product of `gradcam` and `pixel_gradient`.
        relus: how many ReLUs between image and scores followed the rule. With 0, the pixel gradient is the
            plain gradient whatever the rule.
    """

    scores: Tensor
    weights: Tensor
    maps: Tensor
    gradcam: Tensor
    pixel_gradient: Tensor
    guided_gradcam: Tensor
    relus: int


def explain(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    layer: nn.Module,
    *,
    rule: Rule = "guided",
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> Explanation:
    """Explain T scores of one image (the paper's section 3).

    The model behind `score` runs once. For each score, one backward pass with true gradients goes down to
    `layer` (Grad-CAM) and one with the ReLU rule goes on to the pixels. The model is not changed, except for
    what its own forward pass changes (the statistics of batch norm in training mode), and threads may explain
    on one model at the same time. Gradients are computed also inside `torch.no_grad()` and
    `torch.inference_mode()`.

    Args:
        score: maps an image (1, 3, H, W) to the T numbers to explain, (T,), before any softmax. It runs the
            model in the calling thread. A constant among the T numbers gets zeros everywhere.
        image: (1, 3, H, W), floating point, as the model takes it.
        layer: the module whose output is the feature maps A^k. It runs exactly once within `score`.
        rule: how ReLUs pass the gradient to the pixels: "guided" (Guided Backprop), "deconv"
            (Deconvolution) or "plain" (the true gradient).
        reshape: brings the layer's output to (1, K, h, w), as for transformer tokens (1, N, K). It may
            select and reorder numbers but not compute with them.

    Raises:
        ValueError: the image, the rule, the scores or the layer's output are not as described above, or
            the scores do not depend on the image or on the layer, or are not finite.
    """
    _check_image(image)
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")

    with torch.inference_mode(False), torch.enable_grad():
        leaf, scores, outputs = _forward(score, image, [layer])
        ((weights, maps),) = _weights_and_maps(scores, outputs, reshape)
        relus = relu_nodes(scores, leaf)
        handles = follow(rule, relus)
        try:
            gradients = [gradient for (gradient,) in _gradients(scores, [leaf], "image")]
        finally:
            for handle in handles:
                handle.remove()

    with torch.inference_mode(False), torch.no_grad():
        gradcam = F.interpolate(maps[:, None], size=image.shape[2:], mode="bilinear", align_corners=False)
        pixel_gradient = torch.cat(gradients).float()
        return Explanation(
            scores=scores.detach().float(),
            weights=weights,
            maps=maps,
            gradcam=gradcam[:, 0],
            pixel_gradient=pixel_gradient,
            guided_gradcam=gradcam * pixel_gradient,
            relus=len(relus),
        )


def gradcam_maps(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    layer: nn.Module,
    *,
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """`Explanation.maps` alone, (T, h, w), without the backward passes to the pixels. As `explain` otherwise."""
    return layer_maps(score, image, [layer], reshape=reshape)[0]


def layer_maps(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    layers: Sequence[nn.Module],
    *,
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """`gradcam_maps` of several layers, each (T, h, w), from one forward pass and one backward pass for each score."""
    _check_image(image)
    with torch.inference_mode(False), torch.enable_grad():
        _, scores, outputs = _forward(score, image, layers)
        return [maps for _, maps in _weights_and_maps(scores, outputs, reshape)]


def _forward(
    score: Callable[[Tensor], Tensor], image: Tensor, layers: Sequence[nn.Module]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The image as a leaf, its scores, and what each layer returned on the way to them."""
    leaf = image.detach().clone().requires_grad_()
    with ExitStack() as stack, InPlaceOnViews():
        collected = [stack.enter_context(_output_of(layer)) for layer in layers]
        # A copy goes in, because autograd forbids models to work in place on a leaf.
        scores = score(leaf.clone())
    _check_scores(scores)
    outputs = []
    for found in collected:
        if len(found) != 1:
            times = "did not run" if not found else f"ran {len(found)} times"
            raise ValueError(f"the layer must run exactly once while the score is computed; it {times}")
        (output,) = found
        if not isinstance(output, Tensor):
            raise ValueError(f"the layer must return one tensor, got {type(output).__name__}")
        if not output.requires_grad:
            raise ValueError("the layer's output does not depend on the image")
        outputs.append(output)
    return leaf, scores, outputs


def _gradients(scores: Tensor, sources: Sequence[Tensor], name: str) -> list[tuple[Tensor, ...]]:
    """For each score its gradients at `sources`, in their shapes."""
    gradients = []
    for one_hot in torch.eye(len(scores), dtype=scores.dtype, device=scores.device):
        found = torch.autograd.grad(scores, list(sources), one_hot, retain_graph=True, allow_unused=True)
        if any(gradient is None for gradient in found):
            raise ValueError(f"the scores do not depend on the {name}")
        gradients.append(found)
    return gradients


def _weights_and_maps(
    scores: Tensor, outputs: Sequence[Tensor], reshape: Callable[[Tensor], Tensor] | None
) -> list[tuple[Tensor, Tensor]]:
    """Equations 1 and 2 for every score, at each layer: alpha_k, (T, K), and ReLU(sum_k alpha_k A^k), (T, h, w)."""
    found = []
    gradients = zip(*_gradients(scores, outputs, "layer's output"), strict=True)
    for output, of_layer in zip(outputs, gradients, strict=True):
        features = _feature_maps(output, reshape)
        with torch.no_grad(), torch.autocast(output.device.type, enabled=False):
            weights = torch.cat([_feature_maps(g, reshape) for g in of_layer]).float().mean(dim=(2, 3))
            found.append((weights, F.relu(torch.einsum("tk,khw->thw", weights, features[0].float()))))
    return found


@contextmanager
def _output_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what `layer` returns in this thread while the block runs."""
    thread = threading.get_ident()
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor | None:
        if threading.get_ident() != thread:
            return None
        outputs.append(output)
        # The model goes on with a copy: an in-place ReLU after the layer would overwrite A^k.
        return output.clone() if isinstance(output, Tensor) else None

    handle = layer.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _check_image(image: Tensor) -> None:
    if not (isinstance(image, Tensor) and image.is_floating_point()):
        found = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"image must be a floating-point tensor, got {found}")
    if image.ndim != 4 or image.shape[:2] != (1, 3) or 0 in image.shape:
        raise ValueError(f"image must have shape (1, 3, H, W), got {tuple(image.shape)}")


def _check_scores(scores: Tensor) -> None:
    if not isinstance(scores, Tensor) or scores.ndim != 1 or len(scores) == 0:
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"score must return a tensor of shape (T,) with T >= 1, got {found}")
    if not scores.isfinite().all():
        raise ValueError(f"the scores must be finite, got {scores.tolist()}")
    if not scores.requires_grad:
        raise ValueError("the scores do not depend on the image")


def _feature_maps(output: Tensor, reshape: Callable[[Tensor], Tensor] | None) -> Tensor:
    maps = reshape(output) if reshape is not None else output
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != 1:
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"the layer's output must have shape (1, K, h, w), got {found}; pass `reshape`")
    return maps.detach()
