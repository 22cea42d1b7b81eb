"""The Question answering tab: what a network answers to a question, and the evidence for any of its answers."""

import asyncio
import html
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.models.vqa import premises, things, whether_there
from demo.query import Explain, ExplainResult, Predict, prediction_query
from demo.server import endpoints
from demo.server.endpoints import Api
from demo.server.uploads import about, identity, uploaded
from demo.server.waiting import Making, answer, arrived, ask, opening
from demo.tabs import choices, components, links
from demo.tabs.choices import Choosing, Targets
from demo.tabs.components import NAMES, bars, key_of
from demo.tabs.frame import ASKING, QUIET, Shared
from demo.tabs.viewer import Viewer, viewer
from demo.tabs.visits import Given, Shown, Visit, in_turn, is_again, opens_with, show_all, take_wanted
from demo.tasks.vqa import ANIMAL, ANIMALS, ANY, SURE_ENOUGH, denial, likely, ranked, suggestions
from demo.viewer.page_files import on_event

TASK: Final = "vqa"
HEADING = "Answers: click one to see why. + compares."
ASKED_FIRST = (("classification", ""), ("captioning", ""), (TASK, ANY))  # for suggestions: tasks and texts


@dataclass(frozen=True, eq=False)
class AnsweringTab:
    """The tab: its widgets, and what happens at their events.

    `text` is the question, `note` says which of its words were ignored, `doubts` that what it is about is not seen.
    """

    engine: Engine
    shared: Shared
    visit: gr.State
    text: gr.Textbox
    suggested: gr.HTML
    note: gr.HTML
    doubts: gr.HTML
    targets: Targets
    panels: Viewer
    using: gr.State
    layer: gr.Dropdown

    def query(self, given: Given, name: str) -> Making[ExplainResult]:
        return self.question(given, given[self.visit].text, name)

    def question(self, given: Given, question: str, name: str) -> Making[ExplainResult]:
        photo, model, layer = given[self.shared.photo], given[self.using], str(given[self.layer] or "")
        return lambda: Explain(uploaded(photo), TASK, model, question, targets=(name,), layers=(layer,))

    async def explain_own(
        self, given: Given, question: str, *, chosen: bool = True, answers: tuple[str, ...] = ()
    ) -> AsyncIterator[Given]:
        """The answers are shown as soon as they are known, the panels of the first, or of others, after them.

        One that a user has `chosen` is asked again when the image comes again; where it cannot be answered, what was
        shown stays.
        """
        visitor: Visit = given[self.visit]
        # The question goes into the box too: one that was on its way there may have come before it.
        asked: Given = {self.text: question}
        try:
            job = await ask(self.engine, self.question(given, question, ""))
            found = await arrived(self.engine, job.predictions, job)
            visitor.text = question
            if chosen:
                visitor.texts[identity(given[self.shared.photo])] = question
            lists = (await arrived(self.engine, self.engine.info(TASK, given[self.using]))).targets
        except InputError as error:
            visitor.shown = Shown(visitor.shown.queries if chosen else (), str(error))
            gone = {self.targets.said: None, self.note: gr.HTML(visible=False), self.doubts: gr.HTML(visible=False)}
            yield asked if visitor.shown.queries else asked | gone
            return
        asked[self.doubts] = gr.HTML(visible=False)
        names = list(found)
        if not lists:  # it has no list of them: offer what it says
            asked[self.targets.names] = components.named(names, choices.UNLISTED)
        yield asked | {self.targets.said: bars(likely(found), about(given[self.shared.photo], question))}
        try:
            result = await arrived(self.engine, job.result, job)
        except InputError as error:
            visitor.shown = Shown(note=str(error))
            yield {self.note: gr.HTML(visible=False)}
            return
        visitor.shown = Shown((result.query,))
        if answers:
            visitor.shown = await show_all(self.engine, [self.query(given, name) for name in answers])
        ignored = ", ".join(f"“{html.escape(word[:80])}”" for word in result.rows[0].details.ignored or ())
        told = f"<p>Ignored, because the network does not know it: {ignored}.</p>"
        yield {self.note: gr.HTML(told, visible=bool(ignored))}

    async def doubt(self, given: Given) -> Any:
        """Whether the network sees what the question is about that the panels belong to."""
        visitor: Visit = given[self.visit]
        if not visitor.shown.queries:
            return gr.HTML(visible=False)
        asked = prediction_query(visitor.shown.queries[0])
        found = []
        try:
            for premise in premises(asked.text):
                said = (await answer(self.engine, partial(replace, asked, text=premise))).predictions
                found.append(denial(premise, said))
        except InputError:
            return gr.skip()  # said where the panels are
        if asked not in map(prediction_query, visitor.shown.queries):  # something else came meanwhile
            return gr.skip()
        told = f"This may be about something that the network does not see: {' and '.join(filter(None, found))}."
        return gr.HTML(f"<p>{html.escape(told)}</p>", visible=any(found))

    async def ask_typed(self, given: Given) -> AsyncIterator[Given]:
        async for shown in self.explain_own(given, str(given[self.text] or "")):
            yield shown

    async def ask_suggested(self, given: Given, event: gr.EventData) -> AsyncIterator[Given]:
        if not choices.is_about(event, given[self.shared.photo], given[self.visit].text):
            yield {self.text: gr.skip()}
            return
        async for shown in self.explain_own(given, key_of(event)):
            yield shown

    async def look(self, given: Given, event: gr.EventData) -> AsyncIterator[Given]:
        """Ask an image what it was asked last, else what was typed for the one before, else the best suggestion.

        A new model is asked the same. What was typed for the image before takes things for granted: it is asked if
        the model sees them all.
        """
        visitor: Visit = given[self.visit]
        looked = given[self.shared.photo], given[self.using]
        if visitor.passes_over(event, *looked):
            yield {self.text: gr.skip()}
            return
        in_box = given[self.text] if visitor.seen is not None and visitor.seen[0] == identity(looked[0]) else ""
        typed = given[self.text] if given[self.text] not in visitor.offered else ""
        visitor.see(*looked)
        if is_again(event):
            in_box = typed = ""
            visitor.texts.pop(identity(looked[0]), None)
        wanted = await take_wanted(self.engine, TASK, visitor, given[self.using])
        given = wanted.at_layer(given, self.layer)
        visitor.offered = []
        question, answers = in_box or visitor.texts.get(identity(looked[0])) or wanted.text, wanted.targets
        if not question and typed and await self.sees_all(given, typed):
            question = typed
        if suggested := not question:
            question = await self.first_question(given)
            answers = await self.opens_with(given) if question == ANIMAL else ()
        async for shown in self.explain_own(given, question, chosen=False, answers=answers):
            yield shown
        if suggested:
            visitor.opened = visitor.shown
        visitor.offered = visitor.offered or await self.suggest(given)
        suggestions = [{"key": offered, "label": offered} for offered in visitor.offered]
        yield {self.suggested: {"items": suggestions, "about": about(looked[0])}}

    async def first_question(self, given: Given) -> str:
        """The best suggestion; that of an animal is known before the others."""
        visitor: Visit = given[self.visit]
        try:
            if next(iter(await self.said(given, "classification"))) in ANIMALS:
                answered = await self.said(given, TASK, ANIMAL)
                if max(answered.values()) >= SURE_ENOUGH:
                    return ANIMAL
        except InputError:
            return ANY  # what is wrong with the image stands where the panels are
        visitor.offered = await self.suggest(given)
        return next(iter(visitor.offered), ANY)

    async def suggest(self, given: Given) -> list[str]:
        """Questions that suit the image, best first; none if it cannot be opened."""
        try:
            of_each = await asyncio.gather(*(self.said(given, *asked) for asked in ASKED_FIRST))
            questions = suggestions(*of_each)
            answered = await asyncio.gather(*(self.said(given, TASK, question) for question in questions))
        except InputError:
            return []
        return ranked(dict(zip(questions, answered, strict=True)))

    async def sees_all(self, given: Given, question: str) -> bool:
        """Whether the model says yes to all that a question takes for granted."""
        asked = [whether_there(thing) for thing in things(question)]
        if "" in asked:
            return False
        try:
            answered = await asyncio.gather(*(self.said(given, TASK, premise) for premise in asked))
        except InputError:
            return False
        return all(next(iter(said)) == "yes" for said in answered)

    async def opens_with(self, given: Given) -> tuple[str, ...]:
        """The answers that an example opens with, if the model can give them."""
        try:
            photo = await opening(partial(uploaded, given[self.shared.photo]))
        except InputError:
            return ()
        return await opens_with(self.engine, photo, TASK, given[self.using])

    async def said(self, given: Given, task: str, text: str = "") -> dict[str, float]:
        """What the included model of a task predicts for the image."""
        query = partial(Predict, task=task, text=text)
        return (await answer(self.engine, lambda: query(uploaded(given[self.shared.photo])))).predictions


def tab(page: gr.Blocks, engine: Engine, shared: Shared, api: Api) -> gr.State:
    """Build the tab's widgets and connect them; returns what holds each visitor's `Visit`."""
    built = _layout(page, engine, shared)
    _connect(page, built)
    endpoints.label_endpoint(
        api,
        "answer",
        "The five most probable answers to a question about a photograph, with their probabilities.",
        lambda image, question, model: Predict(image, TASK, model, question),
    )
    endpoints.explanation_endpoint(
        api,
        "explain_answer",
        "an answer to a question",
        lambda image, question, answer, model, layer: Explain(
            image, TASK, model, question, targets=(answer,), layers=(layer,)
        ),
    )
    return built.visit


def _layout(page: gr.Blocks, engine: Engine, shared: Shared) -> AnsweringTab:
    visit, rival = gr.State(Visit()), gr.State("")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            text = gr.Textbox(
                label="Ask about the image and press Enter", submit_btn="Ask", max_lines=3, elem_id="question"
            )
            suggested = components.choices("Or take one of these questions", "chips", elem_id="suggested")
            note = gr.HTML(elem_id="ignored", elem_classes="sentence", visible=False)
            doubts = gr.HTML(elem_id="doubts", elem_classes="sentence", visible=False)
        with gr.Column(scale=3, min_width=300):
            targets = choices.targets(HEADING, "answer", "red", TASK)
    panels = viewer(engine, TASK, shared, visit, rival)
    using, layer = choices.model_and_layer(page, engine, TASK, rival)
    return AnsweringTab(engine, shared, visit, text, suggested, note, doubts, targets, panels, using, layer)


def _connect(page: gr.Blocks, tab: AnsweringTab) -> None:
    turn = partial(in_turn, tab.visit)
    asked = {tab.visit, tab.shared.photo, tab.using, tab.layer}
    busy: dict[str, Any] = {
        "outputs": [tab.text, tab.suggested, tab.targets.said, tab.targets.names, tab.note, tab.doubts],
        "show_progress_on": [tab.targets.said, tab.panels.panels],
        "trigger_mode": "multiple",
    } | ASKING
    offer = choices.offer(tab.engine, TASK, tab.visit, tab.using, tab.layer, tab.targets)
    links.read_link(page, tab.engine, TASK, tab.visit, tab.using).then(**offer)
    for event in (
        tab.panels.panels.look(turn(tab.look), asked | {tab.text}, **busy),
        tab.text.submit(turn(tab.ask_typed), asked | {tab.text}, **busy),
        tab.suggested.pick(turn(tab.ask_suggested), asked, **busy),
    ):
        explained = tab.panels.refresh(event.then)
        explained.then(tab.doubt, {tab.visit}, tab.doubts, trigger_mode="multiple", **ASKING | QUIET)
    tab.using.change(**offer).then(None, js=on_event("lookAgain"))
    choosing = Choosing(tab.engine, tab.visit, tab.shared.photo, asked, tab.panels, tab.query)
    choosing.connect(tab.targets.said)
    choosing.connect(tab.targets.names, NAMES)
    choosing.connect(tab.panels.region)
    choosing.connect_layer(TASK, tab.using, tab.layer)
