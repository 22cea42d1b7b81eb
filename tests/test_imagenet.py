"""torchvision's classifiers: each is built with random weights and explains a photograph."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samples import plain, runs_of
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import make_layers

from demo.errors import InputError
from demo.models import catalog, imagenet
from demo.models.layers import feature_maps, find_layers
from explainers import explain, gradcam_maps, layer_maps

PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "zebra_elephant.jpg"

# The last feature maps, which the literature takes, their cells, and how many ReLUs there are by the papers: behind
# each convolution and hidden layer (AlexNet, VGG), three in each block and one at the start (ResNet), and so on.
EXPECTED = {
    "alexnet": ("features.11", 13, 7),
    "vgg16": ("features.29", 14, 15),
    "vgg19": ("features.35", 14, 18),
    "googlenet": ("inception5b", 7, 57),
    "inception_v3": ("Mixed_7c", 8, 94),
    "resnet18": ("layer4", 7, 17),
    "resnet50": ("layer4", 7, 49),
    "resnet101": ("layer4", 7, 100),
    "resnet152": ("layer4", 7, 151),
    "densenet121": ("features.norm5", 7, 121),
    "squeezenet1_1": ("features.12", 13, 26),
    "mobilenet_v2": ("features.18", 7, 35),
    "mobilenet_v3_large": ("features.16", 7, 19),
    "efficientnet_b0": ("features.8", 7, 0),
    "convnext_tiny": ("features.7", 7, 0),
    "vit_b_16": ("block 11", 14, 0),
    "swin_t": ("norm", 7, 0),
}


def narrow_vgg16() -> nn.Module:
    features = make_layers([8, 8, "M", 8, 8, "M", 8, 8, 8, "M", 16, 16, 16, "M", 16, 16, 16, "M"])
    hidden = [nn.Linear(16 * 49, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(), nn.Dropout()]
    classifier = nn.Sequential(*hidden, nn.Linear(32, 1000))
    parts = {"features": features, "avgpool": nn.AdaptiveAvgPool2d(7), "flat": nn.Flatten(), "classifier": classifier}
    return nn.Sequential(OrderedDict(parts))


# With the layers and ReLUs of the published ones, and fewer channels.
NARROW = {
    "vgg16": narrow_vgg16,
    "swin_t": lambda: models.SwinTransformer([4, 4], 24, [1, 1, 2, 1], [1, 2, 4, 8], [7, 7]),
    "vit_b_16": lambda: models.VisionTransformer(224, 16, num_layers=12, num_heads=2, hidden_dim=32, mlp_dim=32),
    "convnext_tiny": lambda: models.ConvNeXt(
        [CNBlockConfig(*channels, 1) for channels in ((16, 24), (24, 32), (32, 48), (48, None))]
    ),
}


def built(architecture: str, narrow: bool = False) -> nn.Module:
    torch.manual_seed(0)
    options = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
    network = NARROW[architecture]() if narrow else models.get_model(architecture, **options)
    if architecture == "vit_b_16":
        nn.init.normal_(network.heads.head.weight, std=0.05)  # zero in a new one, so that nothing had influence
    return network


def test_all_of_the_catalogue_is_tested():
    assert set(imagenet.ARCHITECTURES.values()) == EXPECTED.keys()
    assert {entry.name for entry in catalog("classification")[1:]} == imagenet.ARCHITECTURES.keys()


# The larger ones of a family, which are the same blocks more often, and those of which narrow ones show the same.
LARGE = ("vgg19", "resnet50", "resnet101", "resnet152", *NARROW)


@pytest.mark.parametrize(
    ("architecture", "narrow"),
    [
        *(pytest.param(name, False, marks=pytest.mark.long if name in LARGE else []) for name in EXPECTED),
        *((name, True) for name in NARROW),
    ],
)
def test_each_explains_a_photograph_at_its_last_feature_maps(architecture, narrow):
    layer, cells, relus = EXPECTED[architecture]
    classes = imagenet.weights(architecture).meta["categories"]
    network = built(architecture, narrow)
    model = imagenet.classifier(architecture, architecture, network, classes)
    assert next(iter(model.layers)) == layer
    noise = torch.rand(1, 3, model.geometry.side, model.geometry.side, requires_grad=True)
    assert list(model.layers.items()) == list(find_layers(network, lambda: network(noise)[0]).items())
    image = model.prepare(Image.open(PHOTO))
    side = 299 if architecture == "inception_v3" else 224
    assert image.shape == (1, 3, side, side)
    explanation = explain(model.score(classes[0]), image, model.layers[layer], reshape=model.reshape)
    assert explanation.maps.shape == (1, cells, cells)
    assert explanation.relus == relus
    assert explanation.pixel_gradient.abs().max() > 0


def test_what_is_predicted_has_the_probability_that_its_score_gives():
    network, classes = built("squeezenet1_1"), imagenet.weights("squeezenet1_1").meta["categories"]
    model = imagenet.classifier("SqueezeNet", "squeezenet1_1", network, classes)
    image = model.prepare(Image.open(PHOTO))
    best, probability = next(iter(model.predict(image).items()))
    probabilities = model.score(*model.labels)(image).softmax(0)
    assert best == model.labels[probabilities.argmax()]
    assert probability == pytest.approx(probabilities.max().item(), rel=1e-4)


SMALL = {
    "resnet18": lambda: models.ResNet(BasicBlock, [1, 1, 1, 1]),
    "swin_t": NARROW["swin_t"],
    "vit_b_16": lambda: models.VisionTransformer(64, 16, num_layers=12, num_heads=2, hidden_dim=32, mlp_dim=32),
}


@pytest.mark.parametrize("architecture", SMALL)
def test_all_layers_from_one_pass_are_the_layers_one_by_one(architecture):
    torch.manual_seed(0)
    network = SMALL[architecture]()
    if architecture == "vit_b_16":
        nn.init.normal_(network.heads.head.weight)
    model = imagenet.classifier(architecture, architecture, network, ["a", *map(str, range(999))])
    assert len(model.layers) >= 4
    model.geometry = model.geometry._replace(side=64)
    image = model.prepare(Image.open(PHOTO))
    with runs_of(list(model.layers.values())[-1]) as runs:
        together = [
            found.maps
            for found in layer_maps(model.score("a", "7"), image, list(model.layers.values()), reshape=model.reshape)
        ]
    assert len(runs) == 1
    sizes = [len(maps[0]) for maps in together]
    assert sizes == sorted(sizes)  # the last layer has the fewest cells
    for maps, layer in zip(together, model.layers.values(), strict=True):
        torch.testing.assert_close(maps, gradcam_maps(model.score("a", "7"), image, layer, reshape=model.reshape))


def test_layouts_of_feature_maps():
    channels_last = torch.arange(2 * 2 * 3).view(1, 2, 2, 3)
    assert feature_maps(channels_last)[0, :, 1, 0].tolist() == [6, 7, 8]
    tokens = torch.arange(1 + 2 + 9).view(1, 12, 1)  # a class token and two registers before nine patches
    assert feature_maps(tokens)[0, 0].tolist() == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
    first = torch.rand(1, 5, 4, 4)
    assert feature_maps(first) is first
    with pytest.raises(ValueError, match=r"shape \(1, 10\)"):
        feature_maps(torch.zeros(1, 10))


def test_a_network_without_feature_maps_has_no_layers():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    image = torch.rand(1, 3, 8, 8, requires_grad=True)
    assert find_layers(network, lambda: network(image)[0]) == {}


class Pyramid(nn.Module):
    """Maps of 16 x 16, 8 x 8, 4 x 4 and again 8 x 8 and 4 x 4 cells, to which the first ones of 4 x 4 are added."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"a": 1, "b": 2, "branch": 2, "c": 1, "d": 2}
        for name, stride in sizes.items():
            setattr(self, name, nn.Conv2d(3, 3, 3, stride, 1))

    def forward(self, image):
        b = self.b(self.a(image))
        return (self.d(self.c(b)) + self.branch(b)).mean(dim=(2, 3))


def test_the_default_layer_is_the_last_one_also_where_its_size_came_before():
    torch.manual_seed(0)
    network = Pyramid()
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    layers = find_layers(network, lambda: network(image)[0])
    assert list(layers) == ["d", "c", "a"]


@pytest.mark.parametrize(
    ("build", "layer"),
    [(lambda: plain(32), "features.9"), (lambda: models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=512), "layer4")],
)
def test_as_many_classes_as_feature_maps_make_no_difference(build, layer):
    torch.manual_seed(0)
    network = build().requires_grad_(False).eval()
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    assert next(iter(find_layers(network, lambda: network(image)[0]))) == layer


def test_labels_with_synonyms_are_known_by_the_first():
    classes = ["tabby, tabby cat", "tiger cat", "tiger, Panthera tigris"]
    model = imagenet.classifier("", "resnet18", plain(3), classes, {})
    assert (model.resolve_label("tabby"), model.resolve_label("Tiger"), model.resolve_label("tiger cat")) == (
        classes[0],
        classes[2],
        classes[1],
    )
    assert model.resolve_label("tabby, mackerel tabby") == classes[0]  # as another network calls it
    with pytest.raises(InputError, match="Did you mean"):
        model.resolve_label("tabbi")


def test_a_first_synonym_of_two_classes_is_none():
    classes = ["cat, black", "cat, white", "dog"]
    model = imagenet.classifier("", "resnet18", plain(3), classes, {})
    assert model.resolve_label("Cat, white") == "cat, white"
    with pytest.raises(InputError, match="has no class “cat”"):
        model.resolve_label("cat")


def test_the_photograph_is_normalised_as_the_weights_were_trained():
    classes = imagenet.weights("alexnet").meta["categories"]
    image = imagenet.classifier("", "alexnet", plain(), classes, {}).prepare(
        Image.fromarray(np.full((50, 80, 3), 255, np.uint8))
    )
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(image[0, :, 100, 100], expected)
