"""The endpoints of the API: an image and then texts go in, which make a query."""

import asyncio
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from demo.engine import Engine
from demo.errors import InputError
from demo.files import row_files
from demo.query import FAST_METHODS, PANELS, Explain, ExplainResult, ImageFile, Query
from demo.rendering import scales
from demo.server import mcp_tools
from demo.server.uploads import Upload, save, uploaded
from demo.server.waiting import answer, opening
from explainers import METHODS

# What the inputs are, for the page of the API and for assistants.
INPUTS = {
    "image": "the photograph",
    "class_name": "a class that the model knows; empty: the most probable one",
    "caption": "a sentence about the photograph; empty: the model's own",
    "word": "which word of the caption, 0 for the first; -1 or empty: the whole caption",
    "question": "a question about the photograph",
    "answer": "an answer to the question; empty: the most probable one",
    "task": "classification, captioning or vqa",
    "query": "the caption or the question; empty for a class, and for the model's own caption",
    "target": "a class, the index of a word, or an answer; empty: the model's own",
    "method": f"one of {', '.join(METHODS)}",
    "model": "its name in the list of the page; empty: the shipped one",
    "layer": "where Grad-CAM looks, by its name in the list of the page; empty: the model's default",
}

# As many at a time as there are: they wait for the engine, which is fair.
# Without Gradio's own preprocessing: it would open the upload itself, where `demo.images` should.
NETWORK: dict[str, Any] = {"concurrency_limit": None, "preprocess": False}

Ask = Callable[..., Query]  # of a photograph and texts, whose names are those of the endpoint's inputs
Reply = Callable[..., Any]  # of the result and the same texts


@dataclass(frozen=True, eq=False)
class Api:
    """What all endpoints share: the engine, and hidden components that stand for their inputs and outputs, by name.

    One component serves all endpoints that have an input or output of its name: Gradio copies every component of the
    page for every session, and a request by plain HTTP is a session.
    """

    engine: Engine
    asking: gr.Button
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    assistants: bool


def api(engine: Engine, assistants: bool) -> Api:
    """Build the hidden components of the endpoints."""
    image = gr.Image(type="filepath", visible=False, label="image")
    # Gradio does not check it: what is wrong with it gets an error message of ours.
    schema = copy.deepcopy(image.api_info())
    del schema["properties"]["url"]  # no address is fetched
    schema["additional_description"] = "A file of yours, which a client uploads"
    example = {"path": "photo.jpg", "meta": {"_type": "gradio.FileData"}}
    vars(image).update(data_model=None, api_info=lambda: schema, example_inputs=lambda: example)
    texts = {name: gr.Textbox("", visible=False, label=name) for name in INPUTS if name != "image"}
    pictures = {name: gr.Image(visible=False, format="png", label=name) for name in (*PANELS, "picture")}
    said: dict[str, Any] = {
        "label": gr.Label(visible=False, num_top_classes=5, label="label"),
        "caption": gr.Textbox(visible=False, label="caption"),
        "details": gr.JSON(visible=False, label="details"),
    }
    image_text = {mcp_tools.IMAGE: gr.Textbox(visible=False, label="image")} if assistants else {}
    inputs = {"image": image} | image_text | texts
    return Api(engine, gr.Button(visible=False), inputs, pictures | said, assistants)


def endpoint(api: Api, name: str, about: str, ask: Ask, reply: Reply, outputs: Sequence[str]) -> None:
    """Add an endpoint that answers the query which `ask` makes of its inputs.

    Args:
        about: what it is for.
    """

    async def answered(request: gr.Request, upload: Upload, *given: Any) -> Any:
        try:
            return await _replied(api, upload, given, ask, reply)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            _forget_session(request)

    # The API's inputs get their names from here, and an assistant's tool its own.
    takes_request = inspect.signature(answered).parameters["request"]
    signature = inspect.Signature([takes_request, *inspect.signature(ask).parameters.values()])
    _, *inputs = signature.parameters
    vars(answered)["__signature__"] = signature
    answered.__name__, answered.__doc__ = name, _description(about, {given: INPUTS[given] for given in inputs})
    given, returned = [api.inputs[given] for given in inputs], [api.outputs[output] for output in outputs]
    api.asking.click(answered, given, returned, api_name=name, **NETWORK)
    if api.assistants:
        _tool(api, name, about, ask, reply, outputs)


def _tool(api: Api, name: str, about: str, ask: Ask, reply: Reply, outputs: Sequence[str]) -> None:
    """Add the tool for assistants that answers as an endpoint does, with all its pictures side by side in one."""

    async def used(image: str, *given: Any) -> Any:
        try:
            upload = await opening(partial(mcp_tools.upload_of, str(image)))
            replied = await _replied(api, upload, given, ask, reply)
            return await asyncio.to_thread(mcp_tools.with_one_picture, replied)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    inputs = inspect.signature(ask).parameters
    described = {given: INPUTS[given] for given in inputs} | {"image": mcp_tools.IMAGE_INPUT}
    vars(used)["__signature__"] = inspect.Signature([*inputs.values()])
    used.__name__, used.__doc__ = name, _description(about, described)
    given = [api.inputs[mcp_tools.IMAGE if name == "image" else name] for name in inputs]
    returned = ["picture", "details"] if len(outputs) > 1 else outputs
    # Outside the queue Gradio sends pictures as such, also to clients that do not follow the progress.
    api_name = mcp_tools.PREFIX + name
    api.asking.click(
        used, given, [api.outputs[output] for output in returned], api_name=api_name, queue=False, **NETWORK
    )


async def _replied(api: Api, upload: Upload, given: Sequence[Any], ask: Ask, reply: Reply) -> Any:
    """Answer the query that `ask` makes of an upload and texts.

    Raises:
        InputError: as of `uploaded`, `ask` and the engine.
    """
    texts = ["" if text is None else str(text) for text in given]
    result = await answer(api.engine, lambda: ask(uploaded(upload), *texts))
    return await asyncio.to_thread(reply, result, *texts)


def _description(about: str, inputs: Mapping[str, str]) -> str:
    return f"{about}\nArgs:\n" + "\n".join(f"{name}: {text}" for name, text in inputs.items())


def _forget_session(request: gr.Request) -> None:
    """Drop the copy of the page, half a megabyte, that Gradio keeps for each request of plain HTTP."""
    if "/call/" in request.url.path:  # a browser and `gradio_client` have one for all their requests
        sessions = request.app.state_holder
        sessions.session_data.pop(request.session_hash, None)
        sessions.time_last_used.pop(request.session_hash, None)


def label_endpoint(api: Api, name: str, about: str, ask: Ask) -> None:
    """Add an endpoint that returns the five most probable of what the model says."""
    endpoint(api, name, about, ask, lambda result, *_: result.predictions, ["label"])


def explanation_endpoint(api: Api, name: str, kind: str, ask: Ask) -> None:
    """Add an endpoint that returns the three panels and the details of one explained target of a kind ("class")."""

    def reply(result: ExplainResult, *_: str) -> list[Any]:
        return [*_files(api.engine, result, *PANELS), result.rows[0].details.to_dict()]

    about = f"Where in a photograph a network finds the evidence for {kind}: as three pictures, and numbers."
    endpoint(api, name, about, ask, reply, [*PANELS, "details"])


def method_endpoint(api: Api) -> None:
    """Add `/explain_method`, for any task and method."""

    def ask(image: ImageFile, task: str, query: str, target: str, method: str, model: str, layer: str) -> Explain:
        """One target by one method; the query is the caption or the question."""
        if method not in METHODS:
            raise InputError(f"No method “{method[:80]}”. Methods: {', '.join(METHODS)}.")
        # Those of the panels are found together, and kept.
        methods = FAST_METHODS if method in FAST_METHODS else (method,)
        return Explain(image, task, model, query, targets=(target,), layers=(layer,), methods=methods)

    def reply(result: ExplainResult, _task: str, _query: str, _target: str, method: str, *_: str) -> list[Any]:
        (row,) = result.rows
        peak = float(np.abs(row.pictures[method]).max())
        return [*_files(api.engine, result, method), row.details.to_dict() | {"method": method, "peak": peak}]

    about = "Where in a photograph a network finds the evidence for what it says: as one image of any method."
    endpoint(api, "explain_method", about, ask, reply, ["picture", "details"])


def _files(engine: Engine, result: ExplainResult, *methods: str) -> list[str]:
    """Where the pictures of a result's only row lie."""
    (row,) = result.rows
    files = row_files(engine.open(result.query.image), row, scales([row], methods))
    return [save(data, f"{method}.png") for method, data in files.items()]
