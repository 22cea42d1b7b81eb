"""The Classification tab: the top 5 classes of a photograph, and the evidence for any of the network's classes."""

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import gradio as gr

from demo.errors import InputError
from demo.images import open_photo
from demo.models import load, require
from demo.rows import Explained, make_rows
from demo.tabs import choices, endpoints, frame, panel_rows
from explainers import explain

TASK: Final = "classification"
FIRST_CLASSES = ("zebra", "African elephant")  # the classes of frame.FIRST_EXAMPLE
OPENING = "the page is opening"


# A class of students clicks the same pictures: each is computed once. Uploads lie at paths made of their hash.
@lru_cache(maxsize=64)
def predictions(path: str, model_name: str) -> dict[str, float]:
    """The probability of each class, the most probable first."""
    model = load(TASK, model_name)
    return model.predict(model.prepare(open_photo(path)))


@lru_cache(maxsize=32)
def explained(path: str, names: tuple[str, ...], model_name: str, layer: str) -> Explained:
    """The rows of one or two classes, from one forward pass; an empty layer means the default one."""
    model = load(TASK, model_name)
    layer = frame.known_layer(model, layer)
    names = tuple(model.known(name) for name in names)
    photo = open_photo(path)
    image = model.prepare(photo)
    started = time.perf_counter()
    explanation = explain(model.score(*names), image, model.layers[layer], reshape=model.reshape)
    seconds = time.perf_counter() - started
    probability = predictions(path, model_name)
    targets = {name: probability[name] for name in names}
    best = top(probability)
    return make_rows(
        photo,
        explanation,
        targets,
        task=TASK,
        model=model.name,
        layer=layer,
        score_is=model.score_is,
        seconds=seconds,
        context={"prediction": [best, probability[best]]},
    )


def compared(path: str, name: str, model_names: tuple[str, str], layer: str) -> Explained:
    """The rows of one class by two models."""
    first = explained(path, (name,), model_names[0], layer)
    try:
        return Explained(first.photo, first.rows + explained(path, (name,), model_names[1], "").rows)
    except InputError as error:  # the second one does not know the class
        return Explained(first.photo, first.rows, str(error))


def top(probability: dict[str, float]) -> str:
    """The most probable class."""
    return next(iter(probability))


def classify(image: str, model: str) -> dict[str, float]:
    """Endpoint `/classify`: class probabilities, of which the label shows the top 5."""
    require(TASK, model)
    return predictions(image, model)


def explain_class(image: str, class_name: str, model: str, layer: str) -> Explained:
    """Endpoint `/explain_class`: one class, or with an empty name the top one."""
    require(TASK, model)
    return explained(image, (class_name or top(predictions(image, model)),), model, layer)


def tab(page: gr.Blocks, opened: gr.events.Dependency, shared: frame.Shared) -> None:
    """Build the tab's widgets and connect them; `opened` is the event that this tab is turned to."""
    label, chosen, other = widgets = choices.targets(
        "What the network sees: click a class to explain it", "class", TASK
    )
    panels = panel_rows.panels(shared, lambda model, details: model.score(details["target"]))
    seen = gr.State(OPENING)  # the photograph that the widgets are about
    with gr.Accordion("Model and layer", open=False), gr.Row():
        model = choices.models(page, TASK, "Model")
        layer = choices.layers()
        rival = choices.models(page, TASK, "Compare it with the model", frame.NOTHING)

    def explain_choice(
        upload: frame.Upload,
        chosen_name: str | None,
        other_name: str,
        model_name: str,
        layer_name: str,
        rival_name: str,
    ) -> Explained | str:
        try:
            path = frame.photo_path(upload)
            chosen_name = chosen_name or top(predictions(path, model_name))
            if rival_name not in ("", model_name):
                return compared(path, chosen_name, (model_name, rival_name), layer_name)
            return explained(path, choices.pair(chosen_name, other_name), model_name, layer_name)
        except InputError as error:
            return str(error)

    def meet_rival(upload: frame.Upload, chosen_name: str, other_name: str, *rest: str) -> dict[Any, Any]:
        other_name = "" if rest[-1] else other_name
        return {other: other_name, panels.state: explain_choice(upload, chosen_name, other_name, *rest)}

    def predict_and_explain(
        upload: frame.Upload, task: str, before: frame.Upload, model_name: str, layer_name: str, rival_name: str
    ) -> Iterator[dict[Any, Any]]:
        """The classes are shown as soon as they are known, the panels of the first one after them."""
        # Gradio turns to the first tab when the page opens, and `open_page` fills it then.
        if task != TASK or upload == before or (before == OPENING and frame.is_first_example(upload)):
            yield {seen: before}
            return
        yield {seen: upload}
        try:
            probability = predictions(frame.photo_path(upload), model_name)
        except InputError as error:
            yield {label: None, chosen: None, other: "", panels.state: str(error)}
            return
        first = top(probability)
        yield {label: probability, chosen: first, other: ""}
        yield {panels.state: explain_choice(upload, first, "", model_name, layer_name, rival_name)}

    def offers(model_name: str) -> dict[Any, Any]:
        network = load(TASK, model_name)
        names, layers = sorted(network.classes, key=str.casefold), list(network.layers)
        return {
            chosen: gr.Dropdown(choices=names),
            other: gr.Dropdown(choices=[frame.NOTHING, *names]),
            layer: gr.Dropdown(choices=layers, value=layers[0]),
        }

    def open_page(upload: frame.Upload, model_name: str) -> dict[Any, Any]:
        if not frame.is_first_example(upload):  # somebody was quicker; their photograph has a request of its own
            return {label: gr.skip()}
        path = str(frame.FIRST_EXAMPLE)
        probability = predictions(path, model_name)
        # The user's own model may have other classes.
        first, second = FIRST_CLASSES if probability.keys() >= set(FIRST_CLASSES) else (top(probability), "")
        return {
            label: probability,
            chosen: first,
            other: second,
            panels.state: explained(path, choices.pair(first, second), model_name, ""),
            seen: upload,
        }

    listen: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"} | frame.NETWORK
    busy: dict[str, Any] = {"show_progress_on": panels.pictures} | listen
    choice = [shared.photo, chosen, other, model.using, layer, rival.using]
    prediction = [label, chosen, other, panels.state, seen]
    predict: dict[str, Any] = {
        "fn": predict_and_explain,
        "inputs": [shared.photo, shared.task, seen, model.using, layer, rival.using],
        "outputs": prediction,
        "show_progress_on": [label, *panels.pictures],
    } | listen
    offered = [chosen, other, layer]
    loaded = page.load(offers, model.using, offered, **listen)
    for event in (
        loaded.then(open_page, [shared.photo, model.using], prediction, **listen),
        shared.photo.change(**predict, trigger_mode="always_last"),
        opened.then(**predict, trigger_mode="multiple"),
        model.using.change(offers, model.using, offered, **listen)
        .then(lambda: None, None, seen, **listen)
        .then(**predict, trigger_mode="multiple"),
        rival.using.change(meet_rival, choice, [other, panels.state], trigger_mode="multiple", **busy),
    ):
        panels.refresh(event)

    def no_rival(request: gr.Request) -> tuple[str, str]:
        rival.forget(request)
        return "", ""

    # Another class or another model: not both at once.
    other.input(no_rival, None, [rival.listed, rival.using], **frame.QUIET, queue=False)
    picked = choices.pick_layer(panels, TASK, model.using, layer)
    choices.on_choice(widgets, layer, picked, panels, choice, explain_choice)

    endpoints.endpoint(
        "classify", classify, [endpoints.text("model")], [gr.Label(visible=False, num_top_classes=5, label="label")]
    )
    names = ("class_name", "model", "layer")
    endpoints.explanation_endpoint("explain_class", explain_class, [endpoints.text(name) for name in names])
