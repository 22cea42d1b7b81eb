"""The votes of a class in the quiz, which repeats two of the paper's studies with people. Nothing about who voted."""

import csv
import io
import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from demo.errors import InputError

Study = Literal["object", "trust"]

# What a vote can be worth. "object" (section 5.1, which object is being explained?): right or not. "trust" (section
# 5.2, which network is more reliable?): from the less reliable one clearly, to the more reliable one clearly.
VALUES: dict[str, tuple[int, ...]] = {"object": (0, 1), "trust": (-2, -1, 0, 1, 2)}

ALPHABET = "ACDEFHJKMNPQRTVWXY34679"  # none that is read for another: no B 8, G, I 1 L, O 0, S 5, U, Z 2
LENGTH = 5  # of a code: 6.4 million of them
LIFETIME = 24 * 3600.0  # of a room, in seconds
MOST_ROOMS = 300
MOST_VOTES = 3000  # in a room: a hundred people with thirty each


@dataclass(frozen=True, order=True, slots=True)
class Vote:
    """One person's answer to one question.

    Attributes:
        study: which of the two.
        method: a key of `explainers.METHODS`, whose picture was shown; whoever makes a vote sees to that.
        value: one of `VALUES`.

    Raises:
        InputError: there is no such study, or no such value in it.
    """

    study: Study
    method: str
    value: float

    def __post_init__(self) -> None:
        if self.value not in VALUES.get(self.study, ()):
            raise InputError("This vote is none of the answers: choose one of those in the quiz.")


class Tally(NamedTuple):
    """What was voted in a study about pictures of a method.

    Attributes:
        votes: how many.
        mean: of their values: the share that was right, or the score of the more reliable network.
        error: the standard error of the mean, as if each vote were another person's; none under two votes.
    """

    study: str
    method: str
    votes: int
    mean: float
    error: float | None


def tally(votes: Iterable[Vote]) -> list[Tally]:
    """The tally of each study and method that has votes, sorted by both."""
    values: dict[tuple[str, str], list[float]] = {}
    for vote in votes:
        values.setdefault((vote.study, vote.method), []).append(vote.value)
    return [
        Tally(
            study,
            method,
            len(found),
            statistics.fmean(found),
            statistics.stdev(found) / len(found) ** 0.5 if len(found) > 1 else None,
        )
        for (study, method), found in sorted(values.items())
    ]


@dataclass(eq=False)
class _Room:
    opened: float
    votes: list[Vote] = field(default_factory=list)


class Rooms:
    """The rooms that are open, each by its code, for a day. Threads may use it at once.

    Args:
        clock: seconds from any start; by default those that nobody sets back or forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rooms: dict[str, _Room] = {}  # the oldest first

    def open(self) -> str:
        """The code of a new room; where there are `MOST_ROOMS`, the oldest without a vote is forgotten for it.

        Raises:
            InputError: all rooms have votes.
        """
        with self._lock:
            self._forget()
            if len(self._rooms) >= MOST_ROOMS:
                empty = next((code for code, room in self._rooms.items() if not room.votes), None)
                if empty is None:
                    raise InputError(f"All {MOST_ROOMS} rooms are in use: try again tomorrow, or vote without a room.")
                del self._rooms[empty]
            code = _code()
            while code in self._rooms:
                code = _code()
            self._rooms[code] = _Room(self._clock())
            return code

    def find(self, code: str) -> str:
        """The code of a room as `open` gave it, however it is written.

        Raises:
            InputError: there is no such room.
        """
        with self._lock:
            self._votes(code)
        return _read(code)

    def vote(self, code: str, vote: Vote) -> None:
        """Count a vote in a room.

        Raises:
            InputError: there is no such room, or it has `MOST_VOTES`.
        """
        with self._lock:
            votes = self._votes(code)
            if len(votes) >= MOST_VOTES:
                raise InputError(f"This room has all the {MOST_VOTES} votes that it can hold: open a new one.")
            votes.append(vote)

    def tally(self, code: str) -> list[Tally]:
        """What was voted in a room so far; see the function of this name.

        Raises:
            InputError: there is no such room.
        """
        with self._lock:
            votes = list(self._votes(code))
        return tally(votes)

    def csv(self, code: str) -> str:
        """The votes of a room, a line each under a line of headings: study, method, value. The order says nothing.

        Raises:
            InputError: there is no such room.
        """
        with self._lock:
            votes = list(self._votes(code))
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(("study", "method", "value"))
        lines.writerows((vote.study, vote.method, f"{vote.value:g}") for vote in sorted(votes))
        return text.getvalue()

    def _votes(self, code: str) -> list[Vote]:
        self._forget()
        room = self._rooms.get(_read(code))
        if room is None:
            raise InputError(
                f"There is no room “{code.strip()[:20]}”: check the code, or open a new room (each is kept for a day)."
            )
        return room.votes

    def _forget(self) -> None:
        now = self._clock()
        for code in [code for code, room in self._rooms.items() if now - room.opened >= LIFETIME]:
            del self._rooms[code]


def _read(code: str) -> str:
    return code.strip().upper()


def _code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
