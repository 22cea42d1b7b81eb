"""Live: where a network finds the evidence for a class, in the picture of a camera, frame by frame."""

import base64
from contextlib import suppress
from dataclasses import replace
from typing import Any

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.query import Explain, image_file
from demo.server.waiting import answer
from demo.tabs.components import bars, told
from demo.tabs.frame import ASKING, QUIET
from demo.tabs.visits import Given
from demo.viewer import data

MOST_CHARACTERS = 400_000  # of a frame; one of 320 pixels has about 25,000


def connect(engine: Engine, camera: gr.HTML, model: gr.State) -> None:
    """Answer the frames of the camera with the classes that a model sees, and the map of the first or the chosen one.

    The page sends a frame when the one before is answered, so that none waits. None is kept.
    """

    async def look(given: Given, event: gr.EventData) -> dict[str, Any]:
        frame = told(event)
        text, target = str(frame.get("data", "")), str(frame.get("target", ""))
        # A number alone goes back: Gradio would hand out any file that a value names.
        number = frame["number"] if isinstance(frame.get("number"), int) else 0
        try:
            photo = image_file(_decoded(text))
            ask = Explain(photo, "classification", given[model], targets=(target,), methods=("gradcam",))
            query = replace(ask, precision="bfloat16")
            result = await answer(engine, lambda: query, cache=False)
        except InputError as error:
            return {"number": number, "note": str(error)}
        return bars(result.predictions) | {"number": number, "heat": data.heat(result.rows[0].pictures["gradcam"])}

    camera.frame(look, {model}, camera, trigger_mode="multiple", queue=False, **ASKING | QUIET)


def _decoded(text: str) -> bytes:
    if len(text) <= MOST_CHARACTERS:
        with suppress(ValueError):
            return base64.b64decode(text, validate=True)
    raise InputError("The camera's picture did not arrive: close this and open it again.")
