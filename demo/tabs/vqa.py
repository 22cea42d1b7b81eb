"""The Question answering tab: what a network answers to a question, and the evidence for any of its answers."""

import html
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import gradio as gr

from demo.errors import InputError
from demo.images import open_photo
from demo.models import catalog, load, require
from demo.models.vqa import Answerer
from demo.rows import Explained, make_rows
from demo.tabs import captioning, choices, classification, endpoints, frame, panel_rows
from explainers import explain

TASK: Final = "vqa"
SUGGESTIONS = 5
LIKELY = 0.1  # the probability of an answer that questions are suggested about
ANY = "What is in the picture?"  # can be asked of any photograph, and is the first question suggested


@lru_cache(maxsize=64)
def predictions(path: str, question: str, model_name: str) -> dict[str, float]:
    """The probability of each answer, the most probable first."""
    model = load(TASK, model_name)
    return model.predict(model.prepare(open_photo(path)), question)


@lru_cache(maxsize=32)
def explained(path: str, question: str, answers: tuple[str, ...], model_name: str, layer: str) -> Explained:
    """The rows of one or two answers, from one forward pass; an empty layer means the default one."""
    model = load(TASK, model_name)
    layer = frame.known_layer(model, layer)
    answers = tuple(model.known(answer) for answer in answers)
    photo = open_photo(path)
    image = model.prepare(photo)
    started = time.perf_counter()
    explanation = explain(model.score(question, *answers), image, model.layers[layer], reshape=model.reshape)
    seconds = time.perf_counter() - started
    if model.score_is == "log-probability":
        targets = dict(zip(answers, explanation.scores.exp().tolist(), strict=True))
    else:
        probability = predictions(path, question, model_name)
        targets = {answer: probability[answer] for answer in answers}
    return make_rows(
        photo,
        explanation,
        targets,
        task=TASK,
        model=model.name,
        layer=layer,
        score_is=model.score_is,
        seconds=seconds,
        context={"question": question, "ignored": model.ignored(question)},
    )


@lru_cache(maxsize=64)
def suggestions(path: str) -> list[str]:
    """Questions about what the default classifier, captioner and answerer see in the photograph."""
    classifier, captioner, answerer = (catalog(task)[0].name for task in ("classification", "captioning", TASK))
    model = load(TASK)
    assert isinstance(model, Answerer)
    named = classification.top(classification.predictions(path, classifier))
    shown = predictions(path, ANY, answerer)
    answers = [answer for answer, probability in shown.items() if probability > LIKELY]
    return model.suggest(named, *answers, captioning.captions(path, captioner)[0][0])[:SUGGESTIONS]


def top(probability: dict[str, float]) -> str:
    """The most probable answer."""
    return next(iter(probability))


def answer(image: str, question: str, model: str) -> dict[str, float]:
    """Endpoint `/answer`: answers with their probabilities, of which the label shows the top 5."""
    require(TASK, model)
    return predictions(image, question, model)


def explain_answer(image: str, question: str, answer: str, model: str, layer: str) -> Explained:
    """Endpoint `/explain_answer`: one answer, or with an empty one the network's own."""
    require(TASK, model)
    return explained(image, question, (answer or top(predictions(image, question, model)),), model, layer)


def tab(page: gr.Blocks, opened: gr.events.Dependency, shared: frame.Shared) -> None:
    """Build the tab's widgets and connect them; `opened` is the event that this tab is turned to."""
    with gr.Row():
        text = gr.Textbox(
            label="Ask about the photograph and press Enter",
            submit_btn="Ask",
            max_lines=3,
            scale=3,
            min_width=300,
            elem_id="question",
        )
        suggested = gr.Radio([], label="Or take one of these", scale=2, min_width=260, elem_id="suggested")
    note = gr.HTML(elem_id="ignored", elem_classes="sentence", visible=False)
    label, chosen, other = widgets = choices.targets(
        "What the network answers: click one to explain it", "answer", TASK
    )
    panels = panel_rows.panels(shared, lambda model, details: model.score(details["question"], details["target"]))
    seen = gr.State("no photograph yet")  # the one that the widgets are about
    offered = gr.State([])  # the suggested questions
    asked = gr.State("")  # the question that the answers belong to
    with gr.Accordion("Model and layer", open=False), gr.Row():
        model = choices.models(page, TASK, "Model").using
        layer = choices.layers()

    def explain_choice(
        upload: frame.Upload, question: str, chosen_name: str, other_name: str, model_name: str, layer_name: str
    ) -> Explained | str:
        try:
            path = frame.photo_path(upload)
            chosen_name = chosen_name or top(predictions(path, question, model_name))
            return explained(path, question, choices.pair(chosen_name, other_name), model_name, layer_name)
        except InputError as error:
            return str(error)

    def ask(upload: frame.Upload, question: str, model_name: str, layer_name: str) -> Iterator[dict[Any, Any]]:
        """The answers are shown as soon as they are known, the panels of the first one after them."""
        # The question goes into the box too: one that was on its way there may have come before it.
        known = {text: question, suggested: question, asked: question, other: ""}
        try:
            probability = predictions(frame.photo_path(upload), question, model_name)
        except InputError as error:
            yield known | {label: None, chosen: None, note: gr.HTML(visible=False), panels.state: str(error)}
            return
        network = load(TASK, model_name)
        ignored = ", ".join(f"“{html.escape(word[:80])}”" for word in network.ignored(question))
        said = gr.HTML(f"<p>Ignored, because the network does not know it: {ignored}.</p>", visible=bool(ignored))
        found = list(probability)
        if not network.answers:  # it has no list of them: offer what it says
            known |= {other: gr.Dropdown(choices=[frame.NOTHING, *found], value="")}
        yield known | {
            label: probability,
            chosen: found[0] if network.answers else gr.Dropdown(choices=found, value=found[0]),
            note: said,
        }
        yield {panels.state: explain_choice(upload, question, "", "", model_name, layer_name)}

    def look(
        upload: frame.Upload,
        task: str,
        before: frame.Upload,
        question: str,
        suggested_before: list[str],
        model_name: str,
        layer_name: str,
    ) -> Iterator[dict[Any, Any]]:
        """Ask a new photograph what somebody typed for the one before, else what can be asked of any.

        Of a new model, for which `before` is none, the same is asked.
        """
        if task != TASK or upload == before:
            yield {seen: before}
            return
        yield {seen: upload}
        typed = question not in suggested_before
        question = question if question and (typed or before is None) else ANY
        yield from ask(upload, question, model_name, layer_name)
        try:
            found = suggestions(frame.photo_path(upload))
        except InputError:
            found = []  # `ask` has said why
        yield {offered: found, suggested: gr.Radio(choices=found, value=question if found else None)}

    def offers(model_name: str) -> dict[Any, Any]:
        network = load(TASK, model_name)
        names, layers = sorted(network.answers), list(network.layers)
        return {
            chosen: gr.Dropdown(choices=names),
            other: gr.Dropdown(choices=[frame.NOTHING, *names]),
            layer: gr.Dropdown(choices=layers, value=layers[0]),
        }

    listen: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"} | frame.NETWORK
    answers = [text, suggested, asked, label, chosen, other, note, panels.state]
    looking: dict[str, Any] = {
        "fn": look,
        "inputs": [shared.photo, shared.task, seen, text, offered, model, layer],
        "outputs": [*answers, offered, seen],
        "show_progress_on": [label, *panels.pictures],
    } | listen
    asking: dict[str, Any] = {
        "outputs": answers,
        "show_progress_on": [label, *panels.pictures],
        "trigger_mode": "always_last",
    } | listen
    choice = [shared.photo, asked, chosen, other, model, layer]
    page.load(offers, model, [chosen, other, layer], **listen)
    for event in (
        shared.photo.change(**looking, trigger_mode="always_last"),
        opened.then(**looking, trigger_mode="multiple"),
        model.change(offers, model, [chosen, other, layer], **listen)
        .then(lambda: None, None, seen, **listen)
        .then(**looking, trigger_mode="multiple"),
        text.submit(ask, [shared.photo, text, model, layer], **asking),
        suggested.input(ask, [shared.photo, suggested, model, layer], **asking),
    ):
        panels.refresh(event)
    picked = choices.pick_layer(panels, TASK, model, layer)
    choices.on_choice(widgets, layer, picked, panels, choice, explain_choice)

    top_answers = gr.Label(visible=False, num_top_classes=5, label="label")
    endpoints.endpoint("answer", answer, [endpoints.text("question"), endpoints.text("model")], [top_answers])
    names = ("question", "answer", "model", "layer")
    endpoints.explanation_endpoint("explain_answer", explain_answer, [endpoints.text(name) for name in names])
