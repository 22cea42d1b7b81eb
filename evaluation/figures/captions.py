"""Make the figures of docs/captioner.md, six captions with their maps, and print the captions.

    python -m evaluation.figures.captions

For each photograph a figure in `assets/captions/`: the photograph and the three panels of its whole caption; below
them the Grad-CAM of each word, on one scale for all words.
"""

from dataclasses import replace

from demo.engine import Engine
from demo.models import Library
from demo.models.captioning import WHOLE
from demo.models.words import words
from demo.query import Query, photo_of
from demo.rendering import draw, scales
from evaluation.figures.rows import ASSETS, below_each_other, panels, row

PHOTOS = ("dog", "horses", "bison", "kitten", "astronaut", "coffee")


def main() -> None:
    out = ASSETS / "captions"
    out.mkdir(exist_ok=True)
    engine = Engine(Library())
    for name in PHOTOS:
        photo = photo_of((ASSETS / "examples" / f"{name}.jpg").read_bytes())
        picture = engine.open(photo)
        whole = engine.answer(Query(photo, "captioning", targets=(WHOLE,)))
        spoken = words(caption := whole.query.text)
        each = engine.answer(replace(whole.query, targets=tuple(range(len(spoken))), methods=("gradcam",)))
        scale = scales(each.rows, ["gradcam"])["gradcam"]
        small = [draw(picture, word, "gradcam", scale) for word in each.rows]
        rows = [panels("the photograph", picture, whole), row(spoken, small)]
        below_each_other(rows).save(out / f"{name}.jpg", quality=85)
        print(f"{name}: {caption}")


if __name__ == "__main__":
    main()
