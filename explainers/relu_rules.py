"""How ReLUs pass the gradient on its way to the pixels: true gradient, Deconvolution or Guided Backprop.

The rule is laid on the autograd graph of one forward pass, not on the model: every spelling of ReLU
(`nn.ReLU`, `F.relu`, `torch.relu`, in place or not, `ReLU6`) leaves the same kind of node there, no other
thread can see the graph, and the model is not touched.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from explainers.graph import above, users

Rule = Literal["guided", "deconv", "plain"]
RULES: tuple[Rule, ...] = get_args(Rule)

Gradients = tuple[Tensor | None, ...]

# What computes a ReLU in place, and the same out of place. The functions in the second line have an argument for it.
_OUT_OF_PLACE: dict[Callable, Callable] = {
    **{function: function for function in (F.relu, F.relu6, F.hardtanh, F.threshold)},
    torch.relu_: torch.relu,
    Tensor.relu_: torch.relu,
    F.hardtanh_: F.hardtanh,
    torch.threshold_: torch.threshold,
    torch.clamp_: torch.clamp,
    Tensor.clamp_: torch.clamp,
    torch.clamp_min_: torch.clamp_min,
    Tensor.clamp_min_: torch.clamp_min,
}


class InPlaceOnViews(TorchFunctionMode):
    """While it is on, a ReLU that works in place on a view leaves its node in the graph.

    Autograd would hide it within a node that writes the view back. As other modes of torch, it acts in its
    own thread alone.
    """

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        replacement = _OUT_OF_PLACE.get(function)
        in_place = replacement is not function or kwargs.get("inplace")
        if replacement is None or not in_place or args[0]._base is None:
            return function(*args, **kwargs)
        if "inplace" in kwargs:
            kwargs = kwargs | {"inplace": False}
        return args[0].copy_(replacement(args[0].clone(), *args[1:], **kwargs))


def relu_nodes(output: Tensor, leaf: Tensor) -> list[Any]:
    """The autograd nodes of the ReLUs that lie between `leaf` and `output`.

    A ReLU is `max(x, 0)` or `min(max(x, 0), 6)` computed by a relu, hardtanh, threshold or clamp operation
    with numbers for bounds. Leaky and parametric ReLUs are not ReLUs. What has no node of its own cannot be
    recognised: `x * (x > 0)`, and what scripted or compiled modules fuse. ReLUs that the image does not
    reach (those of a question encoder, say) are left out.

    Args:
        output: tensor of any shape, computed from `leaf`.
        leaf: tensor with `requires_grad` that has no history.

    Returns:
        Nodes of `torch.autograd.graph.Node`, in no particular order.
    """
    return [node for node in above(leaf, users(output.grad_fn)) if is_relu(node)]


def is_relu(node: Any) -> bool:
    """Whether a node is that of a ReLU; see `relu_nodes`."""
    match node.name():
        case "ReluBackward0":
            return True
        case "HardtanhBackward0":
            return (node._saved_min_val, node._saved_max_val) == (0, 6)
        case "ThresholdBackward0":
            return node._saved_threshold == 0
        case "ClampMinBackward0":
            return node._saved_min == 0
        case "ClampBackward1":
            return node._saved_min == 0 and node._saved_max in (None, 6)
    return False


def follow(rule: Rule, nodes: list[Any]) -> list[Any]:
    """Make the next backward passes through `nodes` follow `rule`.

    With g the gradient that arrives at a ReLU with input x (Springenberg et al. 2015, figure 1, whose
    Guided Backprop the paper's section 3.1 takes over):

    - plain: `g * [x > 0]`
    - deconv: `g * [g > 0]`
    - guided: `g * [x > 0] * [g > 0]`

    Returns:
        Handles with a `remove()` method.
    """
    hooks = {"guided": _clamp_passed, "deconv": _clamp_arrived}
    return [node.register_hook(hooks[rule]) for node in nodes] if rule in hooks else []


# torch gives None for a gradient that is zero throughout.


def _clamp_passed(passed: Gradients, _arrived: Gradients) -> None:
    if passed[0] is not None:
        passed[0].clamp_(min=0)  # in place, as the node has just made it


def _clamp_arrived(passed: Gradients, arrived: Gradients) -> Gradients:
    return arrived[0] if arrived[0] is None else arrived[0].clamp(min=0), *passed[1:]
