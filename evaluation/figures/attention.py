"""Make the figure of docs/answerer.md on the answerer with attention, and print its answers.

    python -m evaluation.figures.attention

In `assets/answers/attention.jpg` a row for each question: the photograph, the attention over it, and the Grad-CAM of
the network's own answer at layers 4, 3 and 2, as in the figure of the paper's section 7.2. Each map has its own scale.
"""

from dataclasses import replace

from demo.engine import Engine
from demo.models import Library
from demo.query import Query, photo_of
from demo.rendering import draw, scales
from evaluation.figures.methods import ATTENTIVE
from evaluation.figures.rows import ASSETS, below_each_other, row

LAYERS = ("layer4", "layer3", "layer2")
ASKED = (
    ("zebra_elephant", "What animal is this?"),
    ("airliner_fire_engine", "What color is the truck?"),
    ("horses", "Where are the horses?"),
)


def main() -> None:
    engine = Engine(Library())
    strips = []
    for name, question in ASKED:
        photo = photo_of((ASSETS / "examples" / f"{name}.jpg").read_bytes())
        asked = Query(photo, "vqa", ATTENTIVE, question, ("",), LAYERS, ("gradcam",))
        result = engine.answer(asked)
        (attention,) = engine.answer(replace(asked, layers=("",), methods=("attention",))).rows
        answer, probability = next(iter(result.said.items()))
        picture = engine.open(photo)
        attended = draw(picture, attention, "attention", scales([attention], ["attention"])["attention"])
        maps = [draw(picture, one, "gradcam", scales([one], ["gradcam"])["gradcam"]) for one in result.rows]
        labels = [question, f"{answer} ({probability:.0%}): attention", *(f"Grad-CAM, {layer}" for layer in LAYERS)]
        strips.append(row(labels, [picture, attended, *maps]))
        print(f"{name}: {question} {answer} ({probability:.0%})")
    below_each_other(strips).save(ASSETS / "answers" / "attention.jpg", quality=85)


if __name__ == "__main__":
    main()
