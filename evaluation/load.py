"""What a class of students gets from the app at once, and whether it is what each would get alone (Linux).

    python -m evaluation.load [--clients 1 8 32 128] [--seconds 60] [--root DIR]

Starts `app.py` of DIR (default: this checkout) in a process of its own and lets so many visitors of
`evaluation/locustfile.py` ask it for so many seconds, each until the last answer is there. Then every query is asked
alone, one after another, of an app that is started afresh, and the answers are compared: all but the seconds that they
took. What is counted as different: see `Difference` in `evaluation/visitors.py`.
"""

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from locust.env import Environment

from evaluation.benchmark_app import CLIENTS, percentile, print_heading, print_row
from evaluation.locustfile import Visitor
from evaluation.processes import Server, served
from evaluation.visitors import HERE, PATIENCE, Query, ask_http, difference, functions_of


class Answer(NamedTuple):
    """The outputs of a query, of which pictures are bytes, and the seconds from its upload until they were fetched."""

    query: Query
    outputs: list[Any]
    seconds: float


class Load(NamedTuple):
    """What so many visitors got in so many seconds, and how many errors, refusals and visitors who left there were."""

    clients: int
    seconds: float
    answers: list[Answer]
    counts: Counter[str]


def play(server: Server, clients: int, seconds: float) -> Load:
    """Let so many visitors ask for so many seconds, and then wait for the last answer."""
    environment = Environment(user_classes=[Visitor], host=server.address, stop_timeout=PATIENCE)
    answers: list[Answer] = []
    counts: Counter[str] = Counter()

    def hear(
        name: str, response_time: float, exception: Exception | None, context: Mapping[str, Any], **_: Any
    ) -> None:
        if exception is not None:
            counts["errors"] += 1
            print(f"{name}: {exception!r}", file=sys.stderr)
        elif "outputs" in context:
            answers.append(Answer(context["query"], context["outputs"], response_time / 1000))
        else:
            counts[name] += 1

    environment.events.request.add_listener(hear)
    runner = environment.create_local_runner()
    started = time.perf_counter()
    runner.start(clients, spawn_rate=clients)
    time.sleep(seconds)  # which locust has made one that lets the visitors go on
    runner.quit()
    counts["errors"] += sum(error["count"] for error in runner.exceptions.values())
    return Load(clients, time.perf_counter() - started, answers, counts)


def alone(server: Server, queries: list[Query]) -> dict[Query, list[Any]]:
    """What each query gets that is asked one after another."""
    with httpx.Client(base_url=f"{server.address}/gradio_api/", timeout=PATIENCE, trust_env=False) as http:
        functions = functions_of(http.get(f"{server.address}/config").raise_for_status().json())
        return {query: ask_http(http, functions, query) for query in dict.fromkeys(queries)}


def print_load(load: Load, alone: Mapping[Query, list[Any]]) -> None:
    """A row of the table."""
    seconds = [answer.seconds for answer in load.answers]
    found = [difference(answer.outputs, alone[answer.query]) for answer in load.answers]
    for answer, one in zip(load.answers, found, strict=True):
        if not one.is_small:
            print(f"{answer.query.endpoint} {answer.query.texts}: {one}", file=sys.stderr)
    print_row(
        load.clients,
        len(seconds),
        f"{len(seconds) / load.seconds:.2f}",
        f"{percentile(seconds, 0.5):.2f}",
        f"{percentile(seconds, 0.95):.2f}",
        load.counts["errors"],
        load.counts["busy"],
        load.counts["left on purpose"],
        len(found),
        sum(not one.is_small for one in found),
        f"{max((one.levels for one in found), default=0):.0f} levels, "
        f"{max((one.share for one in found), default=0):.1e}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="visitors at once (1 8 32 128)")
    parser.add_argument("--seconds", type=float, default=60, help="for each number of visitors (default: 60)")
    parser.add_argument("--root", type=Path, default=HERE, metavar="DIR", help="the checkout to measure")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the app is stopped too
    root = args.root.resolve()
    with served(root) as server:
        loads = [play(server, clients, args.seconds) for clients in args.clients]
    with served(root) as server:
        found = alone(server, [answer.query for load in loads for answer in load.answers])
    print_heading(
        "clients", "requests", "a second", "p50, s", "p95, s", "errors", "busy", "left on purpose",
        "answers compared", "different", "largest difference",
    )  # fmt: skip
    for load in loads:
        print_load(load, found)


if __name__ == "__main__":
    main()
