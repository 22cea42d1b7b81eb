"""The demo: what is asked, who answers, and the page. Importing it sets how this process computes and keeps memory."""

import ctypes
import os
from contextlib import suppress

# Read by OpenMP when PyTorch is loaded. By default a thread that waits for the others' shares of an operation keeps
# its core busy meanwhile, which the server needs for pictures and requests: an eighth of all CPU time under load. This
# many turns are enough for the waits between two operations; see docs/benchmarks.md for both settings.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Hugging Face's package for Spaces that are lent a GPU, which has to be there before PyTorch is asked for its devices.
IS_LENT_A_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
if IS_LENT_A_GPU:
    import spaces  # noqa: F401

# The GNU C library gives memory back to the system and fetches it anew in each run of a network, which takes up to a
# seventh of its time, and keeps a heap for each thread. With these settings there is one heap, and it is given back
# when that is asked for.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # from its malloc.h
with suppress(OSError, AttributeError):  # another C library
    _c = ctypes.CDLL("libc.so.6")
    _c.mallopt(M_TRIM_THRESHOLD, 2**30)
    _c.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that it takes
    _c.mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Give the system what is free in the heap, between what is used: else it grows by what lies in between."""
    with suppress(NameError, AttributeError):
        _c.malloc_trim(0)
