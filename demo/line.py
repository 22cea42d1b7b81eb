"""Whose turn it is: visitors who wait are served one after the other, however much each of them asks."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """What waits, in a line of its own for each visitor; what several visitors wait for stands in the line of each."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[T]] = {}  # the first visitor is the next one to be served

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __contains__(self, thing: T) -> bool:
        return any(thing in line for line in self._lines.values())

    def before(self, visitor: str) -> int:
        """How many others are served before a visitor, who waits."""
        return list(self._lines).index(visitor) if visitor in self._lines else 0

    def add(self, visitor: str, thing: T) -> None:
        line = self._lines.setdefault(visitor, deque())
        if thing not in line:
            line.append(thing)

    def remove(self, thing: T) -> None:
        """Take something out of all lines where it stands."""
        for visitor in list(self._lines):
            self.leave(visitor, thing)

    def leave(self, visitor: str, thing: T) -> None:
        """Take something out of the line of one visitor, if it stands there."""
        line = self._lines.get(visitor, deque())
        if thing in line:
            line.remove(thing)
            if not line:
                del self._lines[visitor]

    def take(
        self, most: Callable[[T], int], alike: Callable[[T, T], bool], ready: Callable[[T], bool] = lambda _: True
    ) -> list[T]:
        """What is served next: the first thing in the line of the first visitor, and others that are like it.

        Args:
            most: how many things can be served together with one, itself counted.
            alike: whether a thing can be served with the first one.
            ready: whether a thing can be served now; those that cannot are passed over.

        Returns:
            At most one thing of each visitor, or two where a single one waits: so whoever comes new never waits for
            more than two things of somebody who asked much. Nothing, if nothing is ready.
        """
        waiting = ((visitor, thing) for visitor, line in self._lines.items() for thing in line)
        visitor, first = next(((visitor, thing) for visitor, thing in waiting if ready(thing)), ("", None))
        if first is None:
            return []
        share = 1 if len(self._lines) > 1 else 2
        together = [first]
        for whose, line in self._lines.items():
            fitting = [thing for thing in line if thing not in together and ready(thing) and alike(first, thing)]
            together += fitting[: share - (whose == visitor)]
        together = together[: most(first)]
        for thing in together:
            self.remove(thing)
        if (rest := self._lines.pop(visitor, None)) is not None:
            self._lines[visitor] = rest  # behind the others
        return together
