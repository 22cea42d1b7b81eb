"""The page: the photograph at the left, the tabs beside it."""

from pathlib import Path

import gradio as gr

from demo.images import MAX_BYTES
from demo.tabs import classification, frame

TITLE = "Why did you say that?"

# Typing into a list searches it; without this it would be added to the name that stands there.
SELECT_ON_FOCUS = """<script>
document.addEventListener("focusin", ({ target }) => target.matches("input[role=combobox]") && target.select());
</script>"""

# Gradio's default weight for bold, 600, is a font file that holds little but Cyrillic letters.
FONT = gr.themes.LocalFont("Source Sans Pro", weights=(400, 700))

# For `launch`.
LOOK = {
    "head": SELECT_ON_FOCUS,
    "theme": gr.themes.Default(primary_hue="indigo", font=[FONT, "system-ui", "sans-serif"]),
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
