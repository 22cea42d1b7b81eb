"""What the door to a Ray cluster costs, and what a second replica brings (Linux).

    python -m evaluation.benchmark_cluster [--requests 64]

A replica has one thread, and so has the engine of a process of its own that it is compared with. All machines of the
cluster are processes of this one. Each query is about a photograph that is new; those of a throughput come from 16
visitors at once. Needs requirements-cluster.txt.
"""

import argparse
import itertools
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import torch
import yaml
from demo.cluster.networks import REMOTE_ENTRIES, Cluster
from ray.cluster_utils import Cluster as Machines

from demo.engine import Engine
from demo.models import Library
from demo.query import Query, photo_of
from evaluation.benchmark_app import print_heading, print_row
from evaluation.processes import resident_mebibytes
from evaluation.visitors import SIZES, photograph

HERE = Path(__file__).parents[1]
CONFIGURATION = HERE / "docs" / "cluster" / "serve.yaml"
VISITORS = 16
SINGLE = 15  # queries one after another
STORE = 512 * 2**20  # bytes that a machine keeps of what is sent

_numbers = itertools.count(1)


def queries(folder: Path, count: int) -> list[Query]:
    """Queries about photographs that nobody has asked about."""
    photos = [photo_of(photograph(folder, next(_numbers), SIZES[0]).read_bytes()) for _ in range(count)]
    return [Query(photo, "classification", targets=("",)) for photo in photos]


def measured(engine: Engine, single: list[Query], many: list[Query]) -> tuple[float, float, int]:
    """The median seconds of one query, how many a second come of many, and the bytes of an answer."""
    for query in single[:3]:
        engine.answer(query)
    seconds = []
    for query in single[3:]:
        started = time.perf_counter()
        result = engine.answer(query)
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    pending = [engine.ask(query, visitor=str(number % VISITORS)) for number, query in enumerate(many)]
    for one in pending:
        one.result.result()
    return statistics.median(seconds), len(many) / (time.perf_counter() - started), len(pickle.dumps(result))


def here(threads: int, single: list[Query], many: list[Query]) -> tuple[float, float, int]:
    """`measured` of an engine of this process."""
    torch.set_num_threads(threads)
    return measured(Engine(Library()), single, many)


@contextmanager
def machines(replicas: int) -> Iterator[str]:
    """The address of a cluster with so many machines of one core, and a replica on each."""
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    found = Machines(initialize_head=True, head_node_args=head)
    for _ in range(replicas):
        found.add_node(num_cpus=1, object_store_memory=STORE)
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    (deployment,) = configuration["applications"][0]["deployments"]
    deployment["autoscaling_config"] |= {"min_replicas": replicas, "max_replicas": replicas}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(configuration, file)
        file.flush()
        command = [Path(sys.executable).with_name("serve"), "run", "--non-blocking", "--address", found.address]
        environment = os.environ | {"PYTHONPATH": str(HERE)}
        subprocess.run([*command, file.name], cwd=HERE, env=environment, check=True, capture_output=True)
    try:
        yield found.address
    finally:
        for machine in found.list_all_nodes():
            found.remove_node(machine, allow_graceful=False)


def replica_mebibytes() -> float:
    """The memory of the largest replica on this computer."""
    running = (path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if b"ServeReplica:why" in _read(path))
    return max(resident_mebibytes(int(folder.name)) for folder in running)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def apart(function: Callable[..., tuple[float, float, int]], *given: object) -> tuple[float, float, int]:
    """What a function gives in a process of its own, whose threads are then gone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *given).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=64, help="of each throughput (default: 64)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:

        def fresh() -> tuple[list[Query], list[Query]]:
            return queries(Path(name), SINGLE + 3), queries(Path(name), args.requests)

        print_heading("networks", "one query, s", "× one thread here", "queries a second", "× one thread here")
        found = {f"here, {threads} thread(s)": apart(here, threads, *fresh()) for threads in (1, 2)}
        for replicas in (1, 2):
            with machines(replicas) as address:
                engine = Engine(Library(entries=REMOTE_ENTRIES), networks=Cluster(address, "cpu"))
                found[f"cluster, {replicas} replica(s)"] = measured(engine, *fresh())
                memory = replica_mebibytes()
        seconds, rate, _ = found["here, 1 thread(s)"]
        for title, (one, many, _) in found.items():
            print_row(title, f"{one:.3f}", f"{one / seconds:.2f}", f"{many:.2f}", f"{many / rate:.2f}")
        (query,) = queries(Path(name), 1)
    asked, answered = len(query.photo.data) / 1024, found["cluster, 1 replica(s)"][2] / 1024
    print(f"\nA query is {asked:.0f} KiB, an answer {answered:.0f} KiB; a replica holds {memory:.0f} MiB.")


if __name__ == "__main__":
    main()
