"""What all tabs share: the photograph, the examples, the settings, and the rows of panels."""

import asyncio
import functools
import html
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio import processing_utils, utils
from torch import Tensor

from demo.errors import InputError
from demo.images import MAX_BYTES, open_photo
from demo.models import Model, catalog, find, load
from demo.models.downloads import join
from demo.rendering import COLOURS, OPACITY, Colours
from demo.rows import PANELS, Explained, archive, png, row_files, sentence, thumbnails
from explainers import layer_maps

EXAMPLES_FOLDER = Path(__file__).parents[2] / "assets" / "examples"
FIRST_EXAMPLE = EXAMPLES_FOLDER / "zebra_elephant.jpg"
EXAMPLES = sorted(EXAMPLES_FOLDER.glob("*.jpg"), key=lambda path: (path != FIRST_EXAMPLE, path))

# One at a time: the network uses all cores, and the last thing that somebody asked for is then answered last.
# Without Gradio's own preprocessing: it would open the upload itself, where `demo.images` should.
NETWORK: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1, "preprocess": False}

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

CAPTIONS = {
    "guided_backprop": "Fine detail that the score reacts to. Close to an edge detector: much the same outlines "
    "whatever is explained, only stronger or weaker, so it does not tell classes apart.",
    "gradcam": "Where the evidence for what is explained lies, in coarse cells: from violet, none, to yellow, most "
    "(in the paper's colours from blue to red).",
    "guided_gradcam": "The two multiplied: the fine detail of the first, only where the second finds evidence.",
}

LAYER_INFO = "The first is the last of the network: its maps stand for whole things rather than textures."

NOTHING = ("nothing", "")  # to compare with

Upload = dict[str, Any] | None
Score = Callable[[Tensor], Tensor]


def photo_path(upload: Upload) -> str:
    """Where an uploaded photograph lies, unopened, from what an image input gives under `NETWORK`.

    Raises:
        InputError: nothing was uploaded, or what is named is not an uploaded file.
    """
    if not upload:
        raise InputError("There is no photograph: choose one first.")
    # A request can name any file of this computer; only those that were uploaded may be opened.
    with suppress(ValueError):  # a null character in the path
        path = Path(upload["path"] or "").resolve()
        if path.is_relative_to(Path(utils.get_upload_folder()).resolve()) and path.is_file():
            return str(path)
    raise InputError("The photograph is not on the server any more: choose it again.")


def is_first_example(upload: Upload) -> bool:
    """Whether the photograph is still the one that the page opens with."""
    return upload is not None and Path(upload["path"] or "").name == FIRST_EXAMPLE.name


def known_layer(model: Model, layer: str) -> str:
    """The layer of that name, or with an empty name the default one.

    Raises:
        InputError: the model has no such layer.
    """
    layer = layer or next(iter(model.layers))
    if layer not in model.layers:
        raise InputError(f"{model.name} has no layer “{layer[:80]}”. Pick one of {', '.join(model.layers)}.")
    return layer


def file_name(text: str) -> str:
    """The text with all that is unusual in the name of a file replaced."""
    return re.sub(r"[^\w.-]+", "_", text)[-80:]


def save(data: bytes, name: str) -> str:
    """Put a file where the server may hand it out, and return its path there, which is made of its hash."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        # Moves it into place in one step: another visitor may just be fetching the same file.
        return processing_utils.save_file_to_cache(file, utils.get_upload_folder())


class Shared(NamedTuple):
    """The widgets beside the tabs, and the task of the tab that is open."""

    task: gr.State
    photo: gr.Image
    colours: gr.Radio
    opacity: gr.Slider


def shared_column() -> Shared:
    """Build the photograph, the examples and the settings that hold for every tab."""
    photo = gr.Image(
        value=FIRST_EXAMPLE,
        type="filepath",
        sources=["upload", "clipboard", "webcam"],
        label="Photograph",
        placeholder=f"Drop a photograph here,\nor click to choose one\n(at most {MAX_BYTES // 2**20} MB)",
        buttons=["fullscreen"],
        height=300,
        elem_id="photo",
        alt_text="The photograph that is explained",
    )
    examples = gr.Gallery(
        [(path, path.stem.replace("_", " ")) for path in EXAMPLES],
        label="Or take one of these",
        columns=4,
        height="auto",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )

    def take_example(event: gr.SelectData) -> Path:
        return EXAMPLES[event.index]

    examples.select(take_example, None, photo, **QUIET)
    photo.upload(displayable, photo, photo, preprocess=False, **QUIET)
    with gr.Accordion("Colours", open=False):
        colours = gr.Radio(
            [("even, safe for colour-blind readers (viridis)", COLOURS[0]), ("as in the paper (jet)", COLOURS[1])],
            value=COLOURS[0],
            label="Colours of the Grad-CAM map",
        )
        opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity of the map over the photograph")
    return Shared(gr.State("classification"), photo, colours, opacity)


def displayable(upload: Upload) -> Any:
    """A photograph that browsers cannot show (TIFF, HEIC) as one that they can; others stay as they are."""
    path = photo_path(upload)
    if Path(path).suffix.lower() not in (".tif", ".tiff", ".heic", ".heif"):
        return gr.skip()
    try:
        return save(png(open_photo(path)), "photograph.png")
    except InputError:
        return gr.skip()  # said where the photograph is used


class PanelRow(NamedTuple):
    """The widgets of one row: a group that can be hidden, a sentence, and three pictures in the order of PANELS."""

    group: gr.Column
    sentence: gr.HTML
    pictures: list[gr.Image]


class Panels(NamedTuple):
    """What a tab needs of its panels.

    `state` is what they show: an `Explained`, or a sentence that says why there is nothing to show. A tab's
    handlers write the state and nothing else of the panels; after them, `refresh` is called with the event.
    `layers` is the strip of all layers, where a click chooses one; see `layer_name`.
    """

    state: gr.State
    pictures: list[gr.Image]
    refresh: Callable[[Any], None]
    layers: gr.Gallery


def panels(shared: Shared, rescore: Callable[[Any, dict[str, Any]], Score]) -> Panels:
    """Build two rows of panels, the second hidden, the download, and the strip of all layers.

    `rescore` gives a model's score for the details of a row.
    """
    state = gr.State(time_to_live=3600)
    rows = (_panel_row(True), _panel_row(False))
    download = gr.DownloadButton("Download all panels and their numbers (zip)", interactive=False, size="sm")
    pictures = [picture for row in rows for picture in row.pictures]
    all_layers = gr.Checkbox(False, label="Show Grad-CAM at all layers of the network", container=False)
    strip = gr.Gallery(
        label="From shallow to deep, each with its own scale: click one",
        visible=False,
        columns=8,
        height="auto",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_classes="strip",
    )

    def show(result: Explained | str | None, colours: Colours, opacity: float | None) -> dict[Any, Any]:
        opacity = min(max(opacity or 0, 0), 1)  # the box beside the slider takes any number, or none
        found = result.rows if isinstance(result, Explained) else []
        files: dict[str, bytes] = {}
        shown: dict[Any, Any] = {}
        for number, widgets in enumerate(rows):
            row = found[number] if number < len(found) else None
            shown[widgets.group] = gr.Column(visible=row is not None or number == 0)
            shown |= dict.fromkeys([widgets.sentence, *widgets.pictures])
            if isinstance(result, str):
                shown[widgets.sentence] = f"<p role='alert'>{html.escape(result)}</p>"
            if not isinstance(result, Explained) or row is None:
                continue
            shown[widgets.sentence] = f"<p role='status'>{sentence(result, row)}</p>"
            target = row.details["target"]
            pngs = row_files(result, row, colours, opacity)
            for picture, (name, data) in zip(widgets.pictures, pngs.items(), strict=True):
                file = file_name(f"{target}_{name}.png")
                files[file] = data
                shown[picture] = gr.Image(value=save(data, file), alt_text=f"{PANELS[name]} for {target}")
        zipped = None
        if isinstance(result, Explained):
            names = "_and_".join(row.details["target"] for row in found)
            zipped = save(archive(result, files), file_name(f"{names}.zip"))
        return shown | {download: gr.DownloadButton(value=zipped, interactive=zipped is not None)}

    def show_layers(wanted: bool, upload: Upload, result: Explained | str | None) -> gr.Gallery:
        if not wanted or not isinstance(result, Explained):
            return gr.Gallery(value=None, visible=False)
        details = result.rows[0].details
        try:
            path = photo_path(upload)
            model = load(details["task"], details["model"])
        except InputError:
            return gr.Gallery(value=None, visible=False)  # said where the panels are
        photo = open_photo(path)
        names = list(reversed(model.layers))
        maps = layer_maps(
            rescore(model, details),
            model.prepare(photo),
            [model.layers[name] for name in names],
            reshape=model.reshape,
        )
        small = [thumbnails(photo, heat, heat.max().item())[0] for heat in maps]
        files = [
            (save(png(picture), f"{file_name(name)}.png"), name) for name, picture in zip(names, small, strict=True)
        ]
        return gr.Gallery(files, visible=True, selected_index=names.index(details["layer"]))

    # The same function and queue for all: an older state is then never drawn over a newer one.
    drawing: dict[str, Any] = {
        "fn": show,
        "inputs": [state, shared.colours, shared.opacity],
        "outputs": [download, *pictures, *(widget for row in rows for widget in (row.group, row.sentence))],
        "show_progress_on": pictures,
        "api_visibility": "private",
        "concurrency_id": "drawing",
        "preprocess": False,
    }
    gr.on(
        [shared.colours.input, shared.opacity.input],
        **drawing,
        show_progress="hidden",
        trigger_mode="always_last",
    )
    layering: dict[str, Any] = {
        "fn": show_layers,
        "inputs": [all_layers, shared.photo, state],
        "outputs": strip,
        "api_visibility": "private",
        "show_progress": "minimal",
        "trigger_mode": "multiple",
    } | NETWORK
    all_layers.input(**layering)
    # "multiple": a result that comes while the one before is being drawn is drawn too.
    return Panels(
        state,
        pictures,
        lambda event: event.then(**drawing, show_progress="minimal", trigger_mode="multiple").then(**layering),
        strip,
    )


def layer_name(event: gr.SelectData) -> str:
    """The layer that was clicked in the strip of all layers."""
    return event.value["caption"]


def _panel_row(first: bool) -> PanelRow:
    with gr.Column(visible=first, elem_classes="panel-row") as group:
        said = gr.HTML(elem_classes="sentence")
        with gr.Row():
            pictures = []
            for name, title in PANELS.items():
                with gr.Column(min_width=220):
                    picture = gr.Image(
                        label=title,
                        format="png",
                        interactive=False,
                        buttons=["download", "fullscreen"],
                        elem_classes="panel",
                    )
                    pictures.append(picture)
                    if first:
                        gr.Markdown(CAPTIONS[name], elem_classes="caption")
    return PanelRow(group, said, pictures)


class Models(NamedTuple):
    """The choice of a model for a tab: its name in the list, and the name of the one that is in use.

    They differ while a model is being downloaded. `using` changes only to a model that is here.
    """

    listed: gr.Dropdown
    using: gr.State


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
    waiting: dict[str, object] = {}  # session -> what it waits for, which is replaced by another choice

    async def pick(name: str, before: str, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        session = str(request.session_hash)
        mine = waiting[session] = object()
        entry = find(task, name) if name != NOTHING[1] else None
        download = join(entry.source) if entry and entry.source else None
        quiet = {said: gr.HTML(visible=False), stop: gr.Button(visible=False)}
        try:
            while download and not download.ended.is_set() and waiting.get(session) is mine:
                arrived, total = (f"{size / 1e6:.0f}" for size in (download.done, download.total))
                progress = f"Downloading {name}: {arrived} of {total} MB" if download.total else f"Asking for {name}"
                yield {said: gr.HTML(f"<p role='status'>{progress}</p>", visible=True), stop: gr.Button(visible=True)}
                await asyncio.sleep(0.3)
            if waiting.get(session, mine) is not mine:
                return  # something else was chosen meanwhile, and shows itself
            if session not in waiting:
                raise InputError("The download was stopped.")
            if download:
                download.check()
        except InputError as error:
            text = html.escape(f"{error} The demo goes on with {before or 'one model'}.")
            yield quiet | {listed: before, said: gr.HTML(f"<p role='alert'>{text}</p>", visible=True)}
            return
        finally:
            if download:
                download.leave()
            if waiting.get(session) is mine:
                del waiting[session]
        yield quiet | {using: name, listed: gr.Dropdown([*first, *offered(task)], value=name)}

    def give_up(request: gr.Request) -> None:
        waiting.pop(str(request.session_hash), None)

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
    return Models(listed, using)


def layers() -> gr.Dropdown:
    """Build the choice of a layer, which the tab fills."""
    return gr.Dropdown([], label="Layer", info=LAYER_INFO, min_width=260)


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
    panels: Panels,
    inputs: list[Any],
    explain_choice: Callable[..., Explained | str],
) -> None:
    """Explain what is chosen or clicked.

    `explain_choice` takes the values of `inputs`, among them those of the chosen and the other target.
    """
    places = [inputs.index(widgets.chosen), inputs.index(widgets.other)]

    def explain_clicked(event: gr.SelectData, *given: Any) -> dict[Any, Any]:
        values = list(given)
        other = "" if values[places[1]] == event.value else values[places[1]]
        values[places[0]], values[places[1]] = event.value, other
        return {widgets.chosen: event.value, widgets.other: other, panels.state: explain_choice(*values)}

    busy: dict[str, Any] = {
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": panels.pictures,
    } | NETWORK
    explaining: dict[str, Any] = {"fn": explain_choice, "inputs": inputs, "outputs": panels.state} | busy
    changed = gr.on([widgets.chosen.input, widgets.other.input, layer.input], trigger_mode="always_last", **explaining)
    picked = panels.layers.select(layer_name, None, layer, trigger_mode="multiple", **QUIET)
    panels.refresh(picked.then(**explaining, trigger_mode="multiple"))
    # Not the last click alone: for that Gradio sends the first one's target again.
    clicked = widgets.label.select(
        explain_clicked, inputs, [widgets.chosen, widgets.other, panels.state], trigger_mode="multiple", **busy
    )
    panels.refresh(changed)
    panels.refresh(clicked)


def pair(chosen: str, other: str) -> tuple[str, ...]:
    """The targets to explain: one, or two different ones."""
    return (chosen, other) if other not in ("", chosen) else (chosen,)


def text(label: str) -> gr.Textbox:
    """An invisible input of an endpoint."""
    return gr.Textbox("", visible=False, label=label)


def endpoint(name: str, handler: Callable, inputs: list[gr.Textbox], outputs: list[Any]) -> None:
    """Add an API endpoint whose inputs are an image and then texts."""

    @functools.wraps(handler)
    def answer(upload: Upload, *texts: Any) -> Any:
        try:
            return handler(photo_path(upload), *("" if given is None else str(given) for given in texts))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    widgets = [gr.Image(type="filepath", visible=False, label="image"), *inputs]
    gr.Button(visible=False).click(answer, widgets, outputs, api_name=name, **NETWORK)


def explanation_endpoint(name: str, handler: Callable[..., Explained], inputs: list[gr.Textbox]) -> None:
    """Add an API endpoint that returns the three panels and the details of one explained target."""

    @functools.wraps(handler)
    def answer(*given: Any) -> list[Any]:
        result = handler(*given)
        (row,) = result.rows
        files = row_files(result, row, COLOURS[0], OPACITY)
        return [*(save(data, f"{panel}.png") for panel, data in files.items()), row.details]

    pictures = [gr.Image(visible=False, format="png", label=panel) for panel in PANELS]
    endpoint(name, answer, inputs, [*pictures, gr.JSON(visible=False, label="details")])
