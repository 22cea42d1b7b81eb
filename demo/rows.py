"""From an explanation to rows of three pictures with their numbers, ready to be shown, saved or sent."""

import html
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from demo.rendering import COLOURS, OPACITY, Colours, gradient_limit, gradient_picture, overlay, panel
from explainers import Explanation

PANELS = {
    "guided_backprop": "Guided Backprop",
    "gradcam": "Grad-CAM",
    "guided_gradcam": "Guided Grad-CAM",
}


@dataclass(frozen=True, eq=False)
class Row:
    """One explained target: what its three pictures are made of.

    Attributes:
        heat: (H, W), the Grad-CAM map, not normalised.
        cells: height and width of the layer's feature maps.
        full: the value that gets the strongest colour in the Grad-CAM picture.
        gradients: PNG files of the panels "guided_backprop" and "guided_gradcam".
        details: task, model, layer, target, score, probability, peak, relus, seconds, image_size, as in the API; then
            score_is ("logit" or "log-probability"), and what else belongs to the task.
    """

    heat: np.ndarray
    cells: tuple[int, ...]
    full: float
    gradients: dict[str, bytes]
    details: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Explained:
    """A photograph and one row for each target.

    Attributes:
        photo: at panel size.
        rows: one for each target; those of one model share the scales of their pictures.
        note: why there is no further row, if there was to be one.
    """

    photo: Image.Image
    rows: list[Row]
    note: str = ""


def make_rows(
    photo: Image.Image,
    explanation: Explanation,
    targets: dict[str, float],
    *,
    task: str,
    model: str,
    layer: str,
    score_is: str,
    seconds: float,
    context: dict[str, Any] | None = None,
) -> Explained:
    """Rows of one explanation; `targets` are the names and probabilities of its scores, in their order.

    `context` is added to the details.
    """
    base = panel(photo)
    heats = explanation.gradcam.cpu().numpy()
    scores, peaks = explanation.scores.tolist(), explanation.maps.amax(dim=(1, 2)).tolist()
    gradients = {
        "guided_backprop": explanation.pixel_gradient.cpu().numpy(),
        "guided_gradcam": explanation.guided_gradcam.cpu().numpy(),
    }
    limits = {name: gradient_limit(gradient) for name, gradient in gradients.items()}
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
            "score_is": score_is,
        } | (context or {})
        files = {name: png(gradient_picture(gradients[name][t], limits[name], base.size)) for name in gradients}
        rows.append(Row(heats[t], tuple(explanation.maps.shape[1:]), max(peaks), files, details))
    return Explained(base, rows)


def row_files(result: Explained, row: Row, colours: Colours, opacity: float) -> dict[str, bytes]:
    """The PNG files of a row, by their names in PANELS and in its order."""
    gradcam = png(overlay(result.photo, row.heat, row.full, colours, opacity))
    return {name: row.gradients.get(name, gradcam) for name in PANELS}


def sentence(result: Explained, row: Row) -> str:
    """Some plain words about a row, as HTML."""
    details = row.details
    target, layer, model = (html.escape(details[name]) for name in ("target", "layer", "model"))
    question = f" as the answer to “{html.escape(details['question'])}”" if "question" in details else ""
    text = (
        f"Explaining <b>{target}</b>{question}: probability {percent(details['probability'])} "
        f"({details['score_is']} {details['score']:.2f}), "
        f"as seen in the {' × '.join(map(str, row.cells))} cells of <b>{layer}</b> of {model}."
    )
    if details["peak"] == 0:
        text += f" <b>No positive evidence for {target} at this layer</b>: the highest value of its map is 0."
    if details["relus"] == 0:
        text += " This network has no ReLU, so Guided Backprop has nothing to guide: it is the plain gradient."
    if len({other.details["model"] for other in result.rows}) > 1:
        own, probability = details["prediction"]
        text += (
            f" Its own prediction is <b>{html.escape(own)}</b>, {percent(probability)}. Each row has its own scale."
        )
    elif len(result.rows) > 1:
        share = details["peak"] / row.full if row.full > 0 else 0
        text += f" Both rows share one scale; the peak of this map is {share:.0%} of the highest."
    return text


def thumbnails(photo: Image.Image, maps: Tensor, peak: float) -> list[Image.Image]:
    """Small Grad-CAM pictures of maps (T, h, w) on the shared scale `peak`, as in the panels' default colours."""
    small = photo.copy()
    small.thumbnail((160, 160))
    cells = maps.cpu().numpy()
    return [overlay(small, heat, peak, COLOURS[0], OPACITY) for heat in cells]


def percent(probability: float) -> str:
    """A probability for people: 38.0%, or that it is under the last digit."""
    return "under 0.1%" if probability < 0.001 else f"{probability:.1%}"


def archive(result: Explained, files: dict[str, bytes]) -> bytes:
    """A zip of the files and of the details of all rows. The same content gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        numbers = json.dumps([row.details for row in result.rows], indent=2).encode()
        for name, data in (files | {"details.json": numbers}).items():
            zipped.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)  # the default is a third smaller and takes four times as long
    return buffer.getvalue()
