"""The choice of a layer, and of what is explained: by the most probable, by name, and beside another one."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import gradio as gr

from demo.engine import Engine
from demo.tabs.frame import ASKING, NOTHING, QUIET
from demo.tabs.viewer import Viewer
from demo.tabs.visits import Given, Shown, Visit, arrived, in_turn

LAYER_INFO = "The first is the last of the network: its maps stand for whole things rather than textures."

LISTED = "Type to search all that the network knows."
UNLISTED = "Type anything: this network has no list of what it can say."


def layers() -> gr.Dropdown:
    """Build the choice of a layer, which the tab fills."""
    return gr.Dropdown([], label="Layer", info=LAYER_INFO, min_width=260)


def pick_layer(engine: Engine, task: str, viewer: Viewer, model: gr.State, layer: gr.Dropdown) -> gr.events.Dependency:
    """Choose the layer that is clicked in the strip of all layers."""

    async def clicked(given: Given, event: gr.SelectData) -> str:
        names = (await arrived(engine.about(task, given[model]))).layers
        # The strip and the list of layers may still be those of a model before.
        return next((name for name in (event.value["caption"], given[layer]) if name in names), names[0])

    return viewer.layers.select(clicked, {model, layer}, layer, trigger_mode="multiple", **ASKING | QUIET)


class Targets(NamedTuple):
    """The widgets that offer what can be explained: the five most probable, all, and all again to compare with."""

    label: gr.Label
    chosen: gr.Dropdown
    other: gr.Dropdown


def targets(title: str, kind: str, task: str) -> Targets:
    """Build the widgets for targets of a kind ("class", "answer"); the tab fills them."""
    with gr.Row():
        label = gr.Label(
            label=title,
            num_top_classes=5,
            show_heading=False,
            scale=3,
            min_width=300,
            elem_id=f"{task}-top",
            elem_classes="top",
        )
        with gr.Column(scale=2, min_width=260):
            chosen = gr.Dropdown(
                [],
                label=f"Explain this {kind}",
                info=LISTED,
                allow_custom_value=True,
                elem_id=f"{task}-chosen",
            )
            other = gr.Dropdown([NOTHING], value="", label="Compare it with", elem_id=f"{task}-other")
    return Targets(label, chosen, other)


def offer(
    engine: Engine, task: str, model: gr.State, layer: gr.Dropdown, widgets: Targets | None = None
) -> dict[str, Any]:
    """The event that fills the lists of layers and of targets with those of a model."""

    async def offers(given: Given) -> Given:
        known = await arrived(engine.about(task, given[model]))
        offered = {layer: gr.Dropdown(choices=list(known.layers), value=known.layers[0])}
        if widgets:
            names = sorted(known.targets, key=str.casefold)
            offered[widgets.chosen] = gr.Dropdown(choices=names, info=LISTED if names else UNLISTED)
            offered[widgets.other] = gr.Dropdown(choices=[NOTHING, *names])
        return offered

    outputs = [layer, widgets.chosen, widgets.other] if widgets else [layer]
    return {"fn": offers, "inputs": {model}, "outputs": outputs} | ASKING


def on_choice(
    widgets: Targets,
    layer: gr.Dropdown,
    picked_layer: gr.events.Dependency,
    viewer: Viewer,
    visit: gr.State,
    inputs: set[Any],
    explain: Callable[[Given, Visit], Awaitable[Shown]],
) -> None:
    """Explain what is chosen or clicked, also at another layer; `explain` takes the values of `inputs`."""

    async def explain_again(given: Given) -> Given:
        visitor: Visit = given[visit]
        shown = visitor.shown = await explain(given, visitor)
        other = given[widgets.other]
        if shown.queries:
            other = dict(enumerate(shown.queries[0].targets)).get(1, "")
        # What is explained goes into the boxes too: a new photograph may have changed them meanwhile.
        return {widgets.chosen: given[widgets.chosen], widgets.other: other}

    async def explain_clicked(given: Given, event: gr.SelectData) -> Given:
        return await explain_again(given | {widgets.chosen: event.value})

    # Not the last choice alone: for that Gradio sends what the first one was made with again.
    busy: dict[str, Any] = {"show_progress_on": viewer.pictures, "trigger_mode": "multiple"} | ASKING
    explaining: dict[str, Any] = {"inputs": inputs, "outputs": [widgets.chosen, widgets.other]} | busy
    for event in (
        gr.on([widgets.chosen.input, widgets.other.input, layer.input], in_turn(visit, explain_again), **explaining),
        picked_layer.then(in_turn(visit, explain_again), **explaining),
        widgets.label.select(in_turn(visit, explain_clicked), **explaining),
    ):
        viewer.refresh(event)


def pair(chosen: str, other: str) -> tuple[str, ...]:
    """The targets to explain: one, or two."""
    return (chosen, other) if other else (chosen,)
