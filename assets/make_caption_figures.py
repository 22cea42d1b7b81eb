"""Make the README's captions with their maps, and print the captions.

    python -m assets.make_caption_figures

For each photograph a figure, `captions/NAME.jpg`: the photograph and the three panels of its whole caption; below them
the Grad-CAM of each word, on one scale for all words.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from demo.images import open_photo
from demo.models import load
from demo.models.captioning import WHOLE, words
from demo.rendering import COLOURS, OPACITY, gradient_limit, gradient_picture, overlay
from demo.rows import PANELS
from explainers import explain

HERE = Path(__file__).parent
OUT = HERE / "captions"
PHOTOS = ("dog", "horses", "bison", "kitten", "astronaut", "coffee")
WIDTH, GAP, LINE = 1000, 4, 20


def main() -> None:
    OUT.mkdir(exist_ok=True)
    model = load("captioning")
    layer = next(iter(model.layers.values()))
    for name in PHOTOS:
        photo = open_photo(HERE / "examples" / f"{name}.jpg")
        image = model.prepare(photo)
        caption = model.predict(image)[0][0]
        explanation = explain(model.score(caption, WHOLE, *range(len(words(caption)))), image, layer)
        heats = explanation.gradcam.numpy()
        gradients = [explanation.pixel_gradient[0].numpy(), explanation.guided_gradcam[0].numpy()]
        backprop, product = (gradient_picture(part, gradient_limit(part), photo.size) for part in gradients)
        whole = overlay(photo, heats[0], heats[0].max(), COLOURS[0], OPACITY)
        each = [overlay(photo, heat, heats[1:].max(), COLOURS[0], OPACITY) for heat in heats[1:]]
        rows = [
            row(["the photograph", *PANELS.values()], [photo, backprop, whole, product]),
            row(words(caption), each),
        ]
        figure = Image.new("RGB", (WIDTH, sum(part.height for part in rows)), "white")
        figure.paste(rows[0], (0, 0))
        figure.paste(rows[1], (0, rows[0].height))
        figure.save(OUT / f"{name}.jpg", quality=85)
        print(f"{name}: {caption}")


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


if __name__ == "__main__":
    main()
