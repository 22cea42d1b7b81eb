"""What the figures are made of: a photograph with its panels, and pictures in a row."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from demo.rendering import COLOURS, OPACITY, gradient_limit, gradient_picture, overlay
from demo.rows import PANELS
from explainers import Explanation

ASSETS = Path(__file__).parents[2] / "assets"
WIDTH, GAP, LINE = 1000, 4, 20  # pixels


def panels(label: str, photo: Image.Image, explanation: Explanation) -> Image.Image:
    """The photograph with its label, and the three panels of the first score."""
    heat = explanation.gradcam[0].numpy()
    gradients = [explanation.pixel_gradient[0].numpy(), explanation.guided_gradcam[0].numpy()]
    backprop, product = (gradient_picture(part, gradient_limit(part), photo.size) for part in gradients)
    gradcam = overlay(photo, heat, heat.max(), COLOURS[0], OPACITY)
    return row([label, *PANELS.values()], [photo, backprop, gradcam, product])


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
