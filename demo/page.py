"""The page: the photograph at the left, the tabs beside it."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like

from demo import examples
from demo.engine import MAX_WAITING, Engine
from demo.errors import ADDRESS, FAILED, UNFIT
from demo.images import MAX_BYTES
from demo.server import endpoints
from demo.server.uploads import is_kept
from demo.tabs import captioning, classification, frame, lesson, links, quiz, vqa
from demo.viewer import page_files
from demo.viewer.page_files import on_event

FOLDER = Path(__file__).parent
TITLE = "Why did you say that?"
TABS = {"Classification": classification, "Captioning": captioning, "Question answering": vqa}  # of the tasks

# Two mends for Gradio's dropdowns: typing searches instead of adding to the name that stands there, and the list
# does not stay open when the box is left by keyboard.
DROPDOWNS = """<script>
const listOf = (box) => document.getElementById(box.getAttribute("aria-controls"));
document.addEventListener("focusin", ({ target }) => {
  if (!target.matches("input[role=combobox]")) return;
  target.select();
  listOf(target)?.style.removeProperty("display");
});
document.addEventListener("focusout", ({ target }) => {
  if (!target.matches("input[role=combobox]")) return;
  setTimeout(() => document.activeElement === target || listOf(target)?.style.setProperty("display", "none"), 200);
});
</script>"""

HEADER = f"""<a class="skip" href="#result">Skip to the result</a>
<h1>{TITLE}</h1>
<p>Grad-CAM shows where in an image a model finds the evidence for what it predicts
(<a href="https://arxiv.org/abs/1610.02391">Selvaraju et al., 2017</a>).</p>"""

# Gradio's default weight for bold, 600, is a font file that holds little but Cyrillic letters.
FONT = gr.themes.LocalFont("Source Sans Pro", weights=(400, 700))

LONGEST_PATH = 1000  # characters, more than an upload has

LAUNCH = {
    "head": DROPDOWNS + page_files.head(),
    "theme": gr.themes.Default(primary_hue="indigo", font=[FONT, "system-ui", "sans-serif"]),
    "css_paths": [
        FOLDER / "page.css",
        *(FOLDER / "viewer" / name for name in ("viewer.css", "lesson.css", "quiz.css")),
    ],
    "max_file_size": MAX_BYTES,
    # Each browser that has a page open is a session: half a megabyte, and the photographs that its tabs show, of about
    # a megabyte at most. One that is not open may be forgotten and is made anew: see demo.server.sessions.
    "state_session_capacity": 400,
    # As many events at a time: they wait for the engine, which says when it is too much.
    "max_threads": MAX_WAITING + 100,
    "allowed_paths": [str(examples.FOLDER)],
    "ssr_mode": False,
    "enable_monitoring": False,
    # It would keep visitors' photographs, in their browsers, and ask the hub with the token of whoever hosts the demo.
    "run_history": False,
}


class _Page(gr.Blocks):
    """Whatever goes wrong in one of its events is told in a sentence, where Gradio would tell nothing."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *given: Any, **named: Any) -> Any:
        try:
            refused = _refused(inputs)
            if not refused:
                inputs = [_without_lost_file(value) for value in inputs]
                return await super().preprocess_data(block_fn, inputs, *given, **named)
        except Exception:  # an input too few, a choice that there is not, a file that nobody uploaded
            refused = UNFIT
        raise gr.Error(refused, print_exception=False)

    async def process_api(self, *given: Any, **named: Any) -> Any:
        try:
            return await super().process_api(*given, **named)
        except gr.Error:
            raise
        except Exception as error:  # Gradio prints it
            raise gr.Error(FAILED) from error


def _refused(inputs: Any) -> str:
    """Why a file among the inputs is refused, or "": Gradio would fetch an address, and fails at a long path."""
    if isinstance(inputs, dict):
        path = inputs.get("path")
        if is_http_url_like(path or inputs.get("url")):
            return ADDRESS
        if isinstance(path, str) and len(path) > LONGEST_PATH:
            return UNFIT
        inputs = list(inputs.values())
    return next(filter(None, map(_refused, inputs)), "") if isinstance(inputs, list) else ""


def _without_lost_file(value: Any) -> Any:
    """An upload, without its path if that is not on the server: the handler then says so, where Gradio would not."""
    is_file = isinstance(value, dict) and "meta" in value and isinstance(value.get("path"), str)
    return {"path": None, "meta": value["meta"]} if is_file and not is_kept(value["path"]) else value


def build(engine: Engine, assistants: bool = False) -> gr.Blocks:
    """The page with all its tabs and endpoints, and tools for assistants if there are any; no model is loaded."""
    with _Page(title=TITLE, fill_width=True, analytics_enabled=False) as page:
        gr.HTML(HEADER, elem_id="title")
        api = endpoints.api(engine, assistants)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                shared = frame.shared_column()
            with gr.Column(scale=3, min_width=320, elem_id="result"), gr.Tabs() as tabs:
                visits = []
                # Rendered at once, because Gradio's page loses what is sent to what it has not rendered.
                for title, task in TABS.items():
                    with gr.Tab(title, id=task.TASK, render_children=True):
                        visits.append(task.tab(page, engine, shared, api))
                with gr.Tab("How it works", id=lesson.TASK, render_children=True):
                    lesson.tab(engine, shared, visits)
                with gr.Tab("Quiz", id=quiz.TASK, render_children=True):
                    quiz.tab(engine)
        endpoints.method_endpoint(api)
        page.load(_open_link, None, [shared.photo, tabs], **frame.QUIET)
        page.load(None, None, shared.photo, js=on_event("restored"))
    return page


def _open_link(request: gr.Request) -> tuple[Any, Any]:
    """The photograph and the tab that the address asks for."""
    links.warn(request)
    photo = links.linked_photo(request)
    task = links.linked_task(request)
    return photo or gr.skip(), gr.Tabs(selected=task) if task else gr.skip()
