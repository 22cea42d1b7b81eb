"""Start the demo, send it requests as open pages do, and compare responses. Imports no PyTorch."""

import io
import itertools
import json
import math
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil
from PIL import Image

from demo.errors import TOO_MUCH

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "assets" / "examples").glob("*.jpg"))
SIZES = ((500, 380), (1500, 1200))
TASKS = {"explain_class": "classification", "explain_caption": "captioning", "explain_answer": "vqa"}
ENDPOINTS = ("classify", "caption", "answer", *TASKS)
CLASSES = ("zebra", "African elephant", "tabby", "golden retriever", "hen", "lemon", "airliner")
CAPTIONS = ("a dog runs on the grass", "two people stand near the water", "a man in a red shirt", "a white horse")
QUESTIONS = (("What animal is this?", "dog"), ("What color is the ball?", "red"), ("Where is this?", "street"))
PANELS = ("guided_backprop", "gradcam", "guided_gradcam")  # as of demo.query, which imports PyTorch
START_LIMIT = 300  # seconds
PATIENCE = 600  # seconds after which a request counts as an error
MAX_LEVELS, MAX_SHARE = 2, 1e-4  # see Difference

# Of a student: how often each action is chosen, and the seconds between two actions.
ACTIONS = {"example": 4, "new image": 6, "slow method": 1, "leave": 1}
PAUSE = (0.5, 3)


class Server(NamedTuple):
    """A running demo: its address, process id, and folder of uploads."""

    address: str
    pid: int
    uploads: Path


def free_port() -> int:
    """Return a port of this computer on which nothing listens at the moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served() -> Iterator[Server]:
    """Run `app.py` in a process of its own, from the moment that its page is served; stop it at the end.

    Raises:
        RuntimeError: it does not start; with what it printed.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        address, uploads = f"http://127.0.0.1:{port}", Path(folder, "uploads")
        settings = {"GRADIO_TEMP_DIR": str(uploads), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-u", "app.py", "--port", str(port)]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=log, stderr=log)
        try:
            while not _responds(address):
                if process.poll() is not None or time.perf_counter() - started > START_LIMIT:
                    raise RuntimeError(f"The demo did not start:\n{Path(log.name).read_text()}")
                time.sleep(0.05)
            yield Server(address, process.pid, uploads)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _responds(address: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(address, trust_env=False, timeout=START_LIMIT).is_success
    return False


def resident_mebibytes(pid: int) -> float:
    """Return the memory that a process holds."""
    return psutil.Process(pid).memory_info().rss / 2**20


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that all threads of a process have used so far."""
    return sum(psutil.Process(pid).cpu_times()[:2])


class Query(NamedTuple):
    """A request: the file of its image, and the texts that follow it, without model and layer."""

    endpoint: str
    photo: Path
    texts: tuple[str | int, ...]

    @property
    def inputs(self) -> list[str | int]:
        """All that follows the image: empty names mean the default model and layer."""
        return [*self.texts, *([""] * (2 if self.endpoint.startswith("explain") else 1))]


def photograph(folder: Path, number: int, size: tuple[int, int]) -> Path:
    """Write an example image as a JPEG of that size, with `number` (under 65,536) in its corner as 16 squares."""
    path = folder / f"{number}_{size[0]}.jpg"
    if not path.exists():
        image = Image.open(EXAMPLES[number % len(EXAMPLES)]).convert("RGB").resize(size)
        for bit in range(16):
            image.paste("white" if number >> bit & 1 else "black", (8 * bit, 0, 8 * bit + 8, 8))
        image.save(path, quality=90)
    return path


def make_query(folder: Path, endpoint: str, number: int, size: tuple[int, int]) -> Query:
    """Return a request about image `number`, which also picks the class, caption and word, or question."""
    return Query(endpoint, photograph(folder, number, size), texts_of(endpoint, number))


def texts_of(endpoint: str, number: int) -> tuple[str | int, ...]:
    """Return the texts of a request; those of `/explain_method` ask for a slow method."""
    label = CLASSES[number % len(CLASSES)]
    question, answer = QUESTIONS[number % len(QUESTIONS)]
    texts: dict[str, tuple[str | int, ...]] = {
        "explain_class": (label,),
        "explain_caption": (CAPTIONS[number % len(CAPTIONS)], number % 3 - 1),
        "answer": (question,),
        "explain_answer": (question, answer),
        "explain_method": ("classification", "", label, "occlusion"),
    }
    return texts.get(endpoint, ())


_of_thread = threading.local()
_new_images = itertools.count()


def session() -> str:
    """Return the session of this thread, which stands for an open page."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = uuid.uuid4().hex
    return str(_of_thread.session)


@contextmanager
def opened(server: Server) -> Iterator[tuple[httpx.Client, dict[str, int]]]:
    """Connect to a server; the base of the client is the API, and each endpoint has its number beside it."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    base_url = f"{server.address}/gradio_api/"
    with httpx.Client(base_url=base_url, timeout=PATIENCE, trust_env=False, limits=limits) as http:
        yield http, functions_of(http.get(f"{server.address}/config").raise_for_status().json())


def functions_of(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of each endpoint in the response of `/config`."""
    return {function["api_name"]: function["id"] for function in config["dependencies"]}


def joining(functions: Mapping[str, int], query: Query, path: str, session: str) -> dict[str, Any]:
    """Return the body of a request to `queue/join`; `path` is the image's on the server."""
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, *query.inputs]
    return {"data": data, "fn_index": functions[query.endpoint], "session_hash": session}


def messages_in(events: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
    """Yield the messages in the lines of `queue/data`."""
    return (json.loads(line[len("data: ") :]) for line in events if line)


def outputs_in(events: Iterable[str | bytes]) -> list[Any]:
    """Return the outputs of the only event of a session, from the lines of `queue/data`.

    Raises:
        RuntimeError: the response is an error, or there is none.
    """
    for message in messages_in(events):
        if message["msg"] == "process_completed":
            if not message["success"]:
                raise RuntimeError(message["output"]["error"])
            return list(message["output"]["data"])
    raise RuntimeError("The response ended before it was complete.")


def join_http(http: httpx.Client, functions: Mapping[str, int], query: Query, path: str = "") -> None:
    """Join the queue, after uploading the image unless its `path` on the server is given.

    Raises:
        httpx.HTTPError: the server refuses.
    """
    if not path:
        with query.photo.open("rb") as file:
            (path,) = http.post("upload", files={"files": file}).raise_for_status().json()
    http.post("queue/join", json=joining(functions, query, path, session())).raise_for_status()


def ask_http(http: httpx.Client, functions: Mapping[str, int], query: Query, path: str = "") -> list[Any]:
    """Return the outputs of one request as a page makes it, with pictures as bytes.

    Raises:
        RuntimeError: the response is an error.
        httpx.HTTPError: there is no response.
    """
    join_http(http, functions, query, path)
    with http.stream("GET", "queue/data", params={"session_hash": session()}) as events:
        outputs = outputs_in(events.iter_lines())
    return [
        http.get(output["url"]).raise_for_status().content if isinstance(output, dict) and "url" in output else output
        for output in outputs
    ]


def ask_route(http: httpx.Client, address: str, query: Query) -> list[dict[str, Any]]:
    """Return the lines of `POST /ask` about the three panels, with the image in the request.

    Raises:
        RuntimeError: there is no result.
        httpx.HTTPError: there is no response.
    """
    *text, target = query.texts
    question: dict[str, Any] = {
        "kind": "Explain",
        "image": "photo",
        "task": TASKS[query.endpoint],
        "methods": list(PANELS),
    }
    question |= {"text": str(*text), "targets": [target]}
    form = {"json": json.dumps({"version": 1, "client": session(), "questions": [question]})}
    with (
        query.photo.open("rb") as file,
        http.stream("POST", f"{address}/ask", data=form, files={"photo": file}) as response,
    ):
        lines = [json.loads(line) for line in response.iter_lines()]
    if lines[-1]["kind"] != "end":
        raise RuntimeError(str(lines[-1]))
    return lines


class Difference(NamedTuple):
    """How far apart two responses are at most.

    Attributes:
        levels: of 256, by which a colour of a pixel differs.
        share: of the larger of two numbers, or of 1, by which they differ; infinite between unlike kinds.
    """

    levels: float = 0.0
    share: float = 0.0

    @property
    def is_small(self) -> bool:
        """Whether the responses are the same but for sums in another order, as in a batch."""
        return self.levels <= MAX_LEVELS and self.share <= MAX_SHARE


def difference(some: Any, others: Any) -> Difference:
    """Compare outputs in all but the seconds that they took."""
    found = [Difference(), *_differences(some, others)]
    return Difference(max(one.levels for one in found), max(one.share for one in found))


def _differences(some: Any, others: Any) -> Iterator[Difference]:
    match some, others:
        case dict(), dict() if some.keys() == others.keys():
            for key in some.keys() - {"seconds", "gradcam_seconds"}:
                yield from _differences(some[key], others[key])
        case list(), list() if len(some) == len(others):
            for one, other in zip(some, others, strict=True):
                yield from _differences(one, other)
        case bytes(), bytes() if some != others:
            one, other = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (some, others))
            yield Difference(levels=np.abs(one - other).max().item() if one.shape == other.shape else math.inf)
        case float(), float():
            yield Difference(share=abs(some - others) / max(1, abs(some), abs(others)))
        case _:
            yield Difference() if some == others else Difference(share=math.inf)


class Load(NamedTuple):
    """What many students got.

    Attributes:
        seconds: until the last response.
        responses: of each the query, the outputs, and the seconds from its upload until its pictures were fetched.
        others: "error", "busy" (the demo asked to try again) or "left on purpose", one for each such event.
    """

    seconds: float
    responses: list[tuple[Query, list[Any], float]]
    others: list[str]


def run_students(server: Server, clients: int, seconds: float, folder: Path) -> Load:
    """Let students use a server for some seconds, each with a page of its own, and wait for the last response."""
    load, started = Load(0, [], []), time.perf_counter()
    act = partial(_act_as_student, server, load, folder, started + seconds)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(act, range(clients)))
    return load._replace(seconds=time.perf_counter() - started)


def _act_as_student(server: Server, load: Load, folder: Path, until: float, student: int) -> None:
    """Take the common example or new images, ask the endpoints of a task, sometimes a slow method, sometimes leave."""
    chance = random.Random(student)
    with opened(server) as (http, functions):
        example = _open_page(http, server.address)
        while time.perf_counter() < until:
            (action,) = chance.choices(list(ACTIONS), list(ACTIONS.values()))
            number, size = next(_new_images), chance.choice(SIZES)
            endpoints = chance.choice(list(zip(ENDPOINTS, TASKS, strict=False)))
            try:
                match action:
                    case "example":
                        for endpoint in endpoints:
                            _ask(load, http, functions, Query(endpoint, EXAMPLES[-1], texts_of(endpoint, 0)), example)
                    case "new image":
                        for endpoint in endpoints:
                            _ask(load, http, functions, make_query(folder, endpoint, number, size))
                    case "slow method":
                        _ask(load, http, functions, make_query(folder, "explain_method", number, SIZES[0]))
                    case "leave":
                        join_http(http, functions, make_query(folder, endpoints[1], number, size))
                        with http.stream("GET", "queue/data", params={"session_hash": session()}) as events:
                            next(events.iter_lines())
                        load.others.append("left on purpose")
                        example = _open_page(http, server.address)
            except (RuntimeError, httpx.HTTPError) as error:
                load.others.append("busy" if str(error) == TOO_MUCH else "error")
                print(f"{action}: {error!r}", file=sys.stderr)
            time.sleep(chance.uniform(*PAUSE))


def _open_page(http: httpx.Client, address: str) -> str:
    """Load the page in a new session of this thread; return the path of its example on the server."""
    _of_thread.session = uuid.uuid4().hex
    for asset in re.findall(r'(?:src|href)="\./(assets/[^"]+)"', http.get(address).text):
        http.get(f"{address}/{asset}")
    return str(re.findall(rf'"([^"]*/{EXAMPLES[-1].name})"', http.get(f"{address}/config").text)[0])


def _ask(load: Load, http: httpx.Client, functions: Mapping[str, int], query: Query, path: str = "") -> None:
    started = time.perf_counter()
    outputs = ask_http(http, functions, query, path)
    load.responses.append((query, outputs, time.perf_counter() - started))
