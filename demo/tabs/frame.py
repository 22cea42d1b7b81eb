"""What all tabs share: the photograph and the examples, and how the events of the page are run."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from demo import examples
from demo.errors import InputError
from demo.images import MAX_BYTES
from demo.server.endpoints import NETWORK
from demo.server.uploads import Upload, displayable, path_of
from demo.server.waiting import opening
from demo.tabs import components
from demo.viewer.page_files import FOLDER, on_event

FIRST_EXAMPLE = examples.path_of(next(iter(examples.EXAMPLES)))

# An event of the page that asks the engine.
ASKING: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"} | NETWORK

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def is_first_example(upload: Upload) -> bool:
    """Whether the photograph is still the one that the page opens with."""
    return upload is not None and Path(upload["path"] or "").name == FIRST_EXAMPLE.name


class Shared(NamedTuple):
    """The photograph beside the tabs, and the camera."""

    photo: gr.Image
    camera: gr.HTML


def shared_column() -> Shared:
    """Build the photograph and the examples, which hold for every tab."""
    photo = gr.Image(
        value=FIRST_EXAMPLE,
        type="filepath",
        sources=["upload", "clipboard"],
        label="Image",
        placeholder=f"Drop an image here,\nor click to choose one\n(at most {MAX_BYTES // 2**20} MB)",
        buttons=["fullscreen"],
        elem_id="photo",
        alt_text="The image that is explained",
    )
    camera = components.drawn_by("intake", ("taken", "unseen", "frame"), {"most": MAX_BYTES}, elem_id="camera")
    pictures = [
        {
            "key": name,
            "label": example.name,
            "url": components.file_of(examples.path_of(name)),
            "thumbnail": f"{FOLDER}/{examples.THUMBNAILS}",
            "place": 100 * place / (len(examples.EXAMPLES) - 1),
        }
        for place, (name, example) in enumerate(examples.EXAMPLES.items())
    ]
    offered = components.choices("Or take one of these", "pictures", value={"items": pictures}, elem_id="examples")

    def take(event: gr.EventData) -> Any:
        """A photograph that was pasted, dropped beside its place, or taken by the camera."""
        with suppress(InputError):  # nothing that was uploaded
            return path_of({"path": components.told(event).get("path")})
        return gr.skip()

    async def show_unseen(upload: Upload) -> Any:
        try:
            return await opening(partial(displayable, upload))
        except InputError:  # too much is asked
            return gr.skip()

    offered.pick(None, None, photo, js=on_event("picked"))
    photo.change(None, photo, None, js=on_event("photographed"))
    camera.taken(take, None, photo, **QUIET)
    camera.unseen(show_unseen, photo, photo, **ASKING | QUIET)
    photo.upload(show_unseen, photo, photo, **ASKING | QUIET)  # a browser shows deep greys, but too dark
    return Shared(photo, camera)
