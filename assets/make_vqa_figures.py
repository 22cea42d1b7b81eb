"""Make the README's answers with their maps, and print the answers.

    python -m assets.make_vqa_figures

For each photograph and question a figure, `answers/N.jpg`: the photograph and the three panels of the answer, which is
the network's own.
"""

from assets.make_caption_figures import HERE, row
from demo.images import open_photo
from demo.models import load
from demo.rendering import COLOURS, OPACITY, gradient_limit, gradient_picture, overlay
from demo.rows import PANELS
from explainers import explain

OUT = HERE / "answers"
ASKED = (
    ("airliner_fire_engine", "What color is the truck?"),
    ("dog", "What is the dog doing?"),
    ("zebra_elephant", "What animal is this?"),
    ("horses", "Where are the horses?"),
    ("astronaut", "Is this a man or a woman?"),
    ("garden", "How many balls are there?"),
)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    model = load("vqa")
    layer = next(iter(model.layers.values()))
    for number, (name, question) in enumerate(ASKED, start=1):
        photo = open_photo(str(HERE / "examples" / f"{name}.jpg"))
        image = model.prepare(photo)
        answer, probability = next(iter(model.predict(image, question).items()))
        explanation = explain(model.score(question, answer), image, layer)
        heat = explanation.gradcam[0].numpy()
        gradients = [explanation.pixel_gradient[0].numpy(), explanation.guided_gradcam[0].numpy()]
        backprop, product = (gradient_picture(part, gradient_limit(part), photo.size) for part in gradients)
        gradcam = overlay(photo, heat, heat.max(), COLOURS[0], OPACITY)
        row([question, *PANELS.values()], [photo, backprop, gradcam, product]).save(OUT / f"{number}.jpg", quality=85)
        print(f"{number} {name}: {question} {answer} ({probability:.0%})")


if __name__ == "__main__":
    main()
