"""The start of the process: what must be set before PyTorch is imported, and how memory is kept."""

import ctypes
import os
from contextlib import suppress

# The GNU C library's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def prepare(host: str | None) -> None:
    """Set up this process for the demo, whose server listens on `host`. PyTorch must not be imported yet."""
    # By default OpenMP's threads keep their cores busy while they wait for each other: an eighth of all CPU time under
    # load, which the server needs. So many turns are enough for the waits between two operations: docs/benchmarks.md.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if is_lent_a_gpu():  # Hugging Face's package has to be there before PyTorch is asked for its devices
        import spaces  # noqa: F401
    keep_heap()
    open_many_files()
    reach_itself(host)


def is_lent_a_gpu() -> bool:
    """Whether this is a Space on ZeroGPU, which is lent a GPU for each piece of work."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def keep_heap() -> None:
    """Keep one heap for all threads, which is given back to the system when that is asked for.

    By default the GNU C library gives memory back and fetches it anew in each run of a network, which takes up to a
    seventh of its time, and keeps a heap for each thread.
    """
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that it takes
        libc.mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Give the system what is free in the heap, between what is used: else it grows by what lies in between."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def open_many_files() -> None:
    """Allow this program as many open files, which connections are too, as the system lets it have."""
    with suppress(ImportError, ValueError, OSError):  # not on Windows; not allowed
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            most = 2**16 if hard == resource.RLIM_INFINITY else min(hard, 2**16)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def reach_itself(host: str | None) -> None:
    """Bypass a proxy of the environment for the demo's own server, which Gradio requests when it starts."""
    own = ("localhost", "127.0.0.1", "::1", host or os.environ.get("GRADIO_SERVER_NAME", ""))
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (named, *own)))
