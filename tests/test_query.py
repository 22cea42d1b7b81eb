"""Questions and results as JSON: what comes back, and what is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import ROOT
from samples import DETAILS

from demo.errors import InputError
from demo.query import (
    Adversarial,
    AdversarialResult,
    Explain,
    ExplainResult,
    Predict,
    Randomised,
    Region,
    Row,
    from_json,
    image_file,
    to_json,
)
from explainers import Patches

IMAGE = image_file(b"an image")
QUESTIONS = [
    Predict(IMAGE, "classification"),
    Predict(IMAGE, "vqa", "A model", "What is “it”?", weights="noisy"),
    Explain(IMAGE, "captioning", text="a dog", targets=(-1, 0), layers=("layer3", ""), weights=Randomised(2)),
    Explain(IMAGE, "vqa", targets=("red", ""), patches=Patches(fill="black"), steps=True, precision="bfloat16"),
    Region(IMAGE, "classification", box=(0.0, 0.25, 0.5, 1.0), layer="layer4"),
    Adversarial(IMAGE, "classification", target="vizsla"),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: type(question).__name__)
def test_a_question_comes_back_without_the_file_of_its_image(question):
    back = from_json(to_json(question))
    assert (back, hash(back), back.image.data) == (question, hash(question), b"")
    assert json.loads(to_json(question))["image"] == IMAGE.sha256


def test_arrays_and_images_of_results_come_back():
    pictures = {
        "gradcam": np.array([[0.0, 1.5], [-2.0, 3.0]], np.float32),
        "guided_backprop": np.arange(12, dtype=np.float16).reshape(3, 2, 2)[:, ::-1],
    }
    steps = {"order": np.array([3, 1], np.int64)}
    result = ExplainResult(QUESTIONS[2], {"a dog": -3.5}, (Row(pictures, replace(DETAILS, word=-1), steps),))
    back = from_json(to_json(result))
    assert (back.query, back.predictions, back.rows[0].details) == (
        QUESTIONS[2],
        {"a dog": -3.5},
        result.rows[0].details,
    )
    for arrays, others in ((pictures, back.rows[0].pictures), (steps, back.rows[0].steps)):
        for name, array in arrays.items():
            assert others[name].dtype == array.dtype
            assert np.array_equal(others[name], array)
    # 0, 1.5, -2 and 3 as little-endian float32.
    assert json.loads(to_json(result))["rows"][0]["pictures"]["gradcam"] == {
        "dtype": "float32",
        "shape": [2, 2],
        "data": "AAAAAAAAwD8AAADAAABAQA==",
    }
    noisy = AdversarialResult(QUESTIONS[5], image_file(b"a new image"), {"vizsla": 0.99})
    assert from_json(to_json(noisy)).image.data == b"a new image"


def changed(**fields: object) -> str:
    return json.dumps(json.loads(to_json(QUESTIONS[2])) | fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "This is not JSON: EOF"),
        (b"\xff", "This is not JSON"),
        ("[]", "The JSON needs a “version” and a “kind”: Predict, Explain, Region"),
        (changed(version=2), "The JSON has version 2. This program reads version 1."),
        (changed(version=True), "The JSON has version True"),
        (changed(targets=[True]), "“targets.0” in the JSON cannot be used"),
        (changed(steps="yes"), "“steps” in the JSON cannot be used"),
        (changed(image="abc"), "an image is its SHA-256, in hexadecimal"),
        (changed(kind="Quiz"), "The JSON needs a “version” and a “kind”"),
        (changed(image=None), "“image” in the JSON cannot be used: Value error, an image is its SHA-256"),
        (changed(task=1), "“task” in the JSON cannot be used: Input should be a valid string."),
        (changed(targets=["a", {}]), "“targets.1” in the JSON cannot be used"),
        (changed(weights="better"), "“weights” in the JSON cannot be used"),
        (changed(patches={"size": "x"}), "“patches.size” in the JSON cannot be used"),
        (changed(colour="red"), "“colour” in the JSON cannot be used: Unexpected keyword argument."),
        (changed(weights={"randomised_blocks": float("nan")}), "in the JSON cannot be used"),
    ],
)
def test_what_is_no_question_gets_one_sentence(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        from_json(text)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ({"dtype": "float32", "shape": [2], "data": "AAAA"}, "data has 3 bytes, which is not float32 of shape [2]"),
        ({"dtype": "float32", "shape": [True], "data": "AAAAAA=="}, "shape must be a list of integers, at least 0"),
        ({"dtype": "float32", "shape": [-1], "data": ""}, "shape must be a list of integers, at least 0"),
        (
            {"dtype": "object", "shape": [1], "data": ""},
            "an array needs a dtype (float32, float16, int64)",
        ),
        ({"dtype": "float32", "shape": [1], "data": "?"}, "Value error"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(array, message):
    result = json.loads(to_json(ExplainResult(QUESTIONS[2], {}, (Row({}, DETAILS),))))
    result["rows"][0]["pictures"]["gradcam"] = array
    with pytest.raises(InputError, match=re.escape(message)) as error:
        from_json(json.dumps(result))
    assert str(error.value).startswith("“rows.0.pictures.gradcam")


def test_the_examples_of_the_document_are_read():
    blocks = re.findall(r"```json\n(.*?)\n```", (ROOT / "docs" / "questions.md").read_text(), re.DOTALL)
    whole = [from_json(block) for block in blocks if "…" not in block]
    assert {type(value).__name__ for value in whole} >= {"Predict", "Explain", "ExplainResult", "RegionResult"}
    assert len(blocks) == len(whole) + 1  # the new image is cut
