"""Answer queries as a Space with ZeroGPU does, but on the processor.

    SPACES_ZERO_GPU=true SPACES_ZERO_DEVICE_API_URL=http://127.0.0.1:9 python tests/lent.py QUERIES RESULTS

Reads questions and their images, and writes for each its result, or the error message. Of the package `spaces`
all is real but for the service that lends GPUs and for what moves tensors to them.
"""

import base64
import json
import multiprocessing
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import spaces  # noqa: F401  before torch
import torch
from spaces.zero import client, wrappers

from demo.engine import Engine
from demo.errors import InputError
from demo.models import Library
from demo.query import from_json, to_json
from demo.worker import LocalWorker
from demo.zerogpu import compute_on_lent_gpu


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
    library = Library("cpu")
    engine = Engine(library, worker=LocalWorker(library, compute_on_lent_gpu()))
    found: list[str] = []
    for text, data in json.loads(queries.read_text()):
        query = from_json(text)
        try:
            result = engine.answer(replace(query, image=replace(query.image, data=base64.b64decode(data))))
            found.append(to_json(result))
        except InputError as error:
            found.append(str(error))
    results.write_text(json.dumps(found))
    print(len(multiprocessing.active_children()), "process has answered", flush=True)
    for process in multiprocessing.active_children():
        process.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
