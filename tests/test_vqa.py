"""The answerer: its scores are raw logits, and they depend on the photograph, the question and the answer."""

import math

import pytest
import torch
from helpers import EXAMPLES
from samples import runs_of
from torchvision.models import ResNet, resnet18

from demo.errors import InputError
from demo.images import open_photo
from demo.models import load
from demo.models.vqa import FEATURES, Answerer, Fusion, premises, suggest, things, whether_there
from demo.tasks.vqa import ANIMAL, ANY, SUGGESTIONS, likely, ranked, suggestions
from explainers import explain


@pytest.fixture(scope="module")
def model() -> Answerer:
    return load("vqa", "ResNet-50 + LSTM (questions)")


@pytest.fixture(scope="module")
def image(model):
    return model.prepare(open_photo(str(EXAMPLES / "dog.jpg")))


def test_the_score_is_the_logit_before_the_softmax(model, image):
    question = "what animal is this?"
    probability = model.predict(image, question)
    best = list(probability)[:3]
    scores = model.score(question, *best)(image)
    everything = model.score(question, *model.labels)(image)
    assert torch.allclose(
        everything.softmax(dim=0)[[model.labels.index(a) for a in best]],
        scores.softmax(dim=0) * sum(probability[a] for a in best),
        atol=1e-5,
    )
    assert sum(probability.values()) == pytest.approx(1, abs=1e-4)
    assert not everything.log_softmax(dim=0).allclose(everything)


def test_the_shipped_model_answers(model, image):
    assert next(iter(model.predict(image, "What animal is this?"))) == "dog"
    assert next(iter(model.predict(image, "Is there a dog in the picture?"))) == "yes"
    assert next(iter(model.predict(image, "Is there a train in the picture?"))) == "no"


def test_forced_answers_give_different_maps(model, image):
    layer = next(iter(model.layers.values()))
    found = explain(model.score("What is in the picture?", "dog", "grass"), image, layer)
    dog, grass = found.gradcam
    assert dog.argmax() != grass.argmax()
    likeness = torch.corrcoef(torch.stack([dog.flatten(), grass.flatten()]))[0, 1]
    assert likeness < 0.8


def test_a_number_is_an_answer_as_a_word_and_in_digits(model, image):
    assert (model.resolve_label("two"), model.resolve_label("2"), model.resolve_label(" TEN ")) == ("2", "2", "10")
    assert torch.equal(model.score("how many zebras?", "two")(image), model.score("how many zebras?", "2")(image))


def test_words_capitals_and_punctuation(model, image):
    score = model.score("What color is the dog?", "brown")(image)
    assert torch.equal(score, model.score("what COLOR is, the dog", " Brown ")(image))
    assert torch.equal(score, model.score("what color qwertz is the dog", "brown")(image))
    assert model.ignored_words("What COLOR qwertz is the zyx qwertz?") == ["qwertz", "zyx"]


@pytest.mark.parametrize(
    ("question", "answer", "message"),
    [
        ("", "yes", "There is no question"),
        ("?!", "yes", "There is no question"),
        ("is " * 500, "yes", "500 words, more than 50: shorten it"),
        ("wieviele Hunde", "yes", "knows no word of this question"),
        ("🐶", "yes", "knows no word of this question"),
        ("is this a dog", "yelow", "has no answer “yelow”. Did you mean yellow"),
        ("is this a dog", "", r"has no answer “”. It knows \d+, such as"),
    ],
)
def test_what_cannot_be_answered_gets_a_sentence(model, question, answer, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        model.score(question, answer)


def tiny(joint: int = 4) -> tuple[ResNet, Fusion]:
    torch.manual_seed(0)
    network = resnet18().eval().requires_grad_(False)
    network.fc = torch.nn.Identity()
    fusion = Fusion(2, 3, 4, 4, joint).eval().requires_grad_(False)
    fusion.image = torch.nn.Linear(512, joint).requires_grad_(False)
    return network, fusion


def test_the_logits_worked_out_by_hand():
    """One joint number: the tanh of a question's times that of a photograph's, of which only the direction counts."""
    fusion = Fusion(known_words=1, answers=2, width=1, hidden=1, joint=1).eval().requires_grad_(False)
    fusion.question.weight.copy_(torch.tensor([[0.1, 0.0, 0.0, 0.1]]))
    fusion.question.bias.zero_()
    fusion.image.weight.zero_()[0, 0] = FEATURES**-0.5
    fusion.image.bias.zero_()
    fusion.answer.weight.copy_(torch.tensor([[2.0], [-1.0]]))
    fusion.answer.bias.copy_(torch.tensor([1.0, 0.0]))
    features, read = torch.zeros(1, FEATURES), torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    features[0, :2] = torch.tensor([3.0, 4.0])  # of length 5
    joint = math.tanh(0.5) * math.tanh(0.6)
    for seen in (features, 7 * features):
        assert fusion.decide(seen, read)[0].tolist() == pytest.approx([1 + 2 * joint, -joint])


def test_an_image_without_effect_gets_an_empty_map_or_an_error_and_never_a_random_map(model, image):
    network, fusion = tiny()
    fusion.image.weight.zero_()
    blind = Answerer("blind", network, fusion, ["is", "it"], ["a", "b", "c"])
    found = explain(blind.score("is it", "b"), image, network.layer4)
    assert found.gradcam.max() == 0
    assert found.pixel_gradient.abs().max() == 0
    with pytest.raises(ValueError, match="do not depend on the image"):
        explain(lambda x: torch.ones(1), image, network.layer4)


def test_suggested_questions_are_about_what_is_seen_and_understood(model):
    suggested = suggest("a dog is running in the grass beside two dogs", "German shepherd")
    assert {"What animal is this?", "Is there a dog in the picture?"} < set(suggested)
    assert len(set(suggested)) == len(suggested) >= 5
    assert not any(model.ignored_words(question) for question in suggested)
    assert suggest("") == ["What is in the picture?", "Where is this?"]


@pytest.mark.parametrize(
    ("question", "premise"),
    [
        ("What color is the horse?", "Is there a horse in the picture?"),
        ("how many dogs are there", "Is there a dog in the picture?"),
        ("Is the bus red?", "Is there a bus in the picture?"),
        ("Is there a horse?", None),
        ("What room is this?", None),
        ("Where can you park?", None),
        ("Why is he about to slide?", None),
        ("What is in the picture?", None),
        ("", None),
    ],
)
def test_what_a_question_takes_for_granted(question, premise):
    assert premises(question) == [premise] * (premise is not None)


def test_questions_are_suggested_about_likely_answers_and_no_others():
    about = suggestions({"boat": 0.6, "lion": 0.4}, {"a dog": -2.0, "a cat": -3.0}, {"car": 0.8, "pizza": 0.05})
    assert len(about) == SUGGESTIONS
    asked = " ".join(about)
    assert {word: word in asked for word in ("boat", "lion", "animal", "cat", "car", "pizza")} == {
        "boat": True, "lion": False, "animal": True, "cat": False, "car": True, "pizza": False
    }  # fmt: skip


def test_an_animal_is_asked_after_first_and_anything_last():
    panda = suggestions({"giant panda": 1.0}, {"a close up of a tree": -3.0}, {"tree": 0.06})
    assert (panda[0], panda[-1]) == (ANIMAL, ANY)
    espresso = suggestions({"espresso": 1.0}, {"a cup on a table": -3.0}, {"cup": 0.06})
    assert ANIMAL not in espresso
    assert espresso[-1] == ANY


def test_the_best_suggestion_is_open_and_its_answer_probable():
    answered = {
        ANY: {"cat": 0.99},
        "Is there a cup in the picture?": {"yes": 0.67},
        "Is there a bowl in the picture?": {"no": 0.74},
        "Where is this?": {"street": 0.13},
        "What color is the grass?": {"green": 0.42},
        "What color is the sky?": {"blue": 0.47},
        ANIMAL: {"cow": 0.41},
    }
    assert ranked(answered) == [
        ANIMAL,
        "What color is the sky?",
        "What color is the grass?",
        "Is there a bowl in the picture?",
        "Is there a cup in the picture?",
        "Where is this?",
        ANY,
    ]
    assert ranked(answered | {ANIMAL: {"dog": 0.3}})[-3:] == [ANIMAL, "Where is this?", ANY]


def test_improbable_answers_are_left_out_but_two_remain():
    assert list(likely({"yes": 0.6, "no": 0.39, "0": 0.01, "safety": 0.009, "8": 0.001})) == ["yes", "no", "0"]
    assert list(likely({"yes": 0.999, "no": 0.001, "0": 0.0})) == ["yes", "no"]


@pytest.mark.parametrize(
    ("question", "taken_for_granted"),
    [
        ("What color is the horse?", ["horse"]),
        ("How many coins are there?", ["coins"]),
        ("What is the dog in the picture doing?", ["dog"]),
        ("What color is it?", []),
    ],
)
def test_the_things_of_a_question(question, taken_for_granted):
    assert things(question) == taken_for_granted


def test_the_question_whether_a_thing_is_there(model):
    assert whether_there("dogs") == "Is there a dog in the picture?"
    assert whether_there("grass") == "Is there a grass in the picture?"
    assert not model.ignored_words(whether_there("grass"))
    assert whether_there("qwertz") == ""


def test_the_encoder_runs_once_for_all_answers(model, image):
    layer = next(iter(model.layers.values()))
    with runs_of(layer) as runs:
        explain(model.score("what is this", "dog", "cat", "grass"), image, layer)
    assert len(runs) == 1
