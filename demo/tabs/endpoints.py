"""The endpoints of the API: an image and then texts go in."""

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from demo.errors import InputError
from demo.rendering import COLOURS, OPACITY
from demo.rows import PANELS, Explained, row_files
from demo.tabs.frame import NETWORK, Upload, photo_path, save


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
