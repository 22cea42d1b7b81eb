"""`POST /ask`: questions as JSON, and what becomes known of them line by line."""

import asyncio
import contextlib
import gc
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from gradio import utils
from helpers import EXAMPLES, ROOT, in_a_loop
from samples import QUERIES, Held, assert_same, photo, see_small
from starlette.applications import Starlette

from demo.query import ExplainResult, Predict, Region, from_json, to_json
from demo.server import ask, guard
from demo.server.lines import Line
from demo.server.routes import surroundings

ZEBRA = (EXAMPLES / "zebra_elephant.jpg").read_bytes()
DOCUMENT = (ROOT / "docs" / "ask.md").read_text()
NAMES = ("cat", "dog", "rocket", "fruit")
EXPLAIN = {"kind": "Explain", "image": "photo", "task": "classification", "methods": ["gradcam"]}


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    held = Held()
    see_small(held.engine)
    yield held
    held.engine.close()


@pytest.fixture(scope="module")
def url(held) -> Iterator[str]:
    """The routes and the guard, without a page."""
    server = uvicorn.Server(uvicorn.Config(Starlette(**surroundings(held.engine)), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)  # of what a client has not taken
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/ask"
        server.should_exit = True
        thread.join(30)


def request(*questions: Any, files: dict[str, bytes] | None = None, **more: Any) -> dict[str, Any]:
    """The arguments of httpx for a request."""
    text = json.dumps({"version": 1, "questions": questions} | more)
    if files is None:
        return {"content": text, "timeout": 60}
    return {"data": {"json": text}, "files": files, "timeout": 60}


def lines(url: str, *questions: Any, files: dict[str, bytes] | None = None, **more: Any) -> list[dict[str, Any]]:
    answer = httpx.post(url, **request(*questions, files=files, **more)).raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]


def kinds(lines: list[dict[str, Any]], index: int = 0) -> list[str]:
    return [line["kind"] for line in lines if line["index"] == index and line["kind"] != "queue"]


def until(holds: Any) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_the_lines_add_up_to_the_answer_of_the_engine(held, url, query):
    question = json.loads(to_json(query)) | {"image": "photo"}
    del question["version"]
    found = lines(url, question, files={"photo": query.image.data})
    expected = held.engine.answer(query)
    if isinstance(query, Predict):
        assert kinds(found) == ["predictions", "end"]
        predictions = next(line["predictions"] for line in found if line["kind"] == "predictions")
        assert list(predictions.items()) == list(expected.predictions.items())
        return
    results = [line for line in found if line["kind"] == "result"]
    assert kinds(found) == ["predictions"] * bool(expected.predictions) + ["result"] * len(expected.rows) + ["end"]
    assert [(line["row"], line["rows"]) for line in results] == [
        (row, len(expected.rows)) for row in range(len(expected.rows))
    ]
    parts = [from_json(json.dumps(line["result"])) for line in results]
    assert_same(replace(parts[0], rows=tuple(part.rows[0] for part in parts)), expected)
    for line, row in zip(results, expected.rows, strict=True):
        assert line["summary"].startswith(f"{row.details.target}, ")


def test_a_region_and_noise_are_results_too(held, url):
    region = {"kind": "Region", "image": "photo", "task": "classification", "box": [0.0, 0.0, 0.5, 1.0]}
    noise = {"kind": "Adversarial", "image": "photo", "task": "classification", "target": "vizsla"}
    found = lines(url, region, noise, files={"photo": ZEBRA})
    assert kinds(found, 0) == ["result", "end"]
    (result,) = [line["result"] for line in found if line["kind"] == "result" and line["index"] == 0]
    query = Region(photo("zebra_elephant"), "classification", box=(0.0, 0.0, 0.5, 1.0))
    assert list(result["evidence"]) == list(held.engine.answer(query).evidence)
    assert set(kinds(found, 1)[:-2]) <= {"progress"}
    assert kinds(found, 1)[-2:] == ["result", "end"]


def test_an_image_is_sent_once_and_named_by_its_hash_or_the_path_of_an_upload(url):
    (first, *_) = [line for line in lines(url, EXPLAIN, files={"photo": ZEBRA}) if line["kind"] == "result"]
    name = first["result"]["query"]["image"]
    assert name == photo("zebra_elephant").sha256
    assert kinds(lines(url, EXPLAIN | {"image": name})) == ["predictions", "result", "end"]
    upload = Path(utils.get_upload_folder(), "someone", "zebra.jpg")
    upload.parent.mkdir(parents=True)
    upload.write_bytes(ZEBRA)
    assert kinds(lines(url, EXPLAIN | {"image": str(upload)})) == ["predictions", "result", "end"]
    kept = Path(utils.get_upload_folder(), "images", name)
    assert kept.read_bytes() == ZEBRA
    os.utime(kept, (0, 0))  # as if it had not been used for years
    lines(url, EXPLAIN, files={"photo": ZEBRA})
    assert time.time() - kept.stat().st_mtime < 60
    kept.unlink()
    (error,) = lines(url, EXPLAIN | {"image": name})
    assert (error["kind"], error["code"]) == ("error", "unknown_image")
    assert kinds(lines(url, EXPLAIN | {"image": name}, files={name: ZEBRA})) == ["predictions", "result", "end"]


@pytest.mark.parametrize(
    "question, code, message",
    [
        (5, "refused", "A question is an object with a “kind”"),
        ({"kind": "ModelInfo", "image": "photo"}, "refused", "A question is an object with a “kind”"),
        ({"kind": "Explain", "task": "classification"}, "refused", "The “image” of a question"),
        (EXPLAIN | {"image": "other"}, "unknown_image", "not on the server any more"),
        (EXPLAIN | {"image": "/etc/passwd"}, "unknown_image", "not on the server any more"),
        (EXPLAIN | {"image": "../../etc/passwd\0"}, "unknown_image", "not on the server any more"),
        (EXPLAIN | {"image": "text"}, "refused", "not an image that can be opened here"),
        (EXPLAIN | {"image": "nothing"}, "refused", "The file is empty"),
        (EXPLAIN | {"task": "dancing"}, "refused", "No task “dancing”"),
        (EXPLAIN | {"targets": ["unicorn"]}, "refused", "has no class “unicorn”"),
        (EXPLAIN | {"targets": 7}, "refused", "“targets” in the JSON cannot be used"),
        (EXPLAIN | {"methods": ["magic"]}, "refused", "No method “magic”"),
        (EXPLAIN | {"colour": "red"}, "refused", "“colour” in the JSON cannot be used"),
    ],
    ids=str,
)
def test_a_question_that_cannot_be_answered_says_why_and_the_others_are_answered(url, question, code, message):
    files = {"photo": ZEBRA, "text": b"no image", "nothing": b""}
    found = lines(url, question, EXPLAIN, files=files)
    (error,) = [line for line in found if line["index"] == 0]
    assert (error["kind"], error["code"]) == ("error", code)
    assert message in error["message"]
    assert kinds(found, 1) == ["predictions", "result", "end"]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "This is not JSON"),
        (b"\xff\xfe{", "This is not JSON"),
        (b"[]", "The JSON needs “version”"),
        (b'{"version": 1, "questions": []}', "The JSON needs “version”"),
        (b'{"version": 1, "questions": {}}', "The JSON needs “version”"),
        (b'{"version": 2, "questions": [1]}', "This program reads version 1"),
        (b'{"version": 1, "questions": [1], "client": "a b"}', "The “client” is an id"),
        (b'{"version": 1, "questions": [1], "client": 5}', "The “client” is an id"),
        (b'{"version": 1, "questions": [1], "clients": "a"}', "“clients” is not read here"),
        (json.dumps({"version": 1, "questions": [1] * 65}).encode(), "At most 64 questions"),
        (b" " * (ask.MAX_JSON + 1), "The JSON is too long"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_request_that_cannot_be_read_gets_one_sentence(url, content, message):
    answer = httpx.post(url, content=content)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]


def test_a_form_has_questions_and_four_files_at_most(url):
    assert "needs a field “json”" in httpx.post(url, files={"photo": ZEBRA}).json()["detail"]
    files = {f"photo{number}": (EXAMPLES / f"{name}.jpg").read_bytes() for number, name in enumerate(NAMES)}
    questions = [EXPLAIN | {"image": name} for name in files]
    found = lines(url, *questions, files=files)
    images = {line["result"]["query"]["image"] for line in found if line["kind"] == "result"}
    assert images == {photo(name).sha256 for name in NAMES}
    many = httpx.post(url, **request(EXPLAIN, files=files | {"photo": ZEBRA}))
    assert many.status_code == 400
    assert "too many" in many.text.lower()
    twice = request(EXPLAIN, files={}) | {"files": [("photo", ZEBRA), ("photo", ZEBRA)]}
    assert "Two files have one name" in httpx.post(url, **twice).json()["detail"]
    assert httpx.get(url).status_code == 405


def test_a_question_that_waits_says_its_position_again_and_again(held, url, monkeypatch):
    monkeypatch.setattr(ask, "REPEAT_SECONDS", 0.1)
    question = {"kind": "Predict", "image": "photo", "task": "vqa", "text": "Who is before me?"}
    other = question | {"text": "Who comes first?"}
    with held:
        with httpx.stream("POST", url, **request(other, files={"photo": ZEBRA}, client="first")):
            until(lambda: any("tab 127.0.0.1 first" in job.clients for job in list(held.engine._jobs.values())))
            with httpx.stream("POST", url, **request(question, files={"photo": ZEBRA}, client="second")) as answer:
                found = (json.loads(line) for line in answer.iter_lines())
                assert [next(found) for _ in range(3)] == [{"kind": "queue", "index": 0, "position": 1}] * 3
        until(lambda: len(held.engine._jobs) == 1)


def test_what_is_known_comes_while_another_question_waits(held, url):
    known = EXPLAIN | {"image": "photo", "targets": ["zebra"]}
    lines(url, known, files={"photo": ZEBRA})
    waiting = {"kind": "Predict", "image": "photo", "task": "vqa", "text": "What waits?"}
    with held, httpx.stream("POST", url, **request(waiting, known, files={"photo": ZEBRA}, client="me")) as answer:
        found = (json.loads(line) for line in answer.iter_lines())
        before = []
        while not before or before[-1] != {"kind": "end", "index": 1}:
            before.append(next(found))
        assert "result" in kinds(before, 1)
        until(lambda: held.engine._jobs)
        held.slow.go_on.set()
        assert kinds(list(found), 0) == ["predictions", "end"]


def test_who_closes_the_connection_takes_nothing_from_others(held, url):
    def ask_and_wait(client: str, text: str = "Who leaves?") -> Any:
        question = {"kind": "Predict", "image": "photo", "task": "vqa", "text": text}
        return httpx.stream("POST", url, **request(question, files={"photo": ZEBRA}, client=client))

    def clients() -> list[str]:
        return [name for job in list(held.engine._jobs.values()) for name in job.clients if name.startswith("tab")]

    with held:
        with ask_and_wait("stays") as stays:
            with ask_and_wait("leaves"):
                until(lambda: len(clients()) == 2)
            until(lambda: clients() == ["tab 127.0.0.1 stays"])
            held.slow.go_on.set()
            found = [json.loads(line) for line in stays.iter_lines()]
        assert kinds(found) == ["predictions", "end"]
    with held:
        with ask_and_wait("alone", "Who is there?"):
            until(lambda: clients() == ["tab 127.0.0.1 alone"])
        until(lambda: not clients())


def test_who_waits_for_an_answer_counts_as_no_upload(held, url, monkeypatch):
    monkeypatch.setattr(guard, "MAX_CONCURRENT_UPLOADS_OF_ONE", 1)
    question = {"kind": "Predict", "image": "photo", "task": "vqa", "text": "Who uploads?"}
    with held, httpx.stream("POST", url, **request(question, files={"photo": ZEBRA}, client="a")) as first:
        assert json.loads(next(first.iter_lines()))["kind"] == "queue"
        with httpx.stream("POST", url, **request(question, files={"photo": ZEBRA}, client="b")) as second:
            assert second.status_code == 200
            held.slow.go_on.set()
            assert kinds([json.loads(line) for line in second.iter_lines()]) == ["predictions", "end"]


def test_a_slow_method_tells_its_progress_and_stops_when_nobody_waits(held, url, monkeypatch):
    monkeypatch.setattr(ask, "NEWS_SECONDS", 0.01)
    question = EXPLAIN | {"methods": ["occlusion"], "targets": ["zebra"]}
    found = lines(url, question, files={"photo": ZEBRA})
    progress = [(line["done"], line["total"]) for line in found if line["kind"] == "progress"]
    assert progress == sorted(progress)
    assert {total for _, total in progress} == {49}
    assert kinds(found)[-2:] == ["result", "end"]
    slow = question | {"methods": ["score_cam"]}
    with httpx.stream("POST", url, **request(slow, files={"photo": ZEBRA})) as answer:
        next(line for line in answer.iter_lines() if json.loads(line)["kind"] == "progress")
    until(lambda: not held.engine._jobs)


def test_who_does_not_read_is_let_go(held, url, monkeypatch):
    monkeypatch.setattr(ask, "SEND_SECONDS", 0.2)
    labels = held.engine.library.load("classification").labels[:100]
    question = {"kind": "Explain", "image": "photo", "task": "classification", "targets": labels}
    given = request(question, files={"photo": ZEBRA})
    made = httpx.Request("POST", url, data=given["data"], files=given["files"])
    made.read()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((made.url.host, made.url.port))
        head = "".join(f"{name}: {value}\r\n" for name, value in made.headers.items())
        client.sendall(f"POST /ask HTTP/1.1\r\n{head}\r\n".encode() + made.content)
        routes = [found for found in gc.get_objects() if isinstance(found, ask.AskRoute)]
        until(lambda: any(route._open for route in routes))
        until(lambda: not any(route._open for route in routes))
        client.settimeout(60)
        answer = b"".join(iter(lambda: client.recv(2**20), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert not answer.endswith(b"0\r\n\r\n")  # as a stream that is complete


def test_a_school_behind_one_address_gets_in_and_nobody_takes_all_places(held, url, monkeypatch):
    def question(number: int) -> dict[str, Any]:
        return {"kind": "Predict", "image": photo("dog").sha256, "task": "vqa", "text": f"What is number {number}?"}

    async def crowd() -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=60) as http, contextlib.AsyncExitStack() as pages:

            async def begin(client: str, *numbers: int) -> httpx.Response:
                asked = request(*map(question, numbers), client=client)
                return await pages.enter_async_context(http.stream("POST", url, **asked))

            await asyncio.gather(*(begin(f"student-{number}", number) for number in range(200)))
            while len(held.engine._jobs) < 201:  # and what holds up the networks
                await asyncio.sleep(0.05)
            students = len(held.engine._jobs) - 1
            greedy = await begin("greedy", *range(1000, 1064))
            while len(held.engine._jobs) < 265:
                await asyncio.sleep(0.05)
            more = [json.loads(line) async for line in (await begin("greedy", 2000)).aiter_lines()]
            monkeypatch.setattr(ask, "MAX_OF_ADDRESS", 264)
            others = [json.loads(line) async for line in (await begin("somebody", 3000)).aiter_lines()]
            await greedy.aclose()
            return students, more, others

    lines(url, question(-1) | {"image": "photo"}, files={"photo": photo("dog").data})
    with held:
        students, more, others = in_a_loop(crowd())
        until(lambda: len(held.engine._jobs) == 1)
    assert students == 200
    for refused in (more, others):
        assert [(line["kind"], line.get("code")) for line in refused] == [("error", "busy")]


def test_the_document_lists_every_line_and_code():
    classes = Line.__subclasses__()
    assert len(classes) == 6
    for line in classes:
        own = [field.name for field in fields(line) if field.name != "index"]
        assert f"| `{line.kind}` | {', '.join(f'`{name}`' for name in own)}" in DOCUMENT
    for code in ("refused", "busy", "unknown_image", "failed"):
        assert f"| `{code}` |" in DOCUMENT


# ---- In the real demo ----------------------------------------------------------------------------------------------


def test_the_document_runs_as_printed(server, capsys):
    code, printed, curl = re.findall(r"```(?:python|text|bash)\n(.*?)```", DOCUMENT, re.DOTALL)
    exec(code.replace("http://127.0.0.1:7860", server).replace("assets/", f"{ROOT}/assets/"), scope := {})
    assert [line.strip() for line in capsys.readouterr().out.splitlines() if not line.startswith("queue")] == [
        line.strip() for line in printed.splitlines()
    ]
    assert scope["heatmap"].shape == (8, 8)
    assert scope["heatmap"].max() > 0
    assert json.loads(re.search(r"json=(.*)'", curl)[1])["questions"][0]["kind"] == "Predict"


def test_lines_come_one_by_one_and_are_neither_packed_nor_kept(server):
    asked = request(EXPLAIN | {"methods": ["occlusion"]}, files={"photo": (EXAMPLES / "rocket.jpg").read_bytes()})
    packed = {"Accept-Encoding": "br, gzip, deflate", "Origin": "https://example.org"}
    with httpx.stream("POST", f"{server}/ask", headers=packed, **asked) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert "content-encoding" not in answer.headers
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (
            "access-control-allow-origin" not in answer.headers
        )  # as of the other routes: no page of another address reads it
        arrived = [(time.monotonic(), json.loads(line)["kind"]) for line in answer.iter_lines()]
    (predicted,) = [when for when, kind in arrived if kind == "predictions"]
    assert len({when for when, kind in arrived if kind == "progress" and when > predicted}) > 1
    assert arrived[-1][1] == "end"


def test_an_upload_of_the_page_can_be_asked_about(server):
    (path,) = httpx.post(f"{server}/gradio_api/upload", files={"files": ("zebra.jpg", ZEBRA)}).json()
    found = lines(f"{server}/ask", EXPLAIN | {"image": path, "targets": ["zebra"]})
    result = next(line["result"] for line in found if line["kind"] == "result")
    assert isinstance(from_json(json.dumps(result)), ExplainResult)
    assert result["query"]["image"] == photo("zebra_elephant").sha256
