"""The demo as its users get it: started by its command, in a process of its own."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect, sync_playwright

ROOT = Path(__file__).parents[1]

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a running demo."""
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", ROOT / "app.py"], cwd=log.parent, stdout=subprocess.PIPE, stderr=output, text=True
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
            process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium, the system's or Playwright's."""
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
        except Error:
            pytest.skip("there is no Chromium")
        yield browser
        browser.close()
