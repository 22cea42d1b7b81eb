"""Excitation backprop (Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016).

The Grad-CAM paper compares with its contrastive form, c-MWP.

A score is a winner that passes its probability of winning down the network. A neuron gives its probability P(a_i) to
the neurons a_j that feed it, in proportion to what they add to it through excitatory, that is positive, weights (the
paper's equations 1 and 2):

    P(a_j) = sum_i P(a_j | a_i) P(a_i),    P(a_j | a_i) = a_j w_ij^+ / sum_k a_k w_ik^+

As the ReLU rules, this is laid on the autograd graph of one forward pass: a backward pass then carries probabilities
in the place of gradients.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explainers import graph
from explainers.gradcam import (
    Reshape,
    Score,
    _check_images,
    _differentiable,
    _feature_maps,
    _filled,
    _gradients,
    forward_pass,
)
from explainers.relu_rules import Gradients, is_relu

# A rule's work on what arrives at a node from above, and on what the node then passes on below.
Hooks = tuple[Callable[[Gradients], Gradients] | None, Callable[[Gradients, Gradients], Gradients] | None]

# A sum below this counts as zero: a probability divided by it could leave float32's range.
_ZERO = torch.finfo(torch.float32).tiny ** 0.5


def excitation_maps(
    score: Score,
    image: Tensor,
    layer: nn.Module | None,
    *,
    contrastive: bool = False,
    reshape: Reshape | None = None,
) -> Tensor:
    """The marginal winning probability of every cell of a layer for each of T scores, or of every pixel.

    As `explain`, it runs the model once, leaves it as it was, and may run in several threads on one model. The model
    is in evaluation mode, and what it computes between the layer and the scores is convolutions and linear layers,
    batch norms, ReLUs, pooling, sums, and what moves numbers without computing. The parts of the rules that the paper
    leaves open:

    - A batch norm on a convolution or linear layer is one linear map with it; any other passes probabilities as they
      are, as do ReLUs and biases.
    - Sums, means and average pooling share in proportion to the positive parts of what they add.
    - Where inputs are negative, as the first convolution's, a negative input through a negative weight is excitatory.
    - A neuron that nothing excites loses its probability.

    Args:
        score, image, reshape: as for `explain`.
        layer: the module whose output gets the probabilities, as for `explain`, or None for the pixels.
        contrastive: give c-MWP. At the topmost linear or convolution layers it takes from the score's probabilities
            those of its dual neuron, which has all weights negated (section 3.3). What is below 0 in the end,
            after the sum over channels, becomes 0.

    Returns:
        float32 (T, h, w), or (T, H, W) for the pixels, at least 0, detached: probabilities summed over the channels.
        Without contrast a map sums to 1 where nothing is lost and no path goes around the layer.

    Raises:
        ValueError: as `explain`; or there is no rule for what the model computes between the layer and the scores; or
            there is nothing linear to contrast.
    """
    _check_images(image, 1)
    with torch.inference_mode(False), torch.enable_grad():
        with _Sums() as sums, forward_pass(image, [] if layer is None else [layer]) as passed:
            scores = score(passed.images)
        (output,) = passed.outputs(scores) or [passed.leaf]
        users = graph.users(scores.grad_fn)
        network = _Network(users, set(graph.above(passed.leaf, users)), sums)
        goal = _used(output, network)
        nodes = graph.above(goal, users)[1:]
        with _rules_on(nodes, network, contrastive=contrastive):
            name = "image" if layer is None else "layer's output"
            passes = _gradients(scores, [goal], torch.eye(len(scores)).to(scores), name, last=True)
        reshape = None if layer is None else reshape
        maps = [_feature_maps(_filled(output, {id(goal): p}), reshape, 1) for (p,) in passes]
        return torch.cat(maps).float().sum(dim=1).clamp(min=0)


@contextmanager
def _rules_on(nodes: list[Any], network: "_Network", *, contrastive: bool) -> Iterator[None]:
    """Have backward passes through the nodes carry probabilities while the block runs."""
    contrasted = _topmost(nodes) if contrastive else set()
    if contrastive and nodes and not contrasted:
        raise ValueError("there is no linear or convolution layer to contrast between the scores and the layer")
    with ExitStack() as hooks:
        for node in reversed(nodes):  # so that an error is about the topmost node without a rule
            before, after = _rule(node, network, contrasted=node in contrasted)
            if before is not None:
                hooks.callback(node.register_prehook(before).remove)
            if after is not None:
                hooks.callback(node.register_hook(after).remove)
        yield


def _used(output: Any, network: "_Network") -> Tensor:
    """The tensor in what a layer returned that the scores depend on; if they depend on none of them, the first."""
    parts = {id(part): part for part in _differentiable(output)}
    used = [part for part in parts.values() if graph.node_of(part) in network.users]
    if len(used) > 1:
        raise ValueError(f"the layer returns {len(used)} tensors that the scores depend on, not one")
    return (used or list(parts.values()))[0]


class _Sums(TorchFunctionMode):
    """While it is on, it keeps what autograd does not keep of a forward pass in this thread and the rules need.

    - Of a linear layer the input, which autograd keeps for the gradient of the weight alone: frozen weights get one.
    - Of a sum or a mean the positive parts of what it adds.
    - A sum in place overwrites what it adds: it becomes a sum, and a copy of it into that place. Copies into a view
      are kept, because their nodes look like those of any other work on it.

    Attributes:
        parts: for the node of a sum, the positive parts of what it adds, and their sum.
        copies: the nodes of copies into views.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[Any, tuple[list[Tensor], Tensor]] = {}
        self.copies: set[Any] = set()

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function == Tensor.add_:
            return self._add_as_copy(*args, **kwargs)
        if function == F.linear:
            args = _with_gradient_of_weight(args)
        result = function(*args, **kwargs)
        if isinstance(result, Tensor) and result.grad_fn is not None:
            if function == Tensor.copy_ and result._base is not None:
                self.copies.add(result._base.grad_fn)
            self._keep_sum(function, args, kwargs, result)
        return result

    def _add_as_copy(self, into: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """A sum in place, as a sum that is kept and a copy, since it overwrites what it adds."""
        with self:
            return into.copy_(torch.add(into.clone(), *args, **kwargs))

    def _keep_sum(self, function: Callable, args: tuple, kwargs: dict[str, Any], result: Tensor) -> None:
        node = _node_of(result)
        if graph.operation(node) in _SUMS and _is_made_from(node, args):
            positive = [value.detach().clamp(min=0) if isinstance(value, Tensor) else value for value in args]
            parts = [value for value in positive if isinstance(value, Tensor)]
            self.parts[node] = parts, function(*positive, **kwargs)


def _with_gradient_of_weight(args: tuple) -> tuple:
    """Arguments of `F.linear` with which autograd keeps its input, as only the gradient of the weight needs that."""
    if len(args) < 2 or args[1].requires_grad:
        return args
    return args[0], args[1].detach().requires_grad_(), *args[2:]


def _node_of(result: Tensor) -> Any:
    """The node of the operation that made a tensor. A mean whose channels are last is viewed by another node."""
    node: Any = result.grad_fn
    return node.next_functions[0][0] if graph.operation(node) == "AsStrided" else node


def _is_made_from(node: Any, args: tuple) -> bool:
    """Whether a node has the inputs of a call. Else it is of a later operation within the call, which no mode sees."""
    operands = {None, *(value.grad_fn for value in args if isinstance(value, Tensor))}
    return operands.issuperset(used for used, _ in node.next_functions)


@dataclass(frozen=True)
class _Network:
    """The autograd nodes of a forward pass: those that use each, those that the image reaches, and what is kept."""

    users: graph.Users
    from_image: set[Any]
    sums: _Sums

    def operands(self, node: Any) -> list[int]:
        """Which inputs of a node depend on the image."""
        return [index for index, (used, _) in enumerate(node.next_functions) if used in self.from_image]


def _topmost(nodes: list[Any]) -> set[Any]:
    """The linear and convolution nodes with no other such node above them."""
    linear = {node for node in nodes if graph.operation(node) in _LINEAR}
    return linear.difference(graph.reached([used for node in linear for used in graph.inputs(node)], graph.inputs))


def _rule(node: Any, network: _Network, *, contrasted: bool) -> Hooks:
    """What carries probabilities through a node, in the place of its gradient."""
    operation = graph.operation(node)
    if operation in _MOVES or node in network.sums.copies:
        return None, None
    if is_relu(node):
        return None, _pass_on
    if operation in _LINEAR:
        hooks = _linear(node, network, contrasted=contrasted)
    else:
        hooks = _RULES[operation](node, network) if operation in _RULES else None
    if hooks is None:
        raise ValueError(
            "excitation follows weighted sums from a score down to the layer, and there is no rule for "
            f"{operation}, with which this network computes between them"
        )
    return hooks


def _pass_on(passed: Gradients, arrived: Gradients) -> Gradients:
    (p,) = arrived
    return tuple(None if g is None or p is None else p.sum_to_size(g.shape) for g in passed)


@dataclass(frozen=True)
class _Linear:
    """A linear map: its input, which is the node's at `place`, its weight; and the map and its transpose of others."""

    place: int
    x: Tensor
    weight: Tensor
    neurons: tuple[int, ...]  # the shape in which one number for each output neuron or channel multiplies the weight
    forward: Callable[[Tensor, Tensor], Tensor]
    transposed: Callable[[Tensor, Tensor], Tensor]


def _convolution(node: Any) -> _Linear | None:
    if node._saved_transposed:
        return None
    x, weight = node._saved_input, node._saved_weight
    options: Any = [None, node._saved_stride, node._saved_padding, node._saved_dilation, False]
    options += [node._saved_output_padding, node._saved_groups]

    def transposed(q: Tensor, w: Tensor) -> Tensor:
        return torch.ops.aten.convolution_backward(q, x, w, *options, (True, False, False))[0]

    neurons = (-1,) + (1,) * (weight.ndim - 1)
    return _Linear(0, x, weight, neurons, lambda a, w: torch.convolution(a, w, *options), transposed)


def _matrix_product(node: Any) -> _Linear | None:
    """Of `nn.Linear`: rows of inputs times the transposed weight, plus a bias or not."""
    place, x = (1, node._saved_mat1) if graph.operation(node) == "Addmm" else (0, node._saved_self)
    if x is None:
        return None
    return _Linear(place, x, node._saved_mat2, (1, -1), torch.matmul, lambda q, w: q @ w.T)


def _linear_layer(node: Any) -> _Linear | None:
    """Of `nn.Linear` where it has a kernel of its own, as on MPS: the weight is not transposed."""
    if node._saved_input is None:
        return None
    return _Linear(0, node._saved_input, node._saved_weight, (-1, 1), lambda a, w: a @ w.T, torch.matmul)


def _linear(node: Any, network: _Network, *, contrasted: bool) -> Hooks | None:
    """Equations 1 and 2, and the contrast at the top."""
    linear = _LINEAR[graph.operation(node)](node)
    if linear is None or network.operands(node) != [linear.place]:
        return None
    weight = linear.weight * _signs_of_batch_norm(network.users[node], linear)

    def probabilities_of_input(p: Tensor) -> Tensor:
        excited = _excite(linear, weight, p)
        return excited - _excite(linear, -weight, p) if contrasted else excited

    def replace_gradients(passed: Gradients, arrived: Gradients) -> Gradients:
        if arrived[0] is None:
            return passed
        below = probabilities_of_input(arrived[0])
        return tuple(below if place == linear.place else None for place in range(len(passed)))

    return None, replace_gradients


def _signs_of_batch_norm(users: list[Any], linear: _Linear) -> Tensor | float:
    """The signs of the scales in the batch norm on a linear map: all that does not cancel of them in equation 2."""
    if len(users) != 1 or graph.operation(users[0]) not in _BATCH_NORMS or users[0]._saved_weight is None:
        return 1.0
    return users[0]._saved_weight.sign().to(linear.weight).reshape(linear.neurons)


def _excite(linear: _Linear, weight: Tensor, p: Tensor) -> Tensor:
    """Equations 1 and 2: P(a_j) of the inputs from P(a_i) of the outputs."""
    x = linear.x
    excitatory = [(x.clamp(min=0), weight.clamp(min=0))]
    if (x < 0).any():
        excitatory.append((x.clamp(max=0), weight.clamp(max=0)))
    q = _divide(p, sum((linear.forward(a, w) for a, w in excitatory), torch.zeros_like(p)))
    return sum((a * linear.transposed(q, w) for a, w in excitatory), torch.zeros_like(x))


def _divide(p: Tensor, total: Tensor) -> Tensor:
    return torch.where(total > _ZERO, p / total, 0)


def _batch_norm(node: Any, network: _Network) -> Hooks | None:
    return None if node._saved_training else (None, _pass_on)


def _sum(node: Any, network: _Network) -> Hooks | None:
    """In proportion to the positive parts of what is summed or averaged. A constant gets nothing, as biases do."""
    if len(network.operands(node)) < len(node.next_functions):
        return None, None
    if node not in network.sums.parts or getattr(node, "_saved_alpha", 1) != 1:
        return None
    parts, total = network.sums.parts[node]

    def divide(arrived: Gradients) -> Gradients:
        return tuple(p if p is None else _divide(p, total) for p in arrived)

    def multiply(passed: Gradients, _: Gradients) -> Gradients:
        return tuple(q if q is None else q * part for q, part in zip(passed, parts, strict=True))

    return divide, multiply


def _constant(node: Any, network: _Network) -> Hooks | None:
    """Multiplied or divided by a positive constant, or less a constant: no other neuron comes in."""
    operands, operation = network.operands(node), graph.operation(node)
    if len(operands) > 1 or (operation != "Mul" and operands != [0]):
        return None
    constant = node._saved_self if operands == [1] else 1 if operation == "Sub" else node._saved_other
    return (None, _pass_on) if torch.as_tensor(constant).gt(0).all() else None


_LINEAR: dict[str, Callable[[Any], _Linear | None]] = {
    "Convolution": _convolution,
    "Addmm": _matrix_product,
    "Mm": _matrix_product,
    "Linear": _linear_layer,
}
_BATCH_NORMS = {"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"}
_SUMS = {"Add", "Sum", "Mean", "AvgPool2D", "AdaptiveAvgPool2D"}
_RULES: dict[str, Callable[[Any, _Network], Hooks | None]] = {
    **dict.fromkeys(_BATCH_NORMS, _batch_norm),
    **dict.fromkeys(_SUMS, _sum),
    **dict.fromkeys(("Mul", "Div", "Sub"), _constant),
}

# Each number of theirs is one of the input's. Their gradient is their rule: the winner takes all of a maximum's.
_MOVES = {
    *("Alias", "AsStrided", "Cat", "Clone", "ConstantPadNd", "Copy", "Expand", "Gather", "Index", "IndexSelect"),
    *("Permute", "ReshapeAlias", "Select", "Slice", "Split", "SplitWithSizes", "Squeeze", "Stack", "T", "ToCopy"),
    *("Transpose", "Unbind", "UnsafeView", "Unsqueeze", "View"),
    *("AdaptiveMaxPool2D", "Amax", "Max", "MaxPool2D", "MaxPool2DWithIndices"),
}
