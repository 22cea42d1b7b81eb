"""The rows of panels, their download, and the strip of all layers: the same in all tabs."""

import html
from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
from torch import Tensor

from demo.errors import InputError
from demo.images import open_photo
from demo.models import load
from demo.rendering import Colours
from demo.rows import PANELS, Explained, archive, png, row_files, sentence, thumbnails
from demo.tabs.frame import NETWORK, Shared, Upload, file_name, photo_path, save
from explainers import layer_maps

CAPTIONS = {
    "guided_backprop": "Fine detail that the score reacts to. Close to an edge detector: much the same outlines "
    "whatever is explained, only stronger or weaker, so it does not tell classes apart.",
    "gradcam": "Where the evidence for what is explained lies, in coarse cells: from violet, none, to yellow, most "
    "(in the paper's colours from blue to red).",
    "guided_gradcam": "The two multiplied: the fine detail of the first, only where the second finds evidence.",
}

Score = Callable[[Tensor], Tensor]


class PanelRow(NamedTuple):
    """The widgets of one row: a group that can be hidden, a sentence, and three pictures in the order of PANELS."""

    group: gr.Column
    sentence: gr.HTML
    pictures: list[gr.Image]


class Panels(NamedTuple):
    """What a tab needs of its panels.

    `state` is what they show: an `Explained`, or a sentence that says why there is nothing to show. A tab's
    handlers write the state and nothing else of the panels; after them, `refresh` is called with the event.
    `layers` is the strip of all layers, where a click chooses one.
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
        rivals = len({row.details["model"] for row in found}) > 1
        titles = [row.details["target"] + (f" by {row.details['model']}" if rivals else "") for row in found]
        files: dict[str, bytes] = {}
        shown: dict[Any, Any] = {}
        for number, widgets in enumerate(rows):
            row = found[number] if number < len(found) else None
            said = result if isinstance(result, str) else result.note if result and number == len(found) else ""
            shown[widgets.group] = gr.Column(visible=number == 0 or row is not None or (said != "" and len(found) > 0))
            shown |= dict.fromkeys([widgets.sentence, *widgets.pictures])
            if said:
                shown[widgets.sentence] = f"<p role='alert'>{html.escape(said)}</p>"
            if not isinstance(result, Explained) or row is None:
                continue
            shown[widgets.sentence] = f"<p role='status'>{sentence(result, row)}</p>"
            pngs = row_files(result, row, colours, opacity)
            for picture, (name, data) in zip(widgets.pictures, pngs.items(), strict=True):
                file = file_name(f"{titles[number]}_{name}.png")
                files[file] = data
                shown[picture] = gr.Image(value=save(data, file), alt_text=f"{PANELS[name]} for {titles[number]}")
        zipped = None
        if isinstance(result, Explained):
            zipped = save(archive(result, files), file_name(f"{'_and_'.join(titles)}.zip"))
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
        # Somebody's own layer may stand out of its place.
        ordered = sorted(zip(names, maps, strict=True), key=lambda pair: -len(pair[1][0]))
        small = {name: thumbnails(photo, heat, heat.max().item())[0] for name, heat in ordered}
        files = [(save(png(picture), f"{file_name(name)}.png"), name) for name, picture in small.items()]
        return gr.Gallery(files, visible=True, selected_index=list(small).index(details["layer"]))

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
