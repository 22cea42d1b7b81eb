"""The panels, their download, and the strip of all layers: the same in all tabs."""

import asyncio
import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.files import archive, file_name, png, row_files
from demo.query import PANELS, Photo, Query, Result, Row
from demo.rendering import LEGENDS, Colours, thumbnail
from demo.tabs.frame import ASKING, Shared, save, strip
from demo.tabs.visits import Given, Shown, answer, arrived, in_turn
from demo.tasks.sentence import sentence
from explainers import METHODS

ROWS = 2
MORE = tuple(key for key in METHODS if key not in PANELS)


class RowWidgets(NamedTuple):
    """One row of panels: a group that can be hidden, a sentence, and a picture for each method."""

    group: gr.Column
    sentence: gr.HTML
    pictures: dict[str, gr.Image]


class Viewer(NamedTuple):
    """What a tab needs of its panels.

    A tab's handlers write `Visit.shown` and nothing else of them; after them, `refresh` is called with the event.
    `pictures` are the paper's panels, which fade while they are old; `layers` is the strip of all layers.
    """

    pictures: list[gr.Image]
    layers: gr.Gallery
    refresh: Callable[[gr.events.Dependency], None]


class _Widgets(NamedTuple):
    rows: list[RowWidgets]
    more: gr.CheckboxGroup
    download: gr.DownloadButton
    all_layers: gr.Checkbox
    layers: gr.Gallery


def viewer(engine: Engine, task: str, shared: Shared, visit: gr.State) -> Viewer:
    """Build the panels of a tab and connect them. Of a hidden tab nothing is drawn until it is turned to."""
    widgets = _layout()
    rows, more, download, all_layers, layers = widgets
    pictures = [picture for row in rows for picture in row.pictures.values()]

    async def draw(given: Given) -> Given:
        if given[shared.task] != task:
            return {download: gr.skip()}
        results, note = await _results(engine, given[visit].shown)
        opacity = min(max(given[shared.opacity] or 0, 0), 1)  # the box beside the slider takes any number, or none
        methods = (*PANELS, *(key for key in MORE if key in (given[more] or ())))
        return await asyncio.to_thread(_drawn, engine, widgets, results, note, methods, given[shared.colours], opacity)

    async def show_layers(given: Given) -> Given:
        if given[shared.task] != task:
            return {layers: gr.skip()}
        shown = given[visit].shown
        if not given[all_layers] or not shown.queries:
            return {layers: gr.Gallery(value=None, visible=False)}
        return {layers: await _all_layers(engine, shown)}

    # "multiple": a result that comes while the one before is being drawn is drawn too.
    drawing: dict[str, Any] = {
        "fn": in_turn(visit, draw, "drawing"),
        "inputs": {visit, shared.task, shared.colours, shared.opacity, more},
        "outputs": [download, *pictures, *(widget for row in rows for widget in (row.group, row.sentence))],
        "show_progress_on": pictures,
    } | ASKING
    layering: dict[str, Any] = {
        "fn": in_turn(visit, show_layers),
        "inputs": {visit, shared.task, all_layers},
        "outputs": layers,
        "trigger_mode": "multiple",
    } | ASKING
    changes = [shared.colours.input, shared.opacity.input, more.input]
    gr.on(changes, **drawing | {"show_progress": "hidden", "trigger_mode": "always_last"})
    all_layers.input(**layering)

    def refresh(event: gr.events.Dependency) -> None:
        event.then(**drawing, trigger_mode="multiple").then(**layering)

    return Viewer([row.pictures[method] for row in rows for method in PANELS], layers, refresh)


def _layout() -> _Widgets:
    rows = [_row(number) for number in range(ROWS)]
    download = gr.DownloadButton("Download all panels and their numbers (zip)", interactive=False, size="sm")
    with gr.Accordion("More ways of looking", open=False):
        more = gr.CheckboxGroup(
            [(f"{METHODS[key].title}: {_caption(key)}", key) for key in MORE], show_label=False, container=False
        )
    all_layers = gr.Checkbox(False, label="Show Grad-CAM at all layers of the network", container=False)
    layers = strip(
        "From shallow to deep, each with its own scale: click one", columns=8, visible=False, elem_classes="strip"
    )
    return _Widgets(rows, more, download, all_layers, layers)


def _row(number: int) -> RowWidgets:
    with gr.Column(visible=number == 0, elem_classes="panel-row") as group:
        said = gr.HTML(elem_classes="sentence")
        pictures = {}
        for methods in (PANELS, MORE):
            with gr.Row():
                for method in methods:
                    with gr.Column(min_width=220, elem_classes="third"):
                        pictures[method] = gr.Image(
                            label=METHODS[method].title,
                            visible=method in PANELS,
                            format="png",
                            interactive=False,
                            buttons=["download", "fullscreen"],
                            elem_classes="panel",
                        )
                        if number == 0 and method in PANELS:
                            gr.Markdown(_caption(method), elem_classes="caption")
    return RowWidgets(group, said, pictures)


def _caption(method: str) -> str:
    return METHODS[method].sentence + LEGENDS[METHODS[method].kind]


async def _results(engine: Engine, shown: Shown) -> tuple[list[Result], str]:
    """What is shown, computed anew if it is not kept any more; and the note."""

    async def anew(query: Query) -> Result:
        return await answer(engine, lambda: query)

    try:
        return [await anew(query) for query in shown.queries], shown.note
    except InputError as error:  # the model's files have gone
        return [], str(error)


def _drawn(
    engine: Engine,
    widgets: _Widgets,
    results: list[Result],
    note: str,
    methods: tuple[str, ...],
    colours: Colours,
    opacity: float,
) -> dict[Any, Any]:
    found = [(result, row) for result in results for row in result.rows]
    rows = [row for _, row in found]
    titles = _titles(rows)
    files: dict[str, bytes] = {}
    drawn: dict[Any, Any] = {}
    for number, place in enumerate(widgets.rows):
        said = note if number == len(found) else ""
        drawn[place.group] = gr.Column(visible=number == 0 or number < len(found) or bool(said and found))
        drawn[place.sentence] = f"<p role='alert'>{html.escape(said)}</p>" if said else None
        drawn |= {picture: gr.Image(None, visible=key in methods) for key, picture in place.pictures.items()}
        if number >= len(found):
            continue
        result, row = found[number]
        drawn[place.sentence] = f"<p role='status'>{sentence(row, rows)}</p>"
        photo = engine.open(result.query.photo)
        for method, data in row_files(photo, result, row, methods, colours, opacity).items():
            file = file_name(f"{titles[number]}_{method}.png")
            files[file] = data
            alt = f"{METHODS[method].title} for {titles[number]}"
            drawn[place.pictures[method]] = gr.Image(save(data, file), visible=True, alt_text=alt)
    zipped = save(archive(rows, files), file_name(f"{'_and_'.join(titles)}.zip")) if found else None
    return drawn | {widgets.download: gr.DownloadButton(value=zipped, interactive=zipped is not None)}


def _titles(rows: list[Row]) -> list[str]:
    rivals = len({row.details["model"] for row in rows}) > 1
    return [row.details["target"] + (f" by {row.details['model']}" if rivals else "") for row in rows]


async def _all_layers(engine: Engine, shown: Shown) -> gr.Gallery:
    """The first row's target at each layer, from shallow to deep."""
    query = shown.queries[0]
    try:
        names = (await arrived(engine.about(query.task, query.model))).layers
        asked = replace(query, targets=query.targets[:1], layers=tuple(reversed(names)), methods=("gradcam",))
        result = await answer(engine, lambda: asked)
    except InputError:
        return gr.Gallery(value=None, visible=False)  # said where the panels are
    # Somebody's own layer may stand out of its place.
    rows = sorted(result.rows, key=lambda row: -len(row.pictures["gradcam"]))
    named = [(row.details["layer"], row, row.details["peak"]) for row in rows]
    files = await asyncio.to_thread(small_files, engine, query.photo, named)
    return gr.Gallery(files, visible=True, selected_index=[name for _, name in files].index(query.layers[0]))


def small_files(engine: Engine, photo: Photo, rows: list[tuple[str, Row, float]]) -> list[tuple[str, str]]:
    """Small Grad-CAM pictures of named rows, each on a scale, as files for a strip: path and name."""
    opened = engine.open(photo)
    # Files of our own, because Gradio would write the same ones anew under somebody who is fetching them.
    return [(save(png(thumbnail(opened, row, scale)), f"{file_name(name)}.png"), name) for name, row, scale in rows]
