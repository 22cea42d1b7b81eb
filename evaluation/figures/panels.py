"""Make the figures of docs/captioner.md and docs/answerer.md, and print the captions and answers.

    python -m evaluation.figures.panels

- `assets/captions/`: for each image the three panels of its caption, and below them the Grad-CAM of each word, on one
  scale for all words.
- `assets/answers/`: for each image and question the three panels of the model's own answer.
- `assets/answers/attention.jpg`: for each question the attention of the model that has one, and the Grad-CAM of its
  own answer at layers 4, 3 and 2, as in the figure of the paper's section 7.2. Each heatmap has its own scale.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from demo.engine import Engine
from demo.models import Library
from demo.models.captioning import WHOLE
from demo.models.words import words
from demo.query import PANELS, Explain, ExplainResult, ImageFile, Row, image_file
from demo.rendering import draw, scales
from explainers import METHODS

ASSETS = Path(__file__).parents[2] / "assets"
ANSWERER = "ResNet-50 + LSTM (questions)"
ATTENTIVE = "ResNet-50 + co-attention (questions)"
LAYERS = ("layer4", "layer3", "layer2")
WIDTH, GAP, LINE = 1000, 4, 20  # pixels

CAPTIONS = ("dog", "horses", "bison", "kitten", "astronaut", "coffee")
ANSWERS = (
    ("airliner_fire_engine", "What color is the truck?"),
    ("dog", "What is the dog doing?"),
    ("zebra_elephant", "What animal is this?"),
    ("horses", "Where are the horses?"),
    ("astronaut", "Is this a man or a woman?"),
    ("garden", "How many balls are there?"),
)
ATTENTION = (ANSWERS[2], ANSWERS[0], ANSWERS[3])


def example(name: str) -> ImageFile:
    """Return an example image by its file's stem."""
    return image_file((ASSETS / "examples" / f"{name}.jpg").read_bytes())


def alone(image: Image.Image, result: Row, method: str) -> Image.Image:
    """Return the picture of a method on a scale of its own."""
    return draw(image, result, method, scales([result], [method])[method])


def panels(label: str, image: Image.Image, result: ExplainResult) -> Image.Image:
    """Return the image with its label, and the three panels of the only row of a result."""
    limits = scales(result.rows, PANELS)
    pictures = [draw(image, result.rows[0], method, limits[method]) for method in PANELS]
    return row([label, *(METHODS[method].title for method in PANELS)], [image, *pictures])


def row(labels: Sequence[str], pictures: Sequence[Image.Image], columns: int = 0) -> Image.Image:
    """Place pictures of one shape side by side over the whole width, or in the first columns; labels are below."""
    step = (WIDTH + GAP) / (columns or len(pictures))
    small = [ImageOps.contain(picture, (int(step) - GAP, WIDTH)) for picture in pictures]
    out = Image.new("RGB", (WIDTH, small[0].height + LINE), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(13)
    for i, (label, picture) in enumerate(zip(labels, small, strict=True)):
        out.paste(picture, (round(i * step), 0))
        pen.text((round(i * step), picture.height + 1), label, "black", font)
    return out


def stack(parts: Sequence[Image.Image]) -> Image.Image:
    """Place pictures of the whole width below each other."""
    out = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        out.paste(part, (0, top))
        top += part.height
    return out


def caption_figure(engine: Engine, name: str) -> Image.Image:
    """Explain an image's caption as a whole and word by word."""
    photo = example(name)
    image = engine.open(photo)
    whole = engine.answer(Explain(photo, "captioning", targets=(WHOLE,)))
    spoken = words(whole.query.text)
    each = engine.answer(replace(whole.query, targets=tuple(range(len(spoken))), methods=("gradcam",)))
    scale = scales(each.rows, ["gradcam"])["gradcam"]
    print(f"{name}: {whole.query.text}")
    return stack(
        [
            panels("the image", image, whole),
            row(spoken, [draw(image, word, "gradcam", scale) for word in each.rows]),
        ]
    )


def answer_figure(engine: Engine, name: str, question: str) -> Image.Image:
    """Explain the model's own answer to a question."""
    photo = example(name)
    result = engine.answer(Explain(photo, "vqa", ANSWERER, text=question, targets=("",)))
    print(f"{name}: {question} {best_answer(result)}")
    return panels(question, engine.open(photo), result)


def attention_figure(engine: Engine, name: str, question: str) -> Image.Image:
    """Show where the model with attention looked, and what moved its answer at three layers."""
    photo = example(name)
    query = Explain(photo, "vqa", ATTENTIVE, question, targets=("",), layers=LAYERS, methods=("gradcam",))
    result = engine.answer(query)
    (attention,) = engine.answer(replace(query, layers=("",), methods=("attention",))).rows
    answer, image = best_answer(result), engine.open(photo)
    print(f"{name}: {question} {answer}")
    pictures = [image, alone(image, attention, "attention"), *(alone(image, one, "gradcam") for one in result.rows)]
    return row([question, f"{answer}: attention", *(f"Grad-CAM, {layer}" for layer in LAYERS)], pictures)


def best_answer(result: ExplainResult) -> str:
    answer, probability = next(iter(result.predictions.items()))
    return f"{answer} ({probability:.0%})"


def main() -> None:
    engine = Engine(Library())
    for name in CAPTIONS:
        caption_figure(engine, name).save(ASSETS / "captions" / f"{name}.jpg", quality=85)
    for number, asked in enumerate(ANSWERS, start=1):
        answer_figure(engine, *asked).save(ASSETS / "answers" / f"{number}.jpg", quality=85)
    attention = stack([attention_figure(engine, *asked) for asked in ATTENTION])
    attention.save(ASSETS / "answers" / "attention.jpg", quality=85)


if __name__ == "__main__":
    main()
