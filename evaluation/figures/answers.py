"""Make the figures of docs/answerer.md, six answers with their maps, and print the answers.

    python -m evaluation.figures.answers

For each photograph and question a figure in `assets/answers/`: the photograph and the three panels of the answer,
which is the model's own.
"""

from demo.engine import Engine
from demo.models import Library
from demo.query import Query, photo_of
from evaluation.figures.rows import ANSWERER, ASSETS, panels

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
    engine = Engine(Library())
    for number, (name, question) in enumerate(ASKED, start=1):
        photo = photo_of((ASSETS / "examples" / f"{name}.jpg").read_bytes())
        result = engine.answer(Query(photo, "vqa", ANSWERER, text=question, targets=("",)))
        answer, probability = next(iter(result.said.items()))
        panels(question, engine.open(photo), result).save(out / f"{number}.jpg", quality=85)
        print(f"{number} {name}: {question} {answer} ({probability:.0%})")


if __name__ == "__main__":
    main()
