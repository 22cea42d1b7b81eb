"""Print a question of each kind and its result, as docs/questions.md shows them.

python -m evaluation.figures.questions
"""

import json

from demo.engine import Engine
from demo.models import Library
from demo.query import Adversarial, Explain, ModelInfo, Predict, Query, Region, Result, image_file, to_json
from evaluation.load import ROOT

MAX_TEXT = 400  # characters of a text in the JSON that are shown


def shortened(value: object) -> object:
    """Return a value of JSON with its long texts, those of images, cut."""
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value]
    return f"{value[:40]}…" if isinstance(value, str) and len(value) > MAX_TEXT else value


def show(value: Query | Result | ModelInfo) -> None:
    text = json.dumps(shortened(json.loads(to_json(value))), ensure_ascii=False, indent=1)
    print(f"```json\n{text}\n```\n")


def main() -> None:
    image = image_file((ROOT / "assets" / "examples" / "zebra_elephant.jpg").read_bytes())
    queries: list[Query] = [
        Predict(image, "vqa", text="What animal is this?"),
        Explain(image, "classification", targets=("zebra",), methods=("gradcam",)),
        Region(image, "classification", box=(0.0, 0.2, 0.4, 0.8)),
        Adversarial(image, "classification", target="vizsla"),
    ]
    engine = Engine(Library())
    for query in queries:
        first_line = str(type(query).__doc__).splitlines()[0]
        print(f"## {type(query).__name__}\n\n{first_line}\n")
        for value in (query, engine.answer(query)):
            show(value)
    print("## ModelInfo\n\nWhat can be chosen of a model.\n")
    show(engine.info("captioning", "").result())


if __name__ == "__main__":
    main()
