"""The quiz: what is asked and what an answer is worth, that each counts once, and a class in a room."""

import asyncio
import base64
import io
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio.context import LocalContext
from helpers import EXAMPLES, answered, in_a_loop, new_page_of, says, violations, without_complaints
from PIL import Image
from playwright.sync_api import Page, expect
from samples import Held, see_small

from demo import studies
from demo.engine import Engine
from demo.models import Library
from demo.query import Explain, Predict, image_file
from demo.rendering import gradient_limit, gradient_picture
from demo.rooms import ENOUGH, LIFETIME, MAX_ROOMS_OF_USER, MAX_VOTES_OF_USER, Rooms, Vote
from demo.studies import AGREED, EASY, LEFT, OBJECTS, REPORTED, RIGHT, SHOWN, Question, draw
from demo.tabs import quiz
from demo.tabs.quiz import QuizTab, Sitting
from explainers import METHODS


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Library())


@pytest.fixture(scope="module")
def quick() -> Engine:
    """One whose classifier sees 64 x 64 pixels."""
    return see_small(Engine(Library()), "classification")


# ---- What is asked ---------------------------------------------------------------------------------------------


def test_what_an_answer_is_worth():
    asked = Question("object", "zebra_elephant", "guided_gradcam", ("African elephant", "zebra"), 1)
    assert asked.answers == ("African elephant", "zebra")
    assert [asked.vote(place) for place in (0, 1)] == [Vote("object", "guided_gradcam", value) for value in (0, 1)]
    assert asked.verdict(0).startswith("Wrong: this is Guided Grad-CAM for zebra;")
    assert asked.verdict(1).startswith("Right: this is Guided Grad-CAM for zebra;")
    at_left, at_right = (Question("trust", "bison", "guided_backprop", ("bison",), side) for side in (LEFT, RIGHT))
    assert [at_left.vote(place).value for place in range(5)] == [2, 1, 0, -1, -2]
    assert [at_right.vote(place).value for place in range(5)] == [-2, -1, 0, 1, 2]
    assert at_left.answers[0] == "Left is much more reliable"
    assert at_right.verdict(0).startswith("You trust the worse one more: the network at the right names about 86%")
    assert "easier than ImageNet's validation set" in at_right.verdict(0)
    assert at_right.verdict(2).startswith("You trust both alike")


def test_the_pictures_of_a_question():
    asked = Question("object", "zebra_elephant", "deconvolution", ("African elephant", "zebra"), 1)
    ((shown, method),), ((other, same_method),) = asked.shown("X"), asked.revealed("X")
    assert (shown.targets, other.targets) == (("zebra",), ("African elephant",))
    assert method == same_method == "deconvolution"
    assert method in shown.methods
    networks = Question("trust", "bison", "guided_gradcam", ("bison",), RIGHT)
    assert [query.weights for query, _ in networks.shown("X")] == ["noisy", None]
    assert {query.targets for query, _ in networks.shown("X")} == {("bison",)}


@pytest.mark.parametrize("study", SHOWN)
def test_questions_are_drawn_alike_often_and_never_about_the_same_photograph_again(study):
    drawn, chance = [draw(study, random.Random(0))], random.Random(1)
    for _ in range(4000):
        drawn.append(draw(study, chance, drawn[-1]))
    assert all(one.example != other.example for one, other in pairwise(drawn))
    for attribute, values in (
        ("method", SHOWN[study]),
        ("truth", (0, 1)),
        ("example", OBJECTS if study == "object" else AGREED),
    ):
        counts = Counter(getattr(question, attribute) for question in drawn)
        assert set(counts) == set(values)
        assert max(counts.values()) < 1.3 * min(counts.values())
    if study == "object":
        explained = Counter(question.classes[question.truth] for question in drawn)
        assert set(explained) == {name for names in OBJECTS.values() for name in names}


def test_the_first_question_is_easy():
    first = [draw("object", random.Random(seed)) for seed in range(50)]
    assert {question.example for question in first} == set(EASY)
    assert {question.method for question in first} == {"guided_gradcam"}


def test_the_network_has_evidence_for_every_object_that_is_asked_about(engine):
    scenes = json.loads((EXAMPLES / "scenes.json").read_text())
    assert {f"{name}.jpg": list(names) for name, names in OBJECTS.items() if name != "kitten"} == {
        name: scene["objects"] for name, scene in scenes.items()
    }
    for example, names in OBJECTS.items():
        photo = image_file((EXAMPLES / f"{example}.jpg").read_bytes())
        for row in engine.answer(Explain(photo, "classification", targets=tuple(names), methods=("gradcam",))).rows:
            assert row.details.peak > 0.3, (example, row.details.target)


def test_both_networks_say_the_same_of_the_photographs_that_they_are_compared_on(engine):
    for example, name in AGREED.items():
        photo = image_file((EXAMPLES / f"{example}.jpg").read_bytes())
        for weights in (None, "noisy"):
            said = engine.answer(Predict(photo, "classification", weights=weights)).predictions
            assert next(iter(said)) == name, (example, weights)


# ---- What counts, without a browser ----------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def laid_out(quick) -> QuizTab:
    with gr.Blocks():
        return quiz.layout(quick, Rooms(), random.Random())


@pytest.fixture
def tab(laid_out, quick, clock) -> QuizTab:
    return replace(laid_out, rooms=Rooms(clock), pictures=quiz.Pictures(quick), chance=random.Random(5))


def told(**data: Any) -> gr.EventData:
    return gr.EventData(None, data)


async def asks(tab: QuizTab, sitting: Sitting, **data: Any) -> dict[str, Any]:
    return (await tab.ask({tab.visit: sitting}, told(**data)))[tab.question]


async def answers(tab: QuizTab, sitting: Sitting, **data: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    shown = await tab.take({tab.visit: sitting}, told(**data))
    return shown[tab.question], shown[tab.votes]


async def opens(tab: QuizTab) -> str:
    return (await tab.open_room({tab.visit: Sitting()}))[tab.votes]["room"]


def test_nothing_is_told_of_the_answer_before_it_is_given(tab):
    async def sit() -> None:
        for study in SHOWN:
            sitting = Sitting()
            asked = await asks(tab, sitting, study=study)
            assert set(asked) == {"study", "number", "answers", "answer", "about", "note", "pictures", "size", "time"}
            assert {*asked["pictures"]} == ({"0"} if study == "object" else {"0", "1"})
            for picture in asked["pictures"].values():
                assert set(picture) == {"kind", "shared", "limit", "shape", "reach", "data"}
            shown, _ = await answers(tab, sitting, study=study, number=asked["number"], answer=1)
            assert shown["pictures"].items() >= asked["pictures"].items()
            assert len(shown["names"]) == len(shown["pictures"]) == 2
            assert shown["truth"] == sitting.asked[study].question.truth

    in_a_loop(sit())


def test_a_question_counts_once_however_often_it_is_answered_and_asked_for(tab):
    async def sit() -> Sitting:
        room, sitting = await opens(tab), Sitting()
        await tab.join({tab.visit: sitting}, told(code=room.lower()))
        asked = await asks(tab, sitting, study="object")
        again = await asks(tab, sitting, study="object", after=asked["number"])
        assert again["number"] == asked["number"]  # it has no answer yet
        both = [answers(tab, sitting, study="object", number=asked["number"], answer=place) for place in (1, 0)]
        (first, _), (second, _) = await asyncio.gather(*both)
        assert first["answer"] == second["answer"] == 1
        following = await asks(tab, sitting, study="object", after=asked["number"])
        same = await asks(tab, sitting, study="object", after=asked["number"])
        assert asked["number"] != following["number"] == same["number"]
        _, votes = await answers(tab, sitting, study="object", number=asked["number"], answer=0)
        assert (votes["room"], votes["own"]) == (room, 1)
        assert sum(bar["votes"] for bars in votes["charts"].values() for bar in bars) == 1
        return sitting

    assert len(in_a_loop(sit()).votes) == 1


@pytest.mark.parametrize(
    "data",
    [
        {"answer": 0},
        {"answer": 2},
        {"answer": -1},
        {"answer": "0"},
        {"answer": 0.5},
        {"answer": [0]},
        {"answer": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}},
        {"answer": 0, "number": 1},
        {"answer": 0, "study": ["object"]},
        {"answer": 0, "study": "taste", "value": 1, "truth": 0},
    ],
    ids=str,
)
def test_what_a_stranger_sends_is_no_vote(tab, data):
    async def sit() -> Sitting:
        sitting = Sitting()
        asked = await asks(tab, sitting, study="object")
        if data["answer"] != 0:  # all the rest as it should be
            data["number"] = asked["number"]
        shown, _ = await answers(tab, sitting, **data)
        assert shown["answer"] is None
        assert "passwd" not in json.dumps(shown)
        return sitting

    assert not in_a_loop(sit()).votes


def test_a_visitor_alone_and_a_room_that_is_forgotten(tab, clock):
    async def sit() -> None:
        sitting = Sitting()
        _, votes = await answers(
            tab, sitting, study="trust", number=(await asks(tab, sitting, study="trust"))["number"], answer=2
        )
        assert (votes["room"], votes["own"], votes["note"]) == ("", 1, None)
        room = await opens(tab)
        await tab.join({tab.visit: sitting}, told(code=room))
        shown = (await tab.join({tab.visit: sitting}, told(code="QQQQQ")))[tab.votes]
        assert shown["room"] == room  # and stays there
        assert "check the code" in shown["note"]
        asked = await asks(tab, sitting, study="object")
        clock.now += LIFETIME
        shown, votes = await answers(tab, sitting, study="object", number=asked["number"], answer=0)
        assert (votes["room"], votes["own"]) == ("", 2)
        assert f"Room {room} and its votes are gone" in shown["note"]

    in_a_loop(sit())


def test_two_hundred_who_vote_at_once_lose_no_vote(tab, monkeypatch):
    monkeypatch.setattr(
        studies, "OBJECTS", {"zebra_elephant": OBJECTS["zebra_elephant"], "ram_peacock": OBJECTS["ram_peacock"]}
    )

    async def voter(room: str, number: int) -> None:
        sitting = Sitting()
        await tab.join({tab.visit: sitting}, told(code=room))
        asked = await asks(tab, sitting, study="object")
        sent = [answers(tab, sitting, study="object", number=asked["number"], answer=number % 2) for _ in range(2)]
        await asyncio.gather(*sent)

    async def vote() -> dict[str, Any]:
        projector = Sitting()
        room = (await tab.open_room({tab.visit: projector}))[tab.votes]["room"]
        await asyncio.gather(*(voter(room, number) for number in range(200)))
        return (await tab.look({tab.visit: projector}, told(room=room)))[tab.votes]

    bars = in_a_loop(vote())["charts"]["object"]
    assert sum(bar["votes"] for bar in bars) == 200
    assert 0.35 < sum(bar["votes"] * bar["mean"] for bar in bars) / 200 < 0.65  # nobody looked


async def votes_of(tab: QuizTab, sitting: Sitting, count: int, place: int = 0) -> dict[str, Any]:
    """Answer so many questions; returns the votes as they are then."""
    votes: dict[str, Any] = {}
    for _ in range(count):
        last = sitting.asked.get("trust")
        asked = await asks(tab, sitting, study="trust", after=last and last.number)
        shown, votes = await answers(tab, sitting, study="trust", number=asked["number"], answer=place)
        votes["note"] = shown["note"]
    return votes


def test_the_result_of_the_paper_and_an_interval_are_shown_from_enough_votes_on(tab):
    async def sit() -> list[dict[str, Any]]:
        sitting = Sitting()
        return [(await votes_of(tab, sitting, 1, turn % 5))["charts"]["trust"] for turn in range(4 * ENOUGH)]

    shown = [(method, bar) for bars in in_a_loop(sit()) for method, bar in zip(SHOWN["trust"], bars, strict=True)]
    assert {bar["votes"] < ENOUGH for _, bar in shown} == {True, False}
    for method, bar in shown:
        is_enough = bar["votes"] >= ENOUGH
        assert bar["reported"] == (REPORTED["trust", method] if is_enough else None)
        assert (bar["interval"] is not None) == is_enough


def test_one_visitor_votes_no_more_than_so_often_in_a_room(tab):
    async def sit() -> None:
        room, sitting = await opens(tab), Sitting()
        await tab.join({tab.visit: sitting}, told(code=room))
        assert (await votes_of(tab, sitting, MAX_VOTES_OF_USER))["note"] == ""
        votes = await votes_of(tab, sitting, 1)
        assert "counted for you alone" in votes["note"]
        assert (votes["room"], votes["own"]) == (room, MAX_VOTES_OF_USER + 1)
        assert sum(bar["votes"] for bar in votes["charts"]["trust"]) == MAX_VOTES_OF_USER
        classmate = Sitting()
        await tab.join({tab.visit: classmate}, told(code=room))
        assert (await votes_of(tab, classmate, 1))["note"] == ""

    in_a_loop(sit())


def test_a_server_that_has_forgotten_all_tells_the_students_and_the_projector(tab):
    async def sit() -> None:
        room, known = "QQQQQ", Sitting()
        shown, votes = await answers(tab, Sitting(), study="object", number=123, answer=0, room=room)
        assert shown["answer"] is None
        assert (votes["room"], votes["own"]) == ("", 0)
        assert "Your last answer was not counted" in shown["note"]
        for note in (
            shown["note"],
            (await asks(tab, Sitting(), study="object", room=room))["note"],
            (await tab.look({tab.visit: Sitting()}, told(room=room)))[tab.votes]["note"],
            (await tab.save_votes({tab.visit: Sitting()}, told(room=room)))[tab.votes]["note"],
            (await tab.join({tab.visit: Sitting()}, told(code=room, linked=True)))[tab.votes]["note"],
        ):
            assert f"Room {room} and its votes are gone" in note
            assert "ask your teacher for the code" in note
        await asks(tab, known, study="object")
        assert "not counted" not in (await answers(tab, known, study="object", number=123, answer=0))[0]["note"]

    in_a_loop(sit())


def test_a_visitor_who_alone_was_forgotten_is_in_the_room_again(tab):
    async def sit() -> None:
        room, sitting = await opens(tab), Sitting()
        shown, votes = await answers(tab, sitting, study="object", number=123, answer=0, room=room.lower())
        assert votes["room"] == room
        assert shown["note"].startswith("Your last answer was not counted")
        asked = await asks(tab, sitting, study="object", room=room)
        shown, votes = await answers(tab, sitting, study="object", number=asked["number"], answer=0, room=room)
        assert (shown["note"], votes["own"]) == ("", 1)
        await tab.join({tab.visit: sitting}, told(code=""))
        # An event of before comes late.
        assert not (await tab.look({tab.visit: sitting}, told(room=room)))[tab.votes]["room"]
        assert (await asks(tab, sitting, study="object", room=room)) and sitting.room == ""

    in_a_loop(sit())


def test_a_room_is_that_of_the_visitor_who_opened_it(tab):
    async def sit() -> None:
        teacher, student = Sitting(), Sitting()
        votes = (await tab.open_room({tab.visit: teacher}))[tab.votes]
        assert votes["mine"]
        assert not (await tab.join({tab.visit: student}, told(code=votes["room"])))[tab.votes]["mine"]
        assert (await tab.look({tab.visit: teacher}, told(room=votes["room"])))[tab.votes]["mine"]

    in_a_loop(sit())


def test_who_closes_the_page_takes_the_picture_from_nobody_else():
    held = Held()
    with gr.Blocks() as page:
        tab = quiz.layout(held.engine, Rooms(), random.Random(5))
    page._queue.event_ids_to_events["closed"] = SimpleNamespace(alive=False)  # type: ignore[assignment]
    pictures = draw("object", random.Random(0)).shown(tab.model)

    async def closes() -> None:
        LocalContext.blocks.set(page)
        LocalContext.event_id.set("closed")
        with pytest.raises(asyncio.CancelledError):
            await tab.pictures.get(pictures)

    async def sit() -> None:
        with held:
            first = asyncio.create_task(closes())
            await asyncio.sleep(0)
            others = [asyncio.create_task(tab.pictures.get(pictures)) for _ in range(3)]
            others[0].cancel()
            await first
            assert not any(task.done() for task in others[1:])
        (one,), (other,) = await asyncio.gather(*others[1:])
        assert one is other
        assert one["kind"] == "gradient"

    in_a_loop(sit())


# ---- In the app ------------------------------------------------------------------------------------------------


class Pages:
    """What several open pages send."""

    def __init__(self, client: httpx.AsyncClient, events: dict[str, int]) -> None:
        self.client, self.events = client, events

    async def send(self, event: str, session: str, **data: Any) -> list[Any]:
        body = {"fn_index": self.events[event], "session_hash": session, "data": [None], "event_data": data}
        return (await self.client.post("/gradio_api/run/predict", json=body)).raise_for_status().json()["data"]


@asynccontextmanager
async def pages(server: str) -> AsyncIterator[Pages]:
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:
        config = (await client.get("/config")).json()
        ours = {
            part["id"] for part in config["components"]
            if re.search(r"main\.(quiz|votes)\(", str(part["props"].get("js_on_load")))
        }  # fmt: skip
        yield Pages(
            client,
            {name: one["id"] for one in config["dependencies"] for part, name in one["targets"] if part in ours},
        )


def test_events_that_are_sent_twice_count_once_in_the_app(server):
    """As a page sends them, from several visitors at once."""

    async def visit(sent: Pages, room: str, session: str) -> None:
        asked, _ = await sent.send("ask", session, study="object")
        await sent.send("join", session, code=room)
        answer = {"study": "object", "number": asked["number"], "answer": 0}
        await asyncio.gather(*(sent.send("answer", session, **answer) for _ in range(3)))

    async def vote() -> int:
        async with pages(server) as sent:
            (opened,) = await sent.send("open", "projector")
            await asyncio.gather(*(visit(sent, opened["room"], f"phone{number}") for number in range(6)))
            (seen,) = await sent.send("look", "projector")
            return sum(bar["votes"] for bar in seen["charts"]["object"])

    assert in_a_loop(vote()) == 6


def test_a_page_that_opens_many_rooms_closes_nobody_elses_in_the_app(server):
    async def attack() -> None:
        async with pages(server) as sent:
            (opened,) = await sent.send("open", "a teacher")
            many = [(await sent.send("open", "an attacker"))[0] for _ in range(2 * MAX_ROOMS_OF_USER)]
            assert len({votes["room"] for votes in many}) == MAX_ROOMS_OF_USER
            assert "are in use" in many[-1]["note"]
            (other,) = await sent.send("open", "another teacher")
            assert other["mine"]
            assert other["note"] == ""
            (seen,) = await sent.send("look", "a teacher")
            assert (seen["room"], seen["note"]) == (opened["room"], "")

    in_a_loop(attack())


def asked(page: Page) -> list[str]:
    """Turn to a question about an object that is still open; returns its answers."""
    page.get_by_role("tab", name="Quiz").click()
    expect(page.locator(".quiz figure canvas").first).to_be_visible()
    if page.get_by_role("button", name="Next").is_visible():
        page.get_by_role("button", name="Next").click()
    expect(page.locator(".quiz .verdict")).to_be_empty()
    expect(page.locator(".answers button")).to_have_count(2)
    return page.locator(".answers button").all_inner_texts()


def assert_drawn_as_said(page: Page, answers: list[str], engine: Engine) -> None:
    """That the pictures of an answered question are what stands below them."""
    titles = {method.title: key for key, method in METHODS.items()}
    example = next(
        name for name, objects in OBJECTS.items() if all(any(o in text for o in objects) for text in answers)
    )
    photo = image_file((EXAMPLES / f"{example}.jpg").read_bytes())
    captions = [text for text in page.locator(".quiz figcaption").all_inner_texts() if " for " in text]
    canvases = page.locator(".quiz canvas").all()
    assert len(captions) == len(canvases) == 2
    for caption, canvas in zip(captions, canvases, strict=True):
        method, name = titles[caption.split(" for ")[0]], caption.split(" for ")[1]
        row = engine.answer(Explain(photo, "classification", targets=(name,), methods=(method,))).rows[0]
        array = row.pictures[method]
        width, height = engine.open(photo).size
        expected = np.asarray(gradient_picture(array, gradient_limit(array), (width, height))).astype(int)
        url = canvas.evaluate("canvas => canvas.toDataURL()")
        seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")).astype(int)
        assert (np.abs(seen - expected) <= 2).mean() > 0.99, caption


def test_nothing_is_asked_before_the_quiz_is_opened_and_then_an_object_is_named_by_keyboard(new_page, engine):
    page = new_page
    assert page.locator(".quiz canvas, .answers button").count() == 0
    expect(page.locator("#photo")).to_be_visible()
    answers = asked(page)
    expect(page).to_have_url(re.compile("task=quiz"))
    expect(page.locator(".quiz figure canvas")).to_have_count(1)
    expect(page.locator(".quiz img")).to_have_count(0)
    expect(page.locator("#photo")).to_be_hidden()
    page.evaluate("document.activeElement.blur()")  # as where the page opens with the quiz
    page.keyboard.press("2")
    expect(page.locator(".quiz .verdict")).to_contain_text(re.compile(r"^(Right|Wrong): this is"))
    expect(page.get_by_role("button", name="Next")).to_be_focused()
    expect(page.locator(".quiz img")).to_be_visible()
    expect(page.locator(".votes h2")).to_have_text("Your answers: 1")
    assert_drawn_as_said(page, answers, engine)
    page.keyboard.press("Enter")
    expect(page.locator(".quiz .verdict")).to_be_empty()
    expect(page.locator(".answers button").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".votes h2")).to_have_text("Your answers: 2")
    page.get_by_role("tab", name="Classification").click()
    expect(page.locator("#photo")).to_be_visible()
    says(page, "zebra, ")


def test_networks_are_compared_and_each_study_keeps_its_question_and_a_double_click_is_one_answer(page):
    names = asked(page)
    count = int(page.locator(".votes h2").inner_text().removeprefix("Your answers: "))
    page.get_by_role("button", name="2. Which network?").click()
    expect(page.locator(".quiz figure canvas")).to_have_count(2)
    expect(page.locator(".answers button")).to_have_count(5)
    expect(page.locator(".about")).to_contain_text("Both networks say")
    page.locator(".answers button").nth(3).click()
    expect(page.locator(".quiz .verdict")).to_contain_text("You trust the")
    captions = sorted(page.locator(".sight figcaption").all_inner_texts())
    assert {text.split(" of ")[1] for text in captions} == {"the trained network", "the one with noise on its weights"}
    better = "Left" if captions[0].endswith("trained network") else "Right"
    expect(page.locator(".quiz .verdict")).to_contain_text(f"the network at the {better.lower()} names about 86%")
    expect(page.locator("[data-chart=trust]")).to_contain_text(
        "+1.00, 1 vote" if better == "Right" else "−1.00, 1 vote"
    )
    page.get_by_role("button", name="1. Which object?").click()
    expect(page.locator(".quiz figure canvas")).to_have_count(1)
    assert page.locator(".answers button").all_inner_texts() == names

    with answered(page):
        page.locator(".answers button").first.dblclick()
        expect(page.get_by_role("button", name="Next")).to_be_visible()
        page.locator(".answers button").nth(1).click()
    expect(page.get_by_role("button", name="Next")).to_be_visible()
    expect(page.locator(".votes h2")).to_have_text(f"Your answers: {count + 2}")


# ---- A class in a room, in the page ----


class Class(NamedTuple):
    """The page of a teacher with an open room, its code, and the telephone of a student who came by its link."""

    teacher: Page
    code: str
    student: Page


@pytest.fixture(scope="module")
def room(browser, server) -> Iterator[Class]:
    teacher, student = new_page_of(browser), new_page_of(browser)
    student.set_viewport_size({"width": 390, "height": 844})
    with without_complaints(teacher), without_complaints(student):
        teacher.goto(f"{server}?task=quiz")
        expect(teacher.locator(".quiz figure canvas")).to_have_count(1)
        teacher.get_by_role("button", name="Open a room").click()
        code = teacher.locator(".banner .code").inner_text()
        student.goto(f"{server}?task=quiz&room={code.lower()}")
        expect(student.locator(".votes h2")).to_have_text(f"Room {code}: 0 votes")
        yield Class(teacher, code, student)
    teacher.close()
    student.close()


def test_a_class_in_a_room_sees_its_votes_on_the_projector(room):
    projector, code, phone = room
    expect(projector).to_have_url(re.compile(f"room={code}"))
    expect(projector.locator(".quiz")).to_be_hidden()
    phone.locator(".answers button").first.click()
    expect(projector.locator(".votes h2")).to_have_text(f"Room {code}: 1 vote")
    expect(phone.get_by_role("button", name="Next")).to_be_visible()
    phone.get_by_role("button", name="Leave the room").click()
    expect(phone.locator(".votes h2")).to_have_text("Your answers: 1")
    phone.get_by_label("Room code").fill("qqqqq")
    phone.get_by_role("button", name="Join a room").click()
    expect(phone.locator(".votes .note")).to_contain_text("There is no room “qqqqq”")
    phone.get_by_label("Room code").fill(code.lower())
    phone.keyboard.press("Enter")
    expect(phone.locator(".votes h2")).to_have_text(f"Room {code}: 1 vote")
    phone.get_by_role("button", name="Next").click()
    expect(phone.locator(".quiz .verdict")).to_be_empty()
    phone.locator(".answers button").first.click()
    expect(projector.locator(".votes h2")).to_have_text(f"Room {code}: 2 votes")
    with projector.expect_download() as download:
        projector.get_by_role("button", name="Votes (CSV)").click()
    assert download.value.suggested_filename == f"votes_{code}.csv"
    heading, *votes = Path(download.value.path()).read_text().splitlines()
    assert heading == "study,method,value"
    assert len(votes) == 2
    for name in ("Show on the projector", "Votes (CSV)"):
        expect(phone.get_by_role("button", name=name)).to_be_hidden()
    projector.reload()
    expect(projector.get_by_role("button", name="Show on the projector")).to_be_visible()


def test_everybody_can_use_it(room):
    page = room.teacher
    if (back := page.get_by_role("button", name="Back to the questions")).is_visible():
        back.click()
    page.locator(".answers button").first.click()
    expect(page.get_by_role("button", name="Next")).to_be_visible()
    page.get_by_role("button", name="2. Which network?").click()
    expect(page.locator(".quiz figure canvas")).to_have_count(2)
    for width, is_dark in ((1280, False), (390, True)):
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", is_dark)  # as `?__theme=` sets it
        for turn in ("Show on the projector", "Back to the questions"):
            with answered(page):
                page.get_by_role("button", name=turn).click()
            assert page.evaluate("document.documentElement.scrollWidth") == width
            found = violations(page, context=".tabs")
            assert not [violation["id"] for violation in found]
        small = [box for one in page.locator(".quiz button:visible, .votes button:visible").all()
                 if (box := one.bounding_box()) and box["height"] < 44]  # fmt: skip
        assert not small
