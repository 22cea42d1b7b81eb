"""The demo in a process of its own and its page, as tests of several files use them. Imports nothing that is slow."""

import asyncio
import base64
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Error, Page, expect

from evaluation.load import free_port

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "assets" / "examples"
START_SECONDS, ANSWER_SECONDS = 300, 60
# What would do something if it became part of a page.
MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
)
T = TypeVar("T")


# Python runs this at its start: the demo finds no way out of this computer.
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


class Demo(NamedTuple):
    """A demo that was started in a folder, with `log`, to which it prints everything, and `uploads`."""

    process: subprocess.Popen
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    @property
    def address(self) -> str:
        return address_in(self.log, process=self.process)

    def files(self) -> set[Path]:
        return {path for path in self.uploads.rglob("*") if path.is_file()}


def start(folder: Path, *arguments: str, **environment: str) -> Demo:
    """Start a demo with the models in `folder`, without an internet connection, and do not wait for it."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(NO_WAY_OUT)
    homes = {"HF_HOME": folder / "hf", "TORCH_HOME": folder / "torch", "PYTHONPATH": folder / "site"}
    homes["GRADIO_TEMP_DIR"] = folder / "uploads"
    with (folder / "log").open("w") as output:
        process = subprocess.Popen(
            # Gradio's own search for a port is a race between demos that start together.
            [sys.executable, "-u", ROOT / "app.py", "--port", str(free_port()), *arguments],
            cwd=folder,
            env=os.environ | {name: str(path) for name, path in homes.items()} | environment,
            stdout=output,
            stderr=output,
        )
    return Demo(process, folder)


def address_in(log: Path, *, process: subprocess.Popen | None = None) -> str:
    """Return the address of a demo as soon as it prints that it listens there."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and (process is None or process.poll() is None):
        if found := re.search(r"http://[\d.:]+(?=\s)", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise RuntimeError(f"The demo did not start:\n{log.read_text()}")


def stop(demo: Demo) -> str:
    """Stop a demo. Returns what it printed if it did not end as it should, otherwise an empty text."""
    demo.process.terminate()
    ended, printed = demo.process.wait(), demo.log.read_text()
    return f"The demo ended with {ended}:\n{printed}" if ended or "traceback" in printed.lower() else ""


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Demo]:
    """A demo that listens, and is stopped at the end; see `start`."""
    demo = start(folder, *arguments, **environment)
    try:
        assert demo.address
        yield demo
    finally:
        fault = stop(demo)
    assert not fault, fault


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """The address of a running demo."""
    with running(folder, *arguments, **environment) as demo:
        yield demo.address


def metrics(address: str) -> dict[str, float]:
    """The numbers of `/metrics`, by their names with labels."""
    lines = httpx.get(f"{address}/metrics").raise_for_status().text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def in_a_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives; in a thread of its own, as a browser's loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


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


def assert_unhurt(page: Page) -> None:
    """That none of `MARKUP` has become part of the page; the page's fixtures see dialogs and errors."""
    assert page.locator("[onerror], [src=x], svg[onload], a[href^=javascript]").count() == 0


def take(page: Page, example: str) -> None:
    """Choose one of the example photographs."""
    page.locator(f"#examples [data-key='{example}']").click()


def upload(page: Page, path: Path) -> None:
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").click()
        says(page, "Drop an image anywhere on this page")
    page.locator("#photo input[type=file]").set_input_files(path)


def own_photograph(page: Page) -> None:
    upload(page, EXAMPLES.parent / "recording.webp")
    expect(page).not_to_have_url(re.compile("photo="))
    expect(page.locator(".panel-row:visible")).to_have_count(1)


def opened(page: Page, address: str) -> Page:
    """Open the demo's page and wait for its finished example."""
    page.goto(address)
    says(page, "African elephant, ", row=1)
    return page


# Count the events that the page has asked Gradio's server for and that have no answer yet. Whether the stream of
# answers is open says nothing: Gradio's script opens one for an event whose answer has overtaken its number.
COUNT_UNANSWERED = """
const fetch = window.fetch, joined = new Set(), completed = new Set();
let joining = 0;
window.forgetAnswers = () => joined.clear();
window.countUnanswered = () => joining + [...joined].filter((event) => !completed.has(event)).length;

// Reads what passes through, before Gradio's script has it: that may end the stream with the answer.
function noting() {
  const decoder = new TextDecoder();
  let text = "";
  return new TransformStream({
    transform(part, controller) {
      const messages = (text + decoder.decode(part, { stream: true })).split("\\n\\n");
      text = messages.pop();
      for (const message of messages) {
        const { msg, event_id } = JSON.parse(message.slice("data:".length));
        if (msg === "process_completed") completed.add(event_id);
      }
      controller.enqueue(part);
    },
  });
}

window.fetch = async (...request) => {
  const address = String(request[0].url ?? request[0]), joins = address.includes("/queue/join");
  joining += joins;
  try {
    const response = await fetch(...request);
    if (joins) joined.add((await response.clone().json()).event_id);
    if (!address.includes("/queue/data")) return response;
    return new Response(response.body.pipeThrough(noting()), response);
  } finally {
    joining -= joins;
  }
};
"""


def new_page_of(browser: Browser) -> Page:
    """Open an empty page in a new context, in which `answered` can count what is unanswered."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(f"(() => {{{COUNT_UNANSWERED}}})()")
    return page


@contextmanager
def without_complaints(page: Page) -> Iterator[Page]:
    """The page while tests use it; nothing in it may fail or open a dialog."""
    complaints: list[Any] = []
    listeners = {
        "pageerror": lambda error: complaints.append(error),
        "dialog": lambda dialog: complaints.append(dialog.message),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield page
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    assert not complaints


@contextmanager
def answered(page: Page) -> Iterator[None]:
    """Afterwards wait until the page has all the answers that it asked for, and drew them."""
    page.evaluate("window.forgetAnswers?.()")
    yield
    quiet, end = 0, time.monotonic() + ANSWER_SECONDS
    while quiet < 3:  # a question can follow an answer, a little later
        page.wait_for_timeout(100)
        quiet = 0 if page.evaluate("countUnanswered()") else quiet + 1
        assert time.monotonic() < end, "A question of the page has no answer."


def violations(page: Page, *scope: Any, **options: Any) -> list[dict[str, Any]]:
    """What axe finds on a page, or in a part of it, in its final colours: not in the midst of a transition."""
    page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")
    still = page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
    found: list[dict[str, Any]] = Axe().run(page, *scope, **options).response["violations"]
    still.evaluate("element => element.remove()")
    return found


# Undo what tests change except what is explained, and forget the address, which is written when the rows are there.
TIDY = """() => {
  const set = (input, value) => {
    if (input.value === value) return;
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.offsetParent);
  for (const ticked of document.querySelectorAll(".compare input:checked")) ticked.click();
  for (const ticked of shown("[type=checkbox]:checked")) {
    // "uniform" remembers a separate opacity.
    for (const opacity of shown(".toolbar [data-setting=opacity]")) set(opacity, "0.5");
    ticked.click();
  }
  for (const pressed of document.querySelectorAll(".toolbar [aria-pressed=true]")) pressed.click();
  for (const colours of shown(".toolbar select")) set(colours, colours.options[0].value);
  for (const opacity of shown(".toolbar [data-setting=opacity]")) set(opacity, "0.8");
  for (const fold of document.querySelectorAll("details[open]")) fold.open = false;
  for (const fold of shown(".label-wrap.open")) fold.click();
  for (const box of shown("[aria-label^=Another], .names input")) set(box, "");
  document.body.classList.remove("dark");
  document.activeElement?.blur();
  scrollTo(0, 0);
  history.replaceState(null, "", "?");
}"""
START = re.compile(r"photo=zebra_elephant&task=classification&layer=\w+&target=zebra&target=African\+elephant$")


def at_its_start(page: Page) -> bool:
    """Bring a page that a test has used back to what it opens with, without opening it again.

    Its model and its layer stay, and that somebody chose a scale or an example: who changes the model, or tests what
    a tab opens with, takes `new_page`. Returns False if that fails, or the layer is another one.
    """
    page.unroute_all()
    page.context.set_offline(False)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.keyboard.press("Escape")
    with answered(page):  # or a look that the tab takes would come in the midst of the test
        page.get_by_role("tab", name="Classification").click()
        page.evaluate(TIDY)
        take(page, "zebra_elephant")
    try:
        page.wait_for_url(START, timeout=10_000)
    except Error:
        return False
    page.mouse.move(0, 0)
    return "layer=layer4&" in page.url and page.locator(".panel-row:visible").count() == 2
