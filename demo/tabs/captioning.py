"""The Captioning tab: what a network says about a photograph, and the evidence for the sentence or for a word."""

import math
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import gradio as gr

from demo.errors import InputError
from demo.images import open_photo
from demo.models import load, require
from demo.models.captioning import WHOLE, words
from demo.rows import Explained, make_rows, png, thumbnails
from demo.tabs import choices, endpoints, frame, panel_rows
from explainers import explain, gradcam_maps

TASK: Final = "captioning"
ALL = "(all)"  # the first picture of the strip


@lru_cache(maxsize=64)
def captions(path: str, model_name: str) -> list[tuple[str, float]]:
    """The captions of the beam and their scores, the best first."""
    model = load(TASK, model_name)
    return model.predict(model.prepare(open_photo(path)))


@lru_cache(maxsize=32)
def explained(path: str, caption: str, word: int, model_name: str, layer: str) -> Explained:
    """The row of one word of a caption, or with `WHOLE` of all of it; an empty layer means the default one."""
    model = load(TASK, model_name)
    layer = frame.known_layer(model, layer)
    score = model.score(caption, word)
    photo = open_photo(path)
    image = model.prepare(photo)
    started = time.perf_counter()
    explanation = explain(score, image, model.layers[layer], reshape=model.reshape)
    seconds = time.perf_counter() - started
    target = caption if word == WHOLE else words(caption)[word]
    targets = {target: math.exp(explanation.scores[0])}
    return make_rows(
        photo,
        explanation,
        targets,
        task=TASK,
        model=model.name,
        layer=layer,
        score_is=model.score_is,
        seconds=seconds,
        context={"caption": caption, "word": word},
    )


@lru_cache(maxsize=32)
def strip(path: str, caption: str, model_name: str, layer: str) -> list[tuple[bytes, str]]:
    """A small Grad-CAM picture for the caption and, on a scale of their own, for each of its words: PNG, and word."""
    model = load(TASK, model_name)
    layer = frame.known_layer(model, layer)
    spoken = words(caption)
    score = model.score(caption, WHOLE, *range(len(spoken)))
    photo = open_photo(path)
    maps = gradcam_maps(score, model.prepare(photo), model.layers[layer], reshape=model.reshape)
    pictures = thumbnails(photo, maps[:1], maps[0].max().item()) + thumbnails(photo, maps[1:], maps[1:].max().item())
    return list(zip(map(png, pictures), [ALL, *spoken], strict=True))


def caption(image: str, model: str) -> str:
    """Endpoint `/caption`: the best caption."""
    require(TASK, model)
    return captions(image, model)[0][0]


def explain_caption(image: str, caption: str, word: str, model: str, layer: str) -> Explained:
    """Endpoint `/explain_caption`: a word by its index from 0, or with -1 the whole caption."""
    try:
        index = int(word or WHOLE)
    except ValueError:
        raise InputError(f"“{word[:80]}” is not the index of a word: give 0 for the first, -1 for all.") from None
    require(TASK, model)
    caption = load(TASK, model).known(caption) if caption else captions(image, model)[0][0]
    return explained(image, caption, index, model, layer)


def tab(page: gr.Blocks, opened: gr.events.Dependency, shared: frame.Shared) -> None:
    """Build the tab's widgets and connect them; `opened` is the event that this tab is turned to."""
    with gr.Row():
        text = gr.Textbox(
            label="What the network says: change it to anything and press Enter",
            submit_btn="Explain",
            max_lines=3,
            scale=3,
            min_width=300,
            elem_id="caption",
        )
        beam = gr.Radio(
            [],
            label="Captions it considered",
            info="Best log-probability per word first; in brackets that of the whole caption.",
            scale=2,
            min_width=260,
            elem_id="beam",
        )
    gallery = gr.Gallery(
        label="The evidence word by word: click one",
        columns=8,
        height="auto",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="words",
        elem_classes="strip",
    )
    panels = panel_rows.panels(shared, lambda model, details: model.score(details["caption"], details["word"]))
    seen = gr.State("no photograph yet")  # the one that the widgets are about
    shown = gr.State(("", WHOLE))  # the sentence that the strip is about, and the word of it in the panels
    with gr.Accordion("Model and layer", open=False), gr.Row():
        model = choices.models(page, TASK, "Model").using
        layer = choices.layers()

    def explain_shown(
        upload: frame.Upload, asked: tuple[str, int], model_name: str, layer_name: str
    ) -> dict[Any, Any]:
        sentence, word = asked
        try:
            path = frame.photo_path(upload)
            sentence = load(TASK, model_name).known(sentence)
            row = explained(path, sentence, word, model_name, layer_name)
            small = strip(path, sentence, model_name, layer_name)
        except InputError as error:
            return {shown: asked, panels.state: str(error), gallery: None}
        # Files of our own, because Gradio would write the same ones anew under somebody who is fetching them.
        pictures = [(frame.save(data, f"{frame.file_name(name)}.png"), name) for data, name in small]
        return {shown: asked, panels.state: row, gallery: pictures}

    def explain_word(
        event: gr.SelectData, upload: frame.Upload, asked: tuple[str, int], model_name: str, layer_name: str
    ) -> dict[Any, Any]:
        sentence, _ = asked
        if [ALL, *words(sentence)][event.index : event.index + 1] != [event.value["caption"]]:
            return {shown: asked}  # the click was on the strip of a sentence before
        word = event.index - 1 if event.index else WHOLE
        try:
            path = frame.photo_path(upload)
            sentence = load(TASK, model_name).known(sentence)
            return {shown: (sentence, word), panels.state: explained(path, sentence, word, model_name, layer_name)}
        except InputError as error:
            return {shown: asked, panels.state: str(error)}

    def explain_sentence(upload: frame.Upload, sentence: str, model_name: str, layer_name: str) -> dict[Any, Any]:
        """The sentence goes into the box too: a caption that was on its way there may have come before it."""
        found = explain_shown(upload, (sentence, WHOLE), model_name, layer_name)
        return found | {text: sentence, beam: sentence, gallery: gr.Gallery(found[gallery], selected_index=0)}

    def say_and_explain(
        upload: frame.Upload, task: str, before: frame.Upload, model_name: str, layer_name: str
    ) -> Iterator[dict[Any, Any]]:
        """The caption is shown as soon as it is known, its panels after it."""
        if task != TASK or upload == before:
            yield {seen: before}
            return
        yield {seen: upload}
        try:
            found = captions(frame.photo_path(upload), model_name)
        except InputError as error:
            nothing = {text: "", shown: ("", WHOLE), gallery: None, panels.state: str(error)}
            yield nothing | {beam: gr.Radio(choices=[], value=None)}
            return
        best = found[0][0]
        offered = [(f"{sentence} ({score:.1f})", sentence) for sentence, score in found]
        yield {text: best, beam: gr.Radio(choices=offered, value=best)}
        yield explain_sentence(upload, best, model_name, layer_name)

    def layers(model_name: str) -> gr.Dropdown:
        names = list(load(TASK, model_name).layers)
        return gr.Dropdown(choices=names, value=names[0])

    listen: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"} | frame.NETWORK
    outputs = [text, beam, gallery, shown, panels.state]
    say: dict[str, Any] = {
        "fn": say_and_explain,
        "inputs": [shared.photo, shared.task, seen, model, layer],
        "outputs": [*outputs, seen],
        "show_progress_on": [text, gallery, *panels.pictures],
    } | listen
    busy: dict[str, Any] = {"show_progress_on": panels.pictures} | listen
    last: dict[str, Any] = {"show_progress_on": [gallery, *panels.pictures], "trigger_mode": "always_last"} | listen
    asked = [shared.photo, shown, model, layer]
    page.load(layers, model, layer, **listen)
    for event in (
        shared.photo.change(**say, trigger_mode="always_last"),
        opened.then(**say, trigger_mode="multiple"),
        model.change(layers, model, layer, **listen)
        .then(lambda: None, None, seen, **listen)
        .then(**say, trigger_mode="multiple"),
        text.submit(explain_sentence, [shared.photo, text, model, layer], outputs, **last),
        beam.input(explain_sentence, [shared.photo, beam, model, layer], outputs, **last),
        layer.input(explain_shown, asked, [gallery, shown, panels.state], **last),
        choices.pick_layer(panels, TASK, model, layer).then(
            explain_shown, asked, [gallery, shown, panels.state], **last | {"trigger_mode": "multiple"}
        ),
        # Not the last click alone: for that Gradio sends the first one's word again.
        gallery.select(explain_word, asked, [shown, panels.state], trigger_mode="multiple", **busy),
    ):
        panels.refresh(event)

    endpoints.endpoint("caption", caption, [endpoints.text("model")], [gr.Textbox(visible=False, label="caption")])
    names = ("caption", "word", "model", "layer")
    endpoints.explanation_endpoint("explain_caption", explain_caption, [endpoints.text(name) for name in names])
