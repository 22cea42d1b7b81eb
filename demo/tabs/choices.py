"""The choice of a model, with its download, of a layer, and of what is explained."""

import asyncio
import html
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import gradio as gr

from demo.errors import InputError
from demo.models import catalog, find, load
from demo.models.downloads import join
from demo.rows import Explained
from demo.tabs.frame import NETWORK, NOTHING, QUIET
from demo.tabs.panel_rows import Panels

LAYER_INFO = "The first is the last of the network: its maps stand for whole things rather than textures."


class Models(NamedTuple):
    """The choice of a model for a tab: its name in the list, and the name of the one that is in use.

    They differ while a model is being downloaded. `using` changes only to a model that is here, and not to one that a
    session waited for before `forget`.
    """

    listed: gr.Dropdown
    using: gr.State
    forget: Callable[[gr.Request], None]


def offered(task: str) -> list[tuple[str, str]]:
    """The models for a task, with their sizes and whether they are here, and the names that they are loaded by."""
    return [
        (
            entry.name
            if entry.shipped
            else f"{entry.name} ({'is here' if entry.is_here() else 'to download'}, {entry.megabytes:.0f} MB)",
            entry.name,
        )
        for entry in catalog(task)
    ]


def models(page: gr.Blocks, task: str, label: str, nothing: tuple[str, str] | None = None) -> Models:
    """Build the choice of a model, with its download; `nothing` is a first choice that is none."""
    first = [nothing] if nothing else []
    start = nothing[1] if nothing else initial_model(task)
    with gr.Column(min_width=260):
        listed = gr.Dropdown(
            [*first, *offered(task)], value=start, label=label, elem_id=f"{task}-{label}".replace(" ", "-")
        )
        said = gr.HTML(visible=False, elem_classes="download")
        stop = gr.Button("Stop the download", visible=False, size="sm")
    using = gr.State(start)
    waiting: dict[str, asyncio.Event] = {}  # session -> its latest choice; set when all is sent that it shows
    stopped: set[asyncio.Event] = set()

    def status(text: str, stoppable: bool) -> dict[Any, Any]:
        shown = gr.HTML(f"<p role='status'>{html.escape(text)}</p>", visible=True)
        return {said: shown, stop: gr.Button(visible=stoppable)}

    async def pick(name: str, before: str, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        """Wait until the model is here and open, unless something else is chosen meanwhile, which shows itself."""
        entry = find(task, name) if name != NOTHING[1] else None
        download = join(entry.source) if entry and entry.source else None
        session = str(request.session_hash)
        earlier, mine = waiting.get(session), asyncio.Event()
        waiting[session] = mine
        quiet = {said: gr.HTML(visible=False), stop: gr.Button(visible=False)}

        def wanted() -> bool:
            return waiting.get(session) is mine

        try:
            if earlier:
                await earlier.wait()
            while download and not download.ended.is_set() and wanted() and mine not in stopped:
                arrived, total = (f"{size / 1e6:.0f}" for size in (download.done, download.total))
                progress = f"Downloading {name}: {arrived} of {total} MB" if download.total else f"Asking for {name}"
                yield status(progress, stoppable=True)
                await asyncio.sleep(0.3)
            if wanted() and mine in stopped:
                raise InputError("The download was stopped.")
            if wanted() and download:
                download.check(name)
            if wanted() and entry:  # open it before anything depends on it
                opening = asyncio.ensure_future(asyncio.to_thread(load, task, name))
                opening.add_done_callback(asyncio.Future.exception)  # has been looked at, also if nobody waits for it
                while wanted() and not (await asyncio.wait([opening], timeout=0.3))[0]:
                    yield status(f"Opening {name}", stoppable=False)
                if wanted():
                    await opening
            if wanted():
                yield quiet | {using: name, listed: gr.Dropdown([*first, *offered(task)], value=name)}
            else:  # Gradio empties the outputs of a generator that yields nothing
                yield {said: gr.skip()} if session in waiting else quiet
        except InputError as error:
            text = html.escape(f"{error} The demo goes on with {before or 'one model'}.")
            yield quiet | {listed: before, said: gr.HTML(f"<p role='alert'>{text}</p>", visible=True)}
        finally:
            if download:
                download.leave()
            mine.set()
            stopped.discard(mine)
            if wanted():
                del waiting[session]

    def forget(request: gr.Request) -> None:
        waiting.pop(str(request.session_hash), None)

    def give_up(request: gr.Request) -> None:
        if choice := waiting.get(str(request.session_hash)):
            stopped.add(choice)

    listed.input(
        pick,
        [listed, using],
        [listed, using, said, stop],
        concurrency_limit=None,
        trigger_mode="multiple",
        **QUIET,
    )
    stop.click(give_up, queue=False, **QUIET)
    page.load(lambda: gr.Dropdown([*first, *offered(task)]), None, listed, **QUIET)
    return Models(listed, using, forget)


def layers() -> gr.Dropdown:
    """Build the choice of a layer, which the tab fills."""
    return gr.Dropdown([], label="Layer", info=LAYER_INFO, min_width=260)


def pick_layer(panels: Panels, task: str, model: gr.State, layer: gr.Dropdown) -> gr.events.Dependency:
    """Choose the layer that is clicked in the strip of all layers."""

    def clicked(event: gr.SelectData, model_name: str, layer_name: str) -> str:
        names = list(load(task, model_name).layers)
        # The strip and the list of layers may still be those of a model before.
        return next((name for name in (event.value["caption"], layer_name) if name in names), names[0])

    return panels.layers.select(clicked, [model, layer], layer, preprocess=False, trigger_mode="multiple", **QUIET)


def initial_model(task: str) -> str:
    """The name of the model that a tab opens with: the user's own, if there is one, else the default one."""
    shipped = [entry for entry in catalog(task) if entry.shipped]
    return shipped[-1].name


class Targets(NamedTuple):
    """The widgets that offer what can be explained: the five most probable, all, and all again to compare with."""

    label: gr.Label
    chosen: gr.Dropdown
    other: gr.Dropdown


def targets(title: str, kind: str, prefix: str) -> Targets:
    """Build the widgets for targets of a kind ("class", "answer"); the tab fills them."""
    with gr.Row():
        label = gr.Label(
            label=title,
            num_top_classes=5,
            show_heading=False,
            scale=3,
            min_width=300,
            elem_id=f"{prefix}-top",
            elem_classes="top",
        )
        with gr.Column(scale=2, min_width=260):
            chosen = gr.Dropdown(
                [],
                label=f"Explain this {kind}",
                info="Type to search all that the network knows.",
                allow_custom_value=True,
                elem_id=f"{prefix}-chosen",
            )
            other = gr.Dropdown([NOTHING], value="", label="Compare it with", elem_id=f"{prefix}-other")
    return Targets(label, chosen, other)


def on_choice(
    widgets: Targets,
    layer: gr.Dropdown,
    picked_layer: gr.events.Dependency,
    panels: Panels,
    inputs: list[Any],
    explain_choice: Callable[..., Explained | str],
) -> None:
    """Explain what is chosen or clicked, also at another layer.

    `explain_choice` takes the values of `inputs`, among them those of the chosen and the other target.
    """
    places = [inputs.index(widgets.chosen), inputs.index(widgets.other)]

    # What is explained goes into the boxes too: a new photograph may have changed them meanwhile.
    outputs = [widgets.chosen, widgets.other, panels.state]

    def explain_again(*given: Any) -> dict[Any, Any]:
        result = explain_choice(*given)
        chosen, other = (given[place] for place in places)
        if isinstance(result, Explained):
            shown = [row.details["target"] for row in result.rows]
            other = shown[1] if len(set(shown)) > 1 else ""
        return {widgets.chosen: chosen, widgets.other: other, panels.state: result}

    def explain_clicked(event: gr.SelectData, *given: Any) -> dict[Any, Any]:
        values = list(given)
        values[places[0]] = event.value
        return explain_again(*values)

    busy: dict[str, Any] = {
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": panels.pictures,
        # Not the last choice alone: for that Gradio sends what the first one was made with again.
        "trigger_mode": "multiple",
    } | NETWORK
    explaining: dict[str, Any] = {"fn": explain_again, "inputs": inputs, "outputs": outputs} | busy
    for event in (
        gr.on([widgets.chosen.input, widgets.other.input, layer.input], **explaining),
        picked_layer.then(**explaining),
        widgets.label.select(explain_clicked, inputs, outputs, **busy),
    ):
        panels.refresh(event)


def pair(chosen: str, other: str) -> tuple[str, ...]:
    """The targets to explain: one, or two different ones."""
    return (chosen, other) if other not in ("", chosen) else (chosen,)
