"""Methods that take many forward passes: generators that tell their progress after each batch of passes."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

# Yields how many passes are done, and of how many; returns the result. Other work can run between two passes.
Slow = Generator[tuple[int, int], None, T]


def finish(method: Slow[T]) -> T:
    """Run a slow method to its end, and return its result.

    >>> maps = finish(occlusion_maps(score, image, patch=64, stride=32))
    """
    while True:
        try:
            next(method)
        except StopIteration as stop:
            return stop.value
