"""The page: the photograph at the left, the tabs beside it."""

from pathlib import Path

import gradio as gr

from demo.images import MAX_BYTES
from demo.tabs import classification, frame

TITLE = "Why did you say that?"

# For `launch`.
LOOK = {
    "theme": gr.themes.Default(primary_hue="indigo"),
    "css_paths": Path(__file__).with_name("page.css"),
    "max_file_size": MAX_BYTES,
    "ssr_mode": False,
}


def build() -> gr.Blocks:
    """The page with all its tabs and endpoints; no model is loaded."""
    with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(
            f"# {TITLE}\nGrad-CAM shows where in a photograph a network finds the evidence for what it says "
            "([Selvaraju et al., 2017](https://arxiv.org/abs/1610.02391))."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                shared = frame.shared_column()
            with gr.Column(scale=3, min_width=320), gr.Tabs(), gr.Tab("Classification"):
                classification.tab(page, shared)
    return page
