"""The connection to the process that is connected to a Ray cluster, with a stand-in for that process and for Ray."""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest
from helpers import ROOT

from demo.cluster import worker
from demo.cluster.worker import GONE, ClusterWorker
from demo.engine import Engine
from demo.errors import InputError
from demo.models import Library
from demo.query import Explain, ModelInfo, image_file, to_json

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="there is no Ray")

PHOTO = image_file((ROOT / "assets" / "examples" / "cat.jpg").read_bytes())
INFO = ModelInfo("ResNet-50 (ImageNet)", ("layer4",), (), ())

# Run in the place of Python: it tells of any model the same, and breaks off at a model called "break off".
STAND_IN = f"""#!{sys.executable}
import json, sys
from multiprocessing.connection import Connection

pipe = Connection(int(sys.argv[3]))
pipe.send_bytes(json.dumps([0, "ready", {{}}]).encode() + b"\\n")
while True:
    number, kind, values = json.loads(pipe.recv_bytes().partition(b"\\n")[0])
    if values["name"] == "break off":
        pipe.send_bytes(b"no message")
    elif kind == "info":
        pipe.send_bytes(json.dumps([number, "result", {{}}]).encode() + b"\\n" + {to_json(INFO).encode()!r})
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "python"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    monkeypatch.setattr(worker, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(sys, "executable", str(path))
    return path


@pytest.fixture
def cluster(stand_in) -> Iterator[ClusterWorker]:
    cluster = ClusterWorker()
    yield cluster
    cluster.close()
    cluster._driver.stop()
    cluster._thread.join(60)
    assert not cluster._thread.is_alive()  # it would connect to a cluster of its own when the stand-in is gone


def info(cluster: ClusterWorker, name: str) -> ModelInfo:
    return cluster.info("classification", name).result(30)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_process_that_cannot_be_started_is_started_later(cluster, stand_in, caplog):
    assert info(cluster, "") == INFO
    stand_in.unlink()
    with pytest.raises(InputError, match=GONE):
        info(cluster, "break off")
    until(lambda: sum("FileNotFoundError" in record.message for record in caplog.records) > 1)
    with pytest.raises(InputError, match=GONE):
        info(cluster, "")
    assert not cluster.is_well()
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    until(cluster.is_well)
    assert info(cluster, "") == INFO


def test_what_cannot_be_sent_fails_alone(cluster):
    engine = Engine(Library(), worker=cluster)
    asked = engine.ask(Explain(PHOTO, "classification", targets=(lambda: None,)))
    assert "serialize" in str(asked.result.exception(30))
    assert info(cluster, "") == INFO
    assert cluster.is_well()


@pytest.mark.demo
def test_a_process_that_cannot_read_what_it_is_asked_ends_and_says_why():
    ours, theirs = Pipe()
    command = [sys.executable, "-m", "demo.cluster.driver", str(theirs.fileno()), "cpu", "127.0.0.1:9"]
    with subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True) as process:
        theirs.close()
        ours.send_bytes(b"no message")
        _, said = process.communicate(timeout=120)
    assert "JSONDecodeError" in said
    assert "Exception in thread" not in said  # which would have ended alone
    assert process.returncode == 1
