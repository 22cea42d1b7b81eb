"""The shared explainer: one forward pass, then Grad-CAM, Guided Backprop and Guided Grad-CAM for every score."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from explainers.relu_rules import RULES, InPlaceOnViews, Rule, follow, relu_nodes

Score = Callable[[Tensor], Tensor]
Reshape = Callable[[Any], Tensor]


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """What Grad-CAM finds for T scores at a layer of K feature maps of h x w.

    Detached float32 tensors on the image's device. No map is normalised.

    Attributes:
        scores: (T,), the explained numbers.
        features: (B, K, h, w), the feature maps A^k of the B images: one for each score, or one for all.
        gradients: (T, K, h, w), of each score at A^k.
        weights: (T, K), the neuron importance weights alpha_k of the paper's equation 1.
        signed: (T, h, w), sum_k alpha_k A^k: positive where the evidence is for the score, negative where against.
        maps: (T, h, w), ReLU(sum_k alpha_k A^k), equation 2, at least 0.
    """

    scores: Tensor
    features: Tensor
    gradients: Tensor
    weights: Tensor
    signed: Tensor
    maps: Tensor


@dataclass(frozen=True, eq=False)
class Explanation(LayerMaps):
    """What `explain` found for T scores of an image of H x W pixels and C channels: a layer's maps, and the pixels'.

    Attributes:
        gradcam: (T, H, W), `maps` up-sampled bilinearly to the image, at least 0.
        pixel_gradient: (T, C, H, W), the score's gradient at the pixels under the ReLU rule: Guided
            Backprop under the default rule.
        guided_gradcam: (T, C, H, W), the pointwise product of `gradcam` and `pixel_gradient`.
        relus: how many ReLUs between image and scores followed the rule. With 0, the pixel gradient is the
            plain gradient whatever the rule.
    """

    gradcam: Tensor
    pixel_gradient: Tensor
    guided_gradcam: Tensor
    relus: int


def explain(
    score: Score,
    image: Tensor,
    layer: nn.Module,
    *,
    rule: Rule = "guided",
    reshape: Reshape | None = None,
) -> Explanation:
    """Explain T scores of one image (the paper's section 3).

    The model behind `score` runs once. For each score, one backward pass with true gradients goes down to
    `layer` (Grad-CAM) and one with the ReLU rule goes on to the pixels. The model is not changed, except for
    what its own forward pass changes (the statistics of batch norm in training mode), and threads may explain
    on one model at the same time. Gradients are computed also inside `torch.no_grad()` and
    `torch.inference_mode()`.

    Args:
        score: maps an image (1, C, H, W) to the T numbers to explain, (T,), before any softmax. It runs the
            model in the calling thread. A constant among the T numbers gets zeros everywhere.
        image: (1, C, H, W), floating point, as the model takes it: three channels, or any other number.
        layer: the module whose output is the feature maps A^k. It runs exactly once within `score`; what it does
            where `score` switches gradients off does not count.
        rule: how ReLUs pass the gradient to the pixels: "guided" (Guided Backprop), "deconv"
            (Deconvolution) or "plain" (the true gradient).
        reshape: brings the layer's output to (1, K, h, w), as for transformer tokens (1, N, K). It gets what the
            layer returns: a tensor, or a tuple, list or dict that holds some. It may select and reorder numbers but
            not compute with them.

    Raises:
        ValueError: the image, the rule, the scores or the layer's output are not as described above, or
            the scores do not depend on the image or on the layer, or are not finite; or cuDNN computes no gradient
            of a recurrent layer in evaluation mode.
    """
    _check_images(image, 1)
    return explain_batch(score, image, layer, rules=(rule,), reshape=reshape)[rule]


def explain_batch(
    score: Score,
    images: Tensor,
    layer: nn.Module,
    *,
    rules: Sequence[Rule] = ("guided",),
    reshape: Reshape | None = None,
) -> dict[Rule, Explanation]:
    """Explain one score of each of B images, with one forward pass and as many backward passes as for one image.

    As `explain` of each image alone, up to rounding, if the images do not act on each other in the model, as those of
    a batch do in batch norm in training mode.

    Args:
        score: maps the images (B, C, H, W) to B numbers, (B,), of which each depends on its own image alone. Of one
            image there may be T scores, as for `explain`.
        images: (B, C, H, W), as for `explain`, as are the other arguments.
        rules: how ReLUs pass the gradient to the pixels; each takes one more backward pass.

    Returns:
        By rule: row b, of B, explains score b at image b.

    Raises:
        ValueError: as `explain`; or there is not one score for each image.
    """
    _check_rules(rules)
    with forward_pass(images, [layer]) as passed:
        scores = score(passed.images)
    return passed.explanations(scores, rules=rules, reshape=reshape)


def layer_maps(
    score: Score, image: Tensor, layers: Sequence[nn.Module], *, reshape: Reshape | None = None
) -> list[LayerMaps]:
    """The maps at several layers from one forward pass and one backward pass for each score, none to the pixels.

    As `explain` otherwise.
    """
    _check_images(image, 1)
    with forward_pass(image, layers) as passed:
        scores = score(passed.images)
    return passed.layer_maps(scores, reshape=reshape)


def gradcam_maps(score: Score, image: Tensor, layer: nn.Module, *, reshape: Reshape | None = None) -> Tensor:
    """`Explanation.maps` alone, (T, h, w), without the backward passes to the pixels. As `explain` otherwise."""
    return layer_maps(score, image, [layer], reshape=reshape)[0].maps


class ForwardPass:
    """One forward pass, and the backward passes from scores that were computed in it.

    Attributes:
        images: what the model gets, (B, C, H, W).
    """

    def __init__(self, images: Tensor) -> None:
        self.leaf = images.detach().clone().requires_grad_()
        # A copy, because autograd forbids models to work in place on a leaf.
        self.images = self.leaf.clone()
        self._outputs: list[list[Any]] = []

    def outputs(self, scores: Tensor) -> list[Any]:
        """What each layer returned on the way to the scores, (T,).

        Raises:
            ValueError: as `explain`.
        """
        _check_scores(scores)
        return [_only_output(outputs) for outputs in self._outputs]

    def feature_maps(self, *, reshape: Reshape | None = None) -> list[Tensor]:
        """Each layer's feature maps A^k, (B, K, h, w), detached; it takes no backward pass."""
        return [_feature_maps(_only_output(outputs), reshape, len(self.leaf)) for outputs in self._outputs]

    def layer_maps(self, scores: Tensor, *, reshape: Reshape | None = None) -> list[LayerMaps]:
        """The maps of the scores (T,) at each layer; see `explain_batch` for how many scores there may be."""
        with _with_gradients():
            outputs = self.outputs(scores)
            return _maps(scores, outputs, reshape, _starts(scores, len(self.leaf)), len(self.leaf))

    def explanations(
        self, scores: Tensor, *, rules: Sequence[Rule], reshape: Reshape | None = None
    ) -> dict[Rule, Explanation]:
        """What `explain_batch` returns for the scores (T,), at the only layer. The graph can't be used again."""
        _check_rules(rules)
        with _with_gradients():
            outputs, starts = self.outputs(scores), _starts(scores, len(self.leaf))
            (found,) = _maps(scores, outputs, reshape, starts, len(self.leaf))
            relus = relu_nodes(scores, self.leaf)
            gradients = [_at_pixels(rule, relus, scores, self.leaf, starts, last=rule == rules[-1]) for rule in rules]
        with torch.inference_mode(False), torch.no_grad():
            size = self.leaf.shape[2:]
            gradcam = F.interpolate(found.maps[:, None], size=size, mode="bilinear", align_corners=False)
            return {
                rule: Explanation(
                    **vars(found),
                    gradcam=gradcam[:, 0],
                    pixel_gradient=gradient,
                    guided_gradcam=gradcam * gradient,
                    relus=len(relus),
                )
                for rule, gradient in zip(rules, gradients, strict=True)
            }


@contextmanager
def forward_pass(images: Tensor, layers: Sequence[nn.Module]) -> Iterator[ForwardPass]:
    """Run a model inside the block, with gradients, and keep what the layers return there.

    >>> with forward_pass(images, [model.layer4]) as passed:
    ...     logits = model(passed.images)
    >>> (maps,) = passed.layer_maps(logits[:, 281])

    Args:
        images: (B, C, H, W), as for `explain_batch`.
        layers: as for `explain`.
    """
    _check_images(images, None)
    with _with_gradients(), InPlaceOnViews(), ExitStack() as stack:
        passed = ForwardPass(images)
        passed._outputs = [stack.enter_context(_output_of(layer)) for layer in layers]
        yield passed


@contextmanager
def _with_gradients() -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _starts(scores: Tensor, images: int) -> Tensor:
    """What the backward passes start from, a row for each pass: of one image for each score, of several for all."""
    if images == 1:
        return torch.eye(len(scores)).to(scores)
    if len(scores) != images:
        raise ValueError(f"there must be one score for each of the {images} images, got {len(scores)}")
    return torch.ones_like(scores)[None]


def _at_pixels(rule: Rule, relus: list[Any], scores: Tensor, leaf: Tensor, starts: Tensor, *, last: bool) -> Tensor:
    """The gradient at the pixels under a rule, (T, C, H, W); see `_gradients`."""
    handles = follow(rule, relus)
    try:
        return torch.cat([gradient for (gradient,) in _gradients(scores, [leaf], starts, "image", last=last)]).float()
    finally:
        for handle in handles:
            handle.remove()


def _only_output(outputs: list[Any]) -> Any:
    """What a layer returned, which must hold tensors that depend on the image."""
    if len(outputs) != 1:
        times = "did not run" if not outputs else f"ran {len(outputs)} times"
        raise ValueError(f"the layer must run exactly once while the score is computed; it {times}")
    (output,) = outputs
    if not any(isinstance(part, Tensor) for part in pytree.tree_leaves(output)):
        kind = type(output).__name__
        raise ValueError(f"the layer must return tensors, alone or in tuples, lists and dictionaries, got {kind}")
    if not _differentiable(output):
        raise ValueError("the layer's output does not depend on the image")
    return output


def _gradients(
    scores: Tensor, sources: Sequence[Any], starts: Tensor, name: str, *, last: bool = False
) -> list[tuple[Any, ...]]:
    """For each start its gradients at `sources`, in their shapes. The last passes give the graph's memory back.

    A source is a tensor, or what holds some: then so does its gradient, with zeros where the scores do not depend on
    one.
    """
    gradients = []
    for number, start in enumerate(starts, start=1):
        by_part = _backward_pass(scores, sources, start, keep_graph=not last or number < len(starts))
        if any(all(by_part[id(part)] is None for part in _differentiable(source)) for source in sources):
            raise ValueError(f"the scores do not depend on the {name}")
        gradients.append(tuple(_filled(source, by_part) for source in sources))
    return gradients


def _backward_pass(
    scores: Tensor, sources: Sequence[Any], start: Tensor, *, keep_graph: bool
) -> dict[int, Tensor | None]:
    """The gradients, from one start, of the tensors in `sources`, by the `id` of each."""
    parts = [part for source in sources for part in _differentiable(source)]
    with without_cudnn_error():
        found = torch.autograd.grad(scores, parts, start, retain_graph=keep_graph, allow_unused=True)
    return {id(part): gradient for part, gradient in zip(parts, found, strict=True)}


@contextmanager
def without_cudnn_error() -> Iterator[None]:
    """Raises a ValueError that says what to do where cuDNN has no gradient of a recurrent layer in evaluation mode."""
    try:
        yield
    except RuntimeError as error:
        if "RNN backward can only be called in training mode" not in str(error):
            raise
        raise ValueError(
            "cuDNN computes no gradient of an nn.LSTM, nn.GRU or nn.RNN in evaluation mode. "
            "Compute the score inside `torch.backends.cudnn.flags(enabled=False)`"
        ) from error


def _differentiable(output: Any) -> list[Tensor]:
    """The tensors in what a layer returned that depend on the image."""
    return [part for part in pytree.tree_leaves(output) if isinstance(part, Tensor) and part.requires_grad]


def _filled(source: Any, gradients: Mapping[int, Tensor | None]) -> Any:
    """The source with gradients, by the `id` of its tensors, in place of them; zeros where there is none."""

    def gradient(part: Tensor) -> Tensor:
        found = gradients.get(id(part))
        return torch.zeros_like(part) if found is None else found

    return pytree.tree_map_only(Tensor, gradient, source)


def _maps(
    scores: Tensor, outputs: Sequence[Any], reshape: Reshape | None, starts: Tensor, images: int
) -> list[LayerMaps]:
    """Equations 1 and 2 for every score of so many images, at each layer."""
    found = []
    gradients = zip(*_gradients(scores, outputs, starts, "layer's output"), strict=True)
    for output, of_layer in zip(outputs, gradients, strict=True):
        features = _feature_maps(output, reshape, images).float()
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            gradient = torch.cat([_feature_maps(each, reshape, images) for each in of_layer]).float()
            weights = gradient.mean(dim=(2, 3))
            signed = torch.einsum("tk,tkhw->thw", weights, features.expand(len(weights), -1, -1, -1))
            found.append(LayerMaps(scores.detach().float(), features, gradient, weights, signed, F.relu(signed)))
    return found


@contextmanager
def _output_of(layer: nn.Module) -> Iterator[list[Any]]:
    """Collect what `layer` returns in this thread while the block runs and gradients are on."""
    thread = threading.get_ident()
    outputs: list[Any] = []

    def keep(_module: nn.Module, _inputs: tuple, output: Any) -> Any:
        if threading.get_ident() != thread or not torch.is_grad_enabled():
            return None
        outputs.append(output)
        # The model goes on with a copy: an in-place ReLU after the layer would overwrite A^k.
        return pytree.tree_map_only(Tensor, Tensor.clone, output)

    handle = layer.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _check_rules(rules: Sequence[Rule]) -> None:
    for rule in rules:
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")


def _check_images(images: Tensor, count: int | None) -> None:
    """That these are `count` images, or with none any number."""
    if not (isinstance(images, Tensor) and images.is_floating_point()):
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"image must be a floating-point tensor, got {found}")
    if images.ndim != 4 or 0 in images.shape or len(images) != (count or len(images)):
        raise ValueError(f"image must have shape ({count or 'B'}, C, H, W), got {tuple(images.shape)}")


def _check_scores(scores: Tensor) -> None:
    if not isinstance(scores, Tensor) or scores.ndim != 1 or len(scores) == 0:
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"score must return a tensor of shape (T,) with T >= 1, got {found}")
    if not scores.isfinite().all():
        raise ValueError(f"the scores must be finite, got {scores.tolist()}")
    if not scores.requires_grad:
        raise ValueError("the scores do not depend on the image")


def _feature_maps(output: Any, reshape: Reshape | None, count: int) -> Tensor:
    """The output of a layer for so many images, detached, as (count, K, h, w)."""
    maps = reshape(output) if reshape is not None else output
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != count:
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"the layer's output must have shape ({count}, K, h, w), got {found}; pass `reshape`")
    return maps.detach()
