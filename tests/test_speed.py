"""A quickened network computes what it did before, and Grad-CAM finds the same layers and ReLUs in it.

Compared in float64. In float32 a ReLU's input that rounds to the other side of zero switches a whole gradient on or
off, in any two ways to compute one network: true gradients of the shipped ResNet-50 then differ by up to 0.5% of
their maximum at single pixels. Where nothing rounds so far, as in scores, they are compared in float32 too.
"""

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from samples import plain
from torch import Tensor, nn
from torchvision import models
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.resnet import BasicBlock

from demo.models import imagenet, load
from demo.models.layers import find_layers
from demo.models.resnet50 import as_published, encoder, pooled, stages
from demo.models.speed import quicken
from explainers import explain, layer_maps

PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "zebra_elephant.jpg"

# Batch norms that follow no convolution: in DenseNet, those at the start of each layer and transition, and the last.
UNFOLDED = {"densenet121": 58 + 3 + 1, "densenet": 4 + 1 + 1}

# The blocks of each family, few of them.
SMALL = {
    "resnet": lambda: models.ResNet(BasicBlock, [1, 1, 1, 1]),
    "googlenet": lambda: models.googlenet(init_weights=False),
    "densenet": lambda: models.DenseNet(8, (2, 2), 16),
    "vgg": plain,
    "mobilenet_v3": lambda: models.MobileNetV3(
        [
            InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 1.0),
            InvertedResidualConfig(16, 3, 72, 24, False, "RE", 2, 1, 1.0),
            InvertedResidualConfig(24, 5, 96, 40, True, "HS", 2, 1, 1.0),
        ],
        128,
    ),
    "squeezenet": models.squeezenet1_1,
    "mobilenet": lambda: models.MobileNetV2(
        inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2], [6, 32, 1, 2]]
    ),
    "efficientnet": lambda: models.EfficientNet(
        [
            MBConvConfig(1, 3, 1, 32, 16, 1, 1, 1),
            MBConvConfig(6, 5, 2, 16, 24, 2, 1, 1),
            MBConvConfig(6, 3, 2, 24, 32, 1, 1, 1),
        ],
        dropout=0.2,
    ),
}


def trained(architecture: str) -> nn.Module:
    """A network whose batch norms are not what they are at the start of a training."""
    torch.manual_seed(0)
    options = {"init_weights": False} if architecture == "inception_v3" else {}
    network = SMALL[architecture]() if architecture in SMALL else models.get_model(architecture, **options)
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.uniform_(0.5, 1.5)
            for values in (module.bias, module.running_mean):
                values.normal_(std=0.2)
    return network


def assert_close(found: Tensor, expected: Tensor, share: float) -> None:
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() <= share * expected.abs().max()


def assert_same_explanations(before: nn.Module, after: nn.Module, image: Tensor, layers: list[str]) -> None:
    def for_and_against(network: nn.Module, x: Tensor) -> Tensor:
        """One of the two has a map that is not zero throughout."""
        return network(x)[0, 0] * x.new_tensor([1, -1])

    maps = (
        layer_maps(partial(for_and_against, network), image, [network.get_submodule(layer) for layer in layers])
        for network in (before, after)
    )
    for expected, found in zip(*maps, strict=True):
        assert_close(found.maps, expected.maps, 1e-5)
    for rule in ("guided", "plain"):
        expected, found = (
            explain(lambda x, n=network: n(x)[0, [0]], image, network.get_submodule(layers[0]), rule=rule)
            for network in (before, after)
        )
        assert found.relus == expected.relus
        for part in ("scores", "weights", "pixel_gradient"):
            assert_close(getattr(found, part), getattr(expected, part), 1e-5)


# Of torchvision's own, what is not among the small ones is the same blocks more often.
LARGE = sorted(set(imagenet.ARCHITECTURES.values()) - imagenet.NOT_QUICKENED - SMALL.keys())


@pytest.mark.parametrize(
    "architecture",
    [*SMALL, *(pytest.param(architecture, marks=pytest.mark.long) for architecture in LARGE)],
)
def test_torchvisions_networks(architecture):
    before = trained(architecture)
    after = copy.deepcopy(before)
    quicken(after)
    assert dict(after.named_modules()).keys() == dict(before.named_modules()).keys()
    left = sum(isinstance(module, nn.BatchNorm2d) for module in after.modules())
    assert left == UNFOLDED.get(architecture, 0)

    side = 64 if architecture in SMALL else 128
    image = torch.randn(1, 3, side, side, requires_grad=True)
    layers = list(find_layers(before, lambda: before(image)[0]))
    assert list(find_layers(after, lambda: after(image)[0])) == layers
    assert_close(after(image), before(image), 1e-4)
    assert_same_explanations(before.double(), after.double(), image.detach().double(), layers)


def test_the_shipped_encoder():
    before, after = as_published(), encoder("cpu")
    model = load("classification")
    image = F.interpolate(model.prepare(Image.open(PHOTO)), 64, mode="bilinear")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in after.modules())
    assert dict(after.named_modules()).keys() == dict(before.named_modules()).keys()
    assert not any(parameter.requires_grad for parameter in after.parameters())

    assert_close(after(image), before(image), 1e-4)
    assert_close(pooled(after, image), pooled(before, image), 1e-4)
    classes = [model.labels.index(name) for name in ("zebra", "African elephant")]
    expected, found = (
        explain(lambda x, n=network: n(x)[0, classes], image, network.layer4) for network in (before, after)
    )
    for part in ("scores", "weights", "maps", "pixel_gradient", "guided_gradcam"):
        assert_close(getattr(found, part), getattr(expected, part), 1e-4)
    after = copy.deepcopy(after).double()
    assert_same_explanations(before.double(), after, image.double(), list(stages(before)))
