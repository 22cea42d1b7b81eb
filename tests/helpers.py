"""What tests of several files share: a demo of their own, its page, photographs, engines and networks."""

import asyncio
import base64
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import httpx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from playwright.sync_api import Page, expect
from torch import Tensor, nn

from demo.engine import Engine
from demo.models import Entry, Library
from demo.models.entries import ENTRIES
from demo.query import Photo, Query, Result, photo_of
from demo.threads import in_a_thread
from evaluation.processes import free_port

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "assets" / "examples"
T = TypeVar("T")


# What Python runs at its start: the demo finds no way out of this computer.
NO_WAY_OUT = """
import socket

def refuse(function, place):
    def call(*given, **named):
        host = given[place][0] if isinstance(given[place], tuple) else given[place]
        if host in (None, "", "localhost", "::1") or str(host).startswith(("127.", "0.0.0.0", "/")):
            return function(*given, **named)
        raise ConnectionRefusedError(f"no way out to {host}")
    return call

socket.getaddrinfo = refuse(socket.getaddrinfo, 0)
socket.socket.connect = refuse(socket.socket.connect, 1)
socket.socket.connect_ex = refuse(socket.socket.connect_ex, 1)
"""


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """The address of a demo that runs with the models in `folder` and without any connection to elsewhere."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(NO_WAY_OUT)
    homes = {"HF_HOME": folder / "hf", "TORCH_HOME": folder / "torch", "PYTHONPATH": folder / "site"}
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            # Gradio's own search for a port is a race between demos that start together.
            [sys.executable, "-u", ROOT / "app.py", "--port", str(free_port()), *arguments],
            cwd=folder,
            env=os.environ | {name: str(path) for name, path in homes.items()} | environment,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
        try:
            for line in process.stdout:
                if found := re.search(r"http://[\d.:]+", line):
                    yield found[0]
                    break
            else:
                pytest.fail(f"The demo did not start:\n{log.read_text()}")
        finally:
            process.terminate()
            ended = process.wait()
    assert "traceback" not in log.read_text().lower(), log.read_text()
    assert ended == 0, log.read_text()


def metrics(address: str) -> dict[str, float]:
    """The numbers of `/metrics`, by their names with labels."""
    lines = httpx.get(f"{address}/metrics").raise_for_status().text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def assert_same(found: Result, expected: Result) -> None:
    """That an answer of another process is the one of this: one thread adds up in another order than two."""
    assert found.query == expected.query
    assert found.query.photo.data == expected.query.photo.data
    assert list(found.said) == list(expected.said)
    for row, other in zip(found.rows, expected.rows, strict=True):
        timed = {"seconds", "score", "probability", "peak", "gradcam_seconds", "prediction"}
        assert {k: v for k, v in row.details.items() if k not in timed} == {
            k: v for k, v in other.details.items() if k not in timed
        }
        assert row.details["score"] == pytest.approx(other.details["score"], rel=1e-4, abs=1e-4)
        assert row.pictures.keys() == other.pictures.keys()
        for key, picture in row.pictures.items():
            assert np.abs(picture - other.pictures[key]).mean() <= 1e-3 * np.abs(other.pictures[key]).max(), key


@contextmanager
def runs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of a layer's runs in this thread; those of an engine that is still at work are not among them."""
    outputs: list[Tensor] = []
    thread = threading.get_ident()

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if threading.get_ident() == thread:
            outputs.append(output)

    with layer.register_forward_hook(keep):
        yield outputs


def in_a_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives; in a thread of its own, as a browser's loop runs in this one."""
    return in_a_thread("loop", lambda: asyncio.run(coroutine)).result()


def says(page: Page, text: str, row: int = 0) -> None:
    """Wait until the sentence of a row of panels, or the note above the rows, contains this."""
    expect(page.locator(".panel-row .sentence:visible, .rows .note:visible").nth(row)).to_contain_text(text)


def drawn(page: Page, row: int = 0) -> list[np.ndarray]:
    """The pictures of a row of panels as the browser drew them, uint8 (H, W, 3)."""
    canvases = page.locator(".panel-row:visible").nth(row).locator(".panel canvas[role=img]")
    urls = canvases.evaluate_all("found => found.map(canvas => canvas.toDataURL())")
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")) for url in urls]


def differ(some: list[np.ndarray], others: list[np.ndarray]) -> list[bool]:
    """Which of the pictures are not the same."""
    return [not np.array_equal(a, b) for a, b in zip(some, others, strict=True)]


def name_another(page: Page, name: str, *, beside: bool = False) -> None:
    """Type the name of a class or answer, to explain it alone or beside what is shown."""
    page.get_by_label("Another").locator("visible=true").fill(name)
    page.get_by_role("button", name="+ Compare" if beside else "Explain").locator("visible=true").last.click()


def take(page: Page, example: str) -> None:
    """Choose one of the example photographs."""
    page.locator(f"#examples [data-key='{example}']").click()


def photo(name: str) -> Photo:
    return photo_of((EXAMPLES / f"{name}.jpg").read_bytes())


ZEBRA = Query(photo("zebra_elephant"), "classification", targets=("",))


QUERIES = [
    ZEBRA,
    Query(photo("dog"), "captioning", targets=("",)),
    Query(photo("dog"), "vqa", text="What animal is this?", targets=("", "cat")),
    Query(photo("dog"), "captioning", text="a dog", targets=(-1, 0, 1), methods=("gradcam",)),
    Query(photo("cat"), "classification"),
]


class Slow:
    """A model that holds up the networks until it may go on."""

    name, batch, score_is = "Slow", 1, "logit"
    layers: ClassVar[dict] = {"layer": None}

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def known(self, target: str) -> str:
        return target

    def prepare(self, _photo: Image.Image) -> torch.Tensor:
        self.begun.set()
        assert self.go_on.wait(30)
        return torch.zeros(1, 3, 8, 8)

    def encode(self, images: torch.Tensor, _texts: list[str]) -> list[torch.Tensor]:
        return [images]

    def say(self, _image: torch.Tensor, _text: str) -> dict[str, float]:
        return {"nothing": 1.0}


class Held:
    """An engine whose networks are busy while the block runs."""

    def __init__(self) -> None:
        self.slow = Slow()
        entries = {task: list(offered) for task, offered in ENTRIES.items()}
        entries["classification"].append(Entry("Slow", 0.0, lambda *_: self.slow))
        self.engine = Engine(Library(entries=entries))
        for task in entries:  # what is asked of an open model waits at once
            self.engine.about(task, "").result(30)

    def __enter__(self) -> Engine:
        self.running = self.engine.ask(Query(photo("rocket"), "classification", "Slow"))
        assert self.slow.begun.wait(30)
        return self.engine

    def __exit__(self, *_: object) -> None:
        self.slow.go_on.set()


RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def corner(width: int = 64, height: int = 48) -> Image.Image:
    """A blue picture whose upper left quarter is red."""
    picture = Image.new("RGB", (width, height), BLUE)
    picture.paste(RED, (0, 0, width // 2, height // 2))
    return picture


def assert_corner(photo: Image.Image, size: tuple[int, int] = (64, 48), tolerance: int = 8) -> None:
    assert (photo.mode, photo.size) == ("RGB", size)
    for x, y, colour in [(1, 1, RED), (3, 1, BLUE), (1, 3, BLUE), (3, 3, BLUE)]:
        pixel = photo.getpixel((size[0] * x // 4, size[1] * y // 4))
        assert pixel == pytest.approx(colour, abs=tolerance), (x, y)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


BOMB = "more than 50 million pixels. Make it smaller and upload it again"  # said of files that hold no pixel to decode


OTHER = "not an image that can be opened here. Save it as JPEG or PNG"


RELUS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, 0, 6),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "threshold": lambda x: F.threshold(x, 0, 0),
}


def footprint(model: nn.Module) -> list:
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        [(p.requires_grad, p.grad) for p in model.parameters()],
        [
            (id(m), m.training, [dict(d) for name, d in vars(m).items() if name.endswith("_hooks")])
            for m in model.modules()
        ],
    ]
