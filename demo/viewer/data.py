"""What the browser is sent to draw: few numbers, as text that the script reads."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from demo.query import Row
from demo.rendering import LEGENDS, gradient_limit, map_limit, scales
from explainers import METHODS

MOST_REACH = 4  # times the value that is drawn strongest


def methods(keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """What stands above and below the panels of the methods."""
    return {key: {"title": METHODS[key].title, "sentence": explained(key)} for key in keys}


def explained(key: str) -> str:
    """What a method's panel shows, and what its colours mean."""
    return METHODS[key].sentence + LEGENDS[METHODS[key].kind]


def pictures(rows: Sequence[Row], keys: Sequence[str]) -> list[dict[str, dict[str, Any]]]:
    """For each of the rows its pictures by method, as the script draws them; rows of one model share a scale.

    Of a picture `limit` is the value that is drawn strongest where it is alone, and `shared` where its row is not. A
    map is sent as it is. A gradient is sent in 255 steps up to its `reach`, at the network's own size; and one that is
    the product of two others that are sent, not at all: it is multiplied where it is drawn.
    """
    models = [row.details.model for row in rows]
    shared = {model: scales([row for row in rows if row.details.model == model], keys) for model in set(models)}
    return [{key: _picture(row, key, shared[row.details.model][key], keys) for key in keys} for row in rows]


def _picture(row: Row, key: str, shared: float, keys: Sequence[str]) -> dict[str, Any]:
    array, method = row.pictures[key], METHODS[key]
    picture: dict[str, Any] = {"kind": method.kind, "shared": shared}
    if method.kind != "gradient":
        return picture | heat(array)
    picture["limit"] = gradient_limit(array)
    if method.product and set(method.product) <= set(keys):
        return picture | {"product": method.product}
    # A weak row beside a strong one is drawn on the scale of that, where its strongest values differ.
    reach = picture["limit"] * min(max(shared / picture["limit"], 1), MOST_REACH) if picture["limit"] > 0 else 0
    share = (array / reach).clip(-1, 1) if reach > 0 else np.zeros_like(array)
    steps = (128 + 127 * share).round().astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    # Of the lossless formats that browsers read the smallest, and in its quickest mode the quickest: 4 ms, 110 KB.
    Image.fromarray(np.ascontiguousarray(steps)).save(file, "WEBP", lossless=True, method=0, quality=0)
    return picture | {"shape": array.shape[1:], "reach": reach, "data": _text(file.getvalue())}


def heat(array: np.ndarray) -> dict[str, Any]:
    """A map (h, w) as numbers."""
    return {"shape": array.shape, "limit": map_limit(array), "data": numbers(array)}


def numbers(array: np.ndarray) -> str:
    """Numbers as text, because Gradio's page copies each item of a list whenever anything on it begins or ends."""
    return _text(np.ascontiguousarray(array, "<f4").tobytes())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
