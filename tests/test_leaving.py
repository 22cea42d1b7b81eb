"""Closed connections: what nobody waits for on the page is not computed."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from gradio.context import LocalContext
from helpers import EXAMPLES, in_a_loop
from samples import Held, see_small

from demo.engine import Engine
from demo.job import Job
from demo.page import LAUNCH, build
from demo.server.routes import surroundings
from demo.server.waiting import AT_ONCE, opening
from demo.tabs import late

USERS = 30
TASKS = ("classification", "captioning", "vqa")
OCCLUSION = 7 * 7  # passes


class Demo:
    """A demo in this process, and its page as a browser gets it."""

    def __init__(self, address: str, engine: Engine) -> None:
        self.engine = engine
        self.http = httpx.Client(base_url=f"{address}gradio_api/", timeout=60)
        config = httpx.get(f"{address}config", timeout=60).json()
        self._widgets = {widget["id"]: widget for widget in config["components"]}
        self._events = config["dependencies"]

    def event(self, name: str, task: str) -> int:
        """The number of an event of the panels of a task, which are the first ones with an event of that name."""
        named = [event["id"] for event in self._events if any(name == target[1] for target in event["targets"])]
        return named[TASKS.index(task)]

    def after(self, event: int) -> int:
        """The number of the event that follows another."""
        return next(other["id"] for other in self._events if other["trigger_after"] == event)

    def join(self, user: str, event: int, image: Any = None, **told: Any) -> None:
        """Let an event happen in a user's page, where all else is as it was opened."""
        values = []
        for widget in (self._widgets[number] for number in self._events[event]["inputs"]):
            chosen = {"image": image, "state": None}
            values.append(chosen.get(widget["type"], widget["props"].get("value")))
        body = {"data": values, "fn_index": event, "session_hash": user, "event_data": told}
        self.http.post("queue/join", json=body).raise_for_status()

    def upload(self, user: str) -> dict[str, Any]:
        """An image that nobody else has."""
        data = (EXAMPLES / "dog.jpg").read_bytes() + user.encode()
        (path,) = self.http.post("upload", files={"files": ("dog.jpg", data)}).raise_for_status().json()
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    @contextmanager
    def listening(self, user: str) -> Iterator[Iterator[dict[str, Any]]]:
        """The messages of a user's page, until it is closed."""
        with self.http.stream("GET", "queue/data", params={"session_hash": user}) as events:
            yield (json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line)

    def outputs(self, user: str) -> list[Any]:
        """The last outputs of the only event that a user waits for."""
        with self.listening(user) as messages:
            return next(message["output"]["data"] for message in messages if message["msg"] == "process_completed")

    def outcomes(self, name: str) -> float:
        """How many queries were answered, left and so on."""
        values = (line.rsplit(" ", 1) for line in self.engine.records.as_text().decode().splitlines())
        return sum(float(value) for key, value in values if f'_total{{outcome="{name}"' in key)


@pytest.fixture(scope="module")
def held() -> Held:
    held = Held()
    see_small(held.engine)
    return held


@pytest.fixture(scope="module")
def demo(held, tmp_path_factory) -> Iterator[Demo]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        page = build(held.engine)
        _, address, _ = page.launch(
            prevent_thread_lock=True,
            quiet=True,
            server_name="127.0.0.1",
            app_kwargs=surroundings(held.engine),
            **LAUNCH,
        )
        yield Demo(address, held.engine)
        held.engine.close()
        page.close(verbose=False)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def waiting(engine: Engine) -> list[Job]:
    return [pending for pending in list(engine._jobs.values()) if pending.query.model != "Slow"]


def test_of_users_who_close_the_page_while_they_wait_nothing_is_computed(held, demo):
    def visit(number: int) -> None:
        user = f"user{number}"
        demo.join(user, demo.event("look", TASKS[number % len(TASKS)]), demo.upload(user), number=1)
        with demo.listening(user) as messages:
            assert next(messages)["msg"] == "estimation"
            until(lambda: any(f"page {user}" in pending.clients for pending in waiting(held.engine)))

    before = demo.outcomes("left"), demo.outcomes("answered")
    with held:
        with ThreadPoolExecutor(USERS) as users:
            list(users.map(visit, range(USERS)))
        until(lambda: not waiting(held.engine))
    assert held.running.result.result(30).predictions
    assert (demo.outcomes("left"), demo.outcomes("answered")) == (before[0] + USERS, before[1] + 1)


def test_a_slow_method_ends_when_the_page_is_closed(demo, monkeypatch):
    monkeypatch.setattr(late, "LEFT_SECONDS", 600)  # after which it would end anyway
    look, choose, news = (demo.event(name, "classification") for name in ("look", "choose", "late"))
    demo.join("user", look, demo.upload("user"), number=1)
    demo.outputs("user")
    demo.join("user", demo.after(look))
    demo.outputs("user")
    left, slow = demo.outcomes("left"), []

    def stop(*_: object) -> None:
        """Between two passes, until the page is closed."""
        for pending in waiting(demo.engine):
            if pending.progress[0]:
                slow.append(pending)
                until(lambda pending=pending: not pending.clients)

    layer = demo.engine.library.load("classification").layers["layer4"]
    with layer.register_forward_hook(stop):
        demo.join("user", choose, methods=["occlusion"], number=1)
        number = next(value["late"]["number"] for value in demo.outputs("user") if value and "late" in value)
        for ask in itertools.count(1):
            demo.join("user", news, time=number, ask=ask, known=[], wanted=["occlusion"])
            with demo.listening("user") as messages:
                next(message for message in messages if message["msg"] == "process_starts")
                if slow:
                    break
                next(message for message in messages if message["msg"] == "process_completed")
        until(slow[0].result.done)
    assert slow[0].progress[0] < OCCLUSION == slow[0].progress[1]
    assert demo.outcomes("left") == left + 1


def test_an_image_that_waits_to_be_opened_is_not_opened_when_its_connection_is_closed():
    event, go_on, opened = SimpleNamespace(alive=True), threading.Event(), []

    async def leave() -> None:
        LocalContext.blocks.set(SimpleNamespace(_queue=SimpleNamespace(event_ids_to_events={"mine": event})))
        before = [asyncio.create_task(opening(go_on.wait)) for _ in range(AT_ONCE)]
        LocalContext.event_id.set("mine")
        mine = asyncio.create_task(opening(lambda: opened.append("mine")))
        await asyncio.sleep(0)
        event.alive = False
        go_on.set()
        assert await asyncio.gather(*before) == [True] * AT_ONCE
        with pytest.raises(asyncio.CancelledError):
            await mine

    in_a_loop(leave())
    assert not opened
