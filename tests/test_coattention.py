"""The answerer that attends: its numbers by hand, and where it looked as a picture of the app."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.engine import Engine
from demo.images import open_photo
from demo.models import Library
from demo.models.coattention import Attention, AttentiveAnswerer, CoAttention
from demo.models.resnet50 import FEATURES
from demo.query import Explain, image_file
from explainers import layer_maps

NAME = "ResNet-50 + co-attention (questions)"
PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "dog.jpg"


@pytest.fixture(scope="module")
def model() -> AttentiveAnswerer:
    return Library().load("vqa", NAME)


def test_attention_by_hand():
    """One number for each vector: weights are e^(w tanh(a x + b g + c)) over their sum."""
    attend = Attention(width=1, hidden=1, guided=True)
    attend.load_state_dict(
        {
            "vectors.weight": torch.tensor([[2.0]]),
            "vectors.bias": torch.tensor([0.5]),
            "guide.weight": torch.tensor([[-1.0]]),
            "weight.weight": torch.tensor([[3.0]]),
            "weight.bias": torch.tensor([7.0]),
        }
    )
    mean, weights = attend(torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[0.25]]))
    # tanh(2 + 0.5 - 0.25) = 0.97803, tanh(-2 + 0.5 - 0.25) = -0.94138; e^(3 (0.97803 + 0.94138)) = 316.7
    assert weights[0].tolist() == pytest.approx([0.996852, 0.003148], abs=1e-5)
    assert mean.item() == pytest.approx(0.993704, abs=1e-5)


def test_co_attention_by_hand():
    """Vectors of one number: what each step finds is written beside it."""
    fusion = CoAttention(known_words=1, answers=1, width=1, hidden=1, joint=1).eval()
    image = torch.zeros(1, FEATURES)
    image[0, 0] = 1.0
    by_hand = {
        "image.weight": image,
        "summary.vectors.weight": 0,  # all words alike: the mean of 1 and 3 is 2
        "places.vectors.weight": 1,
        "places.guide.weight": 1,
        "places.vectors.bias": -2,  # the places 0 and 1: tanh(0 + 2 - 2) = 0, tanh(1 + 2 - 2) = tanh 1
        "places.weight.weight": math.log(3) / math.tanh(1),  # weights 1/4 and 3/4: 3/4 is found
        "reading.vectors.weight": 1,
        "reading.guide.weight": 4,
        "reading.vectors.bias": -4,  # the words 1 and 3: tanh(1 + 3 - 4) = 0, tanh(3 + 3 - 4) = tanh 2
        "reading.weight.weight": math.log(2) / math.tanh(2),  # weights 1/3 and 2/3: 7/3 is read
        "merge.weight": 1,  # of 7/3 * 3/4
        "answer.weight": 2,
        "answer.bias": 1,
    }
    for name, parameter in fusion.requires_grad_(False).named_parameters():
        parameter.copy_(torch.as_tensor(by_hand.get(name, 0.0)))
    seen = torch.full((1, 2, FEATURES), 5.0)
    seen[0, :, 0] = torch.tensor([0.0, 1.0])
    logits, weights = fusion.attend(seen, torch.tensor([[[1.0], [3.0]]]))
    assert weights[0].tolist() == pytest.approx([0.25, 0.75])
    assert logits.item() == pytest.approx(1 + 2 * math.tanh(1.75))


def test_places_do_not_count_by_their_order():
    torch.manual_seed(0)
    fusion = CoAttention(known_words=7, answers=3, width=4, hidden=2, joint=5).eval()
    seen, tokens = torch.rand(1, 9, FEATURES), torch.tensor([[1, 2]])
    order = torch.randperm(9)
    logits, weights = fusion.attend(seen, fusion.read(tokens))
    shuffled, moved = fusion.attend(seen[:, order], fusion.read(tokens))
    torch.testing.assert_close(shuffled, logits)
    torch.testing.assert_close(moved, weights[:, order])


def test_the_shipped_model_answers_and_can_be_explained_at_the_layers_of_the_papers_figure(model):
    image = model.prepare(open_photo(PHOTO))
    assert next(iter(model.predict(image, "Is there a dog in the picture?"))) == "yes"
    answers = list(model.predict(image, "What animal is this?"))[:2]
    assert answers[0] == "dog"
    layers = [model.layers[layer] for layer in ("layer2", "layer3", "layer4")]
    seen = layer_maps(model.score("What animal is this?", *answers), image, layers)
    for found, side in zip(seen, (32, 16, 8), strict=True):
        assert found.maps.shape == (2, side, side)
        assert found.maps[0].max() > 0


def test_where_it_looked_is_a_picture_that_does_not_depend_on_the_answer(model):
    query = Explain(
        image_file(PHOTO.read_bytes()),
        "vqa",
        NAME,
        "What color is the dog?",
        methods=("attention",),
        targets=("brown", "black"),
    )
    engine = Engine(Library())
    brown, black = engine.answer(query).rows
    image = model.prepare(open_photo(PHOTO))
    found = model.attention(image, query.text).numpy()
    assert found.shape == (8, 8)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    for row in (brown, black):
        np.testing.assert_allclose(row.pictures["attention"], found, atol=1e-5)
    (elsewhere,) = engine.answer(replace(query, text="What is behind the dog?", targets=("grass",))).rows
    assert not np.allclose(elsewhere.pictures["attention"], found, atol=1e-3)
