"""What a request costs through HTTP, beside the bare explanation inside it (Linux).

    python -m evaluation.benchmark_app [--rounds 9] [--requests 96] [--long] [--root DIR]

Starts `app.py` of DIR (default: this checkout) in a process of its own, and beside it the bare process, which runs
`explain(model.score(...), image, layer)` on the shipped models of DIR in its main thread; preparing the image is
outside its timing. The client is this process, on the same cores and without PyTorch. All traffic stays on
127.0.0.1. No timed request is answered from a cache: each sends a photograph that the server has not seen.

- One request at a time, by `gradio_client`: from the upload until the three pictures are fetched. Requests and bare
  explanations take turns, so that whatever else the machine does hits them alike; printed are medians. Who is not
  timed waits on a pipe or a socket, and SETTLE seconds pass before each turn, in which OpenMP's threads, which spin
  for some milliseconds after their work, fall asleep. The CPU time that the waiting process used is printed;
  Gradio's own loops take 2 to 4% of a core at rest. So is how busy other programs kept the machine: the bare
  explanation suffers from them more than the server does, and the ratios hold on a machine that is otherwise idle.
- Many clients at once, each in a session of its own, as pages are: the demo takes all that comes by plain HTTP from
  one address for one visitor. As the speed of a machine drifts, bare explanations are timed before and after each
  line; printed is how many of them could be had a second one after another, 1 / median.
- With `--long`, 1,500 requests to all six endpoints by 8 clients, and what the server, a fresh one, holds after each
  500: memory is compared with that after the first 500.
"""

import argparse
import itertools
import math
import os
import platform
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client, handle_file

from evaluation.processes import (
    Bare,
    Server,
    bare_process,
    bare_seconds,
    busy_seconds,
    cpu_seconds,
    open_files,
    resident_mebibytes,
    said,
    served,
    threads,
)
from evaluation.visitors import ENDPOINTS, HERE, PATIENCE, SIZES, TASKS, Query, ask_http, functions_of, make_query

CLIENTS = (1, 8, 32, 128)
BARE_RUNS = 6  # a multiple of the tasks; before and after each line of many clients
SETTLE = 0.1  # seconds
STEP = 500  # requests, after the first of which a server holds what it needs

Ask = Callable[[Query], Any]
Make = Callable[[str, tuple[int, int]], Query]  # endpoint and size, of a photograph that is new


def ask_gradio_client(client: Client, query: Query) -> None:
    """One request as the README has it; the client fetches the pictures."""
    job = client.submit(handle_file(query.photo), *query.inputs, api_name=f"/{query.endpoint}")
    job.result(timeout=PATIENCE)


def explain_bare(bare: Bare, query: Query) -> float:
    """How long the bare process explains what the query is about."""
    return bare_seconds(bare, TASKS[query.endpoint], query.photo, query.texts)


def seconds_of(ask: Ask, query: Query) -> float:
    """How long a request takes; NaN if it fails, and why is said on stderr."""
    started = time.perf_counter()
    try:
        ask(query)
    except Exception as error:  # whatever goes wrong is one more error to be counted
        print(f"{query.endpoint} {query.texts}: {error!r}", file=sys.stderr)
        return math.nan
    return time.perf_counter() - started


def at_once(server: Server, clients: int, queries: list[Query]) -> list[float]:
    """The seconds of each request, made by that many clients: each takes the next one when it has its answer."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    base_url = f"{server.address}/gradio_api/"
    with (
        httpx.Client(base_url=base_url, timeout=PATIENCE, trust_env=False, limits=limits) as http,
        ThreadPoolExecutor(clients) as pool,
    ):
        functions = functions_of(http.get(f"{server.address}/config").raise_for_status().json())
        return list(pool.map(partial(seconds_of, partial(ask_http, http, functions)), queries))


def answered(seconds: Iterable[float]) -> list[float]:
    """Those of the requests that did not fail."""
    return [value for value in seconds if not math.isnan(value)]


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least that share of all does not exceed; of none, NaN."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan


def print_row(*cells: object) -> None:
    """Print a line of a markdown table at once."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_heading(*names: str) -> None:
    """Print the first two lines of a markdown table, after an empty one."""
    print()
    print_row(*names)
    print(f"|{'---|' * len(names)}", flush=True)


def print_machine(bare: Bare) -> None:
    """The processor, the cores, the load before the benchmark, and the versions."""
    load, torch = os.getloadavg()[0], said(bare)
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = found[1] if found else platform.machine()
    cores = len(os.sched_getaffinity(0))
    print(f"{processor}, {cores} cores, load average {load:.1f}; {torch}; Python {platform.python_version()}")


def measure_start(server: Server, ask: Ask, query: Query) -> None:
    """Print how soon the page and a first explanation are there, and the memory then."""
    print_heading("from the start until", "s", "resident, MiB")
    print_row("the page is served", f"{server.seconds:.1f}", f"{resident_mebibytes(server.pid):.0f}")
    seconds = server.seconds + seconds_of(ask, query)
    print_row("the first explanation", f"{seconds:.1f}", f"{resident_mebibytes(server.pid):.0f}")


def beside(waiting: int, measure: Callable[[], float]) -> tuple[float, float]:
    """The seconds that `measure` finds, and the CPU seconds that another, waiting process used meanwhile."""
    time.sleep(SETTLE)
    before = cpu_seconds(waiting)
    return measure(), cpu_seconds(waiting) - before


def measure_single(server: Server, bare: Bare, ask: Ask, make: Make, rounds: int) -> None:
    """Print what one request at a time takes, beside the bare explanation of the same photograph and target."""
    bares: dict[tuple, list[float]] = defaultdict(list)
    requests: dict[tuple, list[float]] = defaultdict(list)
    used = {"server": 0.0, "bare": 0.0}

    def by_others() -> float:
        return busy_seconds() - sum(map(cpu_seconds, (server.pid, bare.pid, os.getpid())))

    started, others = time.perf_counter(), by_others()
    for number, case in itertools.product(range(rounds + 1), itertools.product(TASKS, SIZES)):
        query = make(*case)
        alone, by_server = beside(server.pid, partial(explain_bare, bare, query))
        request, by_bare = beside(bare.pid, partial(seconds_of, ask, query))
        if number > 0:  # the first round is not counted
            bares[case].append(alone)
            requests[case].append(request)
            used["server"] += by_server
            used["bare"] += by_bare
    others = (by_others() - others) / (time.perf_counter() - started)

    print_heading("endpoint", "photograph", "bare explanation, s", "request, s", "ratio", "errors")
    for (endpoint, (width, height)), seconds in requests.items():
        alone = statistics.median(bares[endpoint, (width, height)])
        request = percentile(answered(seconds), 0.5)
        cells = f"{alone:.3f}", f"{request:.3f}", f"{request / alone:.2f}", rounds - len(answered(seconds))
        print_row(f"`/{endpoint}`", f"{width} × {height}", *cells)
    turns = rounds * len(requests)
    print(
        f"\nCPU time of who waited: of the server {1000 * used['server'] / turns:.0f} ms a bare explanation, of the "
        f"bare process {1000 * used['bare'] / turns:.0f} ms a request. Other programs kept {others:.2f} cores busy.",
        flush=True,
    )


def measure_load(server: Server, bare: Bare, make: Make, requests: int) -> None:
    """Print what many clients at once get, beside bare explanations one after another."""
    print_heading(
        "requests", "clients", "a second", "p50, s", "p95, s", "errors", "bare, a second", "× bare", "client's CPU, s"
    )
    for title, endpoints in {"the three tasks in turn": list(TASKS), "`/explain_class`": ["explain_class"]}.items():
        for clients in CLIENTS:
            turns = itertools.islice(itertools.cycle(endpoints), requests)
            queries = [make(endpoint, SIZES[0]) for endpoint in turns]

            time.sleep(SETTLE)
            before = [explain_bare(bare, query) for query in queries[:BARE_RUNS]]
            cpu, started = time.process_time(), time.perf_counter()
            seconds = answered(at_once(server, clients, queries))
            rate = len(seconds) / (time.perf_counter() - started)
            cpu = (time.process_time() - cpu) / requests
            time.sleep(SETTLE)
            after = [explain_bare(bare, query) for query in queries[:BARE_RUNS]]

            bare_rate = 1 / statistics.median(before + after)
            waits = f"{percentile(seconds, 0.5):.2f}", f"{percentile(seconds, 0.95):.2f}", requests - len(seconds)
            print_row(
                title, clients, f"{rate:.2f}", *waits, f"{bare_rate:.2f}", f"{rate / bare_rate:.2f}", f"{cpu:.3f}"
            )


def measure_memory(server: Server, folder: Path, requests: int) -> None:
    """Print what the server holds, at the start and after each STEP of many requests of all kinds."""
    chance = random.Random(0)

    def any_query(number: int) -> Query:
        number = number if chance.random() < 0.5 else chance.randrange(20)  # a new one, or one of 20 that come again
        return make_query(folder, chance.choice(ENDPOINTS), number, SIZES[number % 2])

    of_the_page = files_of(server).keys()
    print_heading(
        "requests", "errors", "resident, MiB", "open files", "threads", "uploads and answers, MiB", "oldest, min"
    )
    held, errors = [], 0
    for made in range(0, requests + 1, STEP):
        if made > 0:
            seconds = at_once(server, 8, [any_query(number) for number in range(made - STEP, made)])
            errors += STEP - len(answered(seconds))
        held.append((resident_mebibytes(server.pid), open_files(server.pid), threads(server.pid)))
        files = [stat for path, stat in files_of(server).items() if path not in of_the_page]
        size = sum(stat.st_size for stat in files) / 2**20
        now = time.time()
        age = (now - min((stat.st_mtime for stat in files), default=now)) / 60
        print_row(made, errors, f"{held[-1][0]:.0f}", *held[-1][1:], f"{size:.0f}", f"{age:.0f}")
    resident, descriptors, running = zip(*held[1:], strict=True)
    growth = resident[-1] / resident[0] - 1
    within = "within" if abs(growth) <= 0.05 else "not within"
    print(
        f"\nResident memory after {made} requests is {growth:+.1%} of that after {STEP}: {within} 5%. Open files were "
        f"{min(descriptors)} to {max(descriptors)} meanwhile, threads {min(running)} to {max(running)}."
    )


def files_of(server: Server) -> dict[Path, os.stat_result]:
    """The uploads and answers that a server keeps."""
    found = {}
    for path in server.uploads.rglob("*"):
        with suppress(FileNotFoundError):  # deleted just now
            if path.is_file():
                found[path] = path.stat()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="of single requests (default: 9)")
    parser.add_argument("--requests", type=int, default=96, help="for each line of many clients (default: 96)")
    parser.add_argument(
        "--long",
        type=int,
        nargs="?",
        const=1500,
        metavar="N",
        help=f"also measure memory, over N requests (1500), {2 * STEP} at least",
    )
    parser.add_argument("--root", type=Path, default=HERE, metavar="DIR", help="the checkout to measure")
    args = parser.parse_args()
    if args.long is not None and args.long < 2 * STEP:
        parser.error(f"--long takes {2 * STEP} requests at least.")

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the other processes are stopped too
    root, numbers = args.root.resolve(), itertools.count()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def make(endpoint: str, size: tuple[int, int]) -> Query:
            return make_query(folder, endpoint, next(numbers), size)

        with bare_process(root) as bare:
            print_machine(bare)
            with served(root) as server:
                client = Client(server.address, verbose=False, download_files=name, analytics_enabled=False)
                ask = partial(ask_gradio_client, client)
                measure_start(server, ask, make("explain_class", SIZES[0]))
                measure_single(server, bare, ask, make, args.rounds)
                client.close()
                measure_load(server, bare, make, args.requests)
        if args.long:
            with served(root) as server:
                measure_memory(server, folder, args.long)


if __name__ == "__main__":
    main()
