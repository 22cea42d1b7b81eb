"""torchvision's classifiers, with the ImageNet weights that it gives out."""

import torch
from torch import nn
from torchvision import models

from demo.models.classification import Classifier
from demo.models.downloads import File
from demo.models.layers import find_layers

# The paper's networks, and what came after them.
ARCHITECTURES = {
    "AlexNet": "alexnet",
    "VGG-16": "vgg16",
    "VGG-19": "vgg19",
    "GoogLeNet": "googlenet",
    "Inception v3": "inception_v3",
    "ResNet-18": "resnet18",
    "ResNet-50 (torchvision)": "resnet50",
    "ResNet-101": "resnet101",
    "ResNet-152": "resnet152",
    "DenseNet-121": "densenet121",
    "SqueezeNet 1.1": "squeezenet1_1",
    "MobileNet v2": "mobilenet_v2",
    "MobileNet v3": "mobilenet_v3_large",
    "EfficientNet-B0": "efficientnet_b0",
    "ConvNeXt-Tiny": "convnext_tiny",
    "ViT-B/16": "vit_b_16",
    "Swin-T": "swin_t",
}


def weights(architecture: str) -> models.WeightsEnum:
    """The best ImageNet weights that torchvision has of an architecture."""
    return models.get_model_weights(architecture).DEFAULT


def weights_file(architecture: str) -> File:
    """Where they are."""
    return File(weights(architecture).url)


def megabytes(architecture: str) -> float:
    """How large they are, in millions of bytes."""
    return weights(architecture).meta["_file_size"] * 2**20 / 1e6


def pretrained(name: str, device: str) -> Classifier:
    """One of `ARCHITECTURES`, whose weights are here."""
    architecture = ARCHITECTURES[name]
    chosen = weights(architecture)
    network = models.get_model(architecture, weights=chosen, progress=False)
    return classifier(name, architecture, network.to(device), chosen.meta["categories"])


def classifier(name: str, architecture: str, network: nn.Module, classes: list[str]) -> Classifier:
    """A network of one of torchvision's architectures, frozen; photographs are squashed to what it was trained on."""
    network.eval().requires_grad_(False)
    geometry = weights(architecture).transforms()
    side = getattr(network, "image_size", geometry.crop_size[0])
    device = next(network.parameters()).device
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    layers = find_layers(network, lambda: network(noise)[0])
    return Classifier(name, network, classes, layers, geometry.mean, geometry.std, side)
