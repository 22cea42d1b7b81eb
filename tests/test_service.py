"""What the organiser of a demo asks it and tells it, beside the page."""

import asyncio
import http.client
import json
import os
import resource
import sys
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from helpers import EXAMPLES, in_a_loop, metrics
from starlette.responses import JSONResponse

from demo import process
from demo.errors import InputError
from demo.models.shipped import FILES, require_shipped
from demo.server import guard


def test_every_answer_bears_the_headers(server):
    """That the page lives under its policy is seen by all tests with a browser."""
    for path in ("/", "/health", "/gradio_api/info", "/config", "/nowhere"):
        headers = httpx.get(server + path).headers
        assert "object-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'self' https://huggingface.co" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_is_packed_for_browsers_that_take_it_so(server):
    for path in ("/", "/config", "/theme.css"):
        packed = httpx.get(server + path, headers={"Accept-Encoding": "gzip"})
        plain = httpx.get(server + path, headers={"Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert int(packed.headers["content-length"]) < len(packed.content) / 2


def test_a_connection_is_kept_while_somebody_looks_at_the_answer(server):
    connection = http.client.HTTPConnection(server.removeprefix("http://"))
    sockets = []
    for pause in (0, 6):
        time.sleep(pause)
        connection.request("GET", "/health")
        sockets.append(connection.sock)
        assert connection.getresponse().read() == b'{"healthy":true}'
    assert sockets[0] is sockets[1] is not None


def test_health_numbers_and_a_line_for_each_request_without_what_was_asked(quiet_demo):
    address = quiet_demo.address
    assert httpx.get(f"{address}/health").json() == {"healthy": True}
    before, logged = metrics(address), quiet_demo.log.stat().st_size
    client = Client(address, verbose=False)
    secret = "Is the cat named Schnurrli?"
    for _ in range(2):
        client.predict(handle_file(EXAMPLES / "cat.jpg"), secret, "", "", "", api_name="/explain_answer")
    with pytest.raises(Exception, match="knows no word"):
        client.predict(handle_file(EXAMPLES / "cat.jpg"), "Schnurrli?", "", "", "", api_name="/explain_answer")
    found = metrics(address)
    for outcome in ("answered", "known", "refused"):
        name = f'demo_requests_total{{outcome="{outcome}",task="vqa"}}'
        assert found[name] - before.get(name, 0) == 1
    seconds = 'demo_request_seconds_sum{task="vqa"}'
    assert found[seconds] > before.get(seconds, 0)
    assert found["demo_waiting"] == 0
    assert 0 < found["demo_cache_bytes"] < found["process_resident_memory_bytes"]
    printed = quiet_demo.log.read_bytes()[logged:].decode()
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [line["outcome"] for line in lines if line["task"] == "vqa"] == ["answered", "known", "refused"]
    assert all(line.keys() == {"time", "task", "model", "milliseconds", "waited", "outcome"} for line in lines)
    assert "Schnurrli" not in printed


@pytest.mark.skipif(sys.platform != "linux", reason="processes as files")
def test_nothing_of_ray_is_in_a_demo_without_a_cluster(quiet_demo):
    loaded = Path(f"/proc/{quiet_demo.process.pid}/maps").read_text()
    assert "libtorch" in loaded
    assert "_raylet" not in loaded


def test_what_is_asked_by_somebody_who_hangs_up_is_given_up(quiet_demo):
    def ask() -> None:
        with httpx.Client(base_url=f"{quiet_demo.address}/gradio_api/", timeout=60) as http:
            with (EXAMPLES / "rocket.jpg").open("rb") as file:
                (path,) = http.post("upload", files={"files": file}).json()
            photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
            data = [photo, "classification", "", "zebra", "score_cam", "", ""]
            event = http.post("call/explain_method", json={"data": data}).json()["event_id"]
            with http.stream("GET", f"call/explain_method/{event}"):
                while metrics(quiet_demo.address)["demo_waiting"] == 0:
                    time.sleep(0.05)

    before = metrics(quiet_demo.address).get('demo_requests_total{outcome="left",task="classification"}', 0)
    ask()
    while metrics(quiet_demo.address).get('demo_requests_total{outcome="left",task="classification"}', 0) == before:
        time.sleep(0.2)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_a_shipped_file_that_is_broken_is_named_with_what_to_do(tmp_path, file):
    broken = tmp_path / file.name
    whole = file.read_bytes()
    for content in (None, b"", whole[: len(whole) // 2], b"version https://git-lfs.github.com/spec/v1"):
        if content is not None:
            broken.write_bytes(content)
        with pytest.raises(InputError, match=rf"{file.name} cannot be read .* get it again with `git checkout"):
            require_shipped((broken,))
    broken.write_bytes(whole)
    require_shipped((broken,))


def test_large_bodies_of_any_kind_are_counted_and_timed(monkeypatch):
    """Many slow connections hold bounded memory, and small requests are still answered."""

    async def app(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await JSONResponse({})(scope, receive, send)

    guarded = guard.Guard(app)

    async def status(headers: dict[bytes, bytes], *, is_slow: bool) -> int:
        sent = []

        async def receive():
            if is_slow:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": "/gradio_api/queue/join", "client": ("a", 1), "headers": [*headers.items()]}
        await guarded(scope, receive, send)
        return sent[0]["status"]

    async def crowd() -> list[int]:
        large = ({b"content-length": b"10000000"}, {b"transfer-encoding": b"chunked"})
        slow = [
            asyncio.create_task(status(large[number % 2], is_slow=True))
            for number in range(guard.MAX_CONCURRENT_UPLOADS_OF_ONE)
        ]
        await asyncio.sleep(0)
        statuses = [await status(headers, is_slow=False) for headers in (*large, {b"content-length": b"2"})]
        return statuses + await asyncio.gather(*slow)

    monkeypatch.setattr(guard, "UPLOAD_SECONDS", 0.1)
    assert in_a_loop(crowd()) == [503, 503, 200] + [400] * guard.MAX_CONCURRENT_UPLOADS_OF_ONE


def test_proxies_that_the_environment_excludes_stay_excluded(monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "example.org")
    process.reach_itself(None)
    for name in ("no_proxy", "NO_PROXY"):
        assert os.environ[name].split(",")[:2] == ["example.org", "localhost"]


def test_the_limit_of_open_files_is_raised_and_one_that_is_high_is_not_lowered():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for before, after in ((512, min(hard, 2**16)), (hard, hard)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
            process.open_many_files()
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (after, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
