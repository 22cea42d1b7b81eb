"""A film for Chromium's camera, made from the example photographs."""

import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from demo.tabs.examples import EXAMPLES, path_of

SIZE = (640, 480)
FRAMES = 45  # of each photograph, at 30 a second; it moves to the left meanwhile


def film(folder: Path) -> Path:
    """The examples one after another, each moving slowly, as Motion JPEG."""
    frames = []
    for name in list(EXAMPLES)[:6]:
        photo = ImageOps.fit(Image.open(path_of(name)).convert("RGB"), (SIZE[0] + FRAMES, SIZE[1]))
        for left in range(FRAMES):
            buffer = io.BytesIO()
            photo.crop((left, 0, left + SIZE[0], SIZE[1])).save(buffer, "JPEG", quality=90)
            frames.append(buffer.getvalue())
    file = folder / "film.mjpeg"
    file.write_bytes(b"".join(frames))
    return file


def camera(file: Path) -> dict[str, Any]:
    """How Playwright launches a Chromium that plays a film instead of a camera."""
    return {
        "executable_path": shutil.which("chromium"),
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={file}",
        ],
    }
