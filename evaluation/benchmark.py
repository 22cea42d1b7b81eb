"""Measure the running demo beside the bare explanation of the same images in the same run (Linux).

    python -m evaluation.benchmark http [--rounds 9] [--requests 96]
    python -m evaluation.benchmark page [--rounds 9]
    python -m evaluation.benchmark long [--requests 1500]
    python -m evaluation.benchmark students [--clients 1 8 32 128] [--seconds 60]
    python -m evaluation.benchmark cluster [--requests 64]

Each starts the demo in a process of its own, asks it from this process on the same cores, and prints markdown tables.
All traffic stays on 127.0.0.1. The bare explanation, `explain(model.score(...), image, layer)` without preparing the
image, runs in another process. The speed of a machine drifts: the ratios are what can be compared.

- http: one request at a time by `gradio_client`, from the upload until three pictures are fetched, and by `POST /ask`,
  in turn with bare explanations; then many clients at once by plain HTTP. Each request sends an image that the server
  has not seen.
- page: what a user waits for in Chromium, and what it costs to send; where the first row of panels is; and frames a
  second of the camera.
- long: what the server holds after each 500 requests to all six endpoints by 8 clients.
- students: what many students get who use pages for a while, compared with the responses to the same queries one
  after another of a fresh server.
- cluster: what the queue to a Ray cluster costs, and what a second replica brings. A replica has one thread. Needs
  requirements-cluster.txt.
"""

import argparse
import io
import itertools
import math
import os
import platform
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from gradio_client import Client, handle_file
from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page, sync_playwright

from demo import process
from evaluation import load
from evaluation.load import EXAMPLES, ROOT, SIZES, TASKS, Query, Server, make_query, photograph, resident_mebibytes

CLIENTS = (1, 8, 32, 128)
BARE_RUNS = 6  # a multiple of the tasks; before and after each line of many clients
SETTLE = 0.1  # seconds in which OpenMP's threads, which spin after their work, fall asleep
STEP = 500  # requests, after the first of which a server holds what it needs

TABS = ("Classification", "Captioning", "Question answering")
SCREENS = ((1280, 800), (390, 844))
CAMERA, FRAMES = (640, 480), 45  # pixels, and frames of each example, at 30 a second
LIVE_SECONDS = 10

MACHINES_CONFIGURATION = ROOT / "docs" / "cluster" / "serve.yaml"
USERS = 16  # whose queries a cluster answers at once
SINGLE = 15  # queries one after another
STORE = 512 * 2**20  # bytes that a machine keeps of what is sent

Make = Callable[[str, tuple[int, int]], Query]  # endpoint and size, of an image that is new
Ask = Callable[[Query], Any]
Rates = tuple[float, float, int, int]


def print_row(*cells: object) -> None:
    """Print a line of a markdown table at once."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_heading(*names: str) -> None:
    """Print the first two lines of a markdown table, after an empty one."""
    print()
    print_row(*names)
    print(f"|{'---|' * len(names)}", flush=True)


def print_machine() -> None:
    """Print the processor, the cores, the load before the benchmark, and the versions."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    print(
        f"{processor[1] if processor else platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"load average {os.getloadavg()[0]:.1f}; torch {version('torch')}; Python {platform.python_version()}"
    )


def explain_bare(task: str, file: Path, texts: Any) -> float:
    """Return the seconds of an explanation at the default layer; for a process of its own."""
    from demo import models
    from explainers import explain

    model = models.load(task)
    with Image.open(file) as photo:
        image = model.prepare(photo.convert("RGB"))
    started = time.perf_counter()
    explain(model.score(*texts), image, next(iter(model.layers.values())), reshape=model.reshape)
    return time.perf_counter() - started


def one_process() -> ProcessPoolExecutor:
    """Return another process, which is prepared as that of the demo."""
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=process.prepare, initargs=(None,))


def bare_seconds(bare: ProcessPoolExecutor, query: Query) -> float:
    """Return the seconds of the bare explanation that a query asks for, once the server's threads are asleep."""
    time.sleep(SETTLE)
    return bare.submit(explain_bare, TASKS[query.endpoint], query.photo, query.texts).result()


def seconds_of(ask: Ask, query: Query) -> float:
    """Return how long a request takes; NaN if it fails, and print the error."""
    started = time.perf_counter()
    try:
        ask(query)
    except Exception as error:  # whatever goes wrong is one more error to be counted
        print(f"{query.endpoint} {query.texts}: {error!r}", file=sys.stderr)
        return math.nan
    return time.perf_counter() - started


def ask_all(server: Server, clients: int, queries: list[Query], *, by_route: bool = False) -> list[float]:
    """Return the seconds of each request; each client takes the next one when it has its response."""
    with load.opened(server) as (http, functions), ThreadPoolExecutor(clients) as pool:
        ask = partial(load.ask_route, http, server.address) if by_route else partial(load.ask_http, http, functions)
        return list(pool.map(partial(seconds_of, ask), queries))


def answered(seconds: Iterable[float]) -> list[float]:
    """Return those of the requests that did not fail."""
    return [value for value in seconds if not math.isnan(value)]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least that share of all does not exceed; NaN without values."""
    found = list(values)
    return float(np.quantile(found, share, method="inverted_cdf")) if found else math.nan


def measure_http(folder: Path, rounds: int, requests: int) -> None:
    """Print what a request costs, one at a time and with many clients."""
    numbers = itertools.count()

    def make(endpoint: str, size: tuple[int, int]) -> Query:
        return make_query(folder, endpoint, next(numbers), size)

    print_machine()
    with one_process() as bare, load.served() as server:
        measure_single(server, bare, make, rounds)
        measure_many(server, bare, make, requests)


def measure_single(server: Server, bare: ProcessPoolExecutor, make: Make, rounds: int) -> None:
    """Print what one request at a time takes, beside the bare explanation of the same image and target."""
    with tempfile.TemporaryDirectory() as downloads:
        client = Client(server.address, verbose=False, download_files=downloads, analytics_enabled=False)

        def ask_client(query: Query) -> None:
            job = client.submit(handle_file(query.photo), *query.inputs, api_name=f"/{query.endpoint}")
            job.result(timeout=load.PATIENCE)

        bares: dict[tuple, list[float]] = defaultdict(list)
        responses: dict[tuple, list[float]] = defaultdict(list)
        with load.opened(server) as (http, _):
            ways: dict[str, Ask] = {
                "`/{}`": ask_client,
                "`POST /ask`, as `/{}`": partial(load.ask_route, http, server.address),
            }
            for number, way, endpoint, size in itertools.product(range(rounds + 1), ways, TASKS, SIZES):
                query = make(endpoint, size)
                alone = bare_seconds(bare, query)
                time.sleep(SETTLE)
                seconds = seconds_of(ways[way], query)
                if number > 0:  # the first round is not counted
                    bares[way, endpoint, size].append(alone)
                    responses[way, endpoint, size].append(seconds)
        client.close()
    print_heading("request", "image", "bare explanation, s", "request, s", "ratio", "errors")
    for key, taken in responses.items():
        way, endpoint, (width, height) = key
        alone, request = statistics.median(bares[key]), percentile(answered(taken), 0.5)
        cells = f"{alone:.3f}", f"{request:.3f}", f"{request / alone:.2f}", rounds - len(answered(taken))
        print_row(way.format(endpoint), f"{width} × {height}", *cells)


def measure_many(server: Server, bare: ProcessPoolExecutor, make: Make, requests: int) -> None:
    """Print what many clients at once get, beside bare explanations one after another."""
    print_heading(
        "requests", "clients", "a second", "p50, s", "p95, s", "errors", "bare, a second", "× bare", "client's CPU, s"
    )
    cases = {
        "the three tasks in turn": (list(TASKS), False),
        "`/explain_class`": (["explain_class"], False),
        "`POST /ask`, the three tasks in turn": (list(TASKS), True),
    }
    for (title, (endpoints, by_route)), clients in itertools.product(cases.items(), CLIENTS):
        turns = itertools.islice(itertools.cycle(endpoints), requests)
        queries = [make(endpoint, SIZES[0]) for endpoint in turns]
        alone = [bare_seconds(bare, query) for query in queries[:BARE_RUNS]]
        time.sleep(SETTLE)
        cpu, started = time.process_time(), time.perf_counter()
        seconds = answered(ask_all(server, clients, queries, by_route=by_route))
        rate = len(seconds) / (time.perf_counter() - started)
        cpu = (time.process_time() - cpu) / requests
        alone += [bare_seconds(bare, query) for query in queries[:BARE_RUNS]]
        bare_rate = 1 / statistics.median(alone)
        waits = f"{percentile(seconds, 0.5):.2f}", f"{percentile(seconds, 0.95):.2f}", requests - len(seconds)
        print_row(title, clients, f"{rate:.2f}", *waits, f"{bare_rate:.2f}", f"{rate / bare_rate:.2f}", f"{cpu:.3f}")


def measure_long(folder: Path, requests: int) -> None:
    """Print what a server holds, at the start and after each STEP of many requests of all kinds."""
    chance = random.Random(0)

    def any_query(number: int) -> Query:
        number = number if chance.random() < 0.5 else chance.randrange(20)  # a new one, or one of 20 that come again
        return make_query(folder, chance.choice(load.ENDPOINTS), number, SIZES[number % 2])

    with load.served() as server:
        process, of_the_page = psutil.Process(server.pid), files_of(server).keys()
        print_heading(
            "requests", "errors", "resident, MiB", "open files", "threads", "uploads and results, MiB", "oldest, min"
        )
        held, errors = [], 0
        for made in range(0, requests + 1, STEP):
            if made > 0:
                seconds = ask_all(server, 8, [any_query(number) for number in range(made - STEP, made)])
                errors += STEP - len(answered(seconds))
            held.append((resident_mebibytes(server.pid), process.num_fds(), process.num_threads()))
            files = [stat for path, stat in files_of(server).items() if path not in of_the_page]
            now, size = time.time(), sum(stat.st_size for stat in files) / 2**20
            age = (now - min((stat.st_mtime for stat in files), default=now)) / 60
            print_row(made, errors, f"{held[-1][0]:.0f}", *held[-1][1:], f"{size:.0f}", f"{age:.0f}")
    resident, descriptors, threads = zip(*held[1:], strict=True)
    growth = resident[-1] / resident[0] - 1
    within = "within" if abs(growth) <= 0.05 else "not within"
    print(
        f"\nResident memory after {made} requests is {growth:+.1%} of that after {STEP}: {within} 5%. Open files were "
        f"{min(descriptors)} to {max(descriptors)} meanwhile, threads {min(threads)} to {max(threads)}."
    )


def files_of(server: Server) -> dict[Path, os.stat_result]:
    """Return the uploads and results that a server keeps."""
    files = {}
    for path in server.uploads.rglob("*"):
        with suppress(FileNotFoundError):  # deleted just now
            if path.is_file():
                files[path] = path.stat()
    return files


def measure_students(folder: Path, clients: Iterable[int], seconds: float) -> None:
    """Print what students got, and how far that is from the responses to the same queries alone."""
    with load.served() as server:
        loads = {count: load.run_students(server, count, seconds, folder) for count in clients}
    with load.served() as server, load.opened(server) as (http, functions):
        queries = dict.fromkeys(query for _, responses, _ in loads.values() for query, *_ in responses)
        alone = {query: load.ask_http(http, functions, query) for query in queries}
    print_heading(
        "clients", "requests", "a second", "p50, s", "p95, s", "errors", "busy", "left on purpose",
        "responses compared", "different", "largest difference",
    )  # fmt: skip
    for count, (total, responses, others) in loads.items():
        taken = [seconds for *_, seconds in responses]
        differences = [load.difference(outputs, alone[query]) for query, outputs, _ in responses]
        levels, share = (max(values) for values in zip((0, 0), *differences, strict=True))
        rates = f"{len(taken) / total:.2f}", f"{percentile(taken, 0.5):.2f}", f"{percentile(taken, 0.95):.2f}"
        failures = map(others.count, ("error", "busy", "left on purpose"))
        different = sum(not one.is_small for one in differences)
        compared = len(differences), different, f"{levels:.0f} levels, {share:.1e}"
        print_row(count, len(taken), *rates, *failures, *compared)


# Milliseconds from what begins it until `count` rows are drawn for something new.
DRAWN = """([count, begin]) => new Promise((done) => {
  const start = performance.now();
  document.addEventListener("explained", function drawn({ detail }) {
    if (detail.keys.length !== count) return;
    document.removeEventListener("explained", drawn);
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
  });
  eval(begin);
})"""

# Milliseconds that the page needs to follow an input.
FOLLOWED = """([selector, value, event]) => {
  const input = [...document.querySelectorAll(selector)].find((one) => one.offsetParent);
  const start = performance.now();
  input.value = value;
  input.dispatchEvent(new Event(event));
  return performance.now() - start;
}"""


def measure_page(folder: Path, rounds: int) -> None:
    """Print what a user waits for, where the panels are, and the frames a second."""
    print_machine()
    with load.served() as server, one_process() as bare, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**camera(folder))
        measure_waiting(browser, server.address, bare, folder, rounds)
        measure_layout(browser, server.address)
        measure_live(browser, server.address)
        browser.close()


def camera(folder: Path) -> dict[str, Any]:
    """Return how Playwright launches a Chromium whose camera is a film of slowly moving examples."""
    frames = []
    for path in EXAMPLES[:6]:
        image = ImageOps.fit(Image.open(path).convert("RGB"), (CAMERA[0] + FRAMES, CAMERA[1]))
        for left in range(FRAMES):
            image.crop((left, 0, left + CAMERA[0], CAMERA[1])).save(frame := io.BytesIO(), "JPEG", quality=90)
            frames.append(frame.getvalue())
    film = folder / "film.mjpeg"
    film.write_bytes(b"".join(frames))
    options = ("no-sandbox", "disable-gpu", "use-fake-ui-for-media-stream", "use-fake-device-for-media-stream")
    arguments = [*(f"--{option}" for option in options), f"--use-file-for-fake-video-capture={film}"]
    return {"executable_path": shutil.which("chromium"), "args": arguments}


def open_page(browser: Browser, address: str, width: int = 1280, height: int = 800) -> Page:
    """Open the page and wait for its finished example."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.locator(".panel-row").nth(1).wait_for()
    page.wait_for_timeout(1000)
    return page


def received_kilobytes(page: Page, act: Callable[[], float]) -> float:
    """Return what comes over the wire during an action, and for half a second after it."""
    network = page.context.new_cdp_session(page)
    sizes: list[float] = []
    network.on("Network.dataReceived", lambda event: sizes.append(event["dataLength"]))
    network.send("Network.enable")
    act()
    page.wait_for_timeout(500)
    network.detach()
    return sum(sizes) / 1000


def drop(page: Page, file: Path) -> float:
    """Return the milliseconds from a dropped image to its panels."""
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").click()
        page.locator(".note:visible").wait_for()
    ends = page.evaluate_handle(f"() => ({{ done: ({DRAWN})([1, '']) }})")
    page.locator("#photo input[type=file]").set_input_files(file)
    return float(page.evaluate("({ done }) => done", ends))


def measure_waiting(browser: Browser, address: str, bare: ProcessPoolExecutor, folder: Path, rounds: int) -> None:
    """Print medians from an input until the panels are drawn, and the bytes received."""
    page = open_page(browser, address)
    images = iter([photograph(folder, number, SIZES[1]) for number in range(rounds + 1)])
    opacities = (0.3 + 0.01 * number for number in itertools.count())
    maps, places = itertools.cycle(("jet", "viridis")), itertools.cycle((1, 2, 3))
    click = "document.querySelectorAll('#classification-top .pick')[{}].click()"
    acts: dict[str, Callable[[], float]] = {
        "opacity changed": lambda: page.evaluate(FOLLOWED, ["[data-setting=opacity]", str(next(opacities)), "input"]),
        "colours changed": lambda: page.evaluate(FOLLOWED, ["select", next(maps), "change"]),
        "an image dropped": lambda: drop(page, next(images)),
        "a class clicked": lambda: page.evaluate(DRAWN, [1, click.format(next(places))]),
    }
    taken: dict[str, list[float]] = {name: [] for name in acts}
    alone = []
    for number in range(rounds):
        query = Query("explain_class", photograph(folder, number, SIZES[1]), ("zebra",))
        alone.append(1000 * bare_seconds(bare, query))
        for name, act in acts.items():
            taken[name].append(act())
            page.wait_for_timeout(1000)
    print_heading("", "ms", "over the bare explanation", "kB received")
    print_row("bare explanation", f"{(unit := statistics.median(alone)):.0f}", "1.00", "")
    for name, act in acts.items():  # once more, as counting bytes slows the browser down
        median = statistics.median(taken[name])
        print_row(name, f"{median:.0f}", f"{median / unit:.2f}", f"{received_kilobytes(page, act):.0f}")
    page.close()


def measure_layout(browser: Browser, address: str) -> None:
    """Print where the first row of panels begins and ends, in pixels from the top."""
    print_heading("first row of", *TABS)
    for width, height in SCREENS:
        page = open_page(browser, address, width, height)
        rows = []
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            page.locator(".panel-row:visible").first.wait_for()
            page.wait_for_timeout(3000)
            box = page.locator(".panel .frame:visible").first.bounding_box()
            assert box
            rows.append(f"{box['y']:.0f} to {box['y'] + box['height']:.0f}")
        print_row(f"{width} × {height}", *rows)
        page.close()


def measure_live(browser: Browser, address: str) -> None:
    """Print how many frames of the camera a second get their heatmap, and how long that takes."""
    page = open_page(browser, address)
    page.evaluate("window.waited = []; addEventListener('live', ({ detail }) => waited.push(detail))")
    page.get_by_role("button", name="Live").click()
    page.locator(".live .pick").first.wait_for()
    page.evaluate("waited.length = 0")
    page.wait_for_timeout(1000 * LIVE_SECONDS)
    waited = page.evaluate("waited")
    page.close()
    print_heading("live", "frames a second", "ms from frame to heatmap, median")
    print_row("", f"{len(waited) / LIVE_SECONDS:.1f}", f"{statistics.median(waited):.0f}")


def measure_cluster(folder: Path, requests: int) -> None:
    """Print what queries take here with one thread and two, and on a cluster with one replica and two."""
    rates: dict[str, Rates] = {}
    for threads in (1, 2):
        with one_process() as process:
            rates[f"here, {threads} thread(s)"] = process.submit(engine_rates, folder, requests, threads).result()
    for replicas in (1, 2):
        with machines(replicas) as address, one_process() as process:
            measured = process.submit(engine_rates, folder, requests, 1, address).result()
            rates[f"cluster, {replicas} replica(s)"] = measured
            memory = replica_mebibytes()
    seconds, rate, *_ = rates["here, 1 thread(s)"]
    print_heading("models", "one query, s", "× one thread here", "queries a second", "× one thread here")
    for title, (one, many, *_) in rates.items():
        print_row(title, f"{one:.3f}", f"{one / seconds:.2f}", f"{many:.2f}", f"{many / rate:.2f}")
    query, response = (size / 1024 for size in rates["cluster, 1 replica(s)"][2:])
    print(f"\nA query is {query:.0f} KiB, a response {response:.0f} KiB; a replica holds {memory:.0f} MiB.")


def engine_rates(folder: Path, requests: int, threads: int, address: str = "") -> Rates:
    """Ask an engine of this process, or of the cluster at `address`.

    Returns:
        The median seconds of one query, how many are answered a second, and the bytes of a query and of a result.
    """
    import torch

    from demo.cluster.worker import REMOTE_ENTRIES, ClusterWorker
    from demo.engine import Engine
    from demo.models import Library
    from demo.query import Explain, image_file, to_json

    torch.set_num_threads(threads)
    cluster = Engine(Library(entries=REMOTE_ENTRIES), worker=ClusterWorker(address, "cpu")) if address else None
    engine = cluster or Engine(Library())
    files = [photograph(folder, number, SIZES[0]) for number in range(SINGLE + 3 + requests)]
    queries = [Explain(image_file(file.read_bytes()), "classification", targets=("",)) for file in files]
    seconds = []
    for query in queries[: SINGLE + 3]:
        started = time.perf_counter()
        result = engine.answer(query)
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    several = enumerate(queries[SINGLE + 3 :])
    for pending in [engine.ask(query, client=str(number % USERS)) for number, query in several]:
        pending.result.result()
    rate = requests / (time.perf_counter() - started)
    return statistics.median(seconds[3:]), rate, len(query.image.data), len(to_json(result))


@contextmanager
def machines(replicas: int) -> Iterator[str]:
    """Run a cluster of so many machines of one core with a replica each, as processes of this computer."""
    from ray.cluster_utils import Cluster as Machines

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Machines(initialize_head=True, head_node_args=head)
    for _ in range(replicas):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    configuration = yaml.safe_load(MACHINES_CONFIGURATION.read_text())
    (deployment,) = configuration["applications"][0]["deployments"]
    deployment["autoscaling_config"] |= {"min_replicas": replicas, "max_replicas": replicas}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(configuration, file)
        file.flush()
        serve = Path(sys.executable).with_name("serve")
        command = [serve, "run", "--non-blocking", "--address", cluster.address, file.name]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    try:
        yield cluster.address
    finally:
        for machine in cluster.list_all_nodes():
            cluster.remove_node(machine, allow_graceful=False)


def replica_mebibytes() -> float:
    """Return the memory of the largest replica on this computer."""
    processes = psutil.process_iter(["cmdline", "pid"])
    replicas = [one.pid for one in processes if "ServeReplica:why" in " ".join(one.info["cmdline"] or ())]
    return max(map(resident_mebibytes, replicas))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def add(measure: Callable[..., None]) -> argparse.ArgumentParser:
        command = commands.add_parser(measure.__name__.removeprefix("measure_"))
        command.set_defaults(measure=measure)
        return command

    http, page, long = add(measure_http), add(measure_page), add(measure_long)
    students, cluster = add(measure_students), add(measure_cluster)
    for command in (http, page):
        command.add_argument("--rounds", type=int, default=9, help="default: 9")
    http.add_argument("--requests", type=int, default=96, help="for each line of many clients (default: 96)")
    long.add_argument("--requests", type=int, default=1500, help=f"{2 * STEP} at least (default: 1500)")
    students.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="at once (default: 1 8 32 128)")
    students.add_argument("--seconds", type=float, default=60, help="for each number of clients (default: 60)")
    cluster.add_argument("--requests", type=int, default=64, help="of each throughput (default: 64)")
    options = vars(parser.parse_args())
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the other processes are stopped too
    with tempfile.TemporaryDirectory() as folder:
        options.pop("measure")(Path(folder), **options)


if __name__ == "__main__":
    main()
