"""The components that the page's script draws, and what they are sent and tell."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from demo.engine import Engine
from demo.query import ImageFile, Row
from demo.server.uploads import save
from demo.tasks.sentence import percent
from demo.viewer import data
from demo.viewer.page_files import on_load


def drawn_by(
    function: str,
    events: tuple[str, ...],
    settings: dict[str, Any] | None = None,
    classes: Sequence[str] = (),
    **more: Any,
) -> gr.HTML:
    """A component that a function of `main.js` draws from its value, and that has these events.

    The settings are in the script's call, because Gradio takes a component's own properties away with `gr.skip`.
    """
    return gr.HTML(
        html_template=f'<div class="{function}"></div>',
        js_on_load=on_load(function, list(events), settings or {}),  # Gradio finds the names of the events here
        apply_default_css=False,
        elem_classes=["drawn", *classes],
        **more,
    )


CHOICES = ("pick", "beside", "drop")  # the events of what can be chosen
NAMES = ("pick", "beside")


def choices(
    heading: str,
    style: str,
    task: str = "",
    *,
    add: bool = False,
    reveal: bool = False,
    headed: bool = False,
    **more: Any,
) -> gr.HTML:
    """Things to click, one stop for the Tab key, as "bars", "chips" or "pictures": the event `pick`.

    Args:
        heading: the name of all.
        task: whose panels' targets are marked as chosen.
        add: whether each has a button that puts it beside what is shown, or takes it away: `beside` and `drop`.
        reveal: whether the page moves to what is new in it.
        headed: whether the heading is seen above them.
        more: as of `gr.HTML`. The value is `{"items": [{"key": ..., "label": ...}]}`, where an item may have a
            `detail`, a `share` of 1 that its bar is long, and a picture of the file in its `url`: a `thumbnail` (the
            address of a sheet of them, and its `place` there in percent), or a `heat` map over the `photo`; and beside
            the items the `current` key, if not what the panels show is marked, what they are `about`, which the events
            tell, and a `note` that stands instead of them.
    """
    settings = {"heading": heading, "style": style, "task": task, "add": add, "reveal": reveal, "headed": headed}
    return drawn_by("choices", CHOICES, settings, **more)


def names(kind: str, example: str, task: str, **more: Any) -> gr.HTML:
    """A box to type the name of a target of a kind ("class", "answer") in: the events `pick` and `beside`.

    The value is what `named` returns.
    """
    return drawn_by("names", NAMES, {"kind": kind, "example": example, "task": task}, **more)


def named(names: Sequence[str], hint: str = "") -> dict[str, str]:
    """The names that half a one is completed to; or with a hint, which then stands in the box, that are proposed."""
    # One text, because Gradio's page copies each item of a list whenever anything on it begins or ends.
    return {"names": "\n".join(names), "hint": hint}


def told(event: gr.EventData) -> dict[str, Any]:
    """What a component tells with an event; a stranger may tell anything."""
    return event._data if isinstance(event._data, dict) else {}


def key_of(event: gr.EventData) -> str:
    """The key of what was clicked."""
    return str(told(event).get("key", ""))


def bars(said: dict[str, float], about: str = "") -> dict[str, Any]:
    """The first five of what a model says, with their probabilities; `about` as of `choices`."""
    return {
        "about": about,
        "items": [
            {"key": name, "label": name, "detail": percent(probability), "share": probability}
            for name, probability in list(said.items())[:5]
        ],
    }


def small_maps(engine: Engine, photo: ImageFile, maps: Iterable[tuple[str, str, Row, float]]) -> dict[str, Any]:
    """Small Grad-CAM pictures to choose: of each the key, the label, the row, and the value drawn strongest."""
    items = [
        {"key": key, "label": label, "heat": data.heat(row.pictures["gradcam"]) | {"shared": scale}}
        for key, label, row, scale in maps
    ]
    return {"items": items, "photo": shown_photo(engine, photo)}


def shown_photo(engine: Engine, photo: ImageFile) -> dict[str, Any]:
    """The photograph as the networks and the panels see it, for a browser to fetch once."""
    file = io.BytesIO()
    # Pixels that differ from the photograph's by less than what the panels may.
    engine.open(photo).save(file, "JPEG", quality=95, subsampling=0)
    return file_of(save(file.getvalue(), "photograph.jpg"))


def file_of(path: str | Path) -> dict[str, Any]:
    """A file in the value of a component, which the browser gets with its `url`."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}
