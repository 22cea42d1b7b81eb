"""The Classification tab: the top 5 classes of a photograph, and the evidence for any of the network's classes."""

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import gradio as gr

from demo.errors import InputError
from demo.images import open_photo
from demo.models import catalog, load
from demo.rendering import COLOURS, Colours
from demo.tabs import frame
from explainers import explain

TASK: Final = "classification"
FIRST_CLASSES = ("zebra", "African elephant")  # the classes of frame.FIRST_EXAMPLE
NOTHING = ("nothing", "")


# A class of students clicks the same pictures: each is computed once. Uploads lie at paths made of their hash.
@lru_cache(maxsize=64)
def predictions(path: str, model_name: str) -> dict[str, float]:
    """The probability of each class, the most probable first."""
    model = load(TASK, model_name)
    return model.predict(model.prepare(open_photo(path)))


@lru_cache(maxsize=32)
def explanation(path: str, names: tuple[str, ...], model_name: str, layer: str) -> frame.Explained:
    """The rows of one or two classes, from one forward pass."""
    model = load(TASK, model_name)
    layer = layer or next(iter(model.layers))
    if layer not in model.layers:
        raise InputError(f"{model.name} has no layer “{layer[:80]}”. Pick one of {', '.join(model.layers)}.")
    score = model.score(*names)
    photo = open_photo(path)
    started = time.perf_counter()
    result = explain(score, model.prepare(photo), model.layers[layer])
    seconds = time.perf_counter() - started
    probability = predictions(path, model_name)
    return frame.explained(
        photo,
        result,
        {name: probability[name] for name in names},
        task=TASK,
        model=model.name,
        layer=layer,
        seconds=seconds,
    )


def top(probability: dict[str, float]) -> str:
    """The most probable class."""
    return next(iter(probability))


def classify(image: str | None, model: str) -> dict[str, float]:
    """Endpoint `/classify`: class probabilities, of which the label shows the top 5."""
    return predictions(_given(image), model)


def explain_class(image: str | None, class_name: str, model: str, layer: str) -> tuple[Any, ...]:
    """Endpoint `/explain_class`: the three panels of one class, or of the top one, and the details."""
    path = _given(image)
    class_name = class_name or top(predictions(path, model))
    result = explanation(path, (class_name,), model, layer)
    (row,) = result.rows
    files = frame.panel_files(result, row, COLOURS[0], 0.5)
    return *(frame.save(png, f"{name}.png") for name, png in files.items()), row.details


def _given(path: str | None) -> str:
    if path is None:
        raise InputError("There is no photograph: choose one first.")
    return path


def tab(page: gr.Blocks, shared: frame.Shared) -> None:
    """Build the tab's widgets and connect them, within `page`."""
    with gr.Row():
        label = gr.Label(
            label="What the network sees: click a class to explain it",
            num_top_classes=5,
            show_heading=False,
            scale=3,
            min_width=300,
            elem_id="classes",
        )
        with gr.Column(scale=2, min_width=260):
            chosen = gr.Dropdown([], label="Explain this class", info="Type to search all classes.", elem_id="chosen")
            other = gr.Dropdown([NOTHING], value="", label="Compare it with", elem_id="other")
    panels = frame.panels()
    with gr.Accordion("Model and layer", open=False), gr.Row():
        model = gr.Dropdown([entry.name for entry in catalog(TASK)], label="Model")
        layer = gr.Dropdown([], label="Layer", info="Deeper layers have larger numbers.")

    choice = [shared.photo, chosen, other, model, layer, shared.colours, shared.opacity]
    prediction = [label, chosen, other]

    def explain_choice(
        path: str | None,
        chosen_name: str,
        other_name: str,
        model_name: str,
        layer_name: str,
        colours: Colours,
        opacity: float,
    ) -> list[Any]:
        names = (chosen_name, other_name) if other_name not in ("", chosen_name) else (chosen_name,)
        try:
            result = explanation(_given(path), names, model_name, layer_name)
        except InputError as error:
            return frame.show_nothing(str(error))
        return frame.show(result, colours, opacity)

    def explain_clicked(event: gr.SelectData, path: str | None, _: str, *settings: Any) -> list[Any]:
        return [event.value, *explain_choice(path, event.value, *settings)]

    def predict_and_explain(
        path: str | None, model_name: str, layer_name: str, colours: Colours, opacity: float
    ) -> Iterator[list[Any]]:
        """The classes are shown as soon as they are known, the panels of the first one after them."""
        if path is None:
            yield [None, None, "", *frame.show_nothing("Choose a photograph, or click one of the examples.")]
            return
        try:
            probability = predictions(path, model_name)
        except InputError as error:
            yield [None, None, "", *frame.show_nothing(str(error))]
            return
        first = top(probability)
        waiting = [gr.skip()] * len(panels.outputs())
        yield [probability, first, "", *waiting]
        yield [gr.skip()] * 3 + explain_choice(path, first, "", model_name, layer_name, colours, opacity)

    def open_page(model_name: str, colours: Colours, opacity: float) -> list[Any]:
        network = load(TASK, model_name)
        names, layers = sorted(network.classes, key=str.lower), list(network.layers)
        path, (first, second) = str(frame.FIRST_EXAMPLE), FIRST_CLASSES
        return [
            predictions(path, model_name),
            gr.Dropdown(choices=names, value=first),
            gr.Dropdown(choices=[NOTHING, *names], value=second),
            gr.Dropdown(choices=layers, value=layers[0]),
            *explain_choice(path, first, second, model_name, layers[0], colours, opacity),
        ]

    listen = {"api_visibility": "private", "show_progress": "minimal"} | frame.NETWORK
    page.load(open_page, [model, shared.colours, shared.opacity], [*prediction, layer, *panels.outputs()], **listen)
    gr.on(
        [shared.photo.change, model.input],
        predict_and_explain,
        [shared.photo, model, layer, shared.colours, shared.opacity],
        [*prediction, *panels.outputs()],
        show_progress_on=[label, *panels.rows[0].pictures],
        trigger_mode="always_last",
        **listen,
    )
    shown = [picture for row in panels.rows for picture in row.pictures]
    gr.on(
        [chosen.input, other.input, layer.input],
        explain_choice,
        choice,
        panels.outputs(),
        show_progress_on=shown,
        trigger_mode="always_last",
        **listen,
    )
    label.select(
        explain_clicked, choice, [chosen, *panels.outputs()], show_progress_on=shown,
        trigger_mode="always_last", **listen,
    )  # fmt: skip
    gr.on(
        [shared.colours.input, shared.opacity.input],
        frame.recolour,
        [panels.state, shared.colours, shared.opacity],
        panels.outputs(),
        trigger_mode="always_last",
        show_progress="hidden",
        api_visibility="private",
    )
    _endpoints()


def _endpoints() -> None:
    image = frame.photo_input(visible=False, label="image")
    model = gr.Textbox("", visible=False, label="model")
    gr.Button(visible=False).click(
        frame.answered(classify),
        [image, model],
        gr.Label(visible=False, num_top_classes=5, label="label"),
        api_name="classify",
        **frame.NETWORK,
    )
    gr.Button(visible=False).click(
        frame.answered(explain_class),
        [
            image,
            gr.Textbox("", visible=False, label="class_name"),
            model,
            gr.Textbox("", visible=False, label="layer"),
        ],
        frame.api_outputs(),
        api_name="explain_class",
        **frame.NETWORK,
    )
