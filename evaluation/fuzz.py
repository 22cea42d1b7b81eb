"""Send the demo input that nobody would send by mistake (Linux).

    python -m evaluation.fuzz [--cases 2000]

Starts the demo in a process of its own. Every endpoint gets that number of cases, both ways that Gradio has; every
event of the page, the uploads, and the app's own OpenAPI descriptions get a tenth. hypothesis makes the cases, always
the same ones. The table says what became of them: answered, refused with a sentence, not read (a status from 400 to
499), or a fault of the server. A fault is a status from 500, a response that reveals the inside of the server, an
error without a sentence, or a server that is not healthy afterwards.
"""

import argparse
import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

from demo.errors import FAILED
from evaluation.load import ROOT, served
from explainers import METHODS

PHOTO = ROOT / "assets" / "examples" / "cat.jpg"
OUTCOMES = ("answered", "refused with a sentence", "4xx", "server faults")
ANSWERED, REFUSED, UNREAD, FAULT = OUTCOMES

SECRET = "a-token-that-only-the-server-knows"
INSIDE = re.compile(rf'Traceback \(|File "/|site-packages|/home/|/root/|/proc/\d|{re.escape(str(ROOT))}/|{SECRET}')
PATIENCE = 120  # seconds after which a request counts as a fault

ENDLESS = "heartbeat|dev/reload|upload_progress"  # streams that nobody ends, and one that waits for what never comes

# The same cases each time, and all of them.
SAME = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

Ask = Callable[[httpx.Client, Any], str]  # sends a case, and says what became of it

texts = st.one_of(
    st.text(st.characters(), max_size=40),  # with surrogates and null characters
    st.sampled_from(
        ["", " ", "\0", "\ud800", "zebra", "What is this?", "<script>alert(1)</script>", "-1", "1e999", "٣"]
    ),
    st.integers(1, 6).map(lambda power: "a " * 10**power),
)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -(2**63), float("nan"), float("inf")]))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
deep = st.integers(1, 900).map(lambda depth: json.loads("[" * depth + "]" * depth))
values = st.one_of(
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)), deep
)
paths = st.one_of(
    texts,
    st.sampled_from(["/etc/passwd", "../../app.py", "/proc/self/environ", "/dev/zero", ".", "http://127.0.0.1:9/"]),
    scalars,
)
files = st.fixed_dictionaries(
    {"path": paths}, optional={"url": paths, "orig_name": values, "size": values, "meta": values}
) | paths.map(lambda path: {"path": path, "meta": {"_type": "gradio.FileData"}})
choices = st.sampled_from(
    ["classification", "captioning", "vqa", "layer4", "ResNet-50 (ImageNet)", *sorted(METHODS)[:4]]
)


def inputs(count: int, uploaded: dict[str, Any]) -> st.SearchStrategy[list[Any]]:
    """Return the inputs of an event with `count` of them, one of which may be the uploaded image."""
    given = st.one_of(values, texts, files, choices)
    image = st.one_of(st.just(uploaded), st.just(uploaded), files, values)
    fitting = st.tuples(image, *[texts | choices | numbers] * (count - 1)).map(list) if count else st.just([])
    return st.one_of(fitting, st.lists(given, min_size=count, max_size=count), st.lists(given, max_size=count + 2))


def post(http: httpx.Client, path: str, case: Any) -> httpx.Response:
    """Send JSON, and values that are not JSON: NaN, infinities and lone surrogates."""
    return http.post(path, content=json.dumps(case), headers={"Content-Type": "application/json"})


def judged(status: int, text: str, headers: Mapping[str, Any]) -> str | None:
    """Return the outcome of a case that was answered at once, or None if there is more to read."""
    if INSIDE.search(text) or "content-security-policy" not in headers:
        return FAULT
    if status == 500 and text.startswith('{"error"'):  # of Gradio's /run, which has no other status
        return sentence(json.loads(text)["error"])
    return FAULT if status >= 500 else UNREAD if status >= 400 else None


def sentence(said: Any) -> str:
    """Return whether an error message is one sentence: REFUSED or FAULT."""
    told = isinstance(said, str) and said.strip().endswith((".", "?", "!", "…")) and len(said.splitlines()) == 1
    return REFUSED if told and said != FAILED and not INSIDE.search(said) else FAULT


def by_call(name: str, http: httpx.Client, data: list[Any]) -> str:
    """Ask as a script does."""
    joined = post(http, f"/gradio_api/call/{name}", {"data": data})
    if outcome := judged(joined.status_code, joined.text, joined.headers):
        return outcome
    stream = http.get(f"/gradio_api/call/{name}/{joined.json()['event_id']}").text.strip()
    event, _, told = stream.rpartition("event: ")[2].partition("\ndata: ")
    return sentence(json.loads(told)["error"]) if event == "error" else ANSWERED


def by_queue(number: int, http: httpx.Client, data: list[Any]) -> str:
    """Ask as the page does."""
    session = uuid.uuid4().hex
    asked = {"data": data, "fn_index": number, "session_hash": session, "event_data": data[0] if data else None}
    joined = post(http, "/gradio_api/queue/join", asked)
    if outcome := judged(joined.status_code, joined.text, joined.headers):
        return outcome
    for line in http.get("/gradio_api/queue/data", params={"session_hash": session}).text.split("\n"):
        if line and (message := json.loads(line.removeprefix("data: ")))["msg"] == "process_completed":
            return ANSWERED if message["success"] else sentence(message["output"]["error"])
    return FAULT


def by_upload(http: httpx.Client, case: tuple[str, bytes]) -> str:
    kind, content = case
    response = http.post("/gradio_api/upload", content=content, headers={"Content-Type": kind})
    return judged(response.status_code, response.text, response.headers) or ANSWERED


def by_openapi(http: httpx.Client, case: schemathesis.Case) -> str:
    """Send a request that a description of the app allows."""
    response = case.call(base_url=str(http.base_url), timeout=PATIENCE)
    outcome = judged(response.status_code, response.text, response.headers) or ANSWERED
    if outcome != REFUSED:
        case.validate_response(response, checks=[not_a_server_error])
    return outcome


def uploads() -> st.SearchStrategy[tuple[str, bytes]]:
    """Return the content types and bodies of uploads, much like forms."""
    heads = st.sampled_from(
        [
            b'name="files"; filename="a.png"',
            b'name="files"',
            b"name=x; filename=\0",
            b'name="files"; filename="../../x"',
            b"",
        ]
    )
    parts = st.tuples(heads, st.binary(max_size=200)).map(
        lambda part: b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % part
    )
    forms = st.lists(parts, max_size=4).map(lambda sent: b"".join(sent) + b"--x--\r\n")
    kinds = ["multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary=", "text/plain"]
    return st.tuples(st.sampled_from(kinds), forms | st.binary(max_size=500))


def outcomes(http: httpx.Client, ask: Ask, made: st.SearchStrategy[Any], cases: int) -> Counter[str]:
    """Count the outcomes of cases; each fault is printed with its case."""
    counted: Counter[str] = Counter()

    @settings(SAME, max_examples=cases)
    @given(made)
    def send(case: Any) -> None:
        try:
            outcome = ask(http, case)
        except (httpx.HTTPError, OSError, ValueError, KeyError, FailureGroup) as error:
            outcome, case = FAULT, (case, error)
        if not http.get("/health").is_success:
            outcome = FAULT
        if outcome == FAULT:
            print(f"fault of {ask}: {case!r:.500}")
        counted[outcome] += 1

    send()
    return counted


def hammered(address: str, cases: int, few: int) -> Iterator[tuple[str, Counter[str]]]:
    """Yield the outcomes of `cases` for each endpoint and the uploads, and of `few` for everything else."""
    with httpx.Client(base_url=address, timeout=PATIENCE) as http:
        with PHOTO.open("rb") as file:
            (path,) = http.post("/gradio_api/upload", files={"files": file}).json()
        uploaded = {"path": path, "meta": {"_type": "gradio.FileData"}}
        events = [event for event in http.get("/config").json()["dependencies"] if event["backend_fn"]]
        for event in events:
            name, made = event["api_name"], inputs(len(event["inputs"]), uploaded)
            if event["api_visibility"] == "public":
                yield f"`/{name}` by `call`", outcomes(http, partial(by_call, name), made, cases)
                yield f"`/{name}` by `queue`", outcomes(http, partial(by_queue, event["id"]), made, cases)
        counted: Counter[str] = Counter()
        for event in events:
            if event["api_visibility"] != "public":
                ask = partial(by_queue, event["id"])
                counted += outcomes(http, ask, inputs(len(event["inputs"]), uploaded), few)
        yield f"{len(events)} events of the page", counted
        yield "`/upload`", outcomes(http, by_upload, uploads(), cases)
        for description in ("/openapi.json", "/gradio_api/openapi.json"):
            found = schemathesis.openapi.from_url(f"{address}{description}").exclude(path_regex=ENDLESS)
            operations = [listed.ok() for listed in found.get_all_operations() if isinstance(listed, Ok)]
            counted = Counter()
            for operation in operations:
                counted += outcomes(http, by_openapi, operation.as_strategy(), few)
            yield f"{len(operations)} operations of `{description}`", counted


def table(rows: Iterable[tuple[str, Counter[str]]]) -> Iterator[str]:
    """Yield the lines of the table, each as soon as it is known."""
    yield f"| asked | cases | {' | '.join(OUTCOMES)} |"
    yield "|---" * (len(OUTCOMES) + 2) + "|"
    for asked, counted in rows:
        yield f"| {asked} | {counted.total()} | {' | '.join(str(counted[outcome]) for outcome in OUTCOMES)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="of each endpoint, both ways (default: 2000)")
    cases = parser.parse_args().cases
    os.environ["HF_TOKEN"] = SECRET
    with served() as server:
        for line in table(hammered(server.address, cases, cases // 10)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
