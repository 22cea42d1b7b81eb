"""What a region of a photograph speaks for, on numbers worked out by hand and on the scenes of two things."""

import pytest
import torch
from helpers import EXAMPLES
from torch import nn

from demo.engine import Engine
from demo.errors import InputError
from demo.models import Library
from demo.query import Explain, Predict, Region, image_file
from explainers import forward_pass, layer_maps, linear_maps, region_evidence

LEFT, RIGHT = (0.0, 0.2, 0.5, 1.0), (0.5, 0.2, 1.0, 1.0)
TOP, BOTTOM = (0.0, 0.0, 1.0, 0.45), (0.0, 0.5, 1.0, 1.0)


def test_a_region_has_the_evidence_of_its_cells():
    maps = torch.tensor([[[1.0, 2.0], [4.0, 8.0]], [[0.0, 0.0], [3.0, 0.0]]])
    assert region_evidence(maps, (0, 0, 1, 1)).tolist() == [15, 3]
    assert region_evidence(maps, (0, 0.5, 1, 1)).tolist() == [12, 3]
    # Half of the left column, a quarter of its width and the lower half of each upper cell: (1 + 4 * 2) / 4.
    assert region_evidence(maps, (0.25, 0.25, 0.5, 1)).tolist() == pytest.approx([1 / 4 + 4 / 2, 3 / 2])


@pytest.mark.parametrize(
    "box", [(0.5, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0, 1, 1, 0), (0, 0, float("nan"), 1)]
)
def test_a_region_lies_in_the_image(box):
    with pytest.raises(ValueError, match="increasing and within 0 to 1"):
        region_evidence(torch.ones(1, 2, 2), box)


class Averaging(nn.Module):
    """A convolution, its mean, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Linear(5, 7)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(self.conv(images).relu().mean(dim=(2, 3)))


def test_all_maps_of_a_linear_head_are_grad_cams_without_a_gradient_and_add_up_to_the_score():
    torch.manual_seed(0)
    network, image = Averaging(), torch.randn(1, 3, 8, 8)
    # The layer is before its ReLU, so the feature maps that are averaged are what the ReLU makes of it.
    with forward_pass(image, [network.conv]) as passed:
        (scores,) = network(passed.images)
    features = passed.feature_maps()[0].relu()
    maps = linear_maps(features, network.linear.weight)
    negative = linear_maps(features, -network.linear.weight)
    assert torch.allclose((maps - negative).sum(dim=(1, 2)) + network.linear.bias, scores, atol=1e-5)


def test_the_shipped_network_needs_no_gradient_for_all_its_classes():
    model = Library().load("classification")
    photo = Engine(Library()).open(image_file((EXAMPLES / "zebra_elephant.jpg").read_bytes()))
    image, layer = model.prepare(photo), model.layers["layer4"]
    with forward_pass(image, [layer]) as passed:
        logits = model.encode(passed.images, [""])[0]
    (features,) = passed.feature_maps()
    maps = linear_maps(features, model.linear_weights(logits, features))
    (found,) = layer_maps(model.score("zebra", "African elephant", "goldfish"), image, [layer])
    places = [model.labels.index(name) for name in ("zebra", "African elephant", "goldfish")]
    assert torch.allclose(maps[places], found.maps, atol=1e-4 * found.maps.max().item())
    assert model.linear_weights(logits, torch.rand(1, 1024, 16, 16)) is None  # another layer's
    assert model.linear_weights(logits, features + 1) is None


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Library())


@pytest.mark.parametrize(
    ("example", "region", "name"),
    [
        ("zebra_elephant", LEFT, "zebra"),
        ("zebra_elephant", RIGHT, "African elephant"),
        ("airliner_fire_engine", TOP, "airliner"),
        ("airliner_fire_engine", BOTTOM, "fire engine"),
        ("ram_peacock", LEFT, "ram"),
        ("ram_peacock", RIGHT, "peacock"),
        ("sea_lion_flamingo", LEFT, "sea lion"),
        ("sea_lion_flamingo", RIGHT, "flamingo"),
    ],
)
def test_the_box_of_a_thing_says_the_thing(engine, example, region, name):
    photo = image_file((EXAMPLES / f"{example}.jpg").read_bytes())
    said = engine.answer(Region(photo, "classification", box=region)).evidence
    assert next(iter(said)) == name
    assert list(said.values()) == sorted(said.values(), reverse=True)


@pytest.mark.parametrize(
    ("task", "text", "region", "expected"),
    [
        ("captioning", "a zebra and an elephant", LEFT, "1"),
        ("vqa", "What animal is this?", LEFT, "zebra"),
        ("classification", "", LEFT, None),
    ],
)
def test_words_answers_and_shallow_layers_by_gradients(engine, task, text, region, expected):
    photo = image_file((EXAMPLES / "zebra_elephant.jpg").read_bytes())
    layer = "layer3" if expected is None else ""
    query = Region(photo, task, text=text, box=region, layer=layer)
    result = engine.answer(query)
    said = result.evidence
    assert 0 < len(said) <= 10
    if expected:
        assert next(iter(said)) == expected
    first = next(iter(said))
    (row,) = engine.answer(
        Explain(photo, task, text=text, targets=(first,), layers=(layer,), methods=("gradcam",))
    ).rows
    cells = row.pictures["gradcam"]
    evidence = region_evidence(torch.tensor(cells)[None], region)
    assert said[first] == pytest.approx(evidence.item(), rel=1e-3)
    assert result.shares[first] == pytest.approx(evidence.item() / cells.sum(), rel=1e-3)
    assert list(result.shares) == list(said)


def test_what_the_model_says_of_the_whole_photograph_is_another_question(engine):
    photo = image_file((EXAMPLES / "zebra_elephant.jpg").read_bytes())
    engine.answer(Region(photo, "classification", box=LEFT))
    assert sum(engine.answer(Predict(photo, "classification")).predictions.values()) < 1


def test_a_region_outside_gets_a_sentence(engine):
    photo = image_file((EXAMPLES / "cat.jpg").read_bytes())
    with pytest.raises(InputError, match="A region is left, top, right and bottom"):
        engine.answer(Region(photo, "classification", box=(0.5, 0, 0.2, 1)))
