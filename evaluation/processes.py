"""The two processes that `evaluation.benchmark_app` compares: a served app and a bare explainer (Linux)."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

START_LIMIT = 300  # seconds

Bare = subprocess.Popen[str]


class Server(NamedTuple):
    """A running app: its address, process, the folder of its uploads, and the seconds until its page was served."""

    address: str
    pid: int
    uploads: Path
    seconds: float


def free_port() -> int:
    """A port of this computer on which nothing listens at the moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(root: Path) -> Iterator[Server]:
    """The app of a checkout from the moment that its page is served; it is stopped at the end.

    Raises:
        RuntimeError: it does not start; with what it printed.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        address, uploads = f"http://127.0.0.1:{port}", Path(folder, "uploads")
        environment = {"GRADIO_TEMP_DIR": str(uploads), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-u", "app.py", "--port", str(port)],
            cwd=root,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        with _stopped_at_end(process):
            while not _answers(address):
                if process.poll() is not None or time.perf_counter() - started > START_LIMIT:
                    raise RuntimeError(f"The app did not start:\n{Path(log.name).read_text()}")
                time.sleep(0.05)
            yield Server(address, process.pid, uploads, time.perf_counter() - started)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False, timeout=START_LIMIT).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def bare_process(root: Path) -> Iterator[Bare]:
    """This file as a command, with the `demo` and `explainers` of a checkout; it is stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-P", __file__],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    with _stopped_at_end(process):
        yield process


def bare_seconds(bare: Bare, task: str, photo: Path, texts: Sequence[str | int]) -> float:
    """How long the bare process explains `score(*texts)` of the task's model; what is before that is not counted."""
    assert bare.stdin is not None
    bare.stdin.write(json.dumps([task, str(photo), texts]) + "\n")
    return float(said(bare))


def said(bare: Bare) -> str:
    """The next line of the bare process: first its versions, then one for each question.

    Raises:
        RuntimeError: it has ended; why is on stderr.
    """
    assert bare.stdout is not None
    if not (line := bare.stdout.readline()):
        raise RuntimeError("The bare process has ended.")
    return line.strip()


@contextmanager
def _stopped_at_end(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def resident_mebibytes(pid: int) -> float:
    """The memory that a process holds."""
    (kibibytes,) = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(kibibytes) / 1024


def cpu_seconds(pid: int) -> float:
    """The CPU time that all threads of a process have used so far, in steps of 10 ms."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """The CPU time that all that runs on this machine has used so far, over all cores, in steps of 10 ms."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def open_files(pid: int) -> int:
    """How many file descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def main() -> None:
    """Say which torch this is; then, of each line with task, photograph and texts, explain it and say the seconds."""
    import torch
    from PIL import Image

    from demo.models import load
    from explainers import explain

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for line in sys.stdin:
        task, path, texts = json.loads(line)
        model = load(task)
        layer = next(iter(model.layers.values()))
        with Image.open(path) as photo:
            image = model.prepare(photo.convert("RGB"))
        started = time.perf_counter()
        explain(model.score(*texts), image, layer, reshape=model.reshape)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
