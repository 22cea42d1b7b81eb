"""Whether the files of the shipped models are whole."""

import json
from pathlib import Path

from safetensors import safe_open

from demo.errors import InputError, first_line
from demo.models import captioning, coattention, resnet50, vqa

FILES = (resnet50.WEIGHTS, *(path for model in (captioning, vqa, coattention) for path in (model.WEIGHTS, model.CARD)))


def require_shipped(files: tuple[Path, ...] = FILES) -> None:
    """Make sure that the files can be read to their ends, without reading all of them.

    Raises:
        InputError: one is missing, cut off, or something else.
    """
    for path in files:
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            else:
                with safe_open(path, "pt"):
                    pass
        except Exception as error:  # whatever a library says of a broken file
            raise InputError(
                f"{path} cannot be read ({first_line(error)}): get it again with `git checkout {path.parent.name}/"
                f"{path.name}`, or download the project anew."
            ) from error
