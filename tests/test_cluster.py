"""The networks on a Ray cluster of two machines, which are processes of this one, and what becomes of it."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from helpers import ROOT, started
from PIL import Image
from samples import QUERIES, assert_same, photo

from demo.cluster import worker
from demo.cluster.worker import GONE, REMOTE_ENTRIES, ClusterWorker
from demo.engine import Engine
from demo.errors import InputError
from demo.job import Job
from demo.models import Library
from demo.query import Explain, Predict, image_file
from evaluation.load import free_port

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="there is no Ray")
pytestmark = pytest.mark.demo
PATIENCE = 300  # seconds
STORE = 80 * 2**20  # bytes that a machine keeps of what is sent
DEAR = Explain(photo("dog"), "classification", targets=("",), methods=("occlusion",))


class Machines:
    """A cluster of a head that answers nothing, and machines with one core each."""

    def __init__(self, count: int) -> None:
        self.port, self.count = free_port(), count
        self.start()

    def start(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE, "gcs_server_port": self.port}
        self.ray = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        self.others = [self.ray.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(self.count)]

    def stop(self, *, at_once: bool) -> None:
        for machine in [*self.others, self.ray.head_node]:
            self.ray.remove_node(machine, allow_graceful=not at_once)
        self.others = []

    @property
    def address(self) -> str:
        return str(self.ray.address)

    def lose(self, process: int) -> None:
        """Lose the machine that runs a process, and get a new one."""
        lost = next(
            machine for machine in self.others if machine.all_processes["raylet"][0].process.pid == parent(process)
        )
        self.others.remove(lost)
        self.ray.remove_node(lost, allow_graceful=False)
        self.others.append(self.ray.add_node(num_cpus=1, object_store_memory=STORE))


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def replicas(machines: Machines) -> list[int]:
    """The processes that answer."""
    machines_of = {machine.all_processes["raylet"][0].process.pid for machine in machines.others}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            named = (folder / "cmdline").read_bytes().startswith(b"ray::ServeReplica:why")
            if named and parent(int(folder.name)) in machines_of:
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


@pytest.fixture(scope="module")
def machines(request) -> Iterator[Machines]:
    """One machine shows what a user sees; faults need a second."""
    machines = Machines(2 if request.config.getoption("long") else 1)
    yield machines
    machines.stop(at_once=False)


@pytest.fixture(scope="module")
def remote(machines) -> Iterator[Engine]:
    yield Engine(Library(entries=REMOTE_ENTRIES), worker=ClusterWorker(machines.address, "cpu"))


@pytest.fixture(scope="module")
def alone() -> Engine:
    return Engine(Library())


def begun(pending: Job) -> None:
    """Wait until a dear query has done some of its passes."""
    while pending.progress[0] == 0:
        assert not pending.result.done()
        time.sleep(0.05)


def until_well(engine: Engine) -> None:
    for _ in range(10 * PATIENCE):
        if engine.is_well():
            return
        time.sleep(0.1)
    pytest.fail("The cluster was not reached again.")


def test_every_answer_is_that_of_one_machine(remote, alone):
    more = replace(QUERIES[0], layers=("layer3",), methods=("gradcam", "excitation"), steps=True)
    for query in [*QUERIES, more, DEAR]:
        assert_same(remote.answer(query), alone.answer(query))
    about = remote.info("classification", "").result()
    assert about == alone.info("classification", "").result()


def test_what_the_model_says_comes_before_the_explanation_and_passes_are_told(remote, alone):
    pending = remote.ask(replace(DEAR, image=photo("rocket"), methods=("score_cam",)), client="one")
    rocket = Predict(photo("rocket"), "classification")
    assert next(iter(pending.predictions.result(PATIENCE))) == next(iter(alone.answer(rocket).predictions))
    begun(pending)
    assert not pending.result.done()
    remote.leave(pending, "one")
    # Only one of a visitor's dear queries is answered at a time: the one that was left makes way.
    remote.ask(replace(DEAR, image=photo("rocket")), client="one").result.result(PATIENCE)


def test_what_cannot_be_answered_is_a_sentence(remote):
    for query, message in (
        (replace(QUERIES[0], targets=("zebr",)), "Did you mean zebra"),
        (replace(QUERIES[0], layers=("layer9",)), "no layer “layer9”"),
        (replace(QUERIES[2], text="Schnurrli?"), "knows no word"),
        (replace(QUERIES[0], model="ResNet-18"), "is being downloaded"),
    ):
        with pytest.raises(InputError, match=message):
            remote.answer(query)


@pytest.mark.long
def test_many_large_photographs_at_once_hold_up_nobody(remote):
    noise = np.random.default_rng(0)
    pending = []
    for number in range(24):
        file = io.BytesIO()
        Image.fromarray(noise.integers(0, 256, (500, 600, 3), dtype=np.uint8)).save(file, "PNG")
        query = Explain(image_file(file.getvalue()), "classification", targets=("",))
        pending.append(remote.ask(query, client=str(number % 12)))
    for one in pending:
        one.result.result(PATIENCE)


@pytest.mark.long
def test_whoever_is_answered_by_a_replica_that_dies_gets_the_answer(machines, remote, alone):
    query = replace(DEAR, image=photo("cat"))
    pending = remote.ask(query)
    begun(pending)
    for process in replicas(machines):
        os.kill(process, signal.SIGKILL)
    assert_same(pending.result.result(PATIENCE), alone.answer(query))


@pytest.mark.long
def test_whoever_is_answered_by_a_machine_that_dies_gets_the_answer(machines, remote, alone):
    query = replace(DEAR, image=photo("bison"))
    pending = remote.ask(query)
    begun(pending)
    machines.lose(replicas(machines)[0])
    assert_same(pending.result.result(PATIENCE), alone.answer(query))


@pytest.mark.long
def test_a_cluster_that_is_gone_is_a_sentence_until_it_is_back(machines, remote, alone):
    query = replace(DEAR, image=photo("coffee"))
    pending = remote.ask(query)
    begun(pending)
    machines.stop(at_once=True)
    with pytest.raises(InputError, match=GONE):
        pending.result.result(PATIENCE)
    with pytest.raises(InputError, match=GONE):
        remote.ask(query)
    assert not remote.is_well()
    machines.start()
    until_well(remote)
    assert_same(remote.answer(query), alone.answer(query))


@pytest.mark.long
def test_a_connection_that_is_silent_is_made_anew(remote, alone, monkeypatch):
    monkeypatch.setattr(worker, "SILENCE_SECONDS", 8)
    process = remote._worker._driver._process
    time.sleep(worker.ALIVE_SECONDS)
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(InputError, match=GONE):
        remote.answer(replace(QUERIES[0], image=photo("fruit")))
    process.wait(30)  # it is ended after those who wait have heard
    until_well(remote)
    assert_same(remote.answer(QUERIES[0]), alone.answer(QUERIES[0]))


def test_a_demo_answers_with_networks_elsewhere(machines, tmp_path):
    with started(tmp_path, "--cluster", machines.address) as address:
        client = Client(address, verbose=False)
        photograph = handle_file(ROOT / "assets" / "examples" / "cat.jpg")
        assert client.predict(photograph, "", api_name="/classify")["label"] == "Egyptian cat"


@pytest.mark.long
def test_the_endpoints_are_the_same_with_networks_elsewhere(machines):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/test_api.py"]
    elsewhere = os.environ | {"DEMO_ARGUMENTS": f"--cluster {machines.address}"}
    ended = subprocess.run(command, cwd=ROOT, env=elsewhere, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.long
def test_a_cluster_that_is_not_there_is_said_at_the_start(tmp_path):
    command = [sys.executable, ROOT / "app.py", "--cluster", "127.0.0.1:9"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "No Ray cluster runs the networks" in ended.stderr
    assert "Traceback" not in ended.stderr
