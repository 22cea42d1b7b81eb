"""The Question answering tab: what a network answers to a question, and the evidence for any of its answers."""

import asyncio
import html
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.query import Query
from demo.tabs import choices, endpoints, frame, model_choice
from demo.tabs.choices import Targets
from demo.tabs.frame import ASKING, Shared, uploaded
from demo.tabs.viewer import Viewer, viewer
from demo.tabs.visits import Given, Making, Shown, Visit, answer, arrived, ask, in_turn, show
from demo.tasks.vqa import ANY, suggestions

TASK: Final = "vqa"


@dataclass(frozen=True, eq=False)
class AnsweringTab:
    """The tab: its widgets, and what happens at their events.

    `text` is the question, `note` says which of its words were ignored.
    """

    engine: Engine
    shared: Shared
    visit: gr.State
    text: gr.Textbox
    suggested: gr.Radio
    note: gr.HTML
    targets: Targets
    panels: Viewer
    model: model_choice.Models
    layer: gr.Dropdown

    def query(self, given: Given, question: str, *answers: str) -> Making:
        photo, model, layer = given[self.shared.photo], given[self.model.using], given[self.layer] or ""
        return lambda: Query(uploaded(photo), TASK, model, question, answers, (layer,))

    async def explain(self, given: Given, visitor: Visit) -> Shown:
        answers = choices.pair(given[self.targets.chosen] or "", given[self.targets.other])
        return await show(self.engine, self.query(given, visitor.text, *answers))

    async def explain_own(self, given: Given, question: str) -> AsyncIterator[Given]:
        """The answers are shown as soon as they are known, the panels of the first one after them."""
        visitor: Visit = given[self.visit]
        visitor.text = question
        # The question goes into the box too: one that was on its way there may have come before it.
        asked = {self.text: question, self.suggested: question, self.targets.other: ""}
        try:
            pending = await ask(self.engine, self.query(given, question, ""))
            found = await arrived(pending.said)
            lists = (await arrived(self.engine.about(TASK, given[self.model.using]))).targets
        except InputError as error:
            visitor.shown = Shown(note=str(error))
            yield asked | {self.targets.label: None, self.targets.chosen: None, self.note: gr.HTML(visible=False)}
            return
        names = list(found)
        if not lists:  # it has no list of them: offer what it says
            asked |= {self.targets.other: gr.Dropdown(choices=[frame.NOTHING, *names], value="")}
        yield asked | {
            self.targets.label: found,
            self.targets.chosen: names[0] if lists else gr.Dropdown(choices=names, value=names[0]),
        }
        try:
            result = await arrived(pending.result)
        except InputError as error:
            visitor.shown = Shown(note=str(error))
            yield {self.note: gr.HTML(visible=False)}
            return
        visitor.shown = Shown((result.query,))
        ignored = ", ".join(f"“{html.escape(word[:80])}”" for word in result.rows[0].details["ignored"])
        told = f"<p>Ignored, because the network does not know it: {ignored}.</p>"
        yield {self.note: gr.HTML(told, visible=bool(ignored))}

    async def ask_from(self, given: Given, box: gr.components.Component) -> AsyncIterator[Given]:
        async for shown in self.explain_own(given, given[box]):
            yield shown

    async def look(self, given: Given) -> AsyncIterator[Given]:
        """Ask a new photograph what somebody typed for the one before, else what can be asked of any.

        A new model is asked the same.
        """
        visitor: Visit = given[self.visit]
        looked = given[self.shared.photo], given[self.model.using]
        if given[self.shared.task] != TASK or looked == visitor.seen:
            yield {self.text: gr.skip()}
            return
        same_photo = visitor.seen is not None and visitor.seen[0] == looked[0]
        visitor.seen = looked
        typed = given[self.text] not in visitor.offered
        question = given[self.text] if given[self.text] and (typed or same_photo) else ANY
        async for shown in self.explain_own(given, question):
            yield shown

        async def said(task: str, text: str = "") -> dict[str, float]:
            return (await answer(self.engine, lambda: Query(uploaded(given[self.shared.photo]), task, text=text))).said

        try:
            of_each = await asyncio.gather(said("classification"), said("captioning"), said(TASK, ANY))
            visitor.offered = suggestions(*of_each)
        except InputError:
            visitor.offered = []  # what is wrong stands where the panels are
        yield {self.suggested: gr.Radio(choices=visitor.offered, value=question if visitor.offered else None)}


def tab(page: gr.Blocks, engine: Engine, opened: gr.events.Dependency, shared: Shared) -> None:
    """Build the tab's widgets and connect them; `opened` is the event that this tab is turned to."""
    _connect(page, opened, _layout(page, engine, shared))
    endpoints.label_endpoint(engine, "answer", lambda image, question, model: Query(image, TASK, model, question))
    endpoints.explanation_endpoint(
        engine,
        "explain_answer",
        lambda image, question, answer, model, layer: Query(image, TASK, model, question, (answer,), (layer,)),
    )


def _layout(page: gr.Blocks, engine: Engine, shared: Shared) -> AnsweringTab:
    visit = gr.State(Visit())
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
    targets = choices.targets("What the network answers: click one to explain it", "answer", TASK)
    panels = viewer(engine, TASK, shared, visit)
    with gr.Accordion("Model and layer", open=False), gr.Row():
        model = model_choice.models(page, engine, TASK, "Model")
        layer = choices.layers()
    return AnsweringTab(engine, shared, visit, text, suggested, note, targets, panels, model, layer)


def _connect(page: gr.Blocks, opened: gr.events.Dependency, tab: AnsweringTab) -> None:
    turn = partial(in_turn, tab.visit)
    choice = {tab.visit, tab.shared.photo, tab.targets.chosen, tab.targets.other, tab.model.using, tab.layer}
    busy: dict[str, Any] = {
        "outputs": [tab.text, tab.suggested, tab.targets.label, tab.targets.chosen, tab.targets.other, tab.note],
        "show_progress_on": [tab.targets.label, *tab.panels.pictures],
    } | ASKING
    looking: dict[str, Any] = {
        "fn": turn(tab.look),
        "inputs": {tab.visit, tab.shared.photo, tab.shared.task, tab.text, tab.model.using, tab.layer},
    }
    looking |= busy
    again = busy | {"trigger_mode": "always_last"}
    offer = choices.offer(tab.engine, TASK, tab.model.using, tab.layer, tab.targets)
    page.load(**offer)
    asked = {tab.visit, tab.shared.photo, tab.model.using, tab.layer}
    for event in (
        tab.shared.photo.change(**looking, trigger_mode="always_last"),
        opened.then(**looking, trigger_mode="multiple"),
        tab.model.using.change(**offer).then(**looking, trigger_mode="multiple"),
        tab.text.submit(turn(partial(tab.ask_from, box=tab.text)), asked | {tab.text}, **again),
        tab.suggested.input(turn(partial(tab.ask_from, box=tab.suggested)), asked | {tab.suggested}, **again),
    ):
        tab.panels.refresh(event)
    picked = choices.pick_layer(tab.engine, TASK, tab.panels, tab.model.using, tab.layer)
    choices.on_choice(tab.targets, tab.layer, picked, tab.panels, tab.visit, choice, tab.explain)
