"""Who asks the app through HTTP, as a page does: what is asked, and how; and whether two answers are the same.

Without PyTorch, and without what `locust` does to a process that imports it.
"""

import io
import json
import math
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from PIL import Image

HERE = Path(__file__).parents[1]
EXAMPLES = sorted((HERE / "assets" / "examples").glob("*.jpg"))
SIZES = ((500, 380), (1500, 1200))
TASKS = {"explain_class": "classification", "explain_caption": "captioning", "explain_answer": "vqa"}
ENDPOINTS = ("classify", "caption", "answer", *TASKS)
CLASSES = ("zebra", "African elephant", "tabby", "golden retriever", "hen", "lemon", "airliner")
CAPTIONS = ("a dog runs on the grass", "two people stand near the water", "a man in a red shirt", "a white horse")
QUESTIONS = (("What animal is this?", "dog"), ("What color is the ball?", "red"), ("Where is this?", "street"))
PATIENCE = 600  # seconds after which a request counts as an error
LEVELS, SHARE = 2, 1e-4  # see Difference


class Query(NamedTuple):
    """A request: the photograph's file, and the texts that follow it, without model and layer."""

    endpoint: str
    photo: Path
    texts: tuple[str | int, ...]

    @property
    def inputs(self) -> list[str | int]:
        """All that follows the photograph: empty names mean the default model and layer."""
        return [*self.texts, *([""] * (2 if self.endpoint.startswith("explain") else 1))]


def photograph(folder: Path, number: int, size: tuple[int, int]) -> Path:
    """An example photograph as a JPEG of that size, with `number` (under 65,536) in its corner, as 16 squares."""
    path = folder / f"{number}_{size[0]}.jpg"
    if not path.exists():
        photo = Image.open(EXAMPLES[number % len(EXAMPLES)]).convert("RGB").resize(size)
        for bit in range(16):
            photo.paste("white" if number >> bit & 1 else "black", (8 * bit, 0, 8 * bit + 8, 8))
        photo.save(path, quality=90)
    return path


def make_query(folder: Path, endpoint: str, number: int, size: tuple[int, int]) -> Query:
    """A request about photograph `number`, which also picks the class, caption and word, or question."""
    return Query(endpoint, photograph(folder, number, size), texts_of(endpoint, number))


def texts_of(endpoint: str, number: int) -> tuple[str | int, ...]:
    """One of the classes, captions with a word or as a whole, or questions; by `/explain_method` a dear method."""
    named = CLASSES[number % len(CLASSES)]
    question, answer = QUESTIONS[number % len(QUESTIONS)]
    texts: dict[str, tuple[str | int, ...]] = {
        "explain_class": (named,),
        "explain_caption": (CAPTIONS[number % len(CAPTIONS)], number % 3 - 1),
        "answer": (question,),
        "explain_answer": (question, answer),
        "explain_method": ("classification", "", named, "occlusion"),
    }
    return texts.get(endpoint, ())


_of_thread = threading.local()


def session() -> str:
    """The session of this thread, which stands for a page that somebody has open."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = uuid.uuid4().hex
    return str(_of_thread.session)


def functions_of(config: Mapping[str, Any]) -> dict[str, int]:
    """The number of each endpoint, in what `/config` says."""
    return {function["api_name"]: function["id"] for function in config["dependencies"]}


def joining(functions: Mapping[str, int], query: Query, path: str, session: str) -> dict[str, Any]:
    """What `queue/join` is sent.

    Args:
        functions: the number of each endpoint.
        path: where the photograph lies on the server.
    """
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, *query.inputs]
    return {"data": data, "fn_index": functions[query.endpoint], "session_hash": session}


def messages_in(events: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
    """What the lines of `queue/data` tell about the events of a session."""
    return (json.loads(line[len("data: ") :]) for line in events if line)


def outputs_in(events: Iterable[str | bytes]) -> list[Any]:
    """The outputs of the only event of a session, in the lines of `queue/data`.

    Raises:
        RuntimeError: the answer is an error, or there is none.
    """
    for message in messages_in(events):
        if message["msg"] == "process_completed":
            if not message["success"]:
                raise RuntimeError(message["output"]["error"])
            return list(message["output"]["data"])
    raise RuntimeError("the answer ended before it was complete")


def join_http(http: httpx.Client, functions: Mapping[str, int], query: Query) -> None:
    """Upload the photograph and join the queue.

    Args:
        http: its base is the address of the API.

    Raises:
        httpx.HTTPError: the server refuses.
    """
    with query.photo.open("rb") as file:
        (path,) = http.post("upload", files={"files": file}).raise_for_status().json()
    http.post("queue/join", json=joining(functions, query, path, session())).raise_for_status()


def ask_http(http: httpx.Client, functions: Mapping[str, int], query: Query) -> list[Any]:
    """One request as a page makes it: upload, join the queue, wait for the outputs, fetch the pictures among them.

    Raises:
        RuntimeError: the answer is an error.
        httpx.HTTPError: there is none.
    """
    join_http(http, functions, query)
    with http.stream("GET", "queue/data", params={"session_hash": session()}) as events:
        outputs = outputs_in(events.iter_lines())
    return [http.get(output["url"]).raise_for_status().content if is_picture(output) else output for output in outputs]


def is_picture(output: Any) -> bool:
    """Whether an output is a file that is to be fetched."""
    return isinstance(output, dict) and "url" in output


class Difference(NamedTuple):
    """How far apart two answers are at most.

    Attributes:
        levels: of 256, by which a colour of a pixel differs.
        share: of the larger of two numbers, or of 1, by which they differ; infinity for what is unlike in kind.
    """

    levels: float = 0.0
    share: float = 0.0

    @property
    def is_small(self) -> bool:
        """Whether the answers are the same but for sums in another order, as in a batch."""
        return self.levels <= LEVELS and self.share <= SHARE


def difference(some: Any, others: Any) -> Difference:
    """How far apart outputs are, but for the seconds that they took."""
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
        case bytes(), bytes():
            yield Difference(levels=_levels(some, others))
        case float(), float():
            yield Difference(share=abs(some - others) / max(1, abs(some), abs(others)))
        case _:
            yield Difference() if some == others else Difference(share=math.inf)


def _levels(some: bytes, others: bytes) -> float:
    if some == others:
        return 0
    one, other = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (some, others))
    return np.abs(one - other).max().item() if one.shape == other.shape else math.inf
