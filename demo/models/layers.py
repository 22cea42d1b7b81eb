"""Which modules of a classifier Grad-CAM may look at, and their outputs as feature maps."""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# A network with at least so many sizes of feature maps has stages; one with fewer has blocks all of one size.
STAGES = 3


def feature_maps(output: Tensor) -> Tensor:
    """The output of a layer for B square images as (B, K, h, h).

    Args:
        output: (B, K, h, h); or (B, h, h, K) as in torchvision's Swin; or tokens (B, N, K), of which the last h * h
            with the largest h that fits are the image's, row by row, after the class token and its like.

    Raises:
        ValueError: another shape.
    """
    if output.ndim == 4 and output.shape[2] == output.shape[3]:
        return output
    if output.ndim == 4 and output.shape[1] == output.shape[2]:
        return output.permute(0, 3, 1, 2)
    if output.ndim == 3:
        return token_grid(output, int(output.shape[1] ** 0.5))
    raise ValueError(f"an output of shape {tuple(output.shape)} is no feature maps of a square image")


def token_grid(tokens: Tensor, side: int) -> Tensor:
    """The last side * side of the tokens (B, N, K) as feature maps (B, K, side, side)."""
    return tokens[:, tokens.shape[1] - side * side :].transpose(1, 2).unflatten(2, (side, side))


def find_layers(network: nn.Module, scores: Callable[[], Tensor]) -> dict[str, nn.Module]:
    """Names to the modules of a classifier that give feature maps on the way to its scores, the last one first.

    Of a network whose maps get smaller in stages, the last module of each size, by the name that it has there; of a
    transformer that keeps one size, its blocks, by number. A module without influence is left out, as the last block
    of a transformer whose head reads the class token alone.

    Args:
        network: any module.
        scores: runs it once on one square image and returns the C scores, (C,).
    """
    outputs, sizes, classes = _outputs(network, scores)
    modules = dict(network.named_modules())
    if len(set(sizes.values())) >= STAGES:
        last: dict[int, str] = {}
        for name in _units(network, "", sizes):
            if name not in outputs:
                continue
            before = last.pop(sizes[name], name)
            # Maps of the classes themselves, as SqueezeNet ends with, are no features.
            are_classes = _depth(outputs[name]) == classes != _depth(outputs[before])
            last[sizes[name]] = before if are_classes else name
        return {name: modules[name] for name in reversed(last.values())}
    lists = [module for module in modules.values() if isinstance(module, nn.ModuleList | nn.Sequential)]
    counting = {modules[name] for name in outputs}
    blocks = max(map(list, lists), key=lambda parts: sum(part in counting for part in parts), default=[])
    return {name: block for name, block in numbered(blocks).items() if block in counting}


def numbered(blocks: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """The blocks of a transformer by name, counted from 1, the last one first."""
    return {f"block {number}": blocks[number - 1] for number in range(len(blocks), 0, -1)}


def _outputs(network: nn.Module, scores: Callable[[], Tensor]) -> tuple[dict[str, Tensor], dict[str, int], int]:
    """Of the modules that ran once and gave maps of 2 x 2 cells or more: outputs, if they count; and sizes; and C."""
    ran: Counter[str] = Counter()
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> None:
            ran[name] += 1
            if isinstance(output, Tensor) and output.requires_grad and _size(output) > 1:
                found[name] = output

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in network.named_modules()]
    try:
        with torch.enable_grad():
            values = scores()
    finally:
        for handle in handles:
            handle.remove()
    found = {name: output for name, output in found.items() if ran[name] == 1}
    if not found:
        return {}, {}, len(values)
    gradients = torch.autograd.grad(values.max(), list(found.values()), allow_unused=True)
    modules = dict(network.named_modules())
    counting = {
        name: output
        for (name, output), gradient in zip(found.items(), gradients, strict=True)
        if gradient is not None and feature_maps(gradient).any() and _computes(modules[name])
    }
    return counting, {name: _size(output) for name, output in found.items()}, len(values)


def _size(output: Tensor) -> int:
    """The side of square feature maps of one image, or 0 for anything else."""
    if len(output) != 1:
        return 0
    try:
        return feature_maps(output).shape[-1]
    except ValueError:
        return 0


def _depth(output: Tensor) -> int:
    """How many feature maps there are."""
    return feature_maps(output).shape[1]


def _computes(module: nn.Module) -> bool:
    """Whether it is more than pooling, dropout or another view of its input."""
    return any(True for _ in module.parameters()) or type(module).__module__ == "torch.nn.modules.activation"


def _units(module: nn.Module, name: str, sizes: dict[str, int]) -> list[str]:
    """The parts of a module that lie within one stage, or between two neighbouring ones."""
    prefix = f"{name}." if name else ""
    within = {size for other, size in sizes.items() if other.startswith(prefix)}
    if name and (not within or (len(within) < STAGES and name in sizes)):
        return [name]
    return [unit for child, part in module.named_children() for unit in _units(part, prefix + child, sizes)] or [name]
