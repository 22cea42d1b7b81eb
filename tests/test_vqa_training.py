"""VQA training: weights, targets, baselines, resuming, temperature; and the credit that an answer gets."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from demo.models.coattention import CoAttention
from demo.models.resnet50 import FEATURES
from demo.models.vqa import Fusion
from training.vqa import (
    Example,
    Settings,
    Stage,
    accuracies,
    answer,
    blinded,
    calibrate,
    credit,
    logits,
    make_examples,
    make_vocabulary,
    read_features,
    read_pairs,
    read_run,
    suggestions,
    train,
)
from training.vqa_data import Pair

STAGE = Stage(
    *(1, 1, 1, 1),
    dropout=0.2,
    feature_dropout=0.1,
    batch=4,
    rate=2e-3,
    average=0.9,
    epochs=3,
    patience=9,
    watched="mean",
)
SMALL = Settings(
    least_count=1, least_answers=1, width=4, hidden=4, joint=8, first=STAGE, last=replace(STAGE, epochs=2)
)


def pair(question: str, answers: dict[str, int], which: str = "captions", row: int = 0, split: str = "train") -> Pair:
    return Pair(which, "flickr8k", row, split, "object", question, max(answers, key=answers.get), answers)


@pytest.fixture
def data(tmp_path):
    """Noise for pictures; what animal each shows, to be learnt by heart."""
    generator = np.random.default_rng(0)
    (tmp_path / "cache").mkdir()
    seen = generator.normal(size=(9, 4, 2048)).astype(np.float16)
    np.save(tmp_path / "cache" / "flickr8k.cells.npy", seen)
    np.save(tmp_path / "cache" / "flickr8k.npy", seen[:, 0])
    pairs = [
        pair(question, {["dog", "cat", "cow"][row % 3]: 1}, which, row, split)
        for which, split in (("captions", "train"), ("captions", "val"), ("vqa2", "val"), ("daquar", "val"))
        for row in range(9)
        for question in ("what is this ?", "what animal do you see ?")
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(asdict(pair)) for pair in pairs))
    return tmp_path


def run(data, name, settings=SMALL, without=""):
    train(data / "pairs.jsonl", data / "cache", data / name, settings, without, "cpu")


KINDS = [(Fusion, SMALL, "vqa"), (CoAttention, replace(SMALL, attention=True), "coattention")]


@pytest.mark.parametrize(("kind", "settings", "stem"), KINDS)
@pytest.mark.parametrize(("calls", "last"), [(20, "first.pt"), (33, "last.pt")])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(data, monkeypatch, calls, last, kind, settings, stem):
    run(data, "whole", settings)
    read, calls = kind.read, iter(range(calls))

    def interrupted(self, tokens):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return read(self, tokens)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kind, "read", interrupted)
        run(data, "halves", settings)
    assert (data / "halves" / last).exists()
    assert not (data / "halves" / f"{stem}.safetensors").exists()
    run(data, "halves", settings)
    for file in (f"{stem}.safetensors", f"{stem}.json"):
        assert (data / "halves" / file).read_bytes() == (data / "whole" / file).read_bytes()


@pytest.mark.parametrize(("kind", "settings", "stem"), KINDS)
@pytest.mark.parametrize("without", ["", "image", "question"])
def test_what_a_baseline_does_not_see_does_not_matter_to_it(data, without, kind, settings, stem):
    run(data, "run", settings, without)
    fusion, vocabulary, saved = read_run(data / "run" / f"{stem}.json")
    assert (type(fusion), saved) == (kind, without)
    pairs = read_pairs(data / "pairs.jsonl")
    features, starts = read_features(data / "cache", pairs, settings.attention)
    same, otherwise = make_examples(pairs[:2], starts, vocabulary)
    features, examples = blinded(features, [same, same._replace(picture=5), otherwise], without)
    with torch.inference_mode():
        first, elsewhere, other = (logits(fusion, features, [example])[0] for example in examples)
    assert torch.equal(first, elsewhere) == (without == "image")
    assert torch.equal(first, other) == (without == "question")


def test_a_question_without_a_known_word_has_none_where_questions_are_hidden():
    features, examples = torch.rand(1, 2048), [Example(0, (), {}), Example(0, (4, 5), {})]
    assert [example.tokens for example in blinded(features, examples, "question")[1]] == [(), (0,)]


def test_a_feature_that_is_dropped_is_dropped_at_all_places():
    fusion = CoAttention(known_words=3, answers=2, width=4, hidden=2, joint=3)
    fusion.feature_dropout.p = 0.5
    torch.manual_seed(0)
    given = []
    fusion.image.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    fusion(torch.ones(2, 5, FEATURES), torch.tensor([[1], [2]]))
    assert torch.equal(given[0], given[0][:, :1].expand(2, 5, FEATURES))
    assert given[0].mean().item() == pytest.approx(1, abs=0.1)
    assert not torch.equal(given[0][0], given[0][1])  # others of each picture


def test_questions_with_pictures_are_learnt(data):
    stage = replace(STAGE, dropout=0.0, feature_dropout=0.0, rate=1e-2, epochs=20, patience=20)
    settings = Settings(least_count=1, least_answers=1, width=8, hidden=8, joint=32, first=stage, last=stage)
    run(data, "run", settings)
    scores = json.loads((data / "run" / "vqa.json").read_text())["validation"]
    assert scores["captions"] > 0.9  # the pictures are those of the training
    fusion, vocabulary, _ = read_run(data / "run" / "vqa.json")
    pairs = read_pairs(data / "pairs.jsonl")
    features, starts = read_features(data / "cache", pairs, False)
    unreadable = make_examples([pair("qwertz", {"dog": 1})], starts, vocabulary)
    assert answer(fusion, features, unreadable, vocabulary.answers) == [""]


def test_the_frequent_answers_count_as_often_as_they_are_shown():
    pairs = [pair("q", {"dog": 1})] * 3 + [pair("q", {"cat": 1}, "vqa1_train")] + [pair("q", {"cow": 1})]
    first = replace(STAGE, people=4.0)
    vocabulary = make_vocabulary(pairs, replace(SMALL, answers=2, first=first))
    assert vocabulary.answers == ["cat", "dog"]


def test_an_answer_of_one_question_alone_is_not_learnt():
    pairs = [pair("q", {"dog": 1})] * 3 + [pair("q", {"they can see it better": 10}, "vqa2")] * 2
    assert make_vocabulary(pairs, Settings()).answers == ["dog"]


def test_a_run_is_not_resumed_with_other_questions(data):
    run(data, "run")
    pairs = data / "pairs.jsonl"
    pairs.write_text(pairs.read_text().replace("animal", "creature"))
    with pytest.raises(SystemExit, match="made with other settings"):
        run(data, "run")


def test_targets_are_shares_of_the_known_answers():
    pairs = [
        pair("what is this", {"dog": 6, "cat": 2, "rare": 2}),
        pair("what is left of it", {"dog": 1}),
    ]
    vocabulary = make_vocabulary([pair("what is this left", {"dog": 2}), pair("is", {"cat": 1})], SMALL)
    examples = make_examples(pairs, {"flickr8k": 100}, vocabulary)
    known = {vocabulary.answers.index("dog"): 0.75, vocabulary.answers.index("cat"): 0.25}
    assert examples[0].targets == known
    assert examples[0].picture == 100
    assert len(examples[1].tokens) == 3  # "of" and "it" are not known


@pytest.mark.parametrize(
    ("which", "answers", "given", "expected"),
    [
        ("vqa2", {"red": 8, "maroon": 2}, "red", 1),
        # Of the ten subsets of nine people, two have one who says maroon, and eight have both.
        ("vqa2", {"red": 8, "maroon": 2}, "maroon", (2 * 1 / 3 + 8 * 2 / 3) / 10),
        ("vqa2", {"red": 8, "maroon": 2}, "blue", 0),
        ("vqa2", {"red": 9, "maroon": 1}, "maroon", 0.3),
        ("vqa2", {"red": 7, "maroon": 3}, "maroon", 0.9),
        ("vqa2", {"red": 6, "maroon": 4}, "maroon", 1),
        # Of three people, the subsets of two.
        ("vqa2", {"red": 2, "maroon": 1}, "red", (1 / 3 + 1 / 3 + 2 / 3) / 3),
        ("vqa2", {"red": 1}, "red", 1),
        ("vqa1_train", {"red": 1}, "red", 1),
        ("vqa1_train", {"red": 1}, "blue", 0),
        ("captions", {"red": 2, "maroon": 1}, "maroon", 0),
        ("daquar", {"red": 1}, "red", 1),
    ],
)
def test_credit(which, answers, given, expected):
    assert credit(pair("q", answers, which), given) == pytest.approx(expected)


def test_accuracies_are_means_by_kind_and_over_all():
    pairs = [
        *(pair("q", {"a": 1}), pair("q", {"b": 1}), pair("q", {"b": 1}, "daquar")),
        *(pair("q", {"a": 1}, "okvqa"), pair("q", {"b": 1}, "vqa1_train")),
    ]
    assert accuracies(pairs, ["a", "a", "b", "a", "a"]) == {
        ("captions", "object"): (0.5, 2),
        ("captions", "all"): (0.5, 2),
        ("daquar", "object"): (1.0, 1),
        ("daquar", "all"): (1.0, 1),
        ("okvqa", "object"): (1.0, 1),
        ("okvqa", "all"): (1.0, 1),
        ("vqa1_train", "object"): (0.0, 1),
        ("vqa1_train", "all"): (0.0, 1),
        ("people", "object"): (0.5, 2),
        ("people", "all"): (0.5, 2),
    }


def test_the_temperature_makes_probabilities_as_high_as_answers_are_right():
    """Logits 2 ln 2, 0, 0 that are right in half of the cases: at temperature 2 they are a half and two quarters."""
    fusion = Fusion(3, 3, 4, 4, 8).eval()
    with torch.no_grad():
        fusion.answer.weight.zero_()
        fusion.answer.bias.copy_(torch.tensor([2 * np.log(2), 0, 0]))
    features = torch.rand(1, 2048).half()
    examples = [Example(0, (1, 2), {index: 1.0}) for index in (0, 0, 1, 2)]
    assert calibrate(fusion, features, examples) == 2
    sure = logits(fusion, features, examples[:1]).softmax(dim=1)[0]
    assert sure.tolist() == pytest.approx([0.5, 0.25, 0.25])


def test_questions_are_suggested_for_words_that_are_often_asked_about():
    asked = ["what color is the dog ?", "what colour is the dog ?"] * 10
    asked += ["how many dogs do you see ?"] * 20 + ["do you see an owl ?"] * 20 + ["what color is the cow ?"] * 19
    pairs = [pair(question, {"a": 1}) for question in asked]
    found = suggestions(pairs + [pair("what kind of animal is shown ?", {"dog": 1})] * 20)
    assert found["dog"] == ["What animal is this?", "What color is the dog?"]
    assert "dogs" not in found
    assert found["owl"] == ["Is there an owl in the picture?"]
    assert "cow" not in found
