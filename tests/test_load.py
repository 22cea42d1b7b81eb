"""A class of students at once: each gets what each would get alone."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from helpers import ROOT, metrics

from demo.engine import MAX_OF_ONE
from demo.errors import TOO_MUCH
from evaluation.load import (
    ENDPOINTS,
    EXAMPLES,
    SIZES,
    Query,
    ask_http,
    difference,
    functions_of,
    join_http,
    joining,
    make_query,
    messages_in,
    session,
)


@contextmanager
def visiting(address: str) -> Iterator[tuple[httpx.Client, dict[str, int]]]:
    """What visitors of a server ask with."""
    with httpx.Client(base_url=f"{address}/gradio_api/", timeout=120) as http:
        yield http, functions_of(http.get(f"{address}/config").raise_for_status().json())


def outcomes(address: str) -> Counter[str]:
    """How many queries of all tasks were answered, known and left, when nobody waits any more."""
    while (numbers := metrics(address))["demo_waiting"] > 0:
        time.sleep(0.1)
    return Counter(
        {
            outcome: sum(value for name, value in numbers.items() if f'_total{{outcome="{outcome}"' in name)
            for outcome in ("answered", "known", "left", "failed")
        }
    )


def test_eight_at_once_of_whom_two_leave_get_what_each_gets_alone(quiet_demo, server, tmp_path):
    example = Query("explain_class", EXAMPLES[0], ("lemon",))
    begin = threading.Barrier(8)
    before = outcomes(quiet_demo.address)

    def stay(number: int, http: httpx.Client, functions: dict[str, int]) -> dict[Query, list]:
        endpoints = [ENDPOINTS[number], *(["explain_method"] if number == 0 else [])]
        begin.wait()
        queries = [make_query(tmp_path, endpoint, number, SIZES[0]) for endpoint in endpoints]
        return {query: ask_http(http, functions, query) for query in queries}

    def leave(number: int, http: httpx.Client, functions: dict[str, int]) -> dict[Query, list]:
        dear = Query("explain_method", EXAMPLES[number], ("vqa", "Where is this?", "street", "score_cam"))
        begin.wait()
        answers = {example: ask_http(http, functions, example)}
        join_http(http, functions, dear)
        with http.stream("GET", "queue/data", params={"session_hash": session()}) as events:
            next(events.iter_lines())
        return answers

    with visiting(quiet_demo.address) as (http, functions), ThreadPoolExecutor(8) as pool:
        visitors = [pool.submit(leave if number > 5 else stay, number, http, functions) for number in range(8)]
        answers = [visitor.result() for visitor in visitors]
    became = outcomes(quiet_demo.address) - before
    assert became["failed"] == 0
    assert became["left"] <= 2  # fewer, if a connection was closed before its question was asked: see test_leaving

    with visiting(server) as (http, functions):  # which is another process
        asked = dict.fromkeys(query for theirs in answers for query in theirs)
        alone = {query: ask_http(http, functions, query) for query in asked}
    assert {query.endpoint for query in alone} == {*ENDPOINTS, "explain_method"}
    for theirs in answers:
        for query, outputs in theirs.items():
            assert difference(outputs, alone[query]).is_small


def test_what_eight_click_is_computed_once(quiet_demo, tmp_path):
    query = make_query(tmp_path, "explain_class", 4711, SIZES[0])
    before = outcomes(quiet_demo.address)
    with visiting(quiet_demo.address) as visit, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(partial(ask_http, *visit), [query] * 8))
    assert all(difference(outputs, answers[0]) == (0, 0) for outputs in answers)
    assert (outcomes(quiet_demo.address) - before)["answered"] == 1


def test_past_the_bound_of_one_visitor_a_sentence_comes_before_any_answer(quiet_demo, tmp_path):
    """The first is computed for longer than all are asked, and what waits behind it is never begun."""
    asked = [
        Query("explain_method", EXAMPLES[0], ("classification", "", target, "score_cam"))
        for target in ("zebra", *map(str, range(MAX_OF_ONE + 1)))
    ]
    with visiting(quiet_demo.address) as (http, functions):
        ask_http(http, functions, make_query(tmp_path, "classify", 0, SIZES[0]))  # now the network is open
        with EXAMPLES[0].open("rb") as file:
            (path,) = http.post("upload", files={"files": file}).json()
        for number, query in enumerate(asked):
            http.post("queue/join", json=joining(functions, query, path, session())).raise_for_status()
            while number == 0 and metrics(quiet_demo.address)["demo_waiting"] == 0:
                time.sleep(0.01)
        with http.stream("GET", "queue/data", params={"session_hash": session()}) as events:
            ended = (message for message in messages_in(events.iter_lines()) if message["msg"] == "process_completed")
            assert [next(ended)["output"]["error"] for _ in range(2)] == [TOO_MUCH] * 2
            assert metrics(quiet_demo.address)["demo_waiting"] == MAX_OF_ONE
    while metrics(quiet_demo.address)["demo_waiting"] > 0:
        time.sleep(0.1)


def evaluated(*command: str) -> str:
    """What a command of `evaluation` prints."""
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.demo
@pytest.mark.long
def test_a_whole_class_at_once_gets_what_each_gets_alone():
    table = [line for line in evaluated("evaluation.benchmark", "students").splitlines() if line.startswith("|")]
    names, _, *rows = [line.strip("| ").split(" | ") for line in table]
    assert [row[names.index("clients")] for row in rows] == ["1", "8", "32", "128"]
    for column in ("errors", "different"):
        assert {row[names.index(column)] for row in rows} == {"0"}


@pytest.mark.demo
@pytest.mark.long
def test_memory_is_level_for_thousands_of_requests():
    printed = evaluated("evaluation.benchmark", "long", "--requests", "5000")
    assert ": within 5%." in printed
