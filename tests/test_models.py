"""The catalogue, and what models say to names they do not know."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from samples import plain

from demo.errors import InputError
from demo.models import Entry, Library, catalog, load
from demo.models.classification import Classifier
from demo.models.resnet50 import GEOMETRY
from explainers import explain


def test_the_default_model_is_shipped_and_first():
    entry = catalog("classification")[0]
    assert entry.shipped
    assert Library().default("classification") == entry.name
    assert load("classification") is load("classification", entry.name) is load("classification", "")


def test_threads_that_ask_at_the_same_time_get_one_model():
    library = Library()
    with ThreadPoolExecutor(8) as pool:
        assert len({id(model) for model in pool.map(lambda _: library.load("classification"), range(8))}) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: catalog("haiku"), "No task “haiku”. Tasks: classification"),
        (lambda: load("haiku"), "No task “haiku”"),
        (lambda: load("classification", "GPT"), "No model “GPT” for classification. Models: ResNet-50"),
        (lambda: load("classification").score("zebr"), "no class “zebr”. Did you mean zebra"),
        (lambda: load("classification").score("zebra", "qqqqq"), "no class “qqqqq”. It knows 1000, such as tench."),
        (lambda: load("classification").score(""), "no class “”"),
        (lambda: Library("abacus"), "no device “abacus” here. Devices: auto, cpu"),
    ],
)
def test_what_is_not_known_is_named_and_the_known_offered(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_capitals_matter_only_where_they_tell_classes_apart():
    known = load("classification").resolve_label
    assert known("ZEBRA") == known("zebra") == "zebra"
    assert (known("Cardigan"), known("cardigan")) == ("Cardigan", "cardigan")  # a dog and a jacket


def test_the_model_is_frozen_and_in_evaluation_mode():
    network = load("classification").layers["layer4"]
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("size", [(640, 480), (100, 900), (1, 1)])
def test_the_whole_photograph_is_squashed(size):
    """Red at the left and blue at the right edge stay at the edges, whatever the shape: nothing is cropped."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2 + 1, 0] = 255
    pixels[:, size[0] // 2 + 1 :, 2] = 255
    image = load("classification").prepare(Image.fromarray(pixels))
    assert image.shape == (1, 3, 256, 256)
    assert image.dtype == torch.float32
    # Full red is (1 - mean) / std, none is -mean / std.
    assert image[0, 0, 128, 0].item() == pytest.approx((255 - 123.68) / 255 / 0.229, abs=1e-3)
    blue = 0 if size == (1, 1) else 255
    assert image[0, 2, 128, 255].item() == pytest.approx((blue - 103.939) / 255 / 0.225, abs=1e-3)


def test_scores_are_the_logits_in_the_order_of_the_names():
    model = load("classification")
    image = torch.zeros(1, 3, 256, 256)
    with torch.inference_mode():
        scores = model.score("zebra", "tench", "zebra")(image)
        all_scores = model.score(*model.labels)(image)
    assert torch.equal(scores, all_scores[[340, 0, 340]])
    assert model.predict(image)["zebra"] == pytest.approx(all_scores.softmax(0)[340].item(), rel=1e-4)


def test_a_model_that_is_loaded_in_inference_mode_can_be_explained():
    def made(*_: object) -> Classifier:
        network = plain(1).eval().requires_grad_(False)
        return Classifier("Small", network, ["dog"], {"last": network.features[9]}, GEOMETRY)

    with torch.inference_mode():
        model = Library(entries={"classification": [Entry("Small", 0.0, made)]}).load("classification")
    assert explain(model.score("dog"), torch.zeros(1, 3, 16, 16), model.layers["last"]).scores.shape == (1,)
