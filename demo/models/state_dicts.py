"""State dicts as people have them, brought to the names and sizes of torchvision's networks."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torchvision import models

from demo.errors import InputError, first_line

State = dict[str, Tensor]

NAMED = 3  # of the names in an error
COUNTER = "num_batches_tracked"  # of the batches that a batch norm has seen
# What torch.nn.DataParallel, torch.compile and others put into the names of what they wrap.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Their auxiliary classifiers are for training only, and not every file has them.
AUXILIARY = {"googlenet": "aux", "inception_v3": "AuxLogits"}


def read_weights(path: Path) -> tuple[State, dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata.

    Raises:
        InputError: there is no such file, or it is of another kind.
    """
    if not path.is_file():
        raise InputError(f"There is no file “{path}”.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError:
        raise InputError(
            f"“{path}” is not a safetensors file: save the state dict with safetensors.torch.save_file."
        ) from None
    except OSError as error:
        raise InputError(f"“{path}” cannot be read: {first_line(error)}.") from None


def fitted(state: State, architecture: str, weights: str) -> tuple[State, dict[str, Any], list[str]]:
    """The tensors of a file by torchvision's names, the options of the network that they fit, and its head's names.

    The options are those of `untrained`. The head is what has a row for each class: a weight, and mostly a bias.

    Raises:
        InputError: they do not fit that architecture, of any number of classes, one or three channels and, of a
            vision transformer, any size of image; the message names what differs.
    """
    options: dict[str, Any] = {"num_classes": 2}
    network = _template(architecture, options)
    expected = network.state_dict()
    other = _template(architecture, {"num_classes": 3}).state_dict()
    head = [name for name in expected if expected[name].shape != other[name].shape]
    state = _renamed(state, expected, head, AUXILIARY.get(architecture))
    _check_names(state, expected, architecture, weights)
    options["num_classes"] = _size(state[head[0]], 0)
    first = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    if (channels := _size(state[f"{first}.weight"], 1)) in (1, 3):
        options["channels"] = channels
    elif channels > 0:
        raise InputError(
            f"“{weights}” takes images of {channels} channels: train it on colour (3) or grey (1) images."
        )
    if isinstance(network, models.VisionTransformer):
        cells = math.isqrt(max(_size(state["encoder.pos_embedding"], 1) - 1, 1))
        options["image_size"] = cells * network.patch_size
    _check_tensors(state, _template(architecture, options).state_dict(), architecture, weights)
    return state, options, head


def _check_names(state: State, expected: Mapping[str, Tensor], architecture: str, weights: str) -> None:
    missing = [name for name in expected if name not in state and not name.endswith(COUNTER)]
    unexpected = [name for name in state if name not in expected]
    if missing or unexpected:
        differences = [f"it lacks {_listed(missing)}"] if missing else []
        differences += [f"it has {_listed(unexpected)}, which a {architecture} has not"] if unexpected else []
        is_like = len(missing) < len(expected) / 2
        todo = f"Save that of torchvision's {architecture} as it is" if is_like else "Give --arch the right name"
        raise InputError(f"“{weights}” is not a {architecture}: {', and '.join(differences)}. {todo}.")


def _check_tensors(state: State, expected: Mapping[str, Tensor], architecture: str, weights: str) -> None:
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
            raise InputError(f"“{weights}” is not a {architecture}: its “{name}” is {shapes}.")
        if expected[name].is_floating_point() and not tensor.is_floating_point():
            raise InputError(f"“{weights}” holds {tensor.dtype} numbers in “{name}”: save it in float32 or float16.")


def untrained(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    """A network of torchvision with random weights.

    Args:
        options: as `torchvision.models.get_model` takes them, and `channels`, of its images, if not three.
    """
    given = {key: value for key, value in options.items() if key != "channels"}
    channels = options.get("channels", 3)
    if architecture in AUXILIARY:
        # They transform colour images in all that go back to torchvision's weights; the file does not say.
        given |= {"init_weights": False, "aux_logits": False, "transform_input": channels == 3}
    network = models.get_model(architecture, weights=None, **given)
    if channels != 3:
        first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
        first.weight = nn.Parameter(first.weight[:, :channels].detach().clone())
        first.in_channels = channels
    return network


def _template(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    """A network that has names and shapes, and where that is possible no weights, which take time to draw."""
    try:
        with torch.device("meta"):
            return untrained(architecture, options)
    except NotImplementedError:  # RegNets compute with tensors while they are built
        return untrained(architecture, options)


def _renamed(state: State, expected: Mapping[str, Tensor], head: list[str], auxiliary: str | None) -> State:
    """The tensors by the expected names, as far as their own ones tell; counters of batches and the like left out."""
    state = {".".join(part for part in name.split(".") if part not in WRAPPERS): state[name] for name in state}
    prefix = _prefix(state, expected)
    inside: State = {}
    beside: State = {}
    for name, tensor in state.items():
        part = inside if name.startswith(prefix) else beside
        name = name.removeprefix(prefix)
        if not (_is_counter(name, tensor, expected) or (auxiliary and name.startswith(auxiliary))):
            part[name] = tensor
    missing = sorted(name for name in expected if name not in inside and not name.endswith(COUNTER))
    if not missing:
        return inside  # what lies beside it is of the training, as its loss
    whole = inside | beside
    others = sorted(name for name in whole if name not in expected)
    # A head that was wrapped, nn.Sequential(nn.Dropout(), nn.Linear(...)), or that has a name of its own.
    if missing == sorted(head) and list(map(_last_part, others)) == list(map(_last_part, missing)):
        for name, other in zip(missing, others, strict=True):
            whole[name] = whole.pop(other)
    return whole


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _prefix(names: Iterable[str], expected: Mapping[str, Tensor]) -> str:
    """What most names have before an expected one: "model." of "model.conv1.weight"."""
    found: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        start = next((start for start in range(len(parts)) if ".".join(parts[start:]) in expected), None)
        if start is not None:
            found["".join(f"{part}." for part in parts[:start])] += 1
    return found.most_common(1)[0][0] if found else ""


def _is_counter(name: str, tensor: Tensor, expected: Mapping[str, Tensor]) -> bool:
    """Whether it counts batches or the like, which no evaluation needs."""
    return name.endswith(COUNTER) or (name not in expected and tensor.ndim == 0 and not tensor.is_floating_point())


def _size(tensor: Tensor, dimension: int) -> int:
    """The size of a dimension, or 0 where there is none."""
    return tensor.shape[dimension] if dimension < tensor.ndim else 0


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"“{name}”" for name in names[:NAMED]) + more
