"""Measure the seconds for the three pictures of one image, beside pytorch-grad-cam, captum and torch-cam.

    python -m evaluation.benchmark_explain [--rounds 11]

Random weights, one image of 224 x 224, CPU. All methods of a network take turns within a round, so that whatever
else the machine does hits them alike; printed are medians. `default`: the network's parameters require gradients,
as torchvision builds it. `frozen`: they do not. The floor is one forward pass and one backward pass from a logit
to the pixels of the frozen network: less cannot be spent on a gradient at the pixels. What the peers can build
before they see an image is built outside the timing.

Last comes the shipped ResNet-50, frozen, with its own weights and size, 256 x 256: as the demo runs it, against the
floor of the network as published.
"""

import argparse
import copy
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop, GuidedGradCam, LayerGradCam
from pytorch_grad_cam import GradCAM, GuidedBackpropReLUModel
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCam
from torchvision import models

from demo.models.resnet50 import GEOMETRY, as_published, encoder
from explainers import explain

NETWORKS = {
    "ResNet-50": (models.resnet50, "layer4"),
    "VGG-16": (models.vgg16, "features.30"),
    "MobileNet-v2": (models.mobilenet_v2, "features.18"),
}
CLASS = 281
FLOOR = "floor: 1 forward + 1 backward"


def forward_and_backward(network: nn.Module, image: Tensor) -> Callable[[], object]:
    def run() -> None:
        pixels = image.clone().requires_grad_()
        torch.autograd.grad(network(pixels)[0, CLASS], pixels)

    return run


def ours(network: nn.Module, layer: str, image: Tensor) -> Callable[[], object]:
    return lambda: explain(lambda x: network(x)[0, [CLASS]], image, network.get_submodule(layer))


def without_inplace(network: nn.Module) -> nn.Module:
    """Return a copy for captum, which cannot hook ReLUs that work in place."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False
    return network


def methods(network: nn.Module, layer: str, image: Tensor) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name; each call makes its pictures of `image` from scratch."""

    def leaf() -> Tensor:
        return image.clone().requires_grad_()

    # Copies, because these peers keep their hooks in the network.
    hooked = copy.deepcopy(network)
    grad_cam = GradCAM(hooked, [hooked.get_submodule(layer)])
    guided = GuidedBackpropReLUModel(copy.deepcopy(network), "cpu")

    def pytorch_grad_cam() -> None:
        heat = grad_cam(leaf(), [ClassifierOutputTarget(CLASS)])
        _ = guided(image.clone(), CLASS) * heat[0][..., None]

    plain = without_inplace(network)
    layer_grad_cam = LayerGradCam(plain, plain.get_submodule(layer))
    guided_backprop = GuidedBackprop(plain)
    guided_grad_cam = GuidedGradCam(plain, plain.get_submodule(layer))

    def captum_product() -> None:
        guided_grad_cam.attribute(leaf(), CLASS, interpolate_mode="bilinear")

    def captum_three() -> None:
        heat = layer_grad_cam.attribute(leaf(), CLASS, relu_attributions=True)
        heat = F.interpolate(heat, size=image.shape[2:], mode="bilinear")
        _ = guided_backprop.attribute(leaf(), CLASS) * heat

    watched = copy.deepcopy(network)
    torch_cam = TorchCam(watched, layer)

    def torchcam() -> None:
        torch_cam(CLASS, watched(leaf()))

    return {
        FLOOR: forward_and_backward(copy.deepcopy(network).requires_grad_(False), image),
        "this project": ours(network, layer, image),
        "pytorch-grad-cam": pytorch_grad_cam,
        "captum, GuidedGradCam (one picture)": captum_product,
        "captum, LayerGradCam x GuidedBackprop": captum_three,
        "torch-cam, Grad-CAM (one picture)": torchcam,
    }


def medians(timed: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return seconds per call, the median over the rounds, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, method in timed.items():
            started = time.perf_counter()
            method()
            if number > 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    peers = ", ".join(f"{name} {version(name)}" for name in ("torch", "grad-cam", "captum", "torchcam"))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, {peers}, {args.rounds} rounds\n")
    print("| network | method | default, s | x floor | frozen, s | x floor |")
    print("|---|---|---|---|---|---|")
    for name, (build, layer) in NETWORKS.items():
        torch.manual_seed(0)
        image = torch.randn(1, 3, 224, 224)
        columns = {}
        for trainable in (True, False):
            network = build().eval().requires_grad_(trainable)
            columns[trainable] = medians(methods(network, layer, image), args.rounds)
        for method in columns[True]:
            cells = []
            for column in columns.values():
                floor = next(iter(column.values()))
                cells += [f"{column[method]:.3f}", f"{column[method] / floor:.2f}"]
            print(f"| {name} | {method} | {' | '.join(cells)} |")

    image = torch.randn(1, 3, GEOMETRY.side, GEOMETRY.side)
    seconds = medians(
        {
            f"as published | {FLOOR}": forward_and_backward(as_published(), image),
            "as it runs here | this project": ours(encoder("cpu"), "layer4", image),
        },
        args.rounds,
    )
    floor = next(iter(seconds.values()))
    for method, taken in seconds.items():
        print(f"| shipped ResNet-50, {method} | | | {taken:.3f} | {taken / floor:.2f} |")


if __name__ == "__main__":
    main()
