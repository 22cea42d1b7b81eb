"""The choice of a layer, and of what is explained: by a click on what the model says, by name, and beside others."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from demo.engine import Engine
from demo.server.uploads import Upload, about
from demo.server.waiting import Making, arrived
from demo.tabs import components, model_choice
from demo.tabs.components import key_of, told
from demo.tabs.frame import ASKING
from demo.tabs.viewer import Event, Viewer
from demo.tabs.visits import Given, Visit, pass_over_unknown_layer, show_again, show_beside, show_in_layer
from demo.viewer.page_files import on_event

LAYER_INFO = "The first is the last of the network: its maps stand for whole things rather than textures."
NO_MODEL = ("nothing", "")  # to compare with
UNLISTED = "Type anything: this network has no list"


def model_and_layer(page: gr.Blocks, engine: Engine, task: str, rival: gr.State) -> tuple[gr.State, gr.Dropdown]:
    """Build the choice of a model, which is held by what is returned, of one beside it, by `rival`, and of a layer."""
    with gr.Accordion("Model and layer", open=False), gr.Row():
        using = gr.State(engine.library.default(task))
        model_choice.models(page, engine, task, "Model", using)
        layer = gr.Dropdown([], label="Layer", info=LAYER_INFO, min_width=260)
        model_choice.models(page, engine, task, "Compare it with the model", rival, NO_MODEL)
    return using, layer


class Targets(NamedTuple):
    """The widgets that offer what can be explained: the five most probable, and all of them by name."""

    said: gr.HTML
    names: gr.HTML


def targets(heading: str, kind: str, example: str, task: str) -> Targets:
    """Build the widgets for targets of a kind ("class", "answer"), such as an example; the tab fills them."""
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            said = components.choices(
                heading, "bars", task, add=True, headed=True, elem_id=f"{task}-top", classes=("top",)
            )
        with gr.Column(scale=2, min_width=200):
            names = components.names(kind, example, task, elem_id=f"{task}-names")
    return Targets(said, names)


def offer(
    engine: Engine, task: str, visit: gr.State, model: gr.State, layer: gr.Dropdown, widgets: Targets | None = None
) -> dict[str, Any]:
    """The event that fills the lists of layers and of targets with those of a model."""

    async def offers(given: Given) -> Given:
        known = await arrived(engine, engine.info(task, given[model]))
        visitor: Visit = given[visit]
        await pass_over_unknown_layer(engine, task, visitor, given[model])
        first = visitor.wanted.layer or known.layers[0]
        offered = {layer: gr.Dropdown(choices=list(known.layers), value=first)}
        if widgets:
            names = sorted(known.targets, key=str.casefold)
            offered[widgets.names] = components.named(names, "" if names else UNLISTED)
        return offered

    outputs = [layer, widgets.names] if widgets else [layer]
    return {"fn": offers, "inputs": {visit, model}, "outputs": outputs} | ASKING


def is_about(event: gr.EventData, photo: Upload, text: str) -> bool:
    """Whether a click is on something about this photograph and text, and not on what stood there before.

    A click on anything counts where the server has lost the photograph, so that the user hears of that.
    """
    is_lost = isinstance(photo, dict) and photo.get("path") is None
    return is_lost or about(photo, text).startswith(str(told(event).get("about", "")))


@dataclass(frozen=True, eq=False)
class Choosing:
    """What happens when something is chosen to be explained, alone or beside what is shown.

    `query` makes the query of a key, from the values of `inputs`, of which `visit`, `photo` and the layer are three.
    """

    engine: Engine
    visit: gr.State
    photo: gr.Image
    inputs: set[Any]
    viewer: Viewer
    query: Callable[[Given, str], Making]

    def connect(self, clicked: gr.HTML, events: Sequence[str] = components.CHOICES) -> None:
        """Follow the events of what can be chosen."""
        does = {"pick": self.explain, "beside": self.put_beside, "drop": self.viewer.drop}
        for event in events:
            self._follow(getattr(clicked, event), does[event], is_alone=event == "pick")

    def _follow(self, event: Event, does: Callable[[Given, str], Awaitable[None]], *, is_alone: bool) -> None:
        """Follow an event; one after which something is shown alone does nothing where a later one came first."""

        async def chosen(given: Given, event: gr.EventData) -> None:
            visitor: Visit = given[self.visit]
            is_late = is_alone and visitor.is_overtaken("pick", event)
            if not is_late and is_about(event, given[self.photo], visitor.text):
                await does(given, key_of(event))

        self.viewer.follow(event, chosen, self.inputs)

    def connect_layer(self, task: str, model: gr.State, layer: gr.Dropdown) -> list[gr.events.Dependency]:
        """Follow the choice of a layer, by name or in the strip of all layers, with the events that are returned."""

        async def look_at(given: Given, name: str) -> None:
            visitor: Visit = given[self.visit]
            visitor.wanted = visitor.wanted._replace(layer=None)
            visitor.shown = await show_again(self.engine, visitor.shown, name)

        async def named(given: Given) -> None:
            await look_at(given, str(given[layer] or ""))

        async def clicked(given: Given, event: gr.EventData) -> Given:
            names = (await arrived(self.engine, self.engine.info(task, given[model]))).layers
            # The strip and the list of layers may still be those of a model before.
            name = next((name for name in (key_of(event), given[layer]) if name in names), names[0])
            await look_at(given, name)
            return {layer: name}

        layer.input(None, js=on_event("choose"))
        return [
            self.viewer.follow(layer.input, named, self.inputs),
            self.viewer.follow(self.viewer.layers.pick, clicked, self.inputs | {model}, [layer]),
        ]

    async def explain(self, given: Given, key: str) -> None:
        visitor: Visit = given[self.visit]
        visitor.shown = await show_in_layer(self.engine, self.query(given, key), visitor.shown)

    async def put_beside(self, given: Given, key: str) -> None:
        visitor: Visit = given[self.visit]
        visitor.shown = await show_beside(self.engine, visitor.shown, self.query(given, key))
