"""The page: the photograph at the left, the tabs beside it."""

from pathlib import Path

import gradio as gr

from demo.engine import Engine
from demo.images import MAX_BYTES
from demo.tabs import captioning, classification, endpoints, frame, vqa

TITLE = "Why did you say that?"
TABS = {"Classification": classification, "Captioning": captioning, "Question answering": vqa}

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

# Gradio's default weight for bold, 600, is a font file that holds little but Cyrillic letters.
FONT = gr.themes.LocalFont("Source Sans Pro", weights=(400, 700))

LAUNCH = {
    "head": DROPDOWNS,
    "theme": gr.themes.Default(primary_hue="indigo", font=[FONT, "system-ui", "sans-serif"]),
    "css_paths": Path(__file__).with_name("page.css"),
    "max_file_size": MAX_BYTES,
    # Each browser that has a page open is a session: half a megabyte, and the photographs that its tabs show, of about
    # a megabyte at most. A forgotten one is made anew.
    "state_session_capacity": 400,
    "allowed_paths": [str(frame.EXAMPLES_FOLDER)],
    "ssr_mode": False,
}


def build(engine: Engine) -> gr.Blocks:
    """The page with all its tabs and endpoints; no model is loaded."""
    with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(
            f"# {TITLE}\nGrad-CAM shows where in a photograph a network finds the evidence for what it says "
            "([Selvaraju et al., 2017](https://arxiv.org/abs/1610.02391))."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                shared = frame.shared_column()
            with gr.Column(scale=3, min_width=320), gr.Tabs():
                for title, task in TABS.items():
                    with gr.Tab(title) as tab:
                        turned = tab.select(
                            lambda task=task: task.TASK, None, shared.task, api_visibility="private", queue=False
                        )
                        task.tab(page, engine, turned, shared)
        endpoints.method_endpoint(engine)
    return page
