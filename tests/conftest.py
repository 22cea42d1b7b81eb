"""Which tests run, and the fixtures of several files: a demo in a process of its own, and a browser with its page."""

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

pytest.register_assert_rewrite("helpers", "samples")

from helpers import (  # noqa: E402
    EXAMPLES,
    Demo,
    address_in,
    at_its_start,
    new_page_of,
    opened,
    running,
    start,
    started,
    stop,
    without_complaints,
)

expect.set_options(timeout=60_000)

NEEDED = ("there is no Chromium", "there is no Ray", "wordnet-base is not installed")
DEMO_ARGUMENTS = os.environ.get("DEMO_ARGUMENTS", "").split()
DEMO, RUNNING = pytest.StashKey[Demo](), "running_demo"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only tests without a demo, a browser or a cluster")
    parser.addoption("--long", action="store_true", help="only the tests marked long")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    os.environ["GRADIO_TEMP_DIR"] = str(config._tmp_path_factory.mktemp("gradio"))  # where pytest tidies up
    config.addinivalue_line("markers", "demo: starts a demo or another slow process, as tests with a browser do.")
    config.addinivalue_line("markers", "long: runs with --long alone.")


def _needs_a_demo(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return bool(item.get_closest_marker("demo") or {"server", "browser", "quiet_demo"}.intersection(fixtures))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    quick, long = config.getoption("quick"), config.getoption("long")
    left_out = {
        item for item in items if bool(item.get_closest_marker("long")) != long or (quick and _needs_a_demo(item))
    }
    config.hook.pytest_deselected(items=list(left_out))
    # Files that take long come first, so that no worker waits for one at the end.
    slow = {item.path for item in items if _needs_a_demo(item)}
    items[:] = sorted((item for item in items if item not in left_out), key=lambda item: item.path not in slow)


# ---- With CI=true a test that is skipped for want of what `tests/run` installs has failed. ----


def _in_full(report: pytest.TestReport | pytest.CollectReport) -> pytest.TestReport | pytest.CollectReport:
    if report.skipped and os.environ.get("CI") == "true" and any(reason in str(report.longrepr) for reason in NEEDED):
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _in_full((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _in_full((yield))


# ---- One demo for all workers: it starts while they collect. ----


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist, before a worker starts."""
    config = node.config
    if config.getoption("quick"):
        return
    if DEMO not in config.stash:
        folder = config._tmp_path_factory.mktemp("server")
        config.stash[DEMO] = start(folder, *DEMO_ARGUMENTS)
    node.workerinput[RUNNING] = str(config.stash[DEMO].log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if (demo := session.config.stash.get(DEMO, None)) and (fault := stop(demo)):
        print(fault)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def server(request, tmp_path_factory) -> Iterator[str]:
    """The address of a demo with the shipped models alone; DEMO_ARGUMENTS can be "--cluster ADDRESS"."""
    if log := getattr(request.config, "workerinput", {}).get(RUNNING):
        yield address_in(Path(log))
        assert "traceback" not in Path(log).read_text().lower()
        return
    with started(tmp_path_factory.mktemp("server"), *DEMO_ARGUMENTS) as address:
        yield address


@pytest.fixture(scope="module", autouse=True)
def engines_end(request) -> Iterator[None]:
    """Close the engines that the tests of a file have made: each has a thread, and in it the memory of its passes."""
    yield
    if made := getattr(request.module, "Engine", None):
        for engine in [thing for thing in gc.get_objects() if type(thing) is made]:
            engine.close()


@pytest.fixture(scope="session")
def quiet_demo(tmp_path_factory) -> Iterator[Demo]:
    """A demo that no other worker uses, for what it counts, logs, keeps and must not tell."""
    from evaluation.fuzz import SECRET

    folder = tmp_path_factory.mktemp("quiet")
    with running(folder, HF_TOKEN=SECRET) as demo:
        yield demo


# ---- A browser ----


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
    """A page that is still to be opened."""
    page = new_page_of(browser)
    with without_complaints(page):
        yield page
    page.close()


@pytest.fixture
def new_page(blank: Page, server: str) -> Page:
    """A page of the test's own that was just opened, with its finished example: most tests can share `page`."""
    return opened(blank, server)


@pytest.fixture(scope="session")
def shared(browser: Browser) -> list[Page]:
    """The page that the tests of this worker share, if there is one."""
    return []


@pytest.fixture
def page(shared: list[Page], browser: Browser, server: str) -> Iterator[Page]:
    """The opened page, with its finished example: that of the test before, brought back to its start."""
    page = shared.pop() if shared else None
    if page:
        with without_complaints(page):
            is_at_its_start = at_its_start(page)
        if not is_at_its_start:
            page.close()
            page = None
    if not page:
        page = opened(new_page_of(browser), server)
    with without_complaints(page):
        yield page
    shared.append(page)
