"""The autograd graph of one forward pass: its nodes, what each uses, and what uses it.

A node is what torch calls `torch.autograd.graph.Node`: one operation of the forward pass.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.autograd.graph import get_gradient_edge

Users = dict[Any, list[Any]]


def node_of(tensor: Tensor) -> Any:
    """The node that made a tensor, or that of a leaf, which takes up its gradient."""
    return get_gradient_edge(tensor).node


def operation(node: Any) -> str:
    """`Convolution` for a `ConvolutionBackward0`."""
    return re.sub(r"^.*::|Backwards?\d*$", "", node.name())


def inputs(node: Any) -> list[Any]:
    """The nodes whose results a node uses."""
    return [used for used, _ in node.next_functions if used is not None]


def users(top: Any) -> Users:
    """For each node from `top` down, the nodes that use it."""
    found: Users = {top: []}
    pending = [top]
    while pending:
        node = pending.pop()
        for used in inputs(node):
            if used not in found:
                found[used] = []
                pending.append(used)
            found[used].append(node)
    return found


def reached(starts: Iterable[Any], step: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """The nodes that repeated steps lead to, with those where they start."""
    found = dict.fromkeys(starts)
    pending = list(found)
    while pending:
        new = [node for node in step(pending.pop()) if node not in found]
        found.update(dict.fromkeys(new))
        pending.extend(new)
    return list(found)


def above(tensor: Tensor, users: Users) -> list[Any]:
    """The nodes between a tensor and the top of `users`, from the tensor's own up."""
    return reached([node_of(tensor)], lambda node: users.get(node, []))
