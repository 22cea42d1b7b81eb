"""The table of methods: on networks whose numbers can be worked out by hand, a small one, and the shipped models."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from helpers import EXAMPLES
from PIL import Image
from samples import plain, runs_of
from torch import nn

from demo.check import check
from demo.errors import InputError
from demo.explain import answer
from demo.models import Library
from demo.models.classification import Classifier
from demo.models.resnet50 import GEOMETRY
from demo.query import Explain, ImageFile
from demo.tasks import TASKS
from explainers import (
    METHODS,
    Patches,
    box_from_map,
    cam_maps,
    counterfactual_map,
    explain,
    finish,
    gradcam_plus_plus,
    layer_cam,
    layer_maps,
    maximum_map,
    normalised_difference,
    score_cam,
    targeted_noise,
)

ASKED = {
    "classification": Explain(ImageFile("", b""), "classification", targets=("vizsla",)),
    "captioning": Explain(ImageFile("", b""), "captioning", text="a zebra on grass", targets=(1,)),
    "vqa": Explain(
        ImageFile("", b""), "vqa", "ResNet-50 + LSTM (questions)", text="What animal is this?", targets=("zebra",)
    ),
}
ATTENTIVE = "ResNet-50 + co-attention (questions)"
ASKED["attention"] = replace(ASKED["vqa"], model=ATTENTIVE)


def weighted() -> tuple[nn.Module, torch.Tensor]:
    """Two feature maps, the first pixel colours themselves; the score is 2 * mean(first) - 3 * mean(second)."""
    layer = nn.Conv2d(3, 2, 1, bias=False)
    layer.weight.data = torch.tensor([[[[1.0]], [[0.0]], [[0.0]]], [[[0.0]], [[1.0]], [[0.0]]]])
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[4.0, 0.0], [8.0, 0.0]])
    image[0, 1] = torch.tensor([[0.0, 4.0], [8.0, 0.0]])
    return layer, image


def test_what_speaks_for_and_against_a_score_by_hand():
    layer, image = weighted()

    def score(x):
        first, second = layer(x)[0].mean(dim=(1, 2))
        return (2 * first - 3 * second)[None]

    explanation = explain(score, image, layer)
    # alpha = (2, -3) / 4 pixels
    assert explanation.signed.tolist() == [[[2, -3], [-2, 0]]]
    assert explanation.maps.tolist() == [[[2, 0], [0, 0]]]
    assert counterfactual_map(explanation).tolist() == [[[0, 3], [2, 0]]]


def test_the_variants_by_hand():
    layer, image = weighted()

    def score(x):
        first, second = layer(x)[0]
        return (first[0, 0] + 2 * first[1, 0] - second[1, 0])[None]

    (found,) = layer_maps(score, image, [layer])
    # The gradient is 1 and 2 in the first map's left column, -1 in the lower left cell of the second.
    assert found.weights.tolist() == [[0.75, -0.25]]
    # Largest gradients: 2 and 0.
    assert maximum_map(found).tolist() == [[[8, 0], [16, 0]]]
    # Each cell by its own gradient, if that is positive: 1 * 4 and 2 * 8.
    assert layer_cam(found).tolist() == [[[4, 0], [16, 0]]]
    # The first map sums to 12: 1 / (2 + 12) * 1 + 4 / (8 + 12 * 8) * 2 = 27 / 182, and the second gets nothing.
    torch.testing.assert_close(gradcam_plus_plus(found), torch.tensor([[[4.0, 0], [8, 0]]]) * 27 / 182)


def test_cam_is_grad_cam_up_to_a_factor():
    """Section 3 of the paper, for a network that averages its feature maps before one linear layer."""
    torch.manual_seed(0)
    features, linear = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3)), nn.Linear(6, 4)
    image = torch.randn(1, 3, 12, 12)
    (found,) = layer_maps(lambda x: linear(features(x).mean(dim=(2, 3)))[0], image, [features[2]])
    cam = cam_maps(found.features, linear.weight)
    torch.testing.assert_close(cam, 64 * found.maps)  # of 8 x 8 cells
    assert normalised_difference(cam, found.maps).max() < 1e-6
    other = cam_maps(found.features, linear.weight.flip(0))
    assert normalised_difference(other, found.maps).max() > 0.1


def test_score_cam_by_hand():
    layer, image = weighted()
    # Through the first map the first colour is seen at (0, 0) by half, at (1, 0) wholly, and nowhere else: 2 + 8;
    # through the second at (1, 0) alone: 8.
    found = finish(score_cam(lambda x: x[:, :1].sum(dim=(2, 3)), image, layer(image).detach()))
    first, second = torch.tensor([10.0, 8.0]).softmax(dim=0)
    torch.testing.assert_close(found, (first * image[:, 0] + second * image[:, 1]))


def test_the_box_around_the_largest_segment():
    heat = torch.zeros(6, 10)
    heat[1:3, 2:5] = torch.tensor([[1.0, 1.0, 0.2], [1.0, 1.0, 1.0]])
    heat[4, 8] = 5  # the highest, but smaller
    heat[5, 0] = 0.5  # under 15% of it
    heat[1, 4] = 0.8
    assert box_from_map(heat, (6, 10)) == pytest.approx((0.2, 1 / 6, 0.5, 0.5))
    assert box_from_map(torch.zeros(2, 2), (8, 8)) is None
    left, top, right, bottom = box_from_map(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), (100, 100))
    assert (left, top, right, bottom) == pytest.approx((0.33, 0.0, 1.0, 0.68), abs=0.02)


def test_noise_goes_the_way_of_the_gradient_and_not_further():
    image, step = torch.zeros(1, 3, 1, 2), torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    weight = torch.tensor([[[[1.0, -1.0]], [[0.0, 2.0]], [[-3.0, 0.5]]]])
    low, high = torch.full_like(image, -3), torch.full_like(image, 3)
    high[0, 1, 0, 1] = 1  # near the brightest that a photograph can be

    def noise(enough: float, passes: int = 5) -> torch.Tensor:
        score = lambda x: (weight * x).sum()[None]  # noqa: E731
        return finish(targeted_noise(score, image, step, bounds=(low, high), passes=passes, enough=enough))

    assert noise(math.inf).tolist() == [[[[3, -3]], [[0, 1]], [[-3, 3]]]]
    assert noise(math.inf, passes=2).tolist() == [[[[2, -2]], [[0, 1]], [[-2, 2]]]]
    assert torch.equal(noise(1.0), weight.sign().long())


def test_the_counterfactual_of_a_score_is_the_map_of_its_negative():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 2))
    image = torch.randn(1, 3, 8, 8)
    against = counterfactual_map(explain(lambda x: network(x)[0], image, network[0]))
    torch.testing.assert_close(against, explain(lambda x: -network(x)[0], image, network[0]).maps)
    assert against.max() > 0


# ---- Every method on a small network and on the shipped models ------------------------------------------------------


class Other:
    """A model whose scores are others."""

    def __init__(self, model, scores) -> None:
        self._model, self.scores = model, scores

    def __getattr__(self, name):
        return getattr(self._model, name)


@cache
def shipped(asked: str, side: int = 96):
    """The shipped model with photographs of few pixels, which take a fraction of the time."""
    model = copy.copy(Library().load(ASKED[asked].task, ASKED[asked].model))
    model.geometry = model.geometry._replace(side=side)
    model.batch = 32
    return model


@cache
def small() -> Classifier:
    """Of random weights, with 32 feature maps of 8 x 8 cells."""
    torch.manual_seed(0)
    network, geometry = plain(2).eval().requires_grad_(False), GEOMETRY._replace(side=32)
    return Classifier("Small", network, ["vizsla", "goldfish"], {"last": network.features[9]}, geometry, batch=32)


def pictures(model, asked: str, keys: tuple[str, ...], photo: str = "zebra_elephant") -> dict[str, np.ndarray]:
    # The first layer of the shipped models has 256 feature maps, the last 2,048.
    layers = ("layer1",) if keys == ("score_cam",) and "layer1" in model.layers else ("",)
    query = check(model, replace(ASKED[asked], methods=keys, layers=layers))
    image = Image.open(EXAMPLES / f"{photo}.jpg").convert("RGB")
    (result,) = finish(answer(model, [query], [image], lambda *_: None))
    return result.rows[0].pictures


# Of a network whose scores are products of features and words there is no picture by these; one alone attends.
IMPOSSIBLE = [(asked, key) for asked in ASKED if asked != "classification" for key in ("cam", "excitation", "c_mwp")]
IMPOSSIBLE += [(asked, "attention") for asked in ASKED if asked != "attention"]
POSSIBLE = [(asked, key) for asked in ASKED for key in METHODS if (asked, key) not in IMPOSSIBLE]
OF_CLASSES = [key for asked, key in POSSIBLE if asked == "classification"]

# By definition: one adds squares and cubes of the gradient, one has a softmax, and two look at the weights alone.
WITH_A_UNIT = ("gradcam_plus_plus", "score_cam", "cam", "attention")
WITHOUT_A_UNIT = tuple(key for key in OF_CLASSES if key not in WITH_A_UNIT)


@pytest.mark.parametrize(("asked", "key"), IMPOSSIBLE)
def test_what_a_method_cannot_show_is_said(asked, key):
    with pytest.raises(InputError, match=f"There is no {METHODS[key].title.split('(')[0]}"):
        pictures(shipped(asked, 32), asked, (key,))


def together(model, asked: str, keys: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """What three get who ask at the same time on one network, the second of another photograph."""
    with ThreadPoolExecutor(3) as threads:
        photos = ["zebra_elephant", "horses", "zebra_elephant"]
        return list(threads.map(lambda photo: pictures(model, asked, keys, photo), photos))


def assert_shows(model, asked: str, keys: tuple[str, ...], cells: int) -> None:
    """That each method gives a picture of its kind, leaves the model as it was, and may be asked for by several."""
    before = {name: value.clone() for name, value in model._network.state_dict().items()}
    found = pictures(model, asked, keys)
    assert found.keys() == set(keys)
    for key, picture in found.items():
        kind, side = METHODS[key].kind, model.geometry.side
        assert picture.shape == ((3, side, side) if kind == "gradient" else (cells, cells)), key
        assert np.isfinite(picture).all(), key
        assert picture.any(), key
        assert kind != "map" or picture.min() >= 0, key

    for name, value in model._network.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(module._forward_hooks for module in model._network.modules())
    assert not any(parameter.grad is not None for parameter in model._network.parameters())

    several = together(model, asked, keys)
    for key, alone in found.items():
        for other in several[::2]:
            np.testing.assert_allclose(other[key], alone, rtol=1e-4, atol=1e-4 * np.abs(alone).max(), err_msg=key)


@pytest.mark.parametrize("key", OF_CLASSES)
def test_each_method_on_a_small_network(key):
    assert_shows(small(), "classification", (key,), 8)


@pytest.mark.parametrize("asked", ASKED)
def test_all_methods_of_few_passes_on_each_shipped_model(asked):
    keys = tuple(key for other, key in POSSIBLE if other == asked and not METHODS[key].cost)
    assert_shows(shipped(asked, 80), asked, keys, 3)


@pytest.mark.long
@pytest.mark.parametrize("key", METHODS)
@pytest.mark.parametrize("task", TASKS)
def test_a_score_that_does_not_depend_on_the_image_is_refused_by_each_on_each_shipped_model(task, key):
    constant = Other(shipped(task), lambda encoded, text, targets: torch.ones(len(targets)))
    with pytest.raises(ValueError, match="the scores do not depend on the image"):
        pictures(constant, task, (key,))


@pytest.mark.long
@pytest.mark.parametrize(("asked", "key"), POSSIBLE)
def test_each_method_on_each_shipped_model(asked, key):
    # Score-CAM takes a forward pass for each feature map.
    model = shipped(asked, 32 if key == "score_cam" else 96)
    assert_shows(model, asked, (key,), 8 if key in ("score_cam", "occlusion") else 3)


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (small, "classification"),
        *(pytest.param(shipped, asked, marks=pytest.mark.long) for asked in ("classification", "captioning")),
    ],
)
def test_what_is_shown_does_not_depend_on_the_unit_of_the_score(model, asked):
    model = model() if model is small else model(asked)
    keys = tuple(key for key in WITHOUT_A_UNIT if (asked, key) in POSSIBLE)
    once, thrice = (
        pictures(Other(model, lambda *given, factor=factor: factor * model.scores(*given)), asked, keys)
        for factor in (1.0, 3.0)
    )
    for key in keys:
        one, other = once[key] / np.abs(once[key]).max(), thrice[key] / np.abs(thrice[key]).max()
        np.testing.assert_allclose(other, one, atol=1e-4, err_msg=key)


def test_a_score_that_does_not_depend_on_the_image_is_refused():
    asked = [(small(), "classification", key) for key in METHODS]
    # Of a pass that ends at the layer, and of one that goes on to the pixels.
    asked += [(shipped(task, 32), task, key) for task in TASKS for key in ("gradcam", "guided_backprop")]
    for model, task, key in asked:
        with pytest.raises(ValueError, match="the scores do not depend on the image"):
            pictures(Other(model, lambda encoded, text, targets: torch.ones(len(targets))), task, (key,))


def test_the_cost_of_a_method_is_what_it_takes():
    def images(method: str) -> int:
        with runs_of(small()._network.features[0]) as runs:
            pictures(small(), "classification", (method,))
        return sum(map(len, runs))

    occlusion, score_cam = images("occlusion"), images("score_cam")
    # 16 cells a side, whether they divide its pixels or not, and squares of four.
    assert METHODS["occlusion"].cost(2048, Patches(1 / 4, 1 / 16), 299) == 13 * 13
    # Besides, one pass for the panels, and for occlusion one of the whole photograph.
    assert occlusion == METHODS["occlusion"].cost(32, Patches(), 32) + 2 == 51
    assert score_cam == METHODS["score_cam"].cost(32, Patches(), 32) + 1 == 33
