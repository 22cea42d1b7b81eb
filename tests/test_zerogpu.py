"""A Space with ZeroGPU, as far as it can be had without one."""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers import EXAMPLES, ROOT, started
from samples import QUERIES, assert_same

from demo.engine import Engine
from demo.models import Library
from demo.query import Adversarial, Randomised, from_json, to_json
from explainers import Patches


class Stingy(http.server.BaseHTTPRequestHandler):
    """The service that lends GPUs, when it has none."""

    def do_POST(self) -> None:
        self.send_response(200 if self.path == "/startup-report" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def space() -> Iterator[dict[str, str]]:
    """The environment of a Space that no GPU is lent to."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stingy) as service:
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{service.server_port}"
        yield {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": address}
        service.shutdown()


@pytest.mark.demo
def test_the_demo_starts_and_says_when_no_gpu_is_free(tmp_path, space):
    with started(tmp_path, **space) as address:
        client = Client(address, verbose=False)
        for _ in range(2):
            with pytest.raises(AppError, match=r"No GPU is lent .+ try again later\."):
                client.predict(handle_file(EXAMPLES / "cat.jpg"), "", api_name="/classify")


@pytest.mark.demo
def test_queries_are_answered_in_a_process_that_is_forked_for_them(tmp_path, space):
    slow = replace(QUERIES[0], methods=("occlusion",), patches=Patches(size=1 / 4, stride=1 / 4))
    asked = [*QUERIES[:4], slow, replace(QUERIES[0], weights=Randomised(2))]
    noised = Adversarial(QUERIES[4].image, "classification", target="tabby")
    unknown = replace(QUERIES[0], targets=("zebr",))
    queries, results = tmp_path / "queries", tmp_path / "results"
    sent = [(to_json(query), base64.b64encode(query.image.data).decode()) for query in (*asked, noised, unknown)]
    queries.write_text(json.dumps(sent))
    said = subprocess.run(
        [sys.executable, ROOT / "tests" / "lent.py", queries, results],
        env=os.environ | space | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    assert said.endswith("1 process has answered\n")
    *found, surprised, refused = json.loads(results.read_text())
    assert next(iter(from_json(surprised).predictions)) == "tabby"
    assert "Did you mean zebra" in refused
    engine = Engine(Library())
    for result, query in zip(found, asked, strict=True):
        assert_same(from_json(result), engine.answer(query))
