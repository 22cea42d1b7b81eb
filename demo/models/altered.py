"""Networks with other weights than the trained ones: what must change an explanation, and what to trust less.

All are copies. A copy has modules of its own, so that hooks on one do not reach the other; its tensors are new where
values differ, and otherwise those of the original, which other threads may go on computing with. What is random
depends on the seed alone, not on the global random state, and is the same on every device.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from demo.errors import InputError
from demo.models.captioning import Captioner
from demo.models.classification import Classifier
from demo.models.network import Model
from demo.models.vqa import Answerer
from demo.query import Randomised, Weights

FEWEST_BLOCKS = 5

# The scale and the seed of the noise with which the shipped ResNet-50 is right about half of 250 photographs, 54%
# instead of 86%, with the same prediction for seven examples: `python -m evaluation.imagenet_accuracy DATA --noise`.
# Those photographs are easier than ImageNet's validation set, and may have been in its training set.
WORSE = 0.20
WORSE_SEED = 2


def blocks_of(network: nn.Module) -> list[str]:
    """The blocks of a classifier from the logits down, for `randomised`, by the names that `named_modules` gives.

    They are the parts of the network that have parameters, in the reverse of the order in which it defines them; if
    these are fewer than `FEWEST_BLOCKS`, their parts, and so on. Of a ResNet: fc, layer4, layer3, layer2, layer1 and
    conv1, where batch norms are folded.
    """
    names, parts = [""], _parts(network, "")
    while parts != names and len(names) < FEWEST_BLOCKS:
        names = parts
        parts = [part for name in names for part in _parts(network.get_submodule(name), name)]
    return names[::-1]


def _parts(module: nn.Module, name: str) -> list[str]:
    """The names of a module's children with parameters; its own if it has none."""
    children = [
        child
        for child, part in module.named_children()
        if any(True for _ in part.parameters()) and type(part).__name__ != "InceptionAux"  # runs in training alone
    ]
    return [f"{name}.{child}".lstrip(".") for child in children] or [name]


@torch.no_grad()
def randomised(network: nn.Module, names: Iterable[str], seed: int = 0) -> nn.Module:
    """A copy in which some blocks have learnt nothing.

    With `blocks_of(network)[:count]` for count = 1, 2, ... this is the cascading randomisation of Adebayo et al.,
    "Sanity Checks for Saliency Maps", NeurIPS 2018; the blocks that two counts have in common get the same weights.

    A weight (of two or more dimensions) gets normal values with mean zero and the standard deviation of its trained
    ones; a bias, zeros; the scales of a normalisation, their mean. So drawn, the root mean square of what each stage
    of the shipped ResNet-50 gives, and of its logits, stays between 0.5 and 8 times the trained one (three seeds,
    every count, the example photographs). Nothing else holds the activations where batch norms are folded: with
    Kaiming's values, which a training starts from, they grow up to 43-fold, with the trained biases up to 20-fold.

    Args:
        network: as it is used, with its trained weights.
        names: of modules, the topmost first.
    """
    generator = torch.Generator().manual_seed(seed)
    values: dict[nn.Parameter, Tensor] = {}
    for name in names:
        for path, parameter in network.get_submodule(name).named_parameters():
            if parameter.ndim > 1:
                values[parameter] = parameter.std(correction=0) * _noise(parameter, generator)
            else:
                fill = 0.0 if "bias" in path.rpartition(".")[2] else parameter.mean().item()
                values[parameter] = torch.full_like(parameter, fill)
    return _copied(network, values)


@torch.no_grad()
def worsened(network: nn.Module, scale: float, seed: int = 0) -> nn.Module:
    """A copy whose weights w, of two or more dimensions, are w (1 + scale n), with n normal for each; biases stay.

    In proportion to each weight, so that filters of any size are disturbed alike. With `WORSE` and `WORSE_SEED` a
    less reliable network for the question of the paper's section 5.2: which of two would you trust?
    """
    generator = torch.Generator().manual_seed(seed)
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    return _copied(network, {weight: weight * (1 + scale * _noise(weight, generator)) for weight in weights})


def blocks(model: Model) -> list[str]:
    """What `altered` makes random of a model, from the top down; nothing of one that it cannot alter.

    The names are those of modules of `_parts_of`.
    """
    if not isinstance(model, Classifier | Captioner | Answerer):
        return []
    # Where something else than the network's last linear layer stands above its features, that is not used.
    unused = {"fc"} if model.above else set()
    return [*model.above, *(f"_network.{name}" for name in blocks_of(model._network) if name not in unused)]


def altered(model: Model, weights: Weights) -> Model:
    """The model with other weights: noisy, by `WORSE`, or the first of its `blocks` random.

    Raises:
        InputError: no such weights, or this model's are never altered.
    """
    names = blocks(model)
    if not names:
        raise InputError(f"The weights of {model.name} can't be changed: leave them as trained.")
    if isinstance(weights, Randomised) and not 0 <= weights.randomised_blocks <= len(names):
        raise InputError(f"{model.name} has {len(names)} blocks to randomise, not {weights.randomised_blocks}.")
    parts = _parts_of(model)
    if isinstance(weights, Randomised):
        made = randomised(parts, names[: weights.randomised_blocks])
    else:
        made = worsened(parts, WORSE, WORSE_SEED)
    other = copy.copy(model)
    for name, part in made.named_children():
        setattr(other, name, part)
    other.layers = same_layers(model.layers, parts, made)
    return other


def _parts_of(model: Model) -> nn.Module:
    """The modules of a model, by the names of its attributes."""
    return nn.ModuleDict({name: getattr(model, name) for name in (*model.above, "_network")})


def same_layers(layers: Mapping[str, nn.Module], network: nn.Module, altered: nn.Module) -> dict[str, nn.Module]:
    """The modules of a copy that stand where `layers` stand in its original, by the same keys."""
    names = {module: name for name, module in network.named_modules()}
    return {key: altered.get_submodule(names[layer]) for key, layer in layers.items()}


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape and layout, and on the device, of a tensor."""
    return torch.empty_like(like).copy_(torch.randn(like.shape, generator=generator))


def _copied(network: nn.Module, values: Mapping[nn.Parameter, Tensor]) -> nn.Module:
    """A copy with these values of some parameters; it shares all other tensors, and has no forward hooks."""
    memo: dict[int, object] = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    memo |= {id(old): nn.Parameter(new, old.requires_grad) for old, new in values.items()}
    # Those of whoever explains the original meanwhile: they come and go, and would stay in the copy for good.
    memo |= {id(module._forward_hooks): OrderedDict() for module in network.modules()}
    return copy.deepcopy(network, memo)
