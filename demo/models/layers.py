"""Which modules of a classifier Grad-CAM may look at, and their outputs as feature maps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

# A network with at least so many sizes of feature maps has stages; one with fewer has blocks all of one size.
STAGES = 3


# Where the image is changed to see where a layer's maps change, in shares of its height and width: no two in a row or
# column, and none where it would be if the image were turned or mirrored.
PLACES = ((0.1, 0.35), (0.22, 0.8), (0.36, 0.52), (0.48, 0.14), (0.62, 0.9), (0.74, 0.42), (0.88, 0.68))
PATCH = 1 / 8  # the side of what is changed, in the same shares
COARSE = 4  # cells a side, of which each sees much of the image: 1 to 4 of 7 places are found with random weights


def feature_maps(output: Any) -> Tensor:
    """The output of a layer for B square images as (B, K, h, h).

    Args:
        output: (B, K, h, h); or (B, h, h, K) as in torchvision's Swin; or tokens (B, N, K), of which the last h * h
            with the largest h that fits are the image's, row by row, after the class token and its like; or a tuple,
            list or dict whose first value is one of these.

    Raises:
        ValueError: another shape.
    """
    if (tensor := _first(output)) is None:
        raise ValueError(f"an output of the type {type(output).__name__} is no feature maps")
    if tensor.ndim == 4 and tensor.shape[2] == tensor.shape[3]:
        return tensor
    if tensor.ndim == 4 and tensor.shape[1] == tensor.shape[2]:
        return tensor.permute(0, 3, 1, 2)
    if tensor.ndim == 3:
        return token_grid(tensor, int(tensor.shape[1] ** 0.5))
    raise ValueError(f"an output of shape {tuple(tensor.shape)} is no feature maps of a square image")


def _first(output: Any) -> Tensor | None:
    """The tensor that a layer returned, be it the first of several."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


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
    if len(set(sizes.values())) >= STAGES:
        return _last_of_each_size(network, outputs, sizes, classes)
    return _blocks(network, outputs)


def _last_of_each_size(
    network: nn.Module, outputs: Mapping[str, Tensor], sizes: dict[str, int], classes: int
) -> dict[str, nn.Module]:
    last: dict[int, str] = {}
    for name in _units(network, "", sizes):
        if name not in outputs:
            continue
        before = last.pop(sizes[name], name)
        # Maps of the classes themselves, as SqueezeNet ends with, are no features.
        are_classes = _depth(outputs[name]) == classes != _depth(outputs[before])
        last[sizes[name]] = before if are_classes else name
    return {name: network.get_submodule(name) for name in reversed(last.values())}


def _blocks(network: nn.Module, outputs: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """Of the list of modules with the most that have an influence, those that have."""
    influential = {network.get_submodule(name) for name in outputs}
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList | nn.Sequential)]
    blocks = max(map(list, lists), key=lambda parts: sum(part in influential for part in parts), default=[])
    return {name: block for name, block in numbered(blocks).items() if block in influential}


@torch.no_grad()
def in_place(layers: Mapping[str, nn.Module], run: Callable[[Tensor], Any], image: Tensor) -> set[str]:
    """The names of the layers of whose maps cell (i, j) is where (i, j) of the image is.

    The image is changed at one of `PLACES` after the other. The cell of a place should change more than it does by
    any other change: by a vote over the places, since what a network knows of the whole image may reach any cell. A
    layer whose tokens are in another order than the image's is lost. With `COARSE` cells a side one place is enough,
    and fewer cells cannot be told apart.

    Args:
        run: runs the network on an image.
        image: noise, (1, C, H, H).
    """
    generator = torch.Generator().manual_seed(0)
    side = image.shape[-1]
    patch = max(round(PATCH * side), 1)
    before = _maps_of(layers, run, image)
    changes: dict[str, list[Tensor]] = {name: [] for name in before}
    for place in PLACES:
        top, left = (min(max(round(share * side) - patch // 2, 0), side - patch) for share in place)
        changed = image.clone()
        noise = torch.randn(image.shape[1], patch, patch, generator=generator)
        changed[0, :, top : top + patch, left : left + patch] = noise.to(image)
        after = _maps_of(layers, run, changed)
        for name, maps in before.items():
            changes[name].append((after[name] - maps)[0].square().sum(dim=0))
    return {name for name, each in changes.items() if _is_in_place(torch.stack(each))}


def _is_in_place(changes: Tensor) -> bool:
    """Whether of cells that changed so much by a change at each of `PLACES`, (P, h, h), most are where it was."""
    side = changes.shape[1]
    if side < COARSE:
        return True
    cells = [(int(row * side), int(column * side)) for row, column in PLACES]
    # What each change did to the cell of each place: (changes, places).
    at_places = torch.stack([changes[:, row, column] for row, column in cells], dim=1)
    right = [cells[most] == cell for most, cell in zip(at_places.argmax(dim=0).tolist(), cells, strict=True)]
    return sum(right) > (0 if side == COARSE else len(right) / 2) or not changes.any()


def _maps_of(layers: Mapping[str, nn.Module], run: Callable[[Tensor], Any], image: Tensor) -> dict[str, Tensor]:
    """The feature maps of those layers that give some."""
    with _recorded(layers) as outputs:
        run(image)
    maps = {}
    for name, returned in outputs.items():
        with suppress(ValueError, IndexError):
            maps[name] = feature_maps(returned[-1])
    return maps


@contextmanager
def _recorded(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Any]]]:
    """What each module returns while the block runs, call by call, by its name."""
    outputs: dict[str, list[Any]] = {name: [] for name in modules}
    with ExitStack() as hooks:
        for name, module in modules.items():
            keep = outputs[name].append
            hooks.enter_context(module.register_forward_hook(lambda _module, _inputs, output, keep=keep: keep(output)))
        yield outputs


def numbered(blocks: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """The blocks of a transformer by name, counted from 1, the last one first."""
    return {f"block {number}": blocks[number - 1] for number in range(len(blocks), 0, -1)}


def _outputs(network: nn.Module, scores: Callable[[], Tensor]) -> tuple[dict[str, Tensor], dict[str, int], int]:
    """Of the modules that ran once and gave maps of 2 x 2 cells or more: outputs, with influence; and sizes; and C."""
    modules = dict(network.named_modules())
    with torch.enable_grad(), _recorded(modules) as outputs:
        values = scores()
    tensors = {name: _first(returned[0]) for name, returned in outputs.items() if len(returned) == 1}
    found = {
        name: tensor
        for name, tensor in tensors.items()
        if tensor is not None and tensor.requires_grad and _size(tensor) > 1
    }
    if not found:
        return {}, {}, len(values)
    gradients = torch.autograd.grad(values.max(), list(found.values()), allow_unused=True)
    influential = {
        name: output
        for (name, output), gradient in zip(found.items(), gradients, strict=True)
        if gradient is not None and feature_maps(gradient).any() and _computes(modules[name])
    }
    return influential, {name: _size(output) for name, output in found.items()}, len(values)


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
