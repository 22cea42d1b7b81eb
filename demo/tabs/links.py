"""The address of what is seen: made for whoever wants to send it, and read when the page opens with it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gradio as gr

from demo import examples
from demo.engine import Engine
from demo.errors import InputError
from demo.query import Explain
from demo.tabs.frame import QUIET
from demo.tabs.visits import MOST_ROWS, Given, Visit, Wanted
from demo.tasks import TASKS


def link(engine: Engine, queries: Sequence[Explain]) -> dict[str, Any]:
    """The parameters of the page's address that show this again; of one's own photograph not all."""
    first = queries[0]
    parameters: dict[str, Any] = {
        "task": first.task,
        "model": first.model if first.model != engine.library.default(first.task) else "",
        "layer": first.layers[0],
    }
    if photo := examples.NAMES.get(first.image.sha256):
        targets = [str(query.targets[0]) for query in queries if query.text == first.text]
        parameters = {"photo": photo} | parameters | {"text": first.text, "target": targets}
    return {name: value for name, value in parameters.items() if value}


def linked_photo(request: gr.Request) -> str | None:
    """The file of the example photograph that the address names."""
    name = request.query_params.get("photo", "")
    return str(examples.path_of(name)) if name in examples.EXAMPLES else None


def linked_task(request: gr.Request) -> str | None:
    """The task that the address names, or the tab that has none."""
    task = request.query_params.get("task")
    return task if task in (*TASKS, "lesson", "quiz") else None


def warn(request: gr.Request) -> None:
    """Say on the page what the link refers to and there is not."""
    known = (("photo", "an image", linked_photo(request)), ("task", "a tab", linked_task(request)))
    for name, what, found in known:
        if request.query_params.get(name) and found is None:
            gr.Warning(f"The link refers to {what} that does not exist: this is what the page opens with.")


def read_link(page: gr.Blocks, engine: Engine, task: str, visit: gr.State, using: gr.State) -> gr.events.Dependency:
    """When the page opens, take from its address what a tab is to show: `Visit.wanted`, and a model that is here."""

    def read(given: Given, request: gr.Request) -> Any:
        asked = request.query_params
        if asked.get("task") != task:
            return gr.skip()
        visitor: Visit = given[visit]
        targets = tuple(dict.fromkeys(asked.getlist("target")))[:MOST_ROWS]
        visitor.wanted = Wanted(asked.get("text", ""), targets, asked.get("layer") or None)
        if not (name := asked.get("model")):
            return gr.skip()
        with suppress(InputError):
            if (entry := engine.library.find(task, name)).is_here():
                return entry.name
        gr.Warning("The link refers to a model that is not on this server: choose another under “Model and layer”.")
        return gr.skip()

    return page.load(read, {visit}, using, **QUIET)
