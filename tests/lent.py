"""Answer queries as a Space with ZeroGPU does, with another process for each piece of work, but on the processor.

    python tests/lent.py QUERIES RESULTS

Reads pickled queries, and writes for each its result, or the sentence that it is refused with.
"""

import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import spaces
import torch

from demo import zerogpu
from demo.engine import Engine
from demo.errors import InputError
from demo.models import Library


def lend(work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Have a generator run in a process that is forked for it: what it is given and yields is pickled."""
    context = multiprocessing.get_context("fork")

    def run(pipe: Connection) -> None:
        torch.set_num_threads(1)  # OpenMP's threads are not forked
        for news in work(*pipe.recv()):
            pipe.send_bytes(pickle.dumps(news))
        pipe.close()

    def lent(*given: Any) -> Iterator[Any]:
        ours, theirs = context.Pipe()
        process = context.Process(target=run, args=(theirs,))
        process.start()
        theirs.close()
        ours.send(given)
        try:
            while True:
                yield pickle.loads(ours.recv_bytes())
        except EOFError:
            process.join()

    return lent


def main() -> None:
    queries, results = map(Path, sys.argv[1:])
    spaces.GPU = lend
    zerogpu.IS_HERE = True
    engine = Engine(Library())
    found: list[Any] = []
    for query in pickle.loads(queries.read_bytes()):
        try:
            found.append(engine.answer(query))
        except InputError as error:
            found.append(str(error))
    results.write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
