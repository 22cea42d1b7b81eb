"""The shipped encoder: a ResNet-50 trained on ImageNet, the same object for every task."""

from functools import cache
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50

from demo.models.network import Geometry
from demo.models.speed import quicken

WEIGHTS = Path(__file__).parents[2] / "assets" / "resnet50.safetensors"

# Trained on crops of 224 pixels from photographs of 256. Whole photographs are squashed to 256, so that things
# are as large as in training: see `evaluation.imagenet_accuracy` for what that gains over 224. The mean is that of the
# original Caffe preprocessing, in 0..255.
GEOMETRY = Geometry(256, (123.68 / 255, 116.779 / 255, 103.939 / 255), (0.229, 0.224, 0.225))

FEATURES = 2048  # of `pooled`, and of each of the cells
CELLS = 64

# Photographs at a time: four take 0.77 of the time of one by one (explained, on 2 cores).
BATCH = 4


def resnet50_v1() -> ResNet:
    """torchvision's `resnet50` with the strides of the first version: on the first 1x1 convolution of a stage.

    He et al., "Deep Residual Learning for Image Recognition", 2015. Random weights.
    """
    network = resnet50()
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return network


@cache
def encoder(device: str) -> ResNet:
    """The shipped ResNet-50 on a device: float32, frozen, in evaluation mode, with its 1000-class head.

    It computes what `as_published` does in less time: convolutions compute their batch norms, which are `nn.Identity`.
    """
    network = as_published()
    quicken(network)
    return network.to(device)


def as_published() -> ResNet:
    """The shipped ResNet-50 with the modules and weights of its file, otherwise as `encoder` has it."""
    network = resnet50_v1()
    network.load_state_dict(load_file(WEIGHTS), strict=True)
    return network.eval().requires_grad_(False)


def stages(network: ResNet) -> dict[str, nn.Module]:
    """The four stages by name, the last one first: the layers that Grad-CAM may look at."""
    return {name: getattr(network, name) for name in ("layer4", "layer3", "layer2", "layer1")}


def pooled(network: ResNet, images: Tensor) -> Tensor:
    """Prepared images (N, 3, H, W) up to the global average pool: (N, 2048), without the 1000-class head."""
    return network.avgpool(_last_maps(network, images)).flatten(1)


def cells(network: ResNet, images: Tensor) -> Tensor:
    """Prepared images (N, 3, H, W) up to the last stage: the features of its cells, row by row, (N, h * w, 2048)."""
    return _last_maps(network, images).flatten(2).transpose(1, 2)


def _last_maps(network: ResNet, images: Tensor) -> Tensor:
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    return network.layer4(network.layer3(network.layer2(network.layer1(x))))
