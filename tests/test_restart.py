"""A demo that is stopped and started again leaves nothing of its users behind; their pages say what is lost."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.client import Job
from gradio_client.exceptions import AppError
from helpers import (
    EXAMPLES,
    Demo,
    answered,
    metrics,
    new_page_of,
    opened,
    own_photograph,
    running,
    says,
    without_complaints,
)
from playwright.sync_api import Page, Request, expect

from demo.server.uploads import GONE
from evaluation.load import free_port, photograph

NAMES = ("dog", "cat", "bison", "coffee", "fruit", "rocket", "palace", "kitten")


class Before(NamedTuple):
    """What the demo before the restart had to do: requests under way, and pages.

    `visitor` has a photograph of their own; `teacher` has opened the quiz's room `code`, where `student` is.
    """

    jobs: list[Job]
    visitor: Page
    teacher: Page
    student: Page
    code: str


def open_until_no_stream_is_left(page: Page, address: str) -> None:
    """Open a page whose stream of events is closed when all are answered.

    Gradio's script sometimes opens one for an event that is answered already, and never closes it. It breaks
    when the demo stops, and the script then waits for the next answer in it for ever.
    """
    streams: set[Request] = set()
    page.on("request", lambda request: streams.add(request) if "queue/data" in request.url else None)
    for event in ("requestfinished", "requestfailed"):
        page.on(event, lambda request: streams.discard(request))
    for _ in range(10):
        page.goto(address)
        with answered(page):
            expect(page.locator(".answers button").first).to_be_visible()
        for _ in range(20):
            if not streams:
                return
            page.wait_for_timeout(100)
    raise AssertionError("a stream was left each time")


def begin(demo: Demo, folder: Path, visitor: Page, teacher: Page, student: Page) -> Before:
    student.set_viewport_size({"width": 390, "height": 844})
    teacher.goto(f"{demo.address}?task=quiz")
    expect(teacher.locator(".quiz figure canvas")).to_have_count(1)
    teacher.get_by_role("button", name="Open a room").click()
    code = teacher.locator(".banner .code").inner_text()
    open_until_no_stream_is_left(student, f"{demo.address}?task=quiz&room={code}")
    expect(student.locator(".votes h2")).to_have_text(f"Room {code}: 0 votes")
    expect(student.locator(".answers button").first).to_be_visible()
    opened(visitor, demo.address)
    own_photograph(visitor)

    assert httpx.get(f"{demo.address}/health").json() == {"healthy": True}
    client, before = Client(demo.address, verbose=False), demo.files()
    client.predict(handle_file(photograph(folder, 1, (500, 380))), "", "", "", api_name="/explain_class")
    assert len(demo.files() - before) == 1 + 3
    jobs = [client.submit(handle_file(EXAMPLES / f"{name}.jpg"), "", api_name="/classify") for name in NAMES]
    while metrics(demo.address)["demo_waiting"] == 0:
        time.sleep(0.01)
    return Before(jobs, visitor, teacher, student, code)


@pytest.fixture(scope="module")
def restarted(browser, tmp_path_factory) -> Iterator[tuple[Demo, Before]]:
    """A demo that runs where another one was stopped; that exited with 0, and left only what it had brought itself.

    The proxy in its environment is not asked for the demo itself. That of a university answers 503 for addresses of
    this computer; here nothing listens at all.
    """
    folder, port = tmp_path_factory.mktemp("restarted"), ("--port", str(free_port()))
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), f"http://127.0.0.1:{free_port()}")
    environment = {"no_proxy": "example.org", "NO_PROXY": "example.org"} | proxies
    pages = [new_page_of(browser) for _ in range(3)]
    with ExitStack() as watched:
        for page in pages:
            watched.enter_context(without_complaints(page))
        with running(folder, *port, **environment) as demo:
            of_the_page = demo.files()
            before = begin(demo, folder, *pages)
        assert not [path.name for path in demo.files() - of_the_page]
        with running(folder, *port, **environment) as demo:
            yield demo, before
    for page in pages:
        page.close()


def test_what_has_begun_is_finished_and_the_rest_is_refused_with_a_sentence(restarted):
    told = []
    for job in restarted[1].jobs:
        try:
            told.append(job.result()["label"])
        except AppError as error:
            told.append(str(error))
        except (httpx.TransportError, CancelledError):  # asked too late
            told.append("")
    refused = "The demo is being stopped: try again in a few minutes."
    assert [said for said in told if said not in ("", refused)]


def test_a_class_hears_that_its_room_is_gone(restarted):
    _, _, teacher, student, code = restarted[1]
    expect(teacher.locator(".votes .note")).to_contain_text(f"Room {code} and its votes are gone")
    expect(teacher.locator(".answers button").first).to_be_visible()
    expect(teacher.locator(".votes .note")).to_be_visible()
    student.locator(".answers button").first.click()
    expect(student.locator(".quiz .note")).to_contain_text("Your last answer was not counted")
    expect(student.locator(".quiz .note")).to_contain_text(f"Room {code} and its votes are gone")
    expect(student.locator(".quiz .note")).to_be_in_viewport()
    teacher.get_by_role("button", name="Open a room").click()
    expect(teacher.locator(".banner .code")).not_to_have_text(code)


def test_an_image_that_is_lost_is_said_so_once_and_the_first_example_takes_its_place(restarted):
    demo, (_, page, *_) = restarted
    page.locator(".choices.bars .pick:visible").nth(1).click()
    expect(page.locator(".intake > .note")).to_have_text(GONE)
    says(page, "zebra, ")
    expect(page.locator(".toast-body", has_text="does not fit")).to_have_count(0)
    page.reload()
    says(page, "zebra, ")
    expect(page.locator(".intake > .note")).to_be_hidden()
    expect(page.locator(".toast-body")).to_have_count(0)
    # Nor is one there that is lost while no page is open.
    own_photograph(page)
    (file,) = demo.uploads.rglob("recording*")
    file.unlink()
    page.reload()
    says(page, "African elephant, ", row=1)
    expect(page).to_have_url(re.compile("photo=zebra_elephant"))
    expect(page.locator(".toast-body")).to_have_count(0)
