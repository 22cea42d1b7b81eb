"""Lay out what the shipped networks say of 60 everyday photographs beside where they look, to be read by eye.

    python -m evaluation.sweep DATA OUT

The photographs are the examples of the page, and those of DATA's COCO and Flickr8k that `sweep.json` names, which no
training saw. Each is asked two of the questions that the page suggests, three that were written for it, and for a
caption. OUT gets a sheet for every four photographs, each answer with its Grad-CAM, and `said.json`.
"""

import argparse
import json
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from demo.engine import Engine
from demo.models import Library
from demo.models.captioning import WHOLE
from demo.query import Photo, Query, photo_of
from demo.rendering import draw, scales
from demo.tasks.vqa import ANY, suggestions
from evaluation.figures.rows import ANSWERER, ASSETS, below_each_other, row

ASKED = Path(__file__).with_suffix(".json")
SUGGESTED = 2  # questions a photograph
A_SHEET = 4  # photographs
OFFERED_BY = (("classification", ""), ("captioning", ""), ("vqa", ANY))  # tasks and texts


def questions(engine: Engine, photo: Photo, typed: list[str]) -> list[str]:
    """What is asked of a photograph: the first questions that the page suggests, but for the one about anything."""
    of_each = [engine.answer(Query(photo, task, text=text)).said for task, text in OFFERED_BY]
    offered = [question for question in suggestions(*of_each) if question not in (ANY, *typed)]
    return offered[:SUGGESTED] + typed


def looked(engine: Engine, photo: Photo, query: Query) -> tuple[str, Image.Image]:
    """What is said, and the Grad-CAM of it over the photograph."""
    result = engine.answer(query)
    said, probability = next(iter(result.said.items()))
    told = f"{said} ({probability:.0%})" if query.task == "vqa" else result.query.text
    limit = scales(result.rows, ["gradcam"])["gradcam"]
    return told, draw(engine.open(photo), result.rows[0], "gradcam", limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    engine = Engine(Library())
    said = []
    strips = []
    for number, asked in enumerate(tqdm(json.loads(ASKED.read_text())), start=1):
        folder = args.data if "/" in asked["photo"] else ASSETS / "examples"
        photo = photo_of((folder / asked["photo"]).read_bytes())
        queries = [
            *(
                Query(photo, "vqa", ANSWERER, text, targets=("",))
                for text in questions(engine, photo, asked["questions"])
            ),
            Query(photo, "captioning", targets=(WHOLE,)),
        ]
        found = [looked(engine, photo, query) for query in queries]
        told = [[query.text, text] for query, (text, _) in zip(queries, found, strict=True)]
        said.append({"photo": asked["photo"], "said": told})
        labels = [str(number), *map(str, range(1, len(found) + 1))]
        strips.append(row(labels, [engine.open(photo), *(picture for _, picture in found)]))
    for first in range(0, len(strips), A_SHEET):
        below_each_other(strips[first : first + A_SHEET]).save(args.out / f"{first + 1:02}.png")
    (args.out / "said.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
