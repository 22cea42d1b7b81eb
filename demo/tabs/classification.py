"""The Classification tab: the top 5 classes of a photograph, and the evidence for any of the network's classes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
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

TASK: Final = "classification"
FIRST_CLASSES = ("zebra", "African elephant")  # the classes of frame.FIRST_EXAMPLE


@dataclass(frozen=True, eq=False)
class ClassificationTab:
    """The tab: its widgets, and what happens at their events."""

    engine: Engine
    shared: Shared
    visit: gr.State
    targets: Targets
    panels: Viewer
    model: model_choice.Models
    rival: model_choice.Models
    layer: gr.Dropdown

    def query(self, given: Given, *names: str) -> Making:
        photo, model, layer = given[self.shared.photo], given[self.model.using], given[self.layer] or ""
        return lambda: Query(uploaded(photo), TASK, model, targets=names, layers=(layer,))

    async def explain(self, given: Given, _visitor: Visit) -> Shown:
        """The chosen class by two models, or beside another class."""
        name, second = given[self.targets.chosen] or "", given[self.rival.using]
        if second in ("", given[self.model.using]):
            return await show(self.engine, self.query(given, *choices.pair(name, given[self.targets.other])))
        first = await show(self.engine, self.query(given, name))
        if first.note:
            return first
        rival = await show(self.engine, lambda: replace(first.queries[0], model=second, layers=("",)))
        return Shown(first.queries + rival.queries, rival.note)

    async def predict_and_explain(self, given: Given) -> AsyncIterator[Given]:
        """The classes are shown as soon as they are known, the panels of the first one after them."""
        visitor: Visit = given[self.visit]
        looked = given[self.shared.photo], given[self.model.using]
        # Gradio turns to the first tab when the page opens, and `open_page` fills it then.
        opening = visitor.seen is None and frame.is_first_example(given[self.shared.photo])
        if given[self.shared.task] != TASK or looked == visitor.seen or opening:
            yield {self.targets.label: gr.skip()}
            return
        visitor.seen = looked
        try:
            pending = await ask(self.engine, self.query(given, ""))
            found = await arrived(pending.said)
        except InputError as error:
            visitor.shown = Shown(note=str(error))
            yield {self.targets.label: None, self.targets.chosen: None, self.targets.other: ""}
            return
        first = next(iter(found))
        yield {self.targets.label: found, self.targets.chosen: first, self.targets.other: ""}
        visitor.shown = await self.explain(given | {self.targets.chosen: "", self.targets.other: ""}, visitor)
        yield {self.targets.label: gr.skip()}

    async def open_page(self, given: Given) -> Given:
        visitor: Visit = given[self.visit]
        if not frame.is_first_example(given[self.shared.photo]):  # somebody was quicker, and has a request
            return {self.targets.label: gr.skip()}
        visitor.seen = given[self.shared.photo], given[self.model.using]
        # The user's own model may have other classes.
        knows = set((await arrived(self.engine.about(TASK, given[self.model.using]))).targets)
        names = FIRST_CLASSES if knows.issuperset(FIRST_CLASSES) else ("",)
        result = await answer(self.engine, self.query(given, *names))
        visitor.shown = Shown((result.query,))
        first, second = (*result.query.targets, "")[:2]
        return {self.targets.label: result.said, self.targets.chosen: first, self.targets.other: second}

    async def meet_rival(self, given: Given) -> Given:
        visitor: Visit = given[self.visit]
        second = "" if given[self.rival.using] else given[self.targets.other]
        visitor.shown = await self.explain(given | {self.targets.other: second}, visitor)
        return {self.targets.other: second}

    def no_rival(self, request: gr.Request) -> tuple[str, str]:
        self.rival.forget(request)
        return "", ""


def tab(page: gr.Blocks, engine: Engine, opened: gr.events.Dependency, shared: Shared) -> None:
    """Build the tab's widgets and connect them; `opened` is the event that this tab is turned to."""
    _connect(page, opened, _layout(page, engine, shared))
    endpoints.label_endpoint(engine, "classify", lambda image, model: Query(image, TASK, model))
    endpoints.explanation_endpoint(
        engine,
        "explain_class",
        lambda image, class_name, model, layer: Query(image, TASK, model, "", (class_name,), (layer,)),
    )


def _layout(page: gr.Blocks, engine: Engine, shared: Shared) -> ClassificationTab:
    visit = gr.State(Visit())
    targets = choices.targets("What the network sees: click a class to explain it", "class", TASK)
    panels = viewer(engine, TASK, shared, visit)
    with gr.Accordion("Model and layer", open=False), gr.Row():
        model = model_choice.models(page, engine, TASK, "Model")
        layer = choices.layers()
        rival = model_choice.models(page, engine, TASK, "Compare it with the model", frame.NOTHING)
    return ClassificationTab(engine, shared, visit, targets, panels, model, rival, layer)


def _connect(page: gr.Blocks, opened: gr.events.Dependency, tab: ClassificationTab) -> None:
    turn = partial(in_turn, tab.visit)
    label, chosen, other = tab.targets
    choice = {tab.visit, tab.shared.photo, chosen, other, tab.model.using, tab.layer, tab.rival.using}
    prediction = [label, chosen, other]
    predict: dict[str, Any] = {
        "fn": turn(tab.predict_and_explain),
        "inputs": choice | {tab.shared.task},
        "outputs": prediction,
        "show_progress_on": [label, *tab.panels.pictures],
    } | ASKING
    offer = choices.offer(tab.engine, TASK, tab.model.using, tab.layer, tab.targets)
    for event in (
        page.load(**offer).then(turn(tab.open_page), choice, prediction, **ASKING),
        tab.shared.photo.change(**predict, trigger_mode="always_last"),
        opened.then(**predict, trigger_mode="multiple"),
        tab.model.using.change(**offer).then(**predict, trigger_mode="multiple"),
        tab.rival.using.change(
            turn(tab.meet_rival),
            choice,
            other,
            trigger_mode="multiple",
            show_progress_on=tab.panels.pictures,
            **ASKING,
        ),
    ):
        tab.panels.refresh(event)
    # Another class or another model: not both at once.
    other.input(tab.no_rival, None, [tab.rival.listed, tab.rival.using], **frame.QUIET, queue=False)
    picked = choices.pick_layer(tab.engine, TASK, tab.panels, tab.model.using, tab.layer)
    choices.on_choice(tab.targets, tab.layer, picked, tab.panels, tab.visit, choice, tab.explain)
