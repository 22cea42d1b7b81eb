"""The Captioning tab: what a network says about a photograph, and the evidence for the sentence or for a word."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr

from demo import examples
from demo.engine import Engine
from demo.errors import InputError
from demo.models.captioning import WHOLE
from demo.models.words import words
from demo.query import Explain, ExplainResult, Predict
from demo.server import endpoints
from demo.server.endpoints import Api
from demo.server.uploads import about, identity, uploaded
from demo.server.waiting import Making, answer, arrived, ask
from demo.tabs import choices, components, links
from demo.tabs.choices import Choosing
from demo.tabs.components import key_of
from demo.tabs.frame import ASKING, Shared
from demo.tabs.viewer import Viewer, viewer
from demo.tabs.visits import NOTHING, Given, Shown, Visit, in_turn, is_again, show, show_all, take_wanted
from demo.tasks.sentence import per_word, percent
from demo.viewer.page_files import on_event

TASK: Final = "captioning"
ALL = "(all)"  # the first picture of the strip
SMALL = (
    "A small captioner, trained on 7,200 images: it is often wrong, and the heatmap shows which region led it there."
)
CONSIDERED = "Captions that the model considered, with their mean probability per word"


@dataclass(frozen=True, eq=False)
class CaptioningTab:
    """The tab: its widgets, and what happens at their events.

    `text` is the sentence, `beam` the captions that the network considered, `spoken` the strip of words, `other` a
    caption to try.
    """

    engine: Engine
    shared: Shared
    visit: gr.State
    text: gr.Textbox
    other: gr.HTML
    beam: gr.HTML
    spoken: gr.HTML
    panels: Viewer
    using: gr.State
    layer: gr.Dropdown

    def query(self, given: Given, key: str) -> Making[ExplainResult]:
        photo, model, layer = given[self.shared.photo], given[self.using], str(given[self.layer] or "")
        position, _, caption = key.partition(" ")
        return lambda: Explain(uploaded(photo), TASK, model, caption, targets=(position,), layers=(layer,))

    async def explain_sentence(self, given: Given, caption: str, before: Shown) -> Given:
        """The sentence, or with an empty one the network's own; its words are then in the strip.

        If it cannot be explained, what was shown before stays.

        It goes into the box too: a caption that was on its way there may have come before it.
        """
        visitor: Visit = given[self.visit]
        visitor.shown = await show(self.engine, self.query(given, _key(WHOLE, caption)), before)
        if not visitor.shown.note:
            visitor.text = visitor.shown.queries[0].text
        elif not visitor.shown.queries:
            visitor.text = ""
        return {self.text: caption or visitor.text}

    async def explain_typed(self, given: Given) -> Given:
        typed = str(given[self.text] or "").strip()
        # An empty one is not the network's own.
        shown = await self.explain_sentence(given, typed or " ", given[self.visit].shown)
        if not (given[self.visit].shown.note and typed):
            given[self.visit].texts[identity(given[self.shared.photo])] = typed
        return shown

    async def explain_other(self, given: Given, event: gr.EventData) -> Given | None:
        if not self.is_about(given, event):
            return None
        return await self.explain_typed(given | {self.text: key_of(event)})

    async def explain_considered(self, given: Given, event: gr.EventData) -> Given | None:
        if not self.is_about(given, event):
            return None
        given[self.visit].texts.pop(identity(given[self.shared.photo]), None)
        return await self.explain_sentence(given, key_of(event).partition(" ")[2] or " ", given[self.visit].shown)

    def is_about(self, given: Given, event: gr.EventData) -> bool:
        return choices.is_about(event, given[self.shared.photo], given[self.visit].text)

    async def speak(self, given: Given) -> Any:
        """The strip of words: a small Grad-CAM picture for the caption and, on a scale of their own, for each word."""
        visitor: Visit = given[self.visit]
        if not visitor.text:
            return None
        photo, model, layer = given[self.shared.photo], given[self.using], str(given[self.layer] or "")
        spoken = words(visitor.text)
        places = tuple(range(WHOLE, len(spoken)))
        query = partial(Explain, task=TASK, model=model, text=visitor.text, targets=places, layers=(layer,))
        try:
            result = await answer(self.engine, lambda: query(uploaded(photo), methods=("gradcam",)))
        except InputError:
            return None  # said where the panels are
        whole, *each = result.rows
        scales = [whole.details.peak, *[max(row.details.peak for row in each)] * len(each)]
        labelled = zip(places, [ALL, *spoken], result.rows, scales, strict=True)
        maps = [(_key(place, visitor.text), word, row, scale) for place, word, row, scale in labelled]
        strip = await asyncio.to_thread(components.small_maps, self.engine, result.query.image, maps)
        return strip | {"about": about(photo, visitor.text)}

    async def look(self, given: Given, event: gr.EventData) -> AsyncIterator[Given]:
        """The caption is shown as soon as it is known, its panels after it; or what somebody typed instead of it."""
        visitor: Visit = given[self.visit]
        looked = given[self.shared.photo], given[self.using]
        if visitor.passes_over(event, *looked):
            yield {self.text: gr.skip()}
            return
        visitor.see(*looked)
        if is_again(event):
            visitor.texts.pop(identity(looked[0]), None)
        wanted = await take_wanted(self.engine, TASK, visitor, given[self.using])
        given = wanted.at_layer(given, self.layer)
        try:
            job = await ask(self.engine, self.query(given, _key(WHOLE, "")))
            found = await arrived(self.engine, job.predictions, job)
        except InputError as error:
            visitor.text, visitor.shown = "", Shown(note=str(error))
            yield {self.text: "", self.beam: None, self.other: None}
            return
        offered = [
            {"key": _key(WHOLE, caption), "label": caption, "detail": percent(mean), "share": mean}
            for caption, mean in ((caption, per_word(score, caption)) for caption, score in found.items())
        ]
        this = about(given[self.shared.photo])
        caption = wanted.text or visitor.texts.get(identity(looked[0]), "")
        try_it = examples.caption_of(job.query.image)
        other = {"items": [{"key": try_it, "label": f"Try: {try_it}"}], "about": this} if try_it else None
        considered = {"items": offered, "about": this}
        yield {self.text: caption or next(iter(found)), self.beam: considered, self.other: other}
        sentence = await self.explain_sentence(given, caption, NOTHING)
        targets = wanted.targets or (() if caption else self.opens_with(visitor.shown))
        if visitor.shown.queries and targets:
            asked = [self.query(given, f"{target} {visitor.text}") for target in targets]
            visitor.shown = await show_all(self.engine, asked)
        if not (caption or wanted.targets):
            visitor.opened = visitor.shown
        yield sentence

    def opens_with(self, shown: Shown) -> tuple[str, ...]:
        """The positions of the words that an example opens with, if all are in the model's caption."""
        for query in shown.queries:
            spoken, opening = words(query.text), examples.opens_with(query.image, TASK)
            if set(opening) <= set(spoken):
                return tuple(str(spoken.index(word)) for word in opening)
        return ()


def _key(position: int, caption: str) -> str:
    return f"{position} {caption}"


def tab(page: gr.Blocks, engine: Engine, shared: Shared, api: Api) -> gr.State:
    """Build the tab's widgets and connect them; returns what holds each visitor's `Visit`."""
    built = _layout(page, engine, shared)
    _connect(page, built)
    endpoints.endpoint(
        api,
        "caption",
        "A sentence about a photograph.",
        lambda image, model: Predict(image, TASK, model),
        lambda result, *_: next(iter(result.predictions)),
        ["caption"],
    )
    endpoints.explanation_endpoint(
        api,
        "explain_caption",
        "a caption or one of its words",
        lambda image, caption, word, model, layer: Explain(
            image, TASK, model, caption, targets=(word,), layers=(layer,)
        ),
    )
    return built.visit


def _layout(page: gr.Blocks, engine: Engine, shared: Shared) -> CaptioningTab:
    visit, rival = gr.State(Visit()), gr.State("")
    text = gr.Textbox(
        label="What the model says: change it and press Enter",
        info=SMALL,
        submit_btn="Explain",
        max_lines=3,
        elem_id="caption",
    )
    other = components.choices("Another caption", "chips", elem_id="other-caption")
    spoken = components.choices(
        "Click a word to see why the model says it. + compares.",
        "pictures",
        TASK,
        add=True,
        headed=True,
        elem_id="words",
        classes=("strip",),
    )
    panels = viewer(engine, TASK, shared, visit, rival)
    beam = components.choices(CONSIDERED, "bars", TASK, add=True, headed=True, elem_id="beam")
    using, layer = choices.model_and_layer(page, engine, TASK, rival)
    return CaptioningTab(engine, shared, visit, text, other, beam, spoken, panels, using, layer)


def _connect(page: gr.Blocks, tab: CaptioningTab) -> None:
    turn = partial(in_turn, tab.visit)
    asked = {tab.visit, tab.shared.photo, tab.using, tab.layer}
    busy = [tab.text, tab.spoken, tab.panels.panels]
    looked = tab.panels.panels.look(
        turn(tab.look),
        asked,
        [tab.text, tab.beam, tab.other],
        show_progress_on=busy,
        trigger_mode="multiple",
        **ASKING,
    )
    offer = choices.offer(tab.engine, TASK, tab.visit, tab.using, tab.layer)
    links.read_link(page, tab.engine, TASK, tab.visit, tab.using).then(**offer)
    choosing = Choosing(tab.engine, tab.visit, tab.shared.photo, asked, tab.panels, tab.query)
    choosing.connect(tab.spoken)
    choosing.connect(tab.panels.region)
    choosing.connect(tab.beam, ("beside", "drop"))
    for event in (
        tab.panels.refresh(looked.then),
        tab.panels.follow(tab.text.submit, tab.explain_typed, asked | {tab.text}, [tab.text]),
        tab.panels.follow(tab.other.pick, tab.explain_other, asked, [tab.text]),
        tab.panels.follow(tab.beam.pick, tab.explain_considered, asked, [tab.text]),
        *choosing.connect_layer(TASK, tab.using, tab.layer),
    ):
        event.then(turn(tab.speak), asked, tab.spoken, trigger_mode="multiple", **ASKING)
    tab.using.change(**offer).then(None, js=on_event("lookAgain"))
