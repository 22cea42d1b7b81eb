"""Make the figures of docs/methods.md, one thing explained by every method, and print its tables.

    python -m evaluation.figures.methods [--examples N]

For each of what is explained, two classes of one photograph and one of an upright one, a word of a caption and an
answer of both networks, a figure in `assets/methods/`. The tables: what each method takes for one class, in passes,
in seconds (the median of three, of the dear ones once) and as a multiple of Grad-CAM; the largest difference of CAM
and Grad-CAM, for the five most probable classes of N example photographs; and the check of Adebayo et al. on these
photographs: how alike the picture of the most probable class is to that of the same network with its blocks made
random from the top down.
"""

import argparse
import statistics
from collections import defaultdict
from dataclasses import replace
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from demo.engine import Engine
from demo.errors import InputError
from demo.likeness import likenesses
from demo.models import Library
from demo.query import Photo, Query, Row, photo_of
from demo.rendering import draw, scales
from evaluation.figures.rows import ANSWERER, ASSETS, GAP, LINE, WIDTH
from explainers import METHODS, RULES, Squares, normalised_difference

COLUMNS = 4
PHOTO = "zebra_elephant"
EXPLAINED = {
    "zebra": Query(Photo("", b""), "classification", targets=("zebra",)),
    "elephant": Query(Photo("", b""), "classification", targets=("African elephant",)),
    "word": Query(Photo("", b""), "captioning", text="two zebras standing in a field", targets=(1,)),
    "answer": Query(Photo("", b""), "vqa", ANSWERER, text="What animal is this?", targets=("zebra",)),
}
ATTENTIVE = "ResNet-50 + co-attention (questions)"
EXPLAINED["attention"] = replace(EXPLAINED["answer"], model=ATTENTIVE)
UPRIGHT = "airliner_fire_engine"
EXPLAINED["upright"] = replace(EXPLAINED["zebra"], targets=("fire engine",))
OF_A_CLASS = [key for key in METHODS if key != "attention"]
CHEAP = [key for key in OF_A_CLASS if not METHODS[key].price]


def example(name: str) -> Photo:
    return photo_of((ASSETS / "examples" / f"{name}.jpg").read_bytes())


def rows(engine: Engine, query: Query) -> dict[str, Row]:
    """What each method that is possible finds, alone."""
    found = {}
    for key in METHODS:
        try:
            found[key] = engine.answer(replace(query, methods=(key,))).rows[0]
        except InputError:
            continue
    return found


def sheet(photo: Image.Image, found: dict[str, Row]) -> Image.Image:
    """The photograph and the pictures of all methods, each with its name below."""
    step = (WIDTH + GAP) // COLUMNS
    pictures = [("the photograph", photo)]
    for key, row in found.items():
        pictures.append((METHODS[key].title, draw(photo, row, key, scales([row], [key])[key])))
    small = [(title, ImageOps.contain(picture, (step - GAP, WIDTH))) for title, picture in pictures]
    high = small[0][1].height + LINE
    out = Image.new("RGB", (WIDTH, -(-len(small) // COLUMNS) * high), "white")
    for place, (title, picture) in enumerate(small):
        corner = (place % COLUMNS * step, place // COLUMNS * high)
        out.paste(picture, corner)
        ImageDraw.Draw(out).text(
            (corner[0], corner[1] + picture.height + 1), title, "black", ImageFont.load_default(13)
        )
    return out


def passes(key: str, details: dict[str, Any]) -> str:
    """What a method takes besides the forward pass with Grad-CAM's pass back to the layer."""
    method = METHODS[key]
    if method.price:
        return f"{method.price(details['feature_maps'], Squares(), details['input_side']):,} forward"
    if method.passes in RULES:
        return "1 backward to the pixels"
    own = {"cam": "1 forward", "excitation": "1 forward, 1 backward", "c_mwp": "1 forward, 1 backward"}
    return own.get(key, "none")


def print_prices(query: Query) -> None:
    """Each method three times, of an engine that has not seen the photograph."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(3):
        engine = Engine(Library())
        engine.answer(replace(query, photo=example("cat"), targets=("",)))
        for key in CHEAP:
            row = engine.answer(replace(query, methods=(key,))).rows[0]
            seconds[key].append(row.details["seconds"] + row.details.get("gradcam_seconds", 0))
    for key in OF_A_CLASS:
        if key not in CHEAP:
            details = engine.answer(replace(query, methods=(key,))).rows[0].details
            seconds[key] = [details["seconds"] + details["gradcam_seconds"]]
    took = {key: statistics.median(several) for key, several in seconds.items()}
    print("| method | passes besides Grad-CAM's | seconds | times Grad-CAM |\n|---|---|---|---|")
    for key in OF_A_CLASS:
        ratio = took[key] / took["gradcam"]
        print(f"| {METHODS[key].title} | {passes(key, details)} | {took[key]:.2f} | {ratio:.1f} |")


def print_equality(engine: Engine, photos: dict[str, Photo]) -> None:
    """CAM and Grad-CAM, each divided by its maximum."""
    largest, compared = 0.0, 0
    for photo in photos.values():
        said = engine.answer(Query(photo, "classification")).said
        for name in list(said)[:5]:
            row = engine.answer(Query(photo, "classification", targets=(name,), methods=("cam", "gradcam"))).rows[0]
            maps = [torch.from_numpy(row.pictures[key])[None] for key in ("cam", "gradcam")]
            largest = max(largest, normalised_difference(*maps).item())
            compared += 1
    print(f"\nCAM and Grad-CAM of {compared} classes of {len(photos)} photographs differ by at most {largest:.1e}.\n")


def print_sanity(engine: Engine, photos: dict[str, Photo]) -> None:
    """The mean rank correlation, with how many of the pictures are not the same everywhere where some are."""
    blocks = engine.about("classification", engine.library.default("classification")).result().blocks
    ranks: dict[str, list[list[float | None]]] = {key: [[] for _ in blocks] for key in CHEAP}
    # All photographs by one altered network after another, as few of these are kept.
    asked = [Query(photo, "classification", targets=("",), methods=tuple(CHEAP)) for photo in photos.values()]
    trained = [engine.answer(query) for query in asked]
    for count in range(1, len(blocks) + 1):
        for result in trained:
            row = engine.answer(replace(result.query, weights=f"randomised {count}")).rows[0]
            for key, likeness in likenesses(row, result.rows[0]).items():
                ranks[key][count - 1].append(likeness.ranks)
    names = [block.removeprefix("_network.") for block in blocks]
    print(f"| random: | {' | '.join([names[0], *(f'to {name}' for name in names[1:])])} |")
    print("|---" * (len(names) + 1) + "|")
    for key, steps in ranks.items():
        cells = []
        for step in steps:
            known = [value for value in step if value is not None]
            empty = len(step) - len(known)
            cells.append(
                f"{statistics.mean(known):.2f}" + (f" ({empty} empty)" if empty else "") if known else "empty"
            )
        print(f"| {METHODS[key].title} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=8)
    args = parser.parse_args()
    out = ASSETS / "methods"
    out.mkdir(exist_ok=True)
    engine = Engine(Library())
    photo = example(PHOTO)
    for name, query in EXPLAINED.items():
        shown = example(UPRIGHT) if name == "upright" else photo
        found = rows(engine, replace(query, photo=shown))
        sheet(engine.open(shown), found).save(out / f"{name}.jpg", quality=85)
        print(f"{name}: {len(found)} of {len(METHODS)} methods", flush=True)
    print_prices(replace(EXPLAINED["zebra"], photo=photo))
    stems = sorted(path.stem for path in (ASSETS / "examples").glob("*.jpg"))[: args.examples]
    photos = {stem: example(stem) for stem in stems}
    print_equality(engine, photos)
    print_sanity(engine, photos)


if __name__ == "__main__":
    main()
