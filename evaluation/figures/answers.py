"""Make the figures of docs/answerer.md, six answers with their maps, and print the answers.

    python -m evaluation.figures.answers

For each photograph and question a figure in `assets/answers/`: the photograph and the three panels of the answer,
which is the network's own.
"""

from demo.images import open_photo
from demo.models import load
from evaluation.figures.rows import ASSETS, panels
from explainers import explain

ASKED = (
    ("airliner_fire_engine", "What color is the truck?"),
    ("dog", "What is the dog doing?"),
    ("zebra_elephant", "What animal is this?"),
    ("horses", "Where are the horses?"),
    ("astronaut", "Is this a man or a woman?"),
    ("garden", "How many balls are there?"),
)


def main() -> None:
    out = ASSETS / "answers"
    out.mkdir(exist_ok=True)
    model = load("vqa")
    layer = next(iter(model.layers.values()))
    for number, (name, question) in enumerate(ASKED, start=1):
        photo = open_photo(str(ASSETS / "examples" / f"{name}.jpg"))
        image = model.prepare(photo)
        answer, probability = next(iter(model.predict(image, question).items()))
        explanation = explain(model.score(question, answer), image, layer)
        panels(question, photo, explanation).save(out / f"{number}.jpg", quality=85)
        print(f"{number} {name}: {question} {answer} ({probability:.0%})")


if __name__ == "__main__":
    main()
