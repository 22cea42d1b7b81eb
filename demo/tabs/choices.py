"""The choice of a layer, and of what is explained: by a click on what the model says, by name, and beside others."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from demo.engine import Engine
from demo.tabs import components, model_choice
from demo.tabs.components import key_of, told
from demo.tabs.frame import ASKING, QUIET
from demo.tabs.uploads import about
from demo.tabs.viewer import Viewer
from demo.tabs.visits import NOTHING_WANTED, Given, Making, Visit, arrived, in_turn, show, show_again, show_beside

LAYER_INFO = "The first is the last of the network: its maps stand for whole things rather than textures."
NOTHING = ("nothing", "")  # to compare with
UNLISTED = "Type anything: this network has no list of what it can say."


def model_and_layer(page: gr.Blocks, engine: Engine, task: str, rival: gr.State) -> tuple[gr.State, gr.Dropdown]:
    """Build the choice of a model, which is held by what is returned, of one beside it, by `rival`, and of a layer."""
    with gr.Accordion("Model and layer", open=False), gr.Row():
        using = gr.State(engine.library.default(task))
        model_choice.models(page, engine, task, "Model", using)
        layer = gr.Dropdown([], label="Layer", info=LAYER_INFO, min_width=260)
        model_choice.models(page, engine, task, "Compare it with the model", rival, NOTHING)
    return using, layer


class Targets(NamedTuple):
    """The widgets that offer what can be explained: the five most probable, all, and all again to compare with."""

    said: gr.HTML
    chosen: gr.Dropdown
    other: gr.Dropdown


def targets(heading: str, kind: str, task: str) -> Targets:
    """Build the widgets for targets of a kind ("class", "answer"); the tab fills them."""
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            said = components.choices(heading, "bars", task, add=True, elem_id=f"{task}-top", classes=("top",))
        with gr.Column(scale=2, min_width=240, elem_classes="named"):
            chosen = gr.Dropdown([], label=f"Explain any {kind}", allow_custom_value=True, elem_id=f"{task}-chosen")
            other = gr.Dropdown(
                [], label=f"Beside it another {kind}", value="", allow_custom_value=True, elem_id=f"{task}-other"
            )
    return Targets(said, chosen, other)


def offer(
    engine: Engine, task: str, visit: gr.State, model: gr.State, layer: gr.Dropdown, widgets: Targets | None = None
) -> dict[str, Any]:
    """The event that fills the lists of layers and of targets with those of a model."""

    async def offers(given: Given) -> Given:
        known = await arrived(engine.about(task, given[model]))
        wanted = given[visit].wanted.layer
        first = wanted if wanted in known.layers else known.layers[0]
        offered = {layer: gr.Dropdown(choices=list(known.layers), value=first)}
        if widgets:
            names = sorted(known.targets, key=str.casefold)
            info = "" if names else UNLISTED
            offered |= {box: gr.Dropdown(choices=names, info=info) for box in (widgets.chosen, widgets.other)}
        return offered

    outputs = [layer, widgets.chosen, widgets.other] if widgets else [layer]
    return {"fn": offers, "inputs": {visit, model}, "outputs": outputs} | ASKING


@dataclass(frozen=True, eq=False)
class Choosing:
    """What happens when something is chosen to be explained, alone or beside what is shown.

    `query` makes the query of a key, from the values of `inputs`, of which `visit` and `photo` are two.
    """

    engine: Engine
    visit: gr.State
    photo: gr.Image
    inputs: set[Any]
    viewer: Viewer
    query: Callable[[Given, str], Making]

    def connect(self, clicked: gr.HTML) -> None:
        """Follow the clicks on what can be chosen."""

        async def pick(given: Given, event: gr.EventData) -> None:
            if self._is_current(given, event):
                await self.explain(given, key_of(event))

        self._on(clicked.pick, pick)
        self.connect_beside(clicked)

    def connect_beside(self, clicked: gr.HTML) -> None:
        """Follow the clicks that put something beside what is shown, or take it away."""

        async def beside(given: Given, event: gr.EventData) -> None:
            if self._is_current(given, event):
                await self.put_beside(given, key_of(event))

        self._on(clicked.beside, beside)
        self._on(clicked.drop, self.viewer.drop)

    def connect_names(self, widgets: Targets) -> None:
        """Follow what is chosen by name; the box is then empty again, for the next."""

        # Gradio's boxes tell of an input also when they are left as they were.
        async def named(given: Given) -> str:
            if given[widgets.chosen]:
                await self.explain(given, str(given[widgets.chosen]))
            return ""

        async def named_beside(given: Given) -> str:
            if given[widgets.other]:
                await self.put_beside(given, str(given[widgets.other]))
            return ""

        self._on(widgets.chosen.input, named, widgets.chosen, more={widgets.chosen})
        self._on(widgets.other.input, named_beside, widgets.other, more={widgets.other})

    def connect_layer(self, task: str, model: gr.State, layer: gr.Dropdown) -> list[gr.events.Dependency]:
        """Follow the choice of a layer, by name or in the strip of all layers, with the events that are returned."""

        async def clicked(given: Given, event: gr.EventData) -> str:
            names = (await arrived(self.engine.about(task, given[model]))).layers
            # The strip and the list of layers may still be those of a model before.
            return next((name for name in (key_of(event), given[layer]) if name in names), names[0])

        async def relayer(given: Given) -> None:
            visitor: Visit = given[self.visit]
            visitor.wanted = NOTHING_WANTED
            visitor.shown = await show_again(self.engine, visitor.shown, str(given[layer] or ""))

        picked = self.viewer.layers.pick(clicked, {model, layer}, layer, trigger_mode="multiple", **ASKING | QUIET)
        return [self._on(event, relayer, more={layer}) for event in (layer.input, picked.then)]

    async def explain(self, given: Given, key: str) -> None:
        visitor: Visit = given[self.visit]
        visitor.shown = await show(self.engine, self.query(given, key))

    async def put_beside(self, given: Given, key: str) -> None:
        visitor: Visit = given[self.visit]
        visitor.shown = await show_beside(self.engine, visitor.shown, self.query(given, key))

    def _is_current(self, given: Given, event: gr.EventData) -> bool:
        """Whether a click was on something about this photograph and text, and not on what stood there before."""
        return about(given[self.photo], given[self.visit].text).startswith(str(told(event).get("about", "")))

    def _on(
        self, event: Callable[..., Any], handler: Callable[..., Any], outputs: Any = None, more: Set[Any] = frozenset()
    ) -> gr.events.Dependency:
        # Not the last choice alone: for that Gradio sends what the first one was made with again.
        following = event(
            in_turn(self.visit, handler),
            self.inputs | more,
            outputs,
            trigger_mode="multiple",
            show_progress_on=self.viewer.panels,
            **ASKING,
        )
        self.viewer.refresh(following)
        return following
