"""Work in many forward passes, between which others may have their turn."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

# Tells between its passes how many are done, and of how many; and returns what they were for.
Passes = Generator[tuple[int, int], None, T]


def finished(passes: Passes[T]) -> T:
    """What the work returns, done at one go."""
    while True:
        try:
            next(passes)
        except StopIteration as stop:
            return stop.value
