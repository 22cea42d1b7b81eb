"""Questions from captions: what is asked and answered, what is denied, and no photograph on two sides."""

import json
from collections import Counter, defaultdict

import pytest

from training import wordnet
from training.vqa_data import (
    Pair,
    associated,
    captioned,
    from_captions,
    from_people,
    from_templates,
    tidy,
    yes_or_no,
)
from training.vqa_questions import Question

ASKED = {
    "question": "is it?",
    "answer": "yes",
    "answers": ["yes"] * 9 + ["no"],
    "answer_type": "yes/no",
    "set": "vqa2",
}
RULE = {"question": "q", "answer": "a", "template": "t"}

pytestmark = pytest.mark.skipif(not wordnet.FOLDER.exists(), reason="wordnet-base is not installed")


def write(folder, records):
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, records)))


def parsed(data, *pictures, split="train"):
    """Pictures with these captions, as `captioned` reads them."""
    write(data / "flickr8k", [{"captions": captions, "split": split} for captions in pictures])
    write(data / "coco", [])
    return captioned(data)[0]


def test_what_captions_answer(tmp_path):
    captions = ["A man in a red shirt is riding a brown horse on the beach.", "A man rides a horse."]
    (picture,) = parsed(tmp_path, captions)
    assert picture.facts == {
        Question("activity", "doing", ("man",)): {"riding": 2},
        Question("object", "verb", ("man", "riding")): {"horse": 2},
        Question("object", "who", ("riding", "horse")): {"man": 2},
        Question("object", "animal"): {"horse": 2},
        Question("object", "contents"): {"man": 2, "horse": 2, "beach": 1, "shirt": 1},
        Question("clothing", "wearing", ("man",)): {"shirt": 1},
        Question("colour", "colour", ("shirt",)): {"red": 1},
        Question("colour", "colour", ("man's shirt",)): {"red": 1},
        Question("colour", "colour", ("horse",)): {"brown": 1},
        Question("location", "where", ("man",)): {"beach": 1},
        Question("man or woman", "man or woman"): {"man": 2},
        Question("number", "count", ("person",)): {"1": 2},
        Question("number", "count", ("man",)): {"1": 2},
        Question("number", "count", ("horse",)): {"1": 2},
    }


def test_numbers_colours_and_places_of_animals(tmp_path):
    captions = [
        "Two black and white dogs and a cat sleep on a couch.",
        "Two dogs wearing collars are sleeping next to a gray cat.",
    ]
    (picture,) = parsed(tmp_path, captions)
    facts = picture.facts
    assert facts[Question("number", "count", ("dog",))] == {"2": 2}
    assert facts[Question("number", "count", ("cat",))] == {"1": 2}
    assert facts[Question("colour", "colour", ("dogs",))] == {"black and white": 1}
    assert facts[Question("colour", "colour", ("cat",))] == {"gray": 1}
    assert facts[Question("location", "where", ("dogs",))] == {"couch": 1}
    assert facts[Question("activity", "doing", ("dogs",))] == {"sleeping": 2}
    assert Question("object", "animal") not in facts  # there are two kinds


def test_captions_that_differ_on_a_colour_or_a_number_answer_neither(tmp_path):
    captions = ["Two boys hold a red ball.", "Three boys hold a blue ball."]
    (picture,) = parsed(tmp_path, captions)
    assert picture.facts[Question("number", "count", ("ball",))] == {"1": 2}
    assert Question("number", "count", ("boy",)) not in picture.facts
    assert Question("colour", "colour", ("ball",)) not in picture.facts


def test_nothing_is_denied_that_a_caption_says_implies_or_leaves_open(tmp_path):
    pictures = parsed(
        tmp_path,
        ["A dog runs on the grass.", "A dog is running."],
        ["A puppy sleeps.", "A small puppy is asleep."],  # is a dog
        ["An animal in the snow.", "Some animal is outside."],  # may be a dog
        ["A woman reads a book.", "A woman is reading."],
    )
    asked = defaultdict(set)
    for picture, question, word, answer in yes_or_no(pictures, {}):
        if question.template == "exists":
            asked[word, answer].add(pictures.index(picture))
    assert asked["dog", "yes"] == {0}
    assert asked["dog", "no"] == {3}
    assert asked["woman", "yes"] == {3}


def test_a_word_that_goes_with_another_one_is_not_denied_beside_it(tmp_path):
    surfed = ["A surfer on the ocean.", "A surfer rides."]
    seen = ["The ocean is calm.", "The ocean and a surfer."]
    pictures = parsed(tmp_path, *[seen] * 6, *[surfed] * 2, *[["A dog sleeps.", "A dog is on a bed."]] * 9)
    related = associated(pictures)
    assert "surfer" in related["ocean"]
    assert "dog" not in related["ocean"]


def test_each_yes_no_question_is_answered_no_as_often_as_yes(tmp_path):
    scenes = ["A dog runs.", "A red car is parked.", "A woman in a blue coat walks.", "A man in a red coat sits."]
    write(tmp_path / "flickr8k", [{"captions": [scene, scene], "split": "train"} for scene in scenes * 5])
    write(tmp_path / "coco", [])
    pictures = captioned(tmp_path)[0]
    counts = Counter((question, word, answer) for _, question, word, answer in yes_or_no(pictures, {}))
    asked = {(question, word) for question, word, _ in counts}
    assert {word for _, word in asked} >= {"dog", "car", "red", "woman"}
    assert all(counts[question, word, "yes"] == counts[question, word, "no"] > 0 for question, word in asked)


def test_an_activity_is_denied_only_where_no_caption_has_it_in_any_form(tmp_path):
    pictures = parsed(
        tmp_path,
        ["A boy is playing soccer.", "A boy is playing soccer on grass."],
        ["A boy is running.", "Kids play soccer."],
        ["A boy is throwing a ball.", "The boys watch."],
        ["A girl is running.", "A girl is running fast."],
        ["A girl is jumping.", "A girl runs."],
        ["A girl is sleeping.", "A girl is sleeping on a bed."],
    )
    asked = defaultdict(set)
    for picture, question, word, answer in yes_or_no(pictures, {}):
        if question.template == "doing":
            asked[question.slots[0], word, answer].add(pictures.index(picture))
    assert asked["boy", "playing soccer", "yes"] == {0}
    assert asked["boy", "playing soccer", "no"] == {2}
    assert asked["girl", "running", "no"] == {5}


def test_a_photograph_with_captions_and_human_questions_has_one_split(tmp_path):
    kept = ["train", "test", "val"] * 3
    record = {"captions": ["A dog runs.", "A dog is running."], "vqa": [ASKED], "template_vqa": [RULE]}
    write(tmp_path / "flickr8k", [])
    write(tmp_path / "coco", [record | {"split": split} for split in kept])
    write(tmp_path / "daquar", [])
    splits = defaultdict(set)
    for pair in [*from_people(tmp_path), *from_captions(tmp_path), *from_templates(tmp_path)]:
        splits[pair.row].add(pair.split)
    assert splits == {row: {split} for row, split in enumerate(kept)}


def test_human_questions_keep_their_set_and_the_answers_that_are_known(tmp_path):
    one = {"question": "What is it?", "answer": "A Dog", "answers": [], "answer_type": "other", "set": "vqa1_train"}
    write(tmp_path / "coco", [{"vqa": [one, ASKED], "split": "val"}])
    write(tmp_path / "daquar", [])
    assert list(from_people(tmp_path)) == [
        Pair("vqa1_train", "coco", 0, "val", "other", "What is it?", "dog", {"dog": 1}),
        Pair("vqa2", "coco", 0, "val", "yes/no", "is it?", "yes", {"yes": 9, "no": 1}),
    ]


def test_what_rules_asked_of_photographs_for_the_test_is_not_learnt(tmp_path):
    write(tmp_path / "coco", [{"template_vqa": [RULE], "split": split} for split in ("test", "val", "train")])
    assert [(pair.row, pair.split) for pair in from_templates(tmp_path)] == [(2, "train")]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A Dog.", "dog"),
        ("two", "2"),
        ("none", "0"),
        ("fire_hydrant", "fire hydrant"),
        ("3.5 feet.", "3.5 feet"),
        ("A", "a"),
    ],
)
def test_answers_in_one_spelling(answer, expected):
    assert tidy(answer) == expected


def test_daquar_is_split_by_blocks_of_frames(tmp_path):
    one = [{"question": "what is it ?", "answer": "bed"}] * 2
    write(tmp_path / "coco", [])
    write(
        tmp_path / "daquar",
        [
            {"image": f"image{i}.webp", "split": "val" if i < 12 or 50 <= i < 58 else "train", "vqa": one}
            for i in range(100)
        ],
    )
    splits, scenes = defaultdict(set), defaultdict(set)
    for pair in from_people(tmp_path):
        splits[pair.row].add(pair.split)
        scenes[pair.scene].add(pair.row)
    assert all(len(found) == 1 for found in splits.values())
    assert Counter(split for (split,) in splits.values()) == {"test": 20, "val": 8, "train": 72}
    assert splits[99] == {"val"}  # the last frames of the training blocks
    # "image10" comes before "image2" by name, but not in the film.
    assert list(scenes.values()) == [set(range(12)), set(range(12, 50)), set(range(50, 58)), set(range(58, 100))]


def test_flickr8k_keeps_its_split(tmp_path):
    records = [
        {"captions": ["A dog runs.", "A dog is running."], "split": split} for split in ("train", "val", "test")
    ]
    records.append({"captions": ["A dog runs."], "split": None})
    write(tmp_path / "flickr8k", records)
    write(tmp_path / "coco", [])
    assert {(pair.row, pair.split) for pair in from_captions(tmp_path)} == {(0, "train"), (1, "val"), (2, "test")}
