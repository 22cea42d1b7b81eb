"""Make the figures of docs/captioner.md, six captions with their maps, and print the captions.

    python -m evaluation.figures.captions

For each photograph a figure in `assets/captions/`: the photograph and the three panels of its whole caption; below
them the Grad-CAM of each word, on one scale for all words.
"""

from PIL import Image

from demo.images import open_photo
from demo.models import load
from demo.models.captioning import WHOLE, words
from demo.rendering import COLOURS, OPACITY, overlay
from evaluation.figures.rows import ASSETS, WIDTH, panels, row
from explainers import explain

PHOTOS = ("dog", "horses", "bison", "kitten", "astronaut", "coffee")


def main() -> None:
    out = ASSETS / "captions"
    out.mkdir(exist_ok=True)
    model = load("captioning")
    layer = next(iter(model.layers.values()))
    for name in PHOTOS:
        photo = open_photo(str(ASSETS / "examples" / f"{name}.jpg"))
        image = model.prepare(photo)
        caption = model.predict(image)[0][0]
        explanation = explain(model.score(caption, WHOLE, *range(len(words(caption)))), image, layer)
        heats = explanation.gradcam[1:].numpy()
        each = [overlay(photo, heat, heats.max(), COLOURS[0], OPACITY) for heat in heats]
        rows = [panels("the photograph", photo, explanation), row(words(caption), each)]
        figure = Image.new("RGB", (WIDTH, sum(part.height for part in rows)), "white")
        figure.paste(rows[0], (0, 0))
        figure.paste(rows[1], (0, rows[0].height))
        figure.save(out / f"{name}.jpg", quality=85)
        print(f"{name}: {caption}")


if __name__ == "__main__":
    main()
