"""The choice of a model: the list, what is said while one is downloaded, and the button that stops the download."""

import html
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from demo.engine import Engine
from demo.errors import InputError
from demo.models import Library
from demo.models.choosing import Choices, Progress
from demo.tabs.frame import QUIET


def models(
    page: gr.Blocks, engine: Engine, task: str, label: str, using: gr.State, nothing: tuple[str, str] | None = None
) -> None:
    """Build the choice of a model, with its download; `nothing` is a first choice that is none.

    The list and `using`, the name of the model in use, differ while a model is being downloaded: that changes only to
    a model that is here.
    """
    library = engine.library
    first = [nothing] if nothing else []
    start = using.value
    choices = Choices(library, task, engine.info)

    def offered() -> list[tuple[str, str]]:
        return [*first, *_offered(library, task)]

    with gr.Column(min_width=260):
        listed = gr.Dropdown(offered(), value=start, label=label, elem_id=f"{task}-{label}".replace(" ", "-"))
        said = gr.HTML(visible=False, elem_classes="download")
        stop = gr.Button("Stop the download", visible=False, size="sm")

    async def pick(name: str, before: str, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        """Wait until the model is here and open, unless something else is chosen meanwhile, which shows itself."""
        quiet = {said: gr.HTML(visible=False), stop: gr.Button(visible=False)}
        async with choices.choose(_session(request), name) as choice:
            try:
                async for progress in choice.progress():
                    shown = gr.HTML(f"<p role='status'>{html.escape(_sentence(progress))}</p>", visible=True)
                    yield {said: shown, stop: gr.Button(visible=not progress.opening)}
                if choice.wanted:
                    yield quiet | {using: name, listed: gr.Dropdown(offered(), value=name)}
                else:  # Gradio empties the outputs of a generator that yields nothing
                    yield {said: gr.skip()} if choice.replaced else quiet
            except InputError as error:
                text = html.escape(f"{error} The demo goes on with {before or 'one model'}.")
                yield quiet | {listed: before, said: gr.HTML(f"<p role='alert'>{text}</p>", visible=True)}

    listed.input(
        pick,
        [listed, using],
        [listed, using, said, stop],
        concurrency_limit=None,
        trigger_mode="multiple",
        **QUIET,
    )

    def give_up(request: gr.Request) -> None:
        choices.stop(_session(request))

    stop.click(give_up, queue=False, **QUIET)
    page.load(lambda: gr.Dropdown(offered()), None, listed, **QUIET)
    if nothing:
        using.change(lambda name: name, using, listed, **QUIET)  # it is also taken away where it is shown


def _offered(library: Library, task: str) -> list[tuple[str, str]]:
    """The models for a task, with their sizes and whether they are here, and the names that they are loaded by."""
    return [
        (
            entry.name
            if entry.shipped
            else f"{entry.name} ({'is here' if entry.is_here() else 'to download'}, {entry.megabytes:.0f} MB)",
            entry.name,
        )
        for entry in library.catalog(task)
    ]


def _sentence(progress: Progress) -> str:
    if progress.opening:
        return f"Opening {progress.name}"
    if not progress.total:
        return f"Asking for {progress.name}"
    return f"Downloading {progress.name}: {progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB"


def _session(request: gr.Request) -> str:
    return str(request.session_hash)
