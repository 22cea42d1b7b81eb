"""torchvision's classifiers, with the ImageNet weights that it gives out."""

from PIL import Image
from torch import nn
from torchvision import models

from demo.models.classification import Classifier
from demo.models.downloads import File
from demo.models.layers import numbered
from demo.models.network import GREY, ChannelOrder, Geometry, channels_of
from demo.models.speed import quicken

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

# Where Grad-CAM may look, the last layer first: what `find_layers` finds, written down so that no network need run
# for it. A "block" is one of a transformer's, counted from 1; anything else is called as `named_modules` calls it.
LAYERS = {
    "alexnet": ("features.11", "features.4", "features.1"),
    "vgg16": ("features.29", "features.22", "features.15", "features.8", "features.3"),
    "vgg19": ("features.35", "features.26", "features.17", "features.8", "features.3"),
    "googlenet": ("inception5b", "inception4e", "inception3b", "conv3", "conv1"),
    "inception_v3": (
        "Mixed_7c",
        "Mixed_6e",
        "Mixed_5d",
        "Conv2d_4a_3x3",
        "Conv2d_3b_1x1",
        "Conv2d_2b_3x3",
        "Conv2d_1a_3x3",
    ),
    **dict.fromkeys(
        ("resnet18", "resnet50", "resnet101", "resnet152"), ("layer4", "layer3", "layer2", "layer1", "relu")
    ),
    "densenet121": (
        "features.norm5",
        "features.denseblock3",
        "features.denseblock2",
        "features.denseblock1",
        "features.relu0",
    ),
    "squeezenet1_1": ("features.12", "features.7", "features.4", "features.1"),
    "mobilenet_v2": ("features.18", "features.13", "features.6", "features.3", "features.1"),
    "mobilenet_v3_large": ("features.16", "features.12", "features.6", "features.3", "features.1"),
    "efficientnet_b0": ("features.8", "features.5", "features.3", "features.2", "features.1"),
    "convnext_tiny": ("features.7", "features.5", "features.3", "features.1"),
    "vit_b_16": tuple(f"block {number}" for number in range(11, 0, -1)),
    "swin_t": ("norm", "features.5", "features.3", "features.1"),
}

# No batch norms to fold, and no time saved by channels last; docs/models.md has the measurements of all.
NOT_QUICKENED = {"convnext_tiny", "vit_b_16", "swin_t"}


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
    network = models.get_model(architecture, weights=chosen, progress=False).eval()
    if architecture not in NOT_QUICKENED:
        quicken(network)
    return classifier(name, architecture, network.to(device), chosen.meta["categories"])


def classifier(
    name: str,
    architecture: str,
    network: nn.Module,
    classes: list[str],
    layers: dict[str, nn.Module] | None = None,
    independent: bool = False,
) -> Classifier:
    """A network of one of torchvision's architectures, frozen; photographs are squashed to what it was trained on.

    One that takes a single channel gets the grey photograph, with the mean of the three means and deviations.

    Args:
        layers, independent: as a `Classifier` has them; without layers those of `LAYERS`.
    """
    network.eval().requires_grad_(False)
    trained = weights(architecture).transforms()
    if layers is None:
        layers = _known_layers(architecture, network)
    mean, std = (list(values) for values in (trained.mean, trained.std))
    order: ChannelOrder = "RGB"
    if channels_of(network) == 1:
        mean, std, order = [sum(mean) / 3], [sum(std) / 3], GREY
    resample = Image.Resampling[trained.interpolation.name]
    geometry = Geometry(side(architecture, network), mean, std, resample, order)
    return Classifier(name, network, classes, layers, geometry, independent=independent)


def side(architecture: str, network: nn.Module) -> int:
    """Of the square that a network of an architecture was trained on, in pixels."""
    return getattr(network, "image_size", weights(architecture).transforms().crop_size[0])


def _known_layers(architecture: str, network: nn.Module) -> dict[str, nn.Module]:
    modules = dict(network.named_modules())
    if isinstance(network, models.VisionTransformer):
        modules |= numbered(network.encoder.layers)
    return {name: modules[name] for name in LAYERS[architecture]}
