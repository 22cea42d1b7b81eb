"""The example images: their names, and what the tabs open with."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from demo.query import ImageFile, image_file

FOLDER = Path(__file__).parents[1] / "assets" / "examples"
THUMBNAILS = "examples.webp"
THUMBNAIL = (200, 150)  # pixels, for a strip that is drawn at most 100 wide


class Example(NamedTuple):
    """An example image.

    Attributes:
        name: what people read below it. One that a model gets wrong asks why.
        caption: one to try, that is not the model's own.
        opens: by task, the targets that open beside each other instead of the model's first one: classes, words of
            the model's own caption, or answers.
    """

    name: str
    caption: str = ""
    opens: Mapping[str, tuple[str, ...]] = {}


# In the order in which the page offers them. The page opens with the first; after it come photographs, then composed
# scenes, and last what the classifier gets wrong.
EXAMPLES = {
    "zebra_elephant": Example(
        "Zebra and elephant",
        "a zebra and an elephant standing in a field",
        {"classification": ("zebra", "African elephant"), "vqa": ("zebra", "elephant")},
    ),
    "camera": Example("Photographer", "a photographer is taking a picture", {"captioning": ("man", "tripod")}),
    "spoonbills": Example("Spoonbills"),
    "cat": Example("Cat"),
    "dog": Example("Dog"),
    "heron": Example("Heron"),
    "macaw": Example("Macaw"),
    "panda": Example("Panda"),
    "koala": Example("Koala"),
    "kitten": Example("Kitten"),
    "bison": Example("Bison"),
    "coffee": Example("Coffee"),
    "musicians": Example("Musicians"),
    "mysore_palace": Example("Mysore Palace"),
    "palace": Example("Pagoda"),
    "cow": Example("Cow"),
    "ram_peacock": Example("Ram and peacock", opens={"classification": ("ram", "peacock")}),
    "sea_lion_flamingo": Example("Sea lion and flamingo", opens={"classification": ("sea lion", "flamingo")}),
    "airliner_fire_engine": Example("Airliner, fire engine", opens={"classification": ("airliner", "fire engine")}),
    "fruit": Example("Fruit"),
    "garden": Example("Garden"),
    "giraffe": Example("Giraffe: why wrong?"),
    "horses": Example("Horses: why wrong?"),
    "astronaut": Example("Astronaut: why wrong?"),
    "flower": Example("Flower: why wrong?"),
    "colosseum": Example("Colosseum: why wrong?"),
    "rocket": Example("Rocket: why wrong?"),
}

OPENINGS = {"captioning": "camera"}  # instead of the first example


def opening(task: str) -> str:
    """Return the example that the tab of a task opens with, as long as nobody chose an image."""
    return OPENINGS.get(task, next(iter(EXAMPLES)))


def path_of(name: str) -> Path:
    """Return the file of an example."""
    return FOLDER / f"{name}.jpg"


def thumbnails() -> bytes:
    """Return all examples as small pictures below each other, a WEBP file of about 100 KB."""
    sheet = Image.new("RGB", (THUMBNAIL[0], THUMBNAIL[1] * len(EXAMPLES)))
    for place, name in enumerate(EXAMPLES):
        with Image.open(path_of(name)) as image:
            sheet.paste(ImageOps.fit(image.convert("RGB"), THUMBNAIL), (0, place * THUMBNAIL[1]))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=60, method=4)
    return buffer.getvalue()


NAMES = {image_file(path_of(name).read_bytes()).sha256: name for name in EXAMPLES}


def caption_of(photo: ImageFile) -> str:
    """Return the caption to try on an image, or "" for none."""
    name = NAMES.get(photo.sha256)
    return EXAMPLES[name].caption if name else ""


def opens_with(photo: ImageFile, task: str) -> tuple[str, ...]:
    """Return the targets that an image opens with in a tab; none for the model's first one."""
    name = NAMES.get(photo.sha256)
    return EXAMPLES[name].opens.get(task, ()) if name else ()
