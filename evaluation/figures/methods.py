"""Make the figures of docs/methods.md, one target explained by every method, and print its tables.

    python -m evaluation.figures.methods

Each target gets a figure in `assets/methods/`: two classes of one image, a word of a caption, and an answer of both
VQA models. The tables are about one class: the cost of each method in passes, in seconds (the median of three; slow
methods run once) and as a multiple of Grad-CAM; the largest difference of CAM and Grad-CAM, for the five most probable
classes of eight example images; and the check of Adebayo et al. on these images, how similar the picture of the most
probable class is to that of the same model with its blocks randomised from the top down.
"""

import statistics
from collections import defaultdict
from dataclasses import replace

import torch
from PIL import Image

from demo.engine import Engine
from demo.errors import InputError
from demo.likeness import likenesses
from demo.models import Library
from demo.query import Details, Explain, ImageFile, Predict, Randomised, Row
from evaluation.figures.panels import ANSWERER, ASSETS, ATTENTIVE, alone, example, row, stack
from evaluation.load import EXAMPLES
from explainers import METHODS, RULES, Patches, normalised_difference

COLUMNS = 4
IMAGE = example("zebra_elephant")
EXPLAINED = {
    "zebra": Explain(IMAGE, "classification", targets=("zebra",)),
    "elephant": Explain(IMAGE, "classification", targets=("African elephant",)),
    "word": Explain(IMAGE, "captioning", text="two zebras standing in a field", targets=(1,)),
    "answer": Explain(IMAGE, "vqa", ANSWERER, text="What animal is this?", targets=("zebra",)),
    "attention": Explain(IMAGE, "vqa", ATTENTIVE, text="What animal is this?", targets=("zebra",)),
}
OF_A_CLASS = [key for key in METHODS if key != "attention"]
FAST = [key for key in OF_A_CLASS if not METHODS[key].cost]


def results(engine: Engine, query: Explain) -> dict[str, Row]:
    """Return the result of each method that is possible, run alone."""
    found = {}
    for key in METHODS:
        try:
            found[key] = engine.answer(replace(query, methods=(key,))).rows[0]
        except InputError:
            continue
    return found


def sheet(image: Image.Image, found: dict[str, Row]) -> Image.Image:
    """Return the image and the pictures of all methods, each with its name below."""
    labels = ["the image", *(METHODS[key].title for key in found)]
    pictures = [image, *(alone(image, result, key) for key, result in found.items())]
    starts = range(0, len(pictures), COLUMNS)
    return stack([row(labels[i : i + COLUMNS], pictures[i : i + COLUMNS], COLUMNS) for i in starts])


def passes(key: str, details: Details) -> str:
    """Return the cost of a method besides the forward pass and Grad-CAM's pass back to the layer."""
    method = METHODS[key]
    if method.cost:
        return f"{method.cost(details.feature_maps, Patches(), details.input_side):,} forward"
    if method.passes in RULES:
        return "1 backward to the pixels"
    own = {"excitation": "1 forward, 1 backward", "c_mwp": "1 forward, 1 backward"}
    return own.get(key, "none")


def print_costs(query: Explain) -> None:
    """Print the cost of each method; the engine has not seen the image of the query before."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(3):
        engine = Engine(Library())
        engine.answer(replace(query, image=example("cat"), targets=("",)))  # opens the model
        for key in FAST:
            details = engine.answer(replace(query, methods=(key,))).rows[0].details
            seconds[key].append(details.seconds + (details.gradcam_seconds or 0))
    for key in set(OF_A_CLASS) - set(FAST):
        details = engine.answer(replace(query, methods=(key,))).rows[0].details
        seconds[key] = [details.seconds + (details.gradcam_seconds or 0)]
    taken = {key: statistics.median(seconds[key]) for key in OF_A_CLASS}
    print("| method | passes besides Grad-CAM's | seconds | times Grad-CAM |\n|---|---|---|---|")
    for key, median in taken.items():
        ratio = median / taken["gradcam"]
        print(f"| {METHODS[key].title} | {passes(key, details)} | {median:.2f} | {ratio:.1f} |")


def print_equality(engine: Engine, photos: list[ImageFile]) -> None:
    """Print the largest difference of CAM and Grad-CAM, each divided by its maximum."""
    differences = []
    for photo in photos:
        for name in list(engine.answer(Predict(photo, "classification")).predictions)[:5]:
            query = Explain(photo, "classification", targets=(name,), methods=("cam", "gradcam"))
            pictures = engine.answer(query).rows[0].pictures
            maps = [torch.from_numpy(pictures[key])[None] for key in query.methods]
            differences.append(normalised_difference(*maps).item())
    print(
        f"\nCAM and Grad-CAM of {len(differences)} classes of {len(photos)} images differ by at most "
        f"{max(differences):.1e}.\n"
    )


def print_sanity(engine: Engine, photos: list[ImageFile]) -> None:
    """Print mean rank correlations with the trained model, and how many pictures are empty, which have no ranks."""
    blocks = engine.info("classification", engine.library.default("classification")).result().blocks
    ranks: dict[str, list[list[float | None]]] = {key: [[] for _ in blocks] for key in FAST}
    queries = [Explain(photo, "classification", targets=("",), methods=tuple(FAST)) for photo in photos]
    trained = [engine.answer(query) for query in queries]
    for count, _ in enumerate(blocks):  # all images by one randomised model after another: few of these are kept
        for result in trained:
            changed = engine.answer(replace(result.query, weights=Randomised(count + 1))).rows[0]
            for key, likeness in likenesses(changed, result.rows[0]).items():
                ranks[key][count].append(likeness.ranks)
    names = [block.removeprefix("_network.") for block in blocks]
    print(f"| random: | {' | '.join([names[0], *(f'to {name}' for name in names[1:])])} |")
    print("|---" * (len(names) + 1) + "|")
    for key, steps in ranks.items():
        cells = []
        for step in steps:
            known = [value for value in step if value is not None]
            empty = f" ({len(step) - len(known)} empty)" if len(known) < len(step) else ""
            cells.append(f"{statistics.mean(known):.2f}{empty}" if known else "empty")
        print(f"| {METHODS[key].title} | {' | '.join(cells)} |")


def main() -> None:
    engine = Engine(Library())
    for name, query in EXPLAINED.items():
        found = results(engine, query)
        sheet(engine.open(IMAGE), found).save(ASSETS / "methods" / f"{name}.jpg", quality=85)
        print(f"{name}: {len(found)} of {len(METHODS)} methods", flush=True)
    print_costs(EXPLAINED["zebra"])
    photos = [example(path.stem) for path in EXAMPLES[:8]]
    print_equality(engine, photos)
    print_sanity(engine, photos)


if __name__ == "__main__":
    main()
