"""Agreement with captum and pytorch-grad-cam, where their rules are right."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import plain
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import Bottleneck

from demo.models.resnet50 import encoder
from explainers import (
    explain,
    finish,
    gradcam_plus_plus,
    layer_cam,
    layer_maps,
    mean_over_cells,
    occlusion_maps,
    score_cam,
)

# Plain, with shortcuts, with branches, with a functional ReLU: each as small as it can be; and the shipped one.
NETWORKS = {
    "vgg": (plain, "features.8"),
    "resnet": (lambda: models.ResNet(Bottleneck, [1, 1, 1, 1], num_classes=20), "layer4"),
    "squeezenet": (lambda: models.squeezenet1_1(num_classes=20), "features.12"),
    "densenet": (lambda: models.DenseNet(8, (2, 2), 16, num_classes=20), "features"),
    "shipped": (lambda: encoder("cpu"), "layer4"),
}


@pytest.fixture(scope="module")
def captum():
    """What is compared, which takes a second to import, as the next does two."""
    import captum.attr

    return captum.attr


@pytest.fixture(scope="module")
def grad_cam():
    import pytorch_grad_cam

    return pytorch_grad_cam


def of_class(number: int):
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    return [ClassifierOutputTarget(number)]


class ModuleReluDenseNet(nn.Module):
    """A DenseNet with its functional ReLU as a module, which is the only kind the peers can see."""

    def __init__(self, network: models.DenseNet) -> None:
        super().__init__()
        self.features, self.classifier = network.features, network.classifier
        self.tail = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(self.tail(self.features(image)))


def for_peers(network: nn.Module) -> nn.Module:
    """The same function in the form that the peers need: trainable, no in-place and no functional ReLU."""
    network = copy.deepcopy(network).requires_grad_(True)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return ModuleReluDenseNet(network).eval() if isinstance(network, models.DenseNet) else network


@pytest.fixture(scope="module", params=NETWORKS)
def case(request):
    """The network, its layer's name, an image, two classes with some positive evidence, and our explanations."""
    build, layer = NETWORKS[request.param]
    torch.manual_seed(0)
    network = build().eval()
    image = torch.randn(1, 3, 64, 64)

    def ours(classes, rule):
        return explain(lambda x: network(x)[0, classes], image, network.get_submodule(layer), rule=rule)

    positive = ours(slice(6), "plain").maps.sum(dim=(1, 2)).nonzero().flatten()
    classes = positive[:2].tolist()
    return for_peers(network), layer, image, classes, {rule: ours(classes, rule) for rule in ("guided", "deconv")}


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.abs().max() > 0
    assert (ours - theirs).norm() / theirs.norm() < 1e-4


@pytest.mark.parametrize("t", range(2))
def test_captum(case, captum, t):
    network, layer, image, classes, ours = case
    layer = network.get_submodule(layer)

    gradcam = captum.LayerGradCam(network, layer).attribute(image, classes[t], relu_attributions=True)
    assert_close(ours["guided"].maps[t], gradcam[0, 0].detach())

    for rule, peer in (("guided", captum.GuidedBackprop), ("deconv", captum.Deconvolution)):
        pixels = peer(network).attribute(image.clone().requires_grad_(), classes[t])
        assert_close(ours[rule].pixel_gradient[t], pixels[0].detach())

    both = captum.GuidedGradCam(network, layer).attribute(
        image.clone().requires_grad_(), classes[t], interpolate_mode="bilinear"
    )
    assert_close(ours["guided"].guided_gradcam[t], both[0].detach())


@pytest.mark.parametrize("t", range(2))
def test_pytorch_grad_cam(case, grad_cam, t):
    network, layer, image, classes, ours = case

    with grad_cam.GradCAM(network, [network.get_submodule(layer)]) as gradcam:
        theirs = gradcam(image, of_class(classes[t]))[0]
    stretched = ours["guided"].gradcam[t]
    stretched = (stretched - stretched.min()) / (stretched.max() - stretched.min())
    assert_close(stretched, torch.from_numpy(theirs))

    guided = grad_cam.GuidedBackpropReLUModel(network, "cpu")(image.clone(), classes[t])
    assert_close(ours["guided"].pixel_gradient[t], torch.from_numpy(np.moveaxis(guided, -1, 0)))


@pytest.mark.parametrize("peer", ["GradCAMPlusPlus", "LayerCAM", "ScoreCAM"])
def test_what_others_make_of_the_feature_maps(grad_cam, peer):
    torch.manual_seed(0)
    # As many cells as pixels, because Score-CAM stretches its maps to the edge there; and large gradients, because
    # to the squares of those Grad-CAM++ adds a millionth.
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.ReLU())
    network.extend([nn.Flatten(), nn.Linear(6 * 144, 4)])
    network[-1].weight.data *= 100
    image = torch.randn(1, 3, 12, 12)
    (found,) = layer_maps(lambda x: network(x)[0], image, [network[2]])
    score_cams = finish(score_cam(network, image, found.features, batch=4))
    ours = {"GradCAMPlusPlus": gradcam_plus_plus(found), "LayerCAM": layer_cam(found), "ScoreCAM": score_cams}[peer]
    for number, maps in enumerate(ours):
        with getattr(grad_cam, peer)(network, [network[2]]) as method:
            theirs = method(image, of_class(number))[0]
        assert_close((maps - maps.min()) / (maps.max() - maps.min()), torch.from_numpy(theirs))


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_occlusion_and_the_plain_gradient_of_captum(captum, fill):
    torch.manual_seed(0)
    network = plain().eval()
    image = torch.randn(1, 3, 64, 64)
    score = lambda x: network(x)[:, [3, 5]]  # noqa: E731
    falls = finish(occlusion_maps(score, image, patch=32, stride=32, fill=fill, batch=4))
    halves = finish(occlusion_maps(score, image, patch=32, stride=16, fill=fill))
    assert halves.shape == (2, 3, 3)
    for place, number in enumerate((3, 5)):
        theirs = captum.Occlusion(network).attribute(image, (3, 32, 32), 32, baselines=fill, target=number)
        assert_close(falls[place], theirs[0, 0, 16::32, 16::32])
        # Of patches that overlap captum gives each pixel the mean of those that cover it.
        theirs = captum.Occlusion(network).attribute(image, (3, 32, 32), 16, baselines=fill, target=number)
        assert_close(mean_over_cells(halves, 2)[place], theirs[0, 0, 8::16, 8::16])
    gradient = explain(lambda x: network(x)[0, [3]], image, network.features, rule="plain")
    saliency = captum.Saliency(network).attribute(image.clone().requires_grad_(), 3, abs=False)
    assert_close(gradient.pixel_gradient, saliency)


class Functional(nn.Module):
    """Two convolutions with functional ReLUs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(F.relu(self.first(image)))).mean(dim=(2, 3)))


def small_mobilenet() -> nn.Module:
    """With ReLU6: one at the start and the end, two or three in each block."""
    return models.MobileNetV2(inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 1, 2], [6, 32, 1, 2]])


@pytest.mark.parametrize(("build", "layer", "relus"), [(Functional, "second", 2), (small_mobilenet, "features.4", 7)])
def test_the_peers_return_the_plain_gradient_for_functional_relus_and_relu6(captum, grad_cam, build, layer, relus):
    """Why the hand-worked numbers, and not the peers, decide there."""
    torch.manual_seed(0)
    network = build().eval()
    image = torch.randn(1, 3, 64, 64)
    guided, plain = (
        explain(lambda x: network(x)[0, [0]], image, network.get_submodule(layer), rule=rule)
        for rule in ("guided", "plain")
    )
    of_captum = captum.GuidedBackprop(for_peers(network)).attribute(image.clone().requires_grad_(), 0)[0]
    of_grad_cam = grad_cam.GuidedBackpropReLUModel(for_peers(network), "cpu")(image.clone(), 0)
    assert_close(plain.pixel_gradient[0], of_captum.detach())
    assert_close(plain.pixel_gradient[0], torch.from_numpy(np.moveaxis(of_grad_cam, -1, 0)))
    assert guided.relus == relus
    assert (guided.pixel_gradient - plain.pixel_gradient).norm() > 0.1 * plain.pixel_gradient.norm()
