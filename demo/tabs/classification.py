"""The Classification tab: the top 5 classes of a photograph, and the evidence for any of the network's classes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.query import Explain, ExplainResult, Predict
from demo.server import endpoints
from demo.server.endpoints import Api
from demo.server.uploads import about, uploaded
from demo.server.waiting import Making, arrived, ask
from demo.tabs import choices, frame, links, live
from demo.tabs.choices import Choosing, Targets
from demo.tabs.components import NAMES, bars
from demo.tabs.frame import ASKING, Shared
from demo.tabs.viewer import Viewer, viewer
from demo.tabs.visits import Given, Shown, Visit, in_turn, opens_with, show_all, take_wanted
from demo.viewer.page_files import on_event

TASK: Final = "classification"
HEADING = "Predictions: click one to see why. + compares."


@dataclass(frozen=True, eq=False)
class ClassificationTab:
    """The tab: its widgets, and what happens at their events."""

    engine: Engine
    shared: Shared
    visit: gr.State
    targets: Targets
    panels: Viewer
    using: gr.State
    layer: gr.Dropdown

    def query(self, given: Given, name: str) -> Making[ExplainResult]:
        photo, model, layer = given[self.shared.photo], given[self.using], str(given[self.layer] or "")
        return lambda: Explain(uploaded(photo), TASK, model, targets=(name,), layers=(layer,))

    async def look(self, given: Given, event: gr.EventData) -> AsyncIterator[Given]:
        """The classes are shown as soon as they are known, the panels of the first one after them."""
        visitor: Visit = given[self.visit]
        looked = given[self.shared.photo], given[self.using]
        # `open_page` looks at that.
        opening = visitor.seen is None and frame.is_first_example(given[self.shared.photo])
        if visitor.passes_over(event, *looked) or opening:
            yield {self.targets.said: gr.skip()}
            return
        visitor.see(*looked)
        async for shown in self.explain_first(given):
            yield shown

    async def explain_first(self, given: Given) -> AsyncIterator[Given]:
        visitor: Visit = given[self.visit]
        wanted = await take_wanted(self.engine, TASK, visitor, given[self.using])
        given = wanted.at_layer(given, self.layer)
        try:
            job = await ask(self.engine, self.query(given, ""))
            found = await arrived(self.engine, job.predictions, job)
        except InputError as error:
            visitor.shown = Shown(note=str(error))
            yield {self.targets.said: None}
            return
        yield {self.targets.said: bars(found, about(given[self.shared.photo]))}
        opening = await opens_with(self.engine, job.query.image, TASK, given[self.using])
        names = wanted.targets or opening
        visitor.shown = await show_all(self.engine, [self.query(given, name) for name in names or ("",)])
        if not wanted.targets:
            visitor.opened = visitor.shown
        yield {self.targets.said: gr.skip()}

    async def open_page(self, given: Given, request: gr.Request) -> AsyncIterator[Given]:
        """Explain the image that the page opens with, or what the address asks for."""
        visitor: Visit = given[self.visit]
        another = links.linked_photo(request) not in (None, str(frame.FIRST_EXAMPLE))
        if another or links.linked_task(request) not in (None, TASK):
            visitor.seen = visitor.seen or ("", "")  # `look` is for all that follows
        # Or somebody was quicker, and has a request.
        if visitor.seen is not None or not frame.is_first_example(given[self.shared.photo]):
            yield {self.targets.said: gr.skip()}
            return
        visitor.see(given[self.shared.photo], given[self.using])
        async for shown in self.explain_first(given):
            yield shown


def tab(page: gr.Blocks, engine: Engine, shared: Shared, api: Api) -> gr.State:
    """Build the tab's widgets and connect them; returns what holds each visitor's `Visit`."""
    built = _layout(page, engine, shared)
    _connect(page, built)
    endpoints.label_endpoint(
        api,
        "classify",
        "The five most probable classes of a photograph, with their probabilities.",
        lambda image, model: Predict(image, TASK, model),
    )
    endpoints.explanation_endpoint(
        api,
        "explain_class",
        "a class",
        lambda image, class_name, model, layer: Explain(image, TASK, model, targets=(class_name,), layers=(layer,)),
    )
    return built.visit


def _layout(page: gr.Blocks, engine: Engine, shared: Shared) -> ClassificationTab:
    visit, rival = gr.State(Visit()), gr.State("")
    targets = choices.targets(HEADING, "class", "ostrich", TASK)
    panels = viewer(engine, TASK, shared, visit, rival)
    using, layer = choices.model_and_layer(page, engine, TASK, rival)
    return ClassificationTab(engine, shared, visit, targets, panels, using, layer)


def _connect(page: gr.Blocks, tab: ClassificationTab) -> None:
    turn = partial(in_turn, tab.visit)
    asked = {tab.visit, tab.shared.photo, tab.using, tab.layer}
    look: dict[str, Any] = {
        "inputs": asked,
        "outputs": tab.targets.said,
        "show_progress_on": [tab.targets.said, tab.panels.panels],
    } | ASKING
    offer = choices.offer(tab.engine, TASK, tab.visit, tab.using, tab.layer, tab.targets)
    reading = links.read_link(page, tab.engine, TASK, tab.visit, tab.using)
    tab.panels.refresh(reading.then(**offer).then(turn(tab.open_page), **look).then)
    tab.panels.refresh(tab.panels.panels.look(turn(tab.look), **look, trigger_mode="multiple").then)
    tab.using.change(**offer).then(None, js=on_event("lookAgain"))
    choosing = Choosing(tab.engine, tab.visit, tab.shared.photo, asked, tab.panels, tab.query)
    choosing.connect(tab.targets.said)
    choosing.connect(tab.targets.names, NAMES)
    choosing.connect(tab.panels.region)
    choosing.connect_layer(TASK, tab.using, tab.layer)
    live.connect(tab.engine, tab.shared.camera, tab.using)
