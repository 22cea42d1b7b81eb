"""The answerer that attends: its numbers by hand, and where it looked as a picture of the app."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.engine import Engine
from demo.images import open_photo
from demo.models import Library
from demo.models.coattention import Attention, AttentiveAnswerer, CoAttention, Level
from demo.models.resnet50 import FEATURES
from demo.query import Query, photo_of
from explainers import explain

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


def test_the_question_guides_where_the_image_is_looked_at_and_that_guides_what_is_read():
    torch.manual_seed(0)
    level = Level(width=6, hidden=5)
    question, image = torch.randn(1, 4, 6), torch.randn(1, 9, 6)
    product, weights = level(question, image)
    seen, expected = level.image(image, level.summary(question)[0])
    assert torch.equal(weights, expected)
    assert weights.sum().item() == pytest.approx(1)
    assert torch.equal(product, level.question(question, seen)[0] * seen)
    other, otherwise = level(torch.randn(1, 4, 6), image)
    assert not torch.allclose(other, product)
    assert not torch.allclose(otherwise, weights)


@pytest.mark.parametrize("words", [1, 2, 5])
def test_a_phrase_is_the_strongest_of_one_two_and_three_words_there(words):
    torch.manual_seed(0)
    fusion = CoAttention(known_words=7, answers=3, width=4, hidden=2, joint=5).eval()
    read = fusion.read(torch.arange(words)[None])
    assert read.shape == (1, 3, words, 4)
    vectors = torch.nn.functional.pad(fusion.embedding(torch.arange(words)), (0, 0, 1, 1))
    one, two, three = fusion.phrases
    for place in range(words):
        grams = [
            one.weight[:, :, 0] @ vectors[place + 1] + one.bias,
            sum(two.weight[:, :, k] @ vectors[place + k] for k in range(2)) + two.bias,
            sum(three.weight[:, :, k] @ vectors[place + k] for k in range(3)) + three.bias,
        ]
        torch.testing.assert_close(read[0, 1, place], torch.stack(grams).amax(dim=0).tanh())


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
    for layer, side in (("layer2", 32), ("layer3", 16), ("layer4", 8)):
        found = explain(model.score("What animal is this?", *answers), image, model.layers[layer])
        assert found.maps.shape == (2, side, side)
        assert found.maps[0].max() > 0


def test_where_it_looked_is_a_picture_that_depends_on_the_question_alone(model):
    query = Query(
        photo_of(PHOTO.read_bytes()), "vqa", NAME, "What color is the dog?", ("brown", "black"), methods=("attention",)
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
