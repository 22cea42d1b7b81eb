"""The fixtures of several files: a demo that is started by its command, in a process of its own, and a browser."""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

pytest.register_assert_rewrite("helpers")

from helpers import EXAMPLES, says, started  # noqa: E402

expect.set_options(timeout=60_000)

NEEDED = ("there is no Chromium", "there is no Ray", "wordnet-base is not installed")


def _in_full(report: pytest.TestReport | pytest.CollectReport) -> pytest.TestReport | pytest.CollectReport:
    """With CI=true a test that is skipped for want of what `tests/run` installs has failed."""
    if report.skipped and os.environ.get("CI") == "true" and any(reason in str(report.longrepr) for reason in NEEDED):
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _in_full((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _in_full((yield))


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a demo with the shipped models alone; DEMO_ARGUMENTS can be "--cluster ADDRESS"."""
    folder, arguments = tmp_path_factory.mktemp("server"), os.environ.get("DEMO_ARGUMENTS", "").split()
    with started(folder, *arguments, GRADIO_TEMP_DIR=str(folder / "uploads")) as address:
        yield address


def camera(film: Path) -> list[str]:
    """What makes Chromium play a film instead of a camera: of the page's first example, again and again."""
    photo = (EXAMPLES / "zebra_elephant.jpg").read_bytes()
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
