"""Somebody's own classifier: weights for one of torchvision's architectures, or a model in the hub's format."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from demo.errors import InputError, first_line, nearest
from demo.models import imagenet
from demo.models.classification import Classifier
from demo.models.downloads import Downloads, Repository
from demo.models.hub import open_geometry, open_network
from demo.models.layers import find_layers
from explainers import gradcam_maps


def torchvision_classifier(weights: str, architecture: str, labels: str, layer: str | None, device: str) -> Classifier:
    """A classifier of torchvision with weights and class names from files.

    Args:
        weights: a safetensors file with the state dict.
        architecture: as `torchvision.models.get_model` takes it.
        labels: a text file with the names of the classes, one a line, in the order of the logits.
        layer: the module that Grad-CAM looks at by default, as `named_modules` names it; without it one is found.

    Raises:
        InputError: a file is missing or of another kind, or what they hold does not fit together.
    """
    classes = _read_labels(Path(labels))
    state = _read_weights(Path(weights))
    known = models.list_models(module=models)
    if architecture not in known:
        close = ", ".join(nearest(architecture, known)) or "resnet50, vgg16, vit_b_16 and others"
        raise InputError(f"torchvision has no classifier “{architecture}”. It has {close}.")
    network = _untrained(architecture, len(classes), state)
    _check_fit(network, state, architecture, weights, labels, len(classes))
    whole = network.state_dict()  # has the version that MNASNet asks for
    whole.update(state)
    network.load_state_dict(whole)
    try:
        network.to(device).eval().requires_grad_(False)
        layers = _found_layers(network, network, imagenet.side(architecture, network))
        found = imagenet.classifier(Path(weights).stem, architecture, network, classes, layers)
    except Exception as error:  # pictures of the size that it was made for may be too small
        raise InputError(f"“{weights}” cannot be run as a {architecture}: {first_line(error)}.") from error
    return _with_layer(found, network, layer)


def hub_classifier(repository: str, layer: str | None, device: str) -> Classifier:
    """Any image classifier of transformers, from a folder or the hub's cache, with the class names that it carries.

    Args:
        repository: a folder, or a name on the hub, which is downloaded unless it is here.
        layer: as for `torchvision_classifier`.

    Raises:
        InputError: there is no such model, or it does not fit together.
    """
    folder = Path(repository)
    name = folder.resolve().name
    if folder.is_file():
        raise InputError(f"“{repository}” is a file: give --arch and --labels with it, or a folder instead.")
    if not folder.is_dir():
        if len(folder.parts) > 2:
            raise InputError(f"There is no folder “{repository}”.")
        source = Repository(repository)
        Downloads().fetch(source, repository)
        folder = source.folder
    try:
        network = open_network("AutoModelForImageClassification", folder, device)
        geometry = open_geometry(folder, network)
        logits = _Logits(network)
        layers = _found_layers(network, logits, geometry.side)
        labels = network.config.id2label
        classes = _distinct([str(labels[index]) for index in range(len(labels))])
    except Exception as error:  # a folder of somebody's can be wrong in any way
        said = first_line(error)
        raise InputError(f"“{repository}” cannot be opened as an image classifier of transformers: {said}.") from error
    return _with_layer(Classifier(name, logits, classes, layers, geometry), network, layer)


class _Logits(nn.Module):
    """A classifier of transformers as a plain network, images (N, 3, H, W) to logits (N, C)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(pixel_values=images).logits


def _found_layers(network: nn.Module, logits: nn.Module, side: int) -> dict[str, nn.Module]:
    """The layers of a frozen network whose `logits` are those of images of `side` pixels."""
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    image = noise.to(next(network.parameters()).device).requires_grad_()
    return find_layers(network, lambda: logits(image)[0])


def _read_labels(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise InputError(f"The labels “{path}” cannot be read: give a text file with one class name a line.") from None
    while names and not names[-1]:
        names.pop()
    if len(names) < 2 or "" in names:
        raise InputError(f"The labels “{path}” need at least two lines and no empty one between them.")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"Two classes of “{path}” are called “{twice[0]}”: give each a name of its own.")
    return names


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, a repeated one with a number: two of ImageNet's classes are called "crane"."""
    times: Counter[str] = Counter()
    found = []
    for name in names:
        times[name] += 1
        found.append(name if times[name] == 1 else f"{name} ({times[name]})")
    return found


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"There is no file “{path}”.")
    try:
        # torch.nn.DataParallel puts "module." before every name.
        return {name.removeprefix("module."): tensor for name, tensor in load_file(path).items()}
    except SafetensorError:
        raise InputError(
            f"“{path}” is not a safetensors file: save the state dict with safetensors.torch.save_file."
        ) from None
    except OSError as error:
        raise InputError(f"“{path}” cannot be read: {first_line(error)}.") from None


def _untrained(architecture: str, classes: int, state: dict[str, Tensor]) -> nn.Module:
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if architecture in ("googlenet", "inception_v3"):
        # Their auxiliary classifiers are for training only, and not every file has them.
        auxiliary = any(name.casefold().startswith("aux") for name in state)
        # They transform their input in all that go back to torchvision's weights; the file does not say.
        options |= {"init_weights": False, "aux_logits": auxiliary, "transform_input": True}
    return models.get_model(architecture, **options)


def _check_fit(
    network: nn.Module, state: dict[str, Tensor], architecture: str, weights: str, labels: str, classes: int
) -> None:
    expected = network.state_dict()
    if odd := sorted(expected.keys() ^ state.keys()):
        kind = "lacks" if odd[0] in expected else "has, unlike it,"
        raise InputError(f"“{weights}” is not a {architecture}: it {kind} “{odd[0]}”. Give --arch the right name.")
    differing = [name for name in expected if expected[name].shape != state[name].shape]
    heads = [name for name in differing if expected[name].shape[:1] == (classes,) and state[name].ndim]
    if differing and len(heads) == len(differing):
        raise InputError(f"“{weights}” is for {len(state[heads[0]])} classes, but “{labels}” names {classes}.")
    if differing:
        raise InputError(
            f"“{weights}” is not a {architecture}: its “{differing[0]}” is {tuple(state[differing[0]].shape)}, not "
            f"{tuple(expected[differing[0]].shape)}. Give --arch the right name."
        )


def _with_layer(model: Classifier, network: nn.Module, layer: str | None) -> Classifier:
    """The model with that layer as its default one."""
    if layer is not None:
        modules = dict(network.named_modules())
        if layer not in modules:
            close = nearest(layer, modules) or list(model.layers)
            raise InputError(f"The network has no layer “{layer}”. It has {', '.join(close)}.")
        model.layers = {layer: modules[layer]} | model.layers
    if not model.layers:
        raise InputError("No layer of the network gives feature maps that its scores depend on: name one by --layer.")
    try:
        side = model.geometry.side
        image = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
        first = next(iter(model.layers.values()))
        maps = gradcam_maps(model.score(model.classes[0]), image, first, reshape=model.reshape)
        if maps.shape[-1] < 2:
            raise ValueError("its maps have a single cell")
    except ValueError as error:
        raise InputError(f"The layer “{next(iter(model.layers))}” cannot be used: {error}.") from None
    return model
