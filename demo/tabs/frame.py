"""What all tabs share: the photograph, the examples and the colours; and the files that the page hands out."""

import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio import processing_utils, utils

from demo.errors import InputError
from demo.files import png
from demo.images import MAX_BYTES, open_photo, read_upload
from demo.query import Photo, photo_of
from demo.rendering import COLOURS, OPACITY

EXAMPLES_FOLDER = Path(__file__).parents[2] / "assets" / "examples"
FIRST_EXAMPLE = EXAMPLES_FOLDER / "zebra_elephant.jpg"
EXAMPLES = sorted(EXAMPLES_FOLDER.glob("*.jpg"), key=lambda path: (path != FIRST_EXAMPLE, path))

# Many at a time: they wait for the engine, which answers one after the other, or several together.
# Without Gradio's own preprocessing: it would open the upload itself, where `demo.images` should.
NETWORK: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 64, "preprocess": False}

# An event of the page that asks the engine.
ASKING: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"} | NETWORK

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

NOTHING = ("nothing", "")  # to compare with

Upload = dict[str, Any] | None

LARGE = 2**20  # bytes of an upload


def uploaded(upload: Upload) -> Photo:
    """The photograph that an image input gives under `NETWORK`: the file, or if that is large what it is opened as.

    Raises:
        InputError: nothing was uploaded, what is named is not an uploaded file, it is empty or too large, or it is
            large and no picture.
    """
    return _photo(_path(upload))


@lru_cache(32)  # by path, which has the hash of the content in it: all tabs of a visitor share one
def _photo(path: str) -> Photo:
    data = read_upload(path)
    return photo_of(data if len(data) <= LARGE else png(open_photo(data)))


def _path(upload: Upload) -> str:
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


def save(data: bytes, name: str) -> str:
    """Put a file where the server may hand it out, and return its path there, which is made of its hash."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        # This copies it, and then renames the copy into place: another visitor may just be fetching the same file.
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
    pictures = [(path, path.stem.replace("_", " ")) for path in EXAMPLES]
    examples = strip("Or take one of these", value=pictures, columns=4, elem_id="examples")

    def take_example(event: gr.SelectData) -> Path:
        return EXAMPLES[event.index]

    examples.select(take_example, None, photo, **QUIET)
    photo.upload(displayable, photo, photo, **ASKING | QUIET)
    with gr.Accordion("Colours", open=False):
        colours = gr.Radio(
            [("even, safe for colour-blind readers (viridis)", COLOURS[0]), ("as in the paper (jet)", COLOURS[1])],
            value=COLOURS[0],
            label="Colours of the Grad-CAM map",
        )
        opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity of the map over the photograph")
    return Shared(gr.State("classification"), photo, colours, opacity)


def strip(label: str, **more: Any) -> gr.Gallery:
    """Small pictures to click; `more` as of a gallery."""
    return gr.Gallery(label=label, height="auto", allow_preview=False, interactive=False, buttons=[], **more)


def displayable(upload: Upload) -> Any:
    """A photograph that browsers cannot show (TIFF, HEIC) as one that they can; others stay as they are."""
    try:
        path = Path(_path(upload))
        if path.suffix.lower() in (".tif", ".tiff", ".heic", ".heif"):
            return save(png(open_photo(path)), "photograph.png")
    except InputError:
        pass  # said where the photograph is used
    return gr.skip()
