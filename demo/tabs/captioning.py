"""The Captioning tab: what a network says about a photograph, and the evidence for the sentence or for a word."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.models.captioning import WHOLE
from demo.models.words import words
from demo.query import Query, Result
from demo.tabs import choices, endpoints, model_choice
from demo.tabs.frame import ASKING, Shared, strip, uploaded
from demo.tabs.viewer import Viewer, small_files, viewer
from demo.tabs.visits import Given, Making, Shown, Visit, answer, arrived, ask, in_turn, show

TASK: Final = "captioning"
ALL = "(all)"  # the first picture of the strip


@dataclass(frozen=True, eq=False)
class CaptioningTab:
    """The tab: its widgets, and what happens at their events.

    `text` is the sentence, `beam` the captions that the network considered, `spoken` the strip of words.
    """

    engine: Engine
    shared: Shared
    visit: gr.State
    text: gr.Textbox
    beam: gr.Radio
    spoken: gr.Gallery
    panels: Viewer
    model: model_choice.Models
    layer: gr.Dropdown

    def query(self, given: Given, caption: str, *targets: int, **more: Any) -> Making:
        photo, model, layer = given[self.shared.photo], given[self.model.using], given[self.layer] or ""
        return lambda: Query(uploaded(photo), TASK, model, caption, targets, (layer,), **more)

    async def explain(self, given: Given, visitor: Visit, caption: str, word: int) -> Given:
        """The panels of a word, and the strip of all words; the caption and the word are then what is shown."""
        visitor.text, visitor.word = caption, word
        try:
            result = await answer(self.engine, self.query(given, caption, word))
            visitor.text, visitor.shown = result.query.text, Shown((result.query,))
            places = range(WHOLE, len(words(visitor.text)))
            small = await answer(self.engine, self.query(given, visitor.text, *places, methods=("gradcam",)))
        except InputError as error:
            visitor.shown = Shown(note=str(error))
            return {self.spoken: None}
        return {self.spoken: await asyncio.to_thread(_word_files, self.engine, small)}

    async def explain_shown(self, given: Given) -> Given:
        visitor: Visit = given[self.visit]
        return await self.explain(given, visitor, visitor.text, visitor.word)

    async def explain_sentence(self, given: Given, caption: str) -> Given:
        """The sentence, or with an empty one the network's own.

        It goes into the box too: a caption that was on its way there may have come before it.
        """
        found = await self.explain(given, given[self.visit], caption, WHOLE)
        shown = caption or given[self.visit].text
        return {self.text: shown, self.beam: shown, self.spoken: gr.Gallery(found[self.spoken], selected_index=0)}

    async def explain_from(self, given: Given, box: gr.components.Component) -> Given:
        return await self.explain_sentence(given, given[box] or " ")  # an empty one is not the network's own

    async def explain_word(self, given: Given, event: gr.SelectData) -> None:
        visitor: Visit = given[self.visit]
        if [ALL, *words(visitor.text)][event.index : event.index + 1] != [event.value["caption"]]:
            return  # the click was on the strip of a sentence before
        visitor.word = event.index - 1 if event.index else WHOLE
        visitor.shown = await show(self.engine, self.query(given, visitor.text, visitor.word))

    async def say_and_explain(self, given: Given) -> AsyncIterator[Given]:
        """The caption is shown as soon as it is known, its panels after it."""
        visitor: Visit = given[self.visit]
        looked = given[self.shared.photo], given[self.model.using]
        if given[self.shared.task] != TASK or looked == visitor.seen:
            yield {self.text: gr.skip()}
            return
        visitor.seen = looked
        try:
            pending = await ask(self.engine, self.query(given, "", WHOLE))
            found = await arrived(pending.said)
        except InputError as error:
            visitor.text, visitor.word, visitor.shown = "", WHOLE, Shown(note=str(error))
            yield {self.text: "", self.beam: gr.Radio(choices=[], value=None), self.spoken: None}
            return
        best = next(iter(found))
        offered = [(f"{caption} ({score:.1f})", caption) for caption, score in found.items()]
        yield {self.text: best, self.beam: gr.Radio(choices=offered, value=best)}
        yield await self.explain_sentence(given, "")


def tab(page: gr.Blocks, engine: Engine, opened: gr.events.Dependency, shared: Shared) -> None:
    """Build the tab's widgets and connect them; `opened` is the event that this tab is turned to."""
    _connect(page, opened, _layout(page, engine, shared))
    endpoints.endpoint(
        engine,
        "caption",
        lambda image, model: Query(image, TASK, model),
        lambda result, *_: next(iter(result.said)),
        [gr.Textbox(visible=False, label="caption")],
    )
    endpoints.explanation_endpoint(
        engine,
        "explain_caption",
        lambda image, caption, word, model, layer: Query(image, TASK, model, caption, (word,), (layer,)),
    )


def _layout(page: gr.Blocks, engine: Engine, shared: Shared) -> CaptioningTab:
    visit = gr.State(Visit())
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
    spoken = strip("The evidence word by word: click one", columns=8, elem_id="words", elem_classes="strip")
    panels = viewer(engine, TASK, shared, visit)
    with gr.Accordion("Model and layer", open=False), gr.Row():
        model = model_choice.models(page, engine, TASK, "Model")
        layer = choices.layers()
    return CaptioningTab(engine, shared, visit, text, beam, spoken, panels, model, layer)


def _connect(page: gr.Blocks, opened: gr.events.Dependency, tab: CaptioningTab) -> None:
    turn = partial(in_turn, tab.visit)
    pictures = tab.panels.pictures
    sentence = [tab.text, tab.beam, tab.spoken]
    asked = {tab.visit, tab.shared.photo, tab.model.using, tab.layer}
    say: dict[str, Any] = {
        "fn": turn(tab.say_and_explain),
        "inputs": asked | {tab.shared.task},
        "outputs": sentence,
        "show_progress_on": [tab.text, tab.spoken, *pictures],
    } | ASKING
    again: dict[str, Any] = {
        "show_progress_on": [tab.spoken, *pictures],
        "trigger_mode": "always_last",
    } | ASKING
    offer = choices.offer(tab.engine, TASK, tab.model.using, tab.layer)
    page.load(**offer)
    picked = choices.pick_layer(tab.engine, TASK, tab.panels, tab.model.using, tab.layer)
    for event in (
        tab.shared.photo.change(**say, trigger_mode="always_last"),
        opened.then(**say, trigger_mode="multiple"),
        tab.model.using.change(**offer).then(**say, trigger_mode="multiple"),
        tab.text.submit(turn(partial(tab.explain_from, box=tab.text)), asked | {tab.text}, sentence, **again),
        tab.beam.input(turn(partial(tab.explain_from, box=tab.beam)), asked | {tab.beam}, sentence, **again),
        tab.layer.input(turn(tab.explain_shown), asked, tab.spoken, **again),
        picked.then(turn(tab.explain_shown), asked, tab.spoken, **again | {"trigger_mode": "multiple"}),
        # Not the last click alone: for that Gradio sends the first one's word again.
        tab.spoken.select(
            turn(tab.explain_word), asked, None, trigger_mode="multiple", show_progress_on=pictures, **ASKING
        ),
    ):
        tab.panels.refresh(event)


def _word_files(engine: Engine, result: Result) -> list[tuple[str, str]]:
    """A small Grad-CAM picture for the caption and, on a scale of their own, for each of its words."""
    whole, *each = result.rows
    highest = max(row.details["peak"] for row in each)
    each_word = [(row.details["target"], row, highest) for row in each]
    return small_files(engine, result.query.photo, [(ALL, whole, whole.details["peak"]), *each_word])
