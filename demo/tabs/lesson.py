"""The tab for teaching: how Grad-CAM's map of the visitor's own photograph comes about, and whether to trust it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.models.captioning import WHOLE
from demo.query import PANELS, Explain, ExplainResult, ImageFile, Predict
from demo.server.uploads import identity, uploaded
from demo.server.waiting import answer, arrived, opening
from demo.tabs import trust
from demo.tabs.components import choices, drawn_by, key_of, shown_photo, told
from demo.tabs.frame import ASKING, Shared
from demo.tabs.visits import Given, Visit
from demo.tasks import TASKS
from demo.tasks.sentence import named, numbers, percent
from demo.tasks.vqa import ANY, suggestions
from demo.viewer import data

TASK: Final = "lesson"
NUMBERS = ("weights", "features", "gradients", "sums", "shares")  # of `Steps`
MOST_CLASSES = 5  # that are offered

INTRODUCTION = """<h2 class="unseen">How it works</h2>
<p>The model gives each class or answer a <b>score</b>. Grad-CAM shows which parts of the image raise it, in six steps.
<button type="button" class="button" data-leads-to="trust">Can it be trusted? ↓</button></p>"""


@dataclass
class Lesson:
    """What the tab keeps of one visitor; a `gr.State` holds it.

    Attributes:
        seen: the photograph, and what was explained of it in the task's tab that was open last, when the tab looked.
        query: what is taught with, completed; none if there is nothing.
        offered: what could be instead.
        experiments: about it, whether to trust it.
        looks: how often the tab has looked; all but the last are out of date.
        turn: of the handlers that write this.
    """

    seen: tuple[ImageFile, Explain | None] | None = None
    query: Explain | None = None
    offered: list[Explain] = field(default_factory=list)
    experiments: trust.Experiments = field(default_factory=trust.Experiments)
    looks: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, eq=False)
class LessonTab:
    """The tab: its widgets, and what happens at their events; `visits` hold what the tabs of the tasks show."""

    engine: Engine
    shared: Shared
    visits: list[gr.State]
    state: gr.State
    targets: gr.HTML
    layers: gr.HTML
    steps: gr.HTML
    trust: trust.Trust

    async def look(self, given: Given, event: gr.EventData) -> AsyncIterator[Given]:
        """Teach with what somebody chose in the tab of the task that was open last, else with the first class."""
        lesson: Lesson = given[self.state]
        lesson.looks = mine = lesson.looks + 1
        async with lesson.turn:
            try:
                photo = await opening(partial(uploaded, given[self.shared.photo]))
                task = told(event).get("task")
                # After the quiz, say, the lesson goes on.
                goes_on = lesson.seen is not None and lesson.seen[0] == photo and task not in TASKS
                explained = _explained([given[visit] for visit in self.visits], task, photo)
                if goes_on or lesson.seen == (photo, explained) or mine != lesson.looks:
                    yield {self.layers: gr.skip()}
                    return
                lesson.seen = photo, explained
                said = (await answer(self.engine, lambda: Predict(photo, "classification"))).predictions
                first = explained or Explain(photo, "classification", targets=(next(iter(said)),))
                drawn = await self._taught(lesson, first)
                yield drawn
                # Sent again with what follows: Gradio's page may take the last alone of what comes at once.
                yield drawn | await self._offer(lesson, photo, given[self.shared.photo])
            except InputError as error:
                lesson.seen = lesson.query = None
                yield self._nothing(str(error)) | {self.targets: None, self.layers: None}

    async def choose(self, given: Given, event: gr.EventData) -> Given:
        lesson: Lesson = given[self.state]
        async with lesson.turn:
            chosen = {str(place): query for place, query in enumerate(lesson.offered)}.get(key_of(event))
            if chosen is None or told(event).get("about") != identity(given[self.shared.photo]):
                return {self.layers: gr.skip()}
            before = lesson.query
            if before is not None and (before.task, before.model) == (chosen.task, chosen.model):
                chosen = replace(chosen, layers=before.layers)
            drawn = await self._taught(lesson, chosen)
            return drawn | {self.targets: self._choices(lesson, given[self.shared.photo])}

    async def choose_layer(self, given: Given, event: gr.EventData) -> Given:
        lesson: Lesson = given[self.state]
        async with lesson.turn:
            query, layer = lesson.query, key_of(event)
            if query is None:
                return {self.layers: gr.skip()}
            about = await arrived(self.engine, self.engine.info(query.task, query.model))
            if layer not in about.layers:  # the buttons are still those of a model before
                return {self.layers: gr.skip()}
            return await self._taught(lesson, replace(query, layers=(layer,)))

    async def _taught(self, lesson: Lesson, query: Explain) -> Given:
        """The lesson about a query; what is wrong with that stands in its place."""
        asked = replace(query, methods=PANELS, steps=True)
        try:
            result = await answer(self.engine, lambda: asked)
        except InputError as error:
            return self._nothing(str(error))
        lesson.query = result.query
        known = await arrived(self.engine, self.engine.info(query.task, result.query.model))
        items = [{"key": name, "label": name} for name in known.layers]
        drawn = await asyncio.to_thread(_drawn, self.engine, result)
        return {
            self.steps: drawn,
            self.layers: {"items": items, "current": result.query.layers[0]},
        } | self.trust.begin(lesson.experiments, result, known, drawn["photo"])

    def _nothing(self, note: str) -> Given:
        return {self.steps: {"note": note}, **self.trust.nothing()}

    async def _offer(self, lesson: Lesson, photo: ImageFile, upload: Any) -> Given:
        """The classes, the caption and the answer that can be taught with, and what is first."""

        async def said(task: str, text: str = "") -> dict[str, float]:
            return (await answer(self.engine, lambda: Predict(photo, task, text=text))).predictions

        classes, captions, anything = await asyncio.gather(
            said("classification"), said("captioning"), said("vqa", ANY)
        )
        question = suggestions(classes, captions, anything)[0]
        answers = await said("vqa", question)
        offered = [Explain(photo, "classification", targets=(name,)) for name in [*classes][:MOST_CLASSES]]
        offered.append(Explain(photo, "captioning", text=next(iter(captions)), targets=(WHOLE,)))
        offered.append(Explain(photo, "vqa", text=question, targets=(next(iter(answers)),)))
        offered = [replace(query, model=self.engine.library.find(query.task).name) for query in offered]
        if lesson.query is not None and not any(_same(lesson.query, query) for query in offered):
            offered.insert(0, lesson.query)
        lesson.offered = offered
        return {self.targets: self._choices(lesson, upload)}

    def _choices(self, lesson: Lesson, upload: Any) -> dict[str, Any]:
        items = [{"key": str(place), "label": _named(query)} for place, query in enumerate(lesson.offered)]
        current = [key for key, query in enumerate(lesson.offered) if lesson.query and _same(lesson.query, query)]
        return {"items": items, "current": str(*current), "about": identity(upload)}


def _explained(visits: Sequence[Visit], task: Any, photo: ImageFile) -> Explain | None:
    """The first row of a task's tab, if somebody chose it and it is of this photograph."""
    first = (visit.shown.queries[0] for visit in visits if visit.shown.queries and visit.shown is not visit.opened)
    return next((query for query in first if query.task == task and query.image == photo), None)


def _same(one: Explain, other: Explain) -> bool:
    """Whether two queries explain the same, at whatever layer."""
    return (one.task, one.model, one.text, one.targets) == (other.task, other.model, other.text, other.targets)


def _named(query: Explain) -> str:
    """What stands on the button of a query."""
    task, target = TASKS[query.task], query.targets[0]
    name = task.name(query, target)
    if query.task == "captioning":
        return f"caption: {name}" if target == WHOLE else f"“{name}” in “{query.text}”"
    return f"“{query.text}”: {name}" if query.text else name


def _drawn(engine: Engine, result: ExplainResult) -> dict[str, Any]:
    """What the browser draws the six steps from."""
    (row,) = result.rows
    steps, details = row.steps, row.details
    assert steps is not None  # they were asked
    return {
        "target": details.target,
        "sentence": f"How the heatmap for {named(row)} is made. <small>{numbers(row)}</small>",
        "layer": details.layer,
        "score": details.score,
        "score_is": details.score_is,
        "probability": percent(details.probability),
        "photo": shown_photo(engine, result.query.image),
        "pictures": data.pictures([row], PANELS)[0],
        "maps": details.feature_maps,
        "shape": list(steps["features"].shape[1:]),
        "order": steps["order"].tolist(),
        "counts": steps["counts"].tolist(),
        **{name: data.numbers(steps[name]) for name in NUMBERS},
    }


def tab(engine: Engine, shared: Shared, visits: list[gr.State]) -> None:
    """Build the tab's widgets and connect them; the visits hold what the tabs of the tasks show."""
    lesson = _layout(engine, shared, visits)
    outputs = [lesson.targets, lesson.layers, lesson.steps, *lesson.trust.widgets]
    asked = {lesson.state, shared.photo}
    busy: dict[str, Any] = {"outputs": outputs, "show_progress_on": lesson.steps, "trigger_mode": "multiple"} | ASKING
    lesson.steps.look(lesson.look, asked | {*lesson.visits}, **busy)
    lesson.targets.pick(lesson.choose, asked, **busy)
    lesson.layers.pick(lesson.choose_layer, asked, **busy)
    lesson.trust.connect(lesson.state)


def _layout(engine: Engine, shared: Shared, visits: list[gr.State]) -> LessonTab:
    state = gr.State(Lesson())
    gr.HTML(INTRODUCTION, elem_id="lesson-intro", elem_classes=["drawn", "viewer"])
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            targets = choices("What the network says: how does its map come about?", "chips", elem_id="lesson-targets")
        with gr.Column(scale=3, min_width=250):
            layers = choices("At which layer of the network", "chips", elem_id="lesson-layers")
    steps = drawn_by("lesson", ("look",), elem_id="lesson", classes=("viewer",))
    return LessonTab(engine, shared, visits, state, targets, layers, steps, trust.layout(engine))
