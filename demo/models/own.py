"""Somebody's own classifier: weights for one of torchvision's architectures, or a model in the hub's format."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from demo.errors import InputError, first_line, nearest
from demo.models import imagenet
from demo.models.classification import MULTI_LABEL, Classifier, distinct
from demo.models.downloads import Downloads, Repository
from demo.models.hub import class_names, open_geometry, open_network
from demo.models.layers import find_layers, in_place
from demo.models.network import channels_of
from demo.models.processors import UnfitError
from demo.models.state_dicts import fitted, read_weights, untrained
from explainers import gradcam_maps


def torchvision_classifier(weights: str, architecture: str, labels: str, layer: str | None, device: str) -> Classifier:
    """A classifier of torchvision with weights and class names from files.

    Args:
        weights: a safetensors file with the state dict, also of the network as something else wrapped it. If its
            metadata has a `problem_type` of `MULTI_LABEL`, several classes may be true of an image.
        architecture: as `torchvision.models.get_model` takes it.
        labels: a text file with the names of the classes, one a line, in the order of the logits. Of one logit, the
            class that it is for, or before that also the other one.
        layer: the module that Grad-CAM looks at by default, as `named_modules` names it; without it one is found.

    Raises:
        InputError: a file is missing or of another kind, or what they hold does not fit together.
    """
    classes = distinct(_read_labels(Path(labels)))
    state, metadata = read_weights(Path(weights))
    known = models.list_models(module=models)
    if architecture not in known:
        close = ", ".join(nearest(architecture, known)) or "resnet50, vgg16, vit_b_16 and others"
        raise InputError(f"torchvision has no classifier “{architecture}”. It has {close}.")
    state, options, head = fitted(state, architecture, weights)
    logits = options["num_classes"]
    if logits == 1 and len(classes) == 2 and state[head[0]].ndim != 2:  # SqueezeNet, whose logits are after a ReLU
        raise InputError(
            f"“{weights}” has one logit, and a {architecture} computes none for the other class. "
            f"Name one class in “{labels}”."
        )
    if logits == 1 and len(classes) == 2:  # the one logit is that of the second class, and of the first its negative
        state |= {name: torch.cat([-state[name], state[name]]) for name in head}
        options["num_classes"] = 2
    elif logits != len(classes):
        raise InputError(
            f"“{weights}” is for {logits} class{'es' * (logits != 1)}, but “{labels}” names {len(classes)}."
        )
    network = untrained(architecture, options)
    whole = network.state_dict()  # has the version that MNASNet asks for
    whole.update(state)
    network.load_state_dict(whole)
    independent = logits == 1 or metadata.get("problem_type") == MULTI_LABEL
    try:
        network.to(device).eval().requires_grad_(False)
        layers = _found_layers(network, network, imagenet.side(architecture, network))
        found = imagenet.classifier(Path(weights).stem, architecture, network, classes, layers, independent)
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
    refused = f"“{repository}” cannot be opened as an image classifier of transformers"
    try:
        classes = class_names(folder)
        network = open_network("AutoModelForImageClassification", folder, device)
        geometry = open_geometry(folder, network)
        logits = _Logits(network)
        layers = _found_layers(network, logits, geometry.side)
        independent = len(classes) == 1 or network.config.problem_type == MULTI_LABEL
        model = Classifier(name, logits, classes, layers, geometry, independent=independent)
    except UnfitError as error:
        raise InputError(f"{refused}: {error}.") from error
    except Exception as error:  # a folder of somebody's can be wrong in any way
        raise InputError(
            f"{refused}, which says: {first_line(error)}. Check that AutoModelForImageClassification.from_pretrained "
            "opens it, and that it takes what its image processor gives."
        ) from error
    return _with_layer(model, network, layer)


class _Logits(nn.Module):
    """A classifier of transformers as a plain network, images (N, 3, H, W) to logits (N, C)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(pixel_values=images).logits


def _found_layers(network: nn.Module, logits: nn.Module, side: int) -> dict[str, nn.Module]:
    """The layers of a frozen network whose `logits` are those of images of `side` pixels."""
    image = _noise(network, side)
    layers = find_layers(network, lambda: logits(image.requires_grad_())[0])
    follow = in_place(layers, logits, image.detach())
    return {name: layer for name, layer in layers.items() if name in follow}


def _noise(network: nn.Module, side: int) -> Tensor:
    noise = torch.randn(1, channels_of(network), side, side, generator=torch.Generator().manual_seed(0))
    return noise.to(next(network.parameters()).device)


def _read_labels(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise InputError(f"The labels “{path}” cannot be read: give a text file with one class name a line.") from None
    while names and not names[-1]:
        names.pop()
    if not names or "" in names:
        raise InputError(f"The labels “{path}” need at least one line and no empty one between them.")
    return names


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
    name, first = next(iter(model.layers.items()))
    image = _noise(network, model.geometry.side)
    try:
        maps = gradcam_maps(model.score(model.labels[0]), image, first, reshape=model.reshape)
        if maps.shape[-1] < 2:
            raise ValueError("its maps have a single cell")
        if layer is not None and name not in in_place({name: first}, lambda images: model.encode(images, [""]), image):
            raise ValueError("its cells do not match positions in the image")
    except ValueError as error:
        raise InputError(f"The layer “{name}” cannot be used: {error}.") from None
    return model
