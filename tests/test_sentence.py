"""The summary line of a row: the plain part first, then the numbers."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from samples import DETAILS

from demo.query import Details, Row
from demo.tasks.sentence import numbers, per_word, scale, sentence

CLASS = DETAILS
ANSWER = replace(CLASS, task="vqa", target="red", question="What is <it>?")
CAPTION = replace(
    CLASS,
    task="captioning",
    target="a man on a horse",
    caption="a man on a horse",
    word=-1,
    score=5 * math.log(0.25),
    score_is="log-probability",
    probability=0.25**5,
)
WORD = replace(CAPTION, target="horse", word=4, score=math.log(0.5), probability=0.5)


LOW = "the model gives this a very low probability; its evidence for it is here."
NONE = "no positive evidence for zebra at this layer."


def row(details: Details, **more) -> Row:
    return Row({"gradcam": np.zeros((7, 8))}, replace(details, **more))


def plain(html: str) -> str:
    return re.sub("<[^>]+>", "", html)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (CLASS, "zebra, 28%: the model finds it here."),
        (replace(CLASS, probability=0.9971), "zebra, 99.7%: the model finds it here."),
        (
            ANSWER,
            "red, 28%, as the answer to “What is &lt;it&gt;?”: the model finds the evidence for this answer here.",
        ),
        (CAPTION, "a man on a horse, 25% per word: the model finds the evidence for this caption here."),
        (WORD, "horse, 50%: the model finds the evidence for this word here."),
        (
            replace(CLASS, probability=0.0021),
            f"zebra, 0.2%: {LOW}",
        ),
        (
            replace(CAPTION, score=5 * math.log(0.004)),
            f"a man on a horse, 0.4% per word: {LOW}",
        ),
        (replace(CLASS, peak=0.0), f"zebra, 28%: {NONE}"),
        (replace(CLASS, peak=0.0, probability=0.0), f"zebra, under 0.1%: {NONE}"),
    ],
)  # fmt: skip
def test_the_plain_part(details, expected):
    assert plain(sentence(row(details), [row(details)])) == expected


def test_a_map_that_is_weak_beside_another_is_called_weak():
    rows = [row(CLASS), row(CLASS, target="vizsla", peak=0.4), row(CLASS, target="tusker", peak=0.6)]
    assert plain(sentence(rows[1], rows)) == "vizsla, 28%: the model finds only weak evidence here."
    assert plain(sentence(rows[2], rows)) == "tusker, 28%: the model finds it here."
    assert scale(rows[1], rows) == "All rows share one scale; the peak of this map is 20% of the highest."


def test_two_models_are_named_with_what_each_predicts_and_never_compared_by_their_peaks():
    rows = [row(CLASS), row(CLASS, model="<b>mine</b>", peak=0.01, prediction=["dog", 0.6])]
    said = "zebra by &lt;b&gt;mine&lt;/b&gt;, 28%: the model finds it here. It predicts dog, 60%."
    assert plain(sentence(rows[1], rows)) == said
    assert plain(sentence(rows[0], rows)).startswith("zebra by ResNet-50 (ImageNet), 28%: ")


@pytest.mark.parametrize("details", [CLASS, ANSWER, WORD, CAPTION], ids=lambda details: details.target)
def test_nothing_of_a_name_becomes_markup(details):
    name = "<img src=x onerror=alert(1)>"
    hurt = row(details, target=name, layer=name, model=name, caption=name, question=name)
    for text in (sentence(hurt, [hurt, row(details)]), numbers(hurt)):
        assert "<img" not in text


def test_the_numbers():
    at = "Grad-CAM in the 7 × 8 cells of layer4 of ResNet-50 (ImageNet)."
    assert plain(numbers(row(CLASS))) == f"Probability 28.2% (logit 8.25). {at}"
    word = "Probability 50.0% (log-probability -0.69) after the words before it; word 5 of “a man on a horse”."
    assert plain(numbers(row(WORD))) == f"{word} {at}"
    caption = "25.0% is the geometric mean of 5 words; their product is under 0.1% (log-probability -6.93)."
    assert plain(numbers(row(CAPTION))) == f"{caption} {at}"
    assert numbers(row(CLASS, peak=0.0)).endswith(" The highest value of the heatmap is 0.")


def test_the_mean_of_a_captions_words_is_geometric():
    assert per_word(math.log(0.5) + math.log(0.125), "two words") == pytest.approx(0.25)
