"""What the figures are made of: a photograph with its panels, and pictures in a row."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from demo.query import PANELS, Result
from demo.rendering import draw, scales
from explainers import METHODS

ANSWERER = "ResNet-50 + LSTM (questions)"
ASSETS = Path(__file__).parents[2] / "assets"
WIDTH, GAP, LINE = 1000, 4, 20  # pixels


def panels(label: str, photo: Image.Image, result: Result) -> Image.Image:
    """The photograph with its label, and the three panels of the only row of a result."""
    limits = scales(result.rows, PANELS)
    pictures = [draw(photo, result.rows[0], method, limits[method]) for method in PANELS]
    return row([label, *(METHODS[method].title for method in PANELS)], [photo, *pictures])


def below_each_other(parts: Sequence[Image.Image]) -> Image.Image:
    """Pictures of the whole width, one below the other."""
    out = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        out.paste(part, (0, top))
        top += part.height
    return out


def row(labels: list[str], pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one shape side by side over the whole width, each with its label below."""
    font = ImageFont.load_default(13)
    step = (WIDTH + GAP) / len(pictures)
    small = [ImageOps.contain(picture, (int(step) - GAP, WIDTH)) for picture in pictures]
    out = Image.new("RGB", (WIDTH, small[0].height + LINE), "white")
    for i, (label, picture) in enumerate(zip(labels, small, strict=True)):
        out.paste(picture, (round(i * step), 0))
        ImageDraw.Draw(out).text((round(i * step), picture.height + 1), label, "black", font)
    return out
