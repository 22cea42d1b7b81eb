"""What all tabs share: the photograph, the examples and the colours; and the files that the page hands out."""

import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio import processing_utils, utils

from demo.errors import InputError
from demo.images import MAX_BYTES, open_photo
from demo.models import Model
from demo.rendering import COLOURS, OPACITY
from demo.rows import png

EXAMPLES_FOLDER = Path(__file__).parents[2] / "assets" / "examples"
FIRST_EXAMPLE = EXAMPLES_FOLDER / "zebra_elephant.jpg"
EXAMPLES = sorted(EXAMPLES_FOLDER.glob("*.jpg"), key=lambda path: (path != FIRST_EXAMPLE, path))

# One at a time: the network uses all cores, and the last thing that somebody asked for is then answered last.
# Without Gradio's own preprocessing: it would open the upload itself, where `demo.images` should.
NETWORK: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1, "preprocess": False}

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

NOTHING = ("nothing", "")  # to compare with

Upload = dict[str, Any] | None


def photo_path(upload: Upload) -> str:
    """Where an uploaded photograph lies, unopened, from what an image input gives under `NETWORK`.

    Raises:
        InputError: nothing was uploaded, or what is named is not an uploaded file.
    """
    if not upload:
        raise InputError("There is no photograph: choose one first.")
    # A request can name any file of this computer; only those that were uploaded may be opened.
    with suppress(ValueError):  # a null character in the path
        path = Path(upload["path"] or "").resolve()
        if path.is_relative_to(Path(utils.get_upload_folder()).resolve()) and path.is_file():
            return str(path)
    raise InputError("The photograph is not on the server any more: choose it again.")


def is_first_example(upload: Upload) -> bool:
    """Whether the photograph is still the one that the page opens with."""
    return upload is not None and Path(upload["path"] or "").name == FIRST_EXAMPLE.name


def known_layer(model: Model, layer: str) -> str:
    """The layer of that name, or with an empty name the default one.

    Raises:
        InputError: the model has no such layer.
    """
    layer = layer or next(iter(model.layers))
    if layer not in model.layers:
        raise InputError(f"{model.name} has no layer “{layer[:80]}”. Pick one of {', '.join(model.layers)}.")
    return layer


def file_name(text: str) -> str:
    """The text with all that is unusual in the name of a file replaced."""
    return re.sub(r"[^\w.-]+", "_", text)[-80:]


def save(data: bytes, name: str) -> str:
    """Put a file where the server may hand it out, and return its path there, which is made of its hash."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        # Moves it into place in one step: another visitor may just be fetching the same file.
        return processing_utils.save_file_to_cache(file, utils.get_upload_folder())


class Shared(NamedTuple):
    """The widgets beside the tabs, and the task of the tab that is open."""

    task: gr.State
    photo: gr.Image
    colours: gr.Radio
    opacity: gr.Slider


def shared_column() -> Shared:
    """Build the photograph, the examples and the settings that hold for every tab."""
    photo = gr.Image(
        value=FIRST_EXAMPLE,
        type="filepath",
        sources=["upload", "clipboard", "webcam"],
        label="Photograph",
        placeholder=f"Drop a photograph here,\nor click to choose one\n(at most {MAX_BYTES // 2**20} MB)",
        buttons=["fullscreen"],
        height=300,
        elem_id="photo",
        alt_text="The photograph that is explained",
    )
    examples = gr.Gallery(
        [(path, path.stem.replace("_", " ")) for path in EXAMPLES],
        label="Or take one of these",
        columns=4,
        height="auto",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )

    def take_example(event: gr.SelectData) -> Path:
        return EXAMPLES[event.index]

    examples.select(take_example, None, photo, **QUIET)
    photo.upload(displayable, photo, photo, preprocess=False, **QUIET)
    with gr.Accordion("Colours", open=False):
        colours = gr.Radio(
            [("even, safe for colour-blind readers (viridis)", COLOURS[0]), ("as in the paper (jet)", COLOURS[1])],
            value=COLOURS[0],
            label="Colours of the Grad-CAM map",
        )
        opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity of the map over the photograph")
    return Shared(gr.State("classification"), photo, colours, opacity)


def displayable(upload: Upload) -> Any:
    """A photograph that browsers cannot show (TIFF, HEIC) as one that they can; others stay as they are."""
    path = photo_path(upload)
    if Path(path).suffix.lower() not in (".tif", ".tiff", ".heic", ".heif"):
        return gr.skip()
    try:
        return save(png(open_photo(path)), "photograph.png")
    except InputError:
        return gr.skip()  # said where the photograph is used
