"""What all tabs share: the photograph, the settings, the rows of panels, and the way from numbers to pictures."""

import functools
import html
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from gradio import processing_utils, utils
from gradio.data_classes import ImageData
from PIL import Image

from demo.errors import InputError
from demo.images import MAX_BYTES, open_photo
from demo.rendering import COLOURS, Colours, gradient_limit, gradient_picture, overlay, panel
from explainers import Explanation

_FOLDER = Path(__file__).parents[2] / "assets" / "examples"
FIRST_EXAMPLE = _FOLDER / "zebra_elephant.jpg"
EXAMPLES = sorted(_FOLDER.glob("*.jpg"), key=lambda path: (path != FIRST_EXAMPLE, path))

# One at a time: the network uses all cores, and the last thing that somebody asked for is then answered last.
NETWORK = {"concurrency_id": "network", "concurrency_limit": 1}

PANELS = {
    "guided_backprop": "Guided Backprop",
    "gradcam": "Grad-CAM",
    "guided_gradcam": "Guided Grad-CAM",
}
CAPTIONS = {
    "guided_backprop": "Fine detail that the score reacts to. Close to an edge detector: much the same outlines "
    "whatever is explained, so it does not tell classes apart.",
    "gradcam": "Where the evidence for it is, in coarse cells, strongest at the bright end of the colours. It changes "
    "with what is explained.",
    "guided_gradcam": "The two multiplied: the fine detail of the first, only where the second finds evidence.",
}


@dataclass(frozen=True)
class Row:
    """One explained target: what its three panels are made of.

    Attributes:
        heat: (H, W), the Grad-CAM map.
        gradients: PNG files of the panels "guided_backprop" and "guided_gradcam".
        details: as in the API: task, model, layer, target, score, probability, peak, relus, seconds, image_size.
    """

    heat: np.ndarray
    gradients: dict[str, bytes]
    details: dict[str, Any]


@dataclass(frozen=True)
class Explained:
    """A photograph at panel size and one row for each target.

    Attributes:
        photo: at panel size.
        cells: height and width of the layer's feature maps.
        peak: the scale that the Grad-CAM panels of all rows share.
        rows: one for each target.
    """

    photo: Image.Image
    cells: tuple[int, ...]
    peak: float
    rows: tuple[Row, ...]


def explained(
    photo: Image.Image,
    explanation: Explanation,
    targets: dict[str, float],
    *,
    task: str,
    model: str,
    layer: str,
    seconds: float,
) -> Explained:
    """Rows of one explanation on one shared scale; `targets` are the names and probabilities of its scores."""
    base = panel(photo)
    heats = explanation.gradcam.cpu().numpy()
    scores, peaks = explanation.scores.tolist(), explanation.maps.amax(dim=(1, 2)).tolist()
    gradients = {
        "guided_backprop": explanation.pixel_gradient.cpu().numpy(),
        "guided_gradcam": explanation.guided_gradcam.cpu().numpy(),
    }
    limits = {name: gradient_limit(list(gradient)) for name, gradient in gradients.items()}
    rows = []
    for t, (target, probability) in enumerate(targets.items()):
        details = {
            "task": task,
            "model": model,
            "layer": layer,
            "target": target,
            "score": scores[t],
            "probability": probability,
            "peak": peaks[t],
            "relus": explanation.relus,
            "seconds": round(seconds, 3),
            "image_size": list(photo.size),
        }
        files = {name: _png(gradient_picture(gradients[name][t], limits[name], base.size)) for name in gradients}
        rows.append(Row(heats[t], files, details))
    return Explained(base, tuple(explanation.maps.shape[1:]), float(heats.max()), tuple(rows))


def panel_files(result: Explained, row: Row, colours: Colours, opacity: float) -> dict[str, bytes]:
    """The PNG files of a row, by their names in PANELS, in its order."""
    gradcam = _png(overlay(result.photo, row.heat, result.peak, colours, opacity))
    return {name: row.gradients.get(name, gradcam) for name in PANELS}


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)  # the default is a third smaller and takes four times as long
    return buffer.getvalue()


def save(data: bytes, name: str) -> str:
    """Put a file where the server may hand it out, and return its path there, which is made of its hash."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, re.sub(r"[^\w.-]+", "_", name))
        file.write_bytes(data)
        # Moves it into place in one step: another visitor may just be fetching the same file.
        return processing_utils.save_file_to_cache(file, utils.get_upload_folder())


def answered(handler: Callable) -> Callable:
    """Turn the errors of an API handler into sentences, and keep everything else of them in the log."""

    @functools.wraps(handler)
    def answer(*args: Any) -> Any:
        try:
            return handler(*args)
        except InputError as error:
            raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None

    return answer


def displayable(path: str | None) -> Any:
    """A photograph that browsers cannot show (TIFF, HEIC) as one that they can; others stay as they are."""
    if path is None or Path(path).suffix.lower() not in (".tif", ".tiff", ".heic", ".heif"):
        return gr.skip()
    try:
        return save(_png(open_photo(path)), "photograph.png")
    except InputError:
        return gr.skip()  # said where the photograph is used


def photo_input(**options: Any) -> gr.Image:
    """An image input that hands on the path of the uploaded file, unopened: `demo.images.open_photo` opens it."""
    image = gr.Image(type="filepath", sources=["upload", "clipboard", "webcam"], **options)
    # Not in a subclass: Gradio writes a file beside the source of every subclass.
    image.preprocess = _uploaded_path
    return image


def _uploaded_path(payload: ImageData | None) -> str | None:
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):
        return processing_utils.save_base64_to_cache(payload.url, utils.get_upload_folder())
    return payload.path


class Shared(NamedTuple):
    """The widgets beside the tabs."""

    photo: gr.Image
    colours: gr.Radio
    opacity: gr.Slider


def shared_column() -> Shared:
    """Build the photograph, the examples and the settings that hold for every tab."""
    photo = photo_input(
        value=FIRST_EXAMPLE,
        label="Photograph",
        placeholder=f"Drop a photograph here,\npaste one, or click to choose\n(at most {MAX_BYTES // 1_000_000} MB)",
        buttons=["fullscreen"],
        height=300,
        elem_id="photo",
        alt_text="The photograph that is explained",
    )
    photo.upload(displayable, photo, photo, api_visibility="private", show_progress="hidden")
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

    examples.select(take_example, None, photo, api_visibility="private", show_progress="hidden")
    with gr.Accordion("Colours", open=False):
        colours = gr.Radio(
            [("even, safe for colour-blind readers (viridis)", COLOURS[0]), ("as in the paper (jet)", COLOURS[1])],
            value=COLOURS[0],
            label="Colours of the Grad-CAM map",
        )
        opacity = gr.Slider(0, 1, 0.5, step=0.05, label="Opacity of the map over the photograph")
    return Shared(photo, colours, opacity)


class PanelRow(NamedTuple):
    """The widgets of one row: a group that can be hidden, a sentence, and three pictures in the order of PANELS."""

    group: gr.Column
    sentence: gr.HTML
    pictures: list[gr.Image]


class Panels(NamedTuple):
    """The widgets that show an `Explained`: two rows, the download, and the state that recolouring needs."""

    rows: tuple[PanelRow, PanelRow]
    download: gr.DownloadButton
    state: gr.State

    def outputs(self) -> list[Any]:
        """The widgets in the order in which `show` gives their values."""
        return [w for row in self.rows for w in (row.group, row.sentence, *row.pictures)] + [self.download, self.state]


def panels() -> Panels:
    """Build two rows of panels, the second hidden."""
    rows = (_panel_row(True), _panel_row(False))
    with gr.Row():
        download = gr.DownloadButton("Download all panels and their numbers (zip)", interactive=False, size="sm")
    return Panels(rows, download, gr.State(time_to_live=3600))


def _panel_row(first: bool) -> PanelRow:
    with gr.Column(visible=first, elem_classes="panel-row") as group:
        sentence = gr.HTML(elem_classes="sentence")
        with gr.Row():
            pictures = []
            for name, title in PANELS.items():
                with gr.Column(min_width=220):
                    pictures.append(
                        gr.Image(
                            label=title,
                            format="png",
                            interactive=False,
                            buttons=["download", "fullscreen"],
                            elem_classes="panel",
                        )
                    )
                    if first:
                        gr.Markdown(CAPTIONS[name], elem_classes="caption")
    return PanelRow(group, sentence, pictures)


def show(result: Explained, colours: Colours, opacity: float) -> list[Any]:
    """Values for `Panels.outputs`."""
    values: list[Any] = []
    files = {}
    for number in range(2):
        if number >= len(result.rows):
            values += [gr.Column(visible=False), None, None, None, None]
            continue
        row = result.rows[number]
        target = row.details["target"]
        pngs = panel_files(result, row, colours, opacity)
        names = {name: f"{target}_{name}.png" for name in PANELS}
        files.update({names[name]: png for name, png in pngs.items()})
        values += [gr.Column(visible=True), sentence(row, result)]
        values += [
            gr.Image(value=save(png, names[name]), alt_text=f"{PANELS[name]} for {target}")
            for name, png in pngs.items()
        ]
    files["details.json"] = json.dumps([row.details for row in result.rows], indent=2).encode()
    name = "_and_".join(row.details["target"] for row in result.rows)
    return [*values, gr.DownloadButton(value=save(_zip(files), f"{name}.zip"), interactive=True), result]


def show_nothing(sentence: str) -> list[Any]:
    """Values for `Panels.outputs` when there is nothing to show, with the reason."""
    empty = [None, None, None]
    said = f"<p role='alert'>{html.escape(sentence)}</p>"
    row = [gr.Column(visible=True), said, *empty, gr.Column(visible=False), None, *empty]
    return [*row, gr.DownloadButton(value=None, interactive=False), None]


def recolour(result: Explained | None, colours: Colours, opacity: float) -> Any:
    """Values for `Panels.outputs` in other colours. No network runs."""
    return show(result, colours, opacity) if result else gr.skip()


def sentence(row: Row, result: Explained) -> str:
    """One line of plain words under a row, as HTML."""
    details = row.details
    target, layer, model = (html.escape(details[name]) for name in ("target", "layer", "model"))
    text = (
        f"Explaining <b>{target}</b>: probability {percent(details['probability'])} (logit {details['score']:.2f}), "
        f"as seen in the {' × '.join(map(str, result.cells))} cells of <b>{layer}</b> of {model}."
    )
    if details["peak"] == 0:
        text += f" <b>No positive evidence for {target} at this layer</b>: the highest value of its map is 0."
    if len(result.rows) > 1:
        text += " Both rows share one scale."
    return f"<p role='status'>{text}</p>"


def percent(probability: float) -> str:
    """A probability for people: 38.0%, or that it is under the last digit."""
    return "under 0.1%" if probability < 0.001 else f"{probability:.1%}"


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def api_outputs() -> list[Any]:
    """Invisible widgets for what every `/explain_...` endpoint returns: the three panels and the details."""
    pictures = [gr.Image(visible=False, format="png", label=name) for name in PANELS]
    return [*pictures, gr.JSON(visible=False, label="details")]
