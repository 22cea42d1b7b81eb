"""Answer queries as a Space with ZeroGPU does, but on the processor.

    SPACES_ZERO_GPU=true SPACES_ZERO_DEVICE_API_URL=http://127.0.0.1:9 python tests/lent.py QUERIES RESULTS

Reads pickled queries, and writes for each its result, or the sentence that it is refused with. Of the package `spaces`
all is real but for the service that lends GPUs and for what moves tensors to them.
"""

import multiprocessing
import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from spaces.zero import client, wrappers

from demo.engine import Engine
from demo.errors import InputError
from demo.models import Library


def nothing(*_given: Any, **_named: Any) -> None:
    """For what there is nothing to do without a GPU."""


def be_lent_nothing(_gpu: str) -> None:
    """In the process that is forked."""
    assert not torch.cuda._is_in_bad_fork()
    torch.set_num_threads(1)  # OpenMP's threads are not forked


def main() -> None:
    queries, results = map(Path, sys.argv[1:])
    lent = SimpleNamespace(allowToken="", nvidiaIndex=0, nvidiaUUID="", idle=True)
    client.schedule = lambda **_: lent
    client.allow = client.release = client.duration_warning = nothing
    client.get_duration_seconds = lambda *_: 60
    wrappers.torch.init, wrappers.torch.size, wrappers.torch.move = be_lent_nothing, lambda: 0, nothing
    engine = Engine(Library("cpu"))
    found: list[Any] = []
    for query in pickle.loads(queries.read_bytes()):
        try:
            found.append(engine.answer(query))
        except InputError as error:
            found.append(str(error))
    results.write_bytes(pickle.dumps(found))
    print(len(multiprocessing.active_children()), "process has answered", flush=True)
    for process in multiprocessing.active_children():
        process.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
