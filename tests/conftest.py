"""The demo as its users get it: started by its command, in a process of its own."""

import asyncio
import base64
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright
from torch import Tensor, nn

from demo.query import Result
from demo.threads import in_a_thread
from evaluation.processes import free_port

ROOT = Path(__file__).parents[1]
T = TypeVar("T")

expect.set_options(timeout=60_000)


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


@pytest.fixture(scope="session")
def server(tmp_path_factory, worker_id) -> Iterator[str]:
    """The address of a demo with the shipped models alone, one for all workers.

    The worker that needs it first starts it, and stops it when no other uses it any more. DEMO_ARGUMENTS can be
    "--cluster ADDRESS".
    """
    run = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    lock, address, users = FileLock(run / "server.lock"), run / "server.address", run / "server.users"
    users.mkdir(exist_ok=True)
    with ExitStack() as own:
        with lock:
            if not address.exists():
                folder, arguments = tmp_path_factory.mktemp("server"), os.environ.get("DEMO_ARGUMENTS", "").split()
                uploads = str(folder / "uploads")
                address.write_text(own.enter_context(started(folder, *arguments, GRADIO_TEMP_DIR=uploads)))
                own.callback(_unused, lock, address, users)
            (users / worker_id).touch()
        yield address.read_text()
        (users / worker_id).unlink()


def _unused(lock: FileLock, address: Path, users: Path) -> None:
    """Wait until no worker uses the server any more, and let none find it from then on."""
    while address.exists():
        with lock:
            if not any(users.iterdir()):
                address.unlink()
        time.sleep(0.1)


def metrics(address: str) -> dict[str, float]:
    """The numbers of `/metrics`, by their names with labels."""
    lines = httpx.get(f"{address}/metrics").raise_for_status().text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def camera(film: Path) -> list[str]:
    """What makes Chromium play a film instead of a camera: of the page's first example, again and again."""
    photo = (ROOT / "assets" / "examples" / "zebra_elephant.jpg").read_bytes()
    film.write_bytes(photo * 2)
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """A Chromium, the system's or Playwright's, with a film instead of a camera.

    Its headless shell, where there is one, opens a page with a third less of the processor's time.
    """
    film = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", *camera(film)],
            )
        except Error:
            pytest.skip("there is no Chromium")
        yield browser
        browser.close()


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    """A page that is still to be opened; what is in it must not complain in the browser's console."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    complaints: list[Any] = []
    page.on("pageerror", lambda error: complaints.append(error))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield page
    page.close()
    assert not complaints


@pytest.fixture
def page(blank: Page, server: str) -> Page:
    """The opened page, with its finished example."""
    blank.goto(server)
    says(blank, "African elephant, ", row=1)
    return blank


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
