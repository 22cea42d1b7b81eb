"""The rooms of the quiz, which repeats two of the paper's studies with people, and the votes of a class in them.

Nothing is kept about who voted: a room counts equal votes, and how many came from each user under a hash of its own.
"""

import csv
import hashlib
import io
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal, NamedTuple

from cachetools import LRUCache
from scipy.special import stdtrit

from demo.errors import InputError

Study = Literal["object", "trust"]

# What a vote can be worth. "object" (section 5.1, which object is being explained?): right or not. "trust" (section
# 5.2, which network is more reliable?): from the less reliable one clearly, to the more reliable one clearly.
VALUES: dict[str, tuple[int, ...]] = {"object": (0, 1), "trust": (-2, -1, 0, 1, 2)}

ENOUGH = 5  # votes, below which an interval says little
CONFIDENCE = 0.95

ALPHABET = "ACDEFHJKMNPQRTVWXY34679"  # none that is read for another: no B 8, G, I 1 L, O 0, S 5, U, Z 2
LENGTH = 5  # of a code: 6.4 million of them
LIFETIME = 24 * 3600.0  # of a room, in seconds

# A room is in use until so many seconds after anybody voted, or looked at its votes. The projector looks every other
# second; the longer time lets a class with votes discuss them.
EMPTY_IDLE_SECONDS = 600.0
IDLE_SECONDS = 3600.0

# At a time. Behind one address there can be a school, or all users of a proxy.
MAX_ROOMS = 5_000
MAX_ROOMS_OF_ADDRESS = 1_000
MAX_ROOMS_OF_USER = 5

MAX_VOTES_OF_USER = 60  # in a room
MAX_VOTES = 100_000  # in a room, for the size of its file
MAX_USERS = 500  # whose votes a room counts at a time: beyond them the one who has not voted for longest starts anew


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
    """What was voted in a study about panels of a method.

    Attributes:
        votes: how many.
        mean: of their values: the share that was right, or the score of the more reliable network.
        interval: the ends of the 95% confidence interval of the mean, counting each vote as a different person's.
            None below `ENOUGH` votes.
    """

    study: str
    method: str
    votes: int
    mean: float
    interval: tuple[float, float] | None


def tally(votes: Iterable[Vote]) -> list[Tally]:
    """Return the tally of each study and method that has votes, sorted by both.

    Args:
        votes: each vote, or a `Counter` of equal ones.
    """
    counts: dict[tuple[str, str], Counter[float]] = {}
    for vote, count in Counter(votes).items():
        counts.setdefault((vote.study, vote.method), Counter())[vote.value] += count
    rows = []
    for (study, method), values in sorted(counts.items()):
        mean = sum(value * count for value, count in values.items()) / values.total()
        interval = (_wilson if study == "object" else _student)(mean, values) if values.total() >= ENOUGH else None
        rows.append(Tally(study, method, values.total(), mean, interval))
    return rows


def _wilson(share: float, values: Counter[float]) -> tuple[float, float]:
    """Return Wilson's score interval of a share, which has a width even where all were right."""
    n, z = values.total(), NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * (share * (1 - share) / n + (z / (2 * n)) ** 2) ** 0.5 / (1 + z**2 / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _student(mean: float, values: Counter[float]) -> tuple[float, float] | None:
    """Return Student's t-interval of a score, within its scale. None if all votes are equal, as it had no width."""
    if len(values) == 1:
        return None
    n = values.total()
    variance = sum(count * (value - mean) ** 2 for value, count in values.items()) / (n - 1)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * (variance / n) ** 0.5
    return max(mean - half, min(VALUES["trust"])), min(mean + half, max(VALUES["trust"]))


@dataclass(eq=False)
class _Room:
    opener: str
    address: str
    opened: float
    used: float
    votes: Counter[Vote] = field(default_factory=Counter)
    votes_of: LRUCache[bytes, int] = field(default_factory=lambda: LRUCache(MAX_USERS))
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def is_idle(self, now: float) -> bool:
        return now - self.used >= (IDLE_SECONDS if self.votes else EMPTY_IDLE_SECONDS)


class Rooms:
    """The rooms that are open, each by its code, for a day. Threads may use it at once.

    Args:
        clock: seconds from any start; by default those that nobody sets back or forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rooms: dict[str, _Room] = {}

    def open(self, user: str, address: str) -> str:
        """Return the code of a new room. Where it is one too many, the idle one that was used longest ago is closed.

        Args:
            user: who opens it: an open page.
            address: the network address of the user.

        Raises:
            InputError: the user, the address, or all together have as many rooms in use as they may.
        """
        with self._lock:
            now = self._clock()
            self._rooms = {code: room for code, room in self._rooms.items() if now - room.opened < LIFETIME}
            own = [code for code, room in self._rooms.items() if room.opener == user]
            self._make_room_for_one(own, MAX_ROOMS_OF_USER, "of this page", now)
            near = [code for code, room in self._rooms.items() if room.address == address]
            self._make_room_for_one(near, MAX_ROOMS_OF_ADDRESS, "of your network address", now)
            self._make_room_for_one([*self._rooms], MAX_ROOMS, "of this demo", now)
            code = _code()
            while code in self._rooms:
                code = _code()
            self._rooms[code] = _Room(user, address, opened=now, used=now)
            return code

    def _make_room_for_one(self, codes: list[str], most: int, whose: str, now: float) -> None:
        """Close the idle room that was used longest ago, if there are as many of these rooms as there may be."""
        if len(codes) < most:
            return
        idle = [code for code in codes if self._rooms[code].is_idle(now)]
        if not idle:
            raise InputError(f"All {most} rooms {whose} are in use. Use one of them, or try again in an hour.")
        del self._rooms[min(idle, key=lambda code: self._rooms[code].used)]

    def find(self, code: str) -> str:
        """Return the code of a room as `open` gave it, however it is written.

        Raises:
            InputError: there is no such room.
        """
        with self._lock:
            self._room(code)
        return _read(code)

    def vote(self, code: str, vote: Vote, user: str) -> None:
        """Count a vote in a room.

        Args:
            user: who votes: an open page.

        Raises:
            InputError: there is no such room, or it takes no further vote, or none of this user.
        """
        with self._lock:
            room = self._room(code)
            voter = hashlib.blake2b(user.encode(), key=room.salt, digest_size=8).digest()
            count = room.votes_of.get(voter, 0)
            if count >= MAX_VOTES_OF_USER:
                raise InputError(
                    f"You have given {MAX_VOTES_OF_USER} votes in this room, which is the most for one user. "
                    "Further answers are counted for you alone."
                )
            if room.votes.total() >= MAX_VOTES:
                raise InputError(f"This room is full: it holds {MAX_VOTES} votes. Open a new one.")
            room.votes_of[voter] = count + 1
            room.votes[vote] += 1

    def tally(self, code: str) -> list[Tally]:
        """Return what was voted in a room so far; see the function of this name.

        Raises:
            InputError: there is no such room.
        """
        with self._lock:
            votes = self._room(code).votes.copy()
        return tally(votes)

    def csv(self, code: str) -> str:
        """Return the votes of a room, a line each under the headings study, method, value. The order says nothing.

        Raises:
            InputError: there is no such room.
        """
        with self._lock:
            votes = self._room(code).votes.copy()
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(("study", "method", "value"))
        lines.writerows((vote.study, vote.method, f"{vote.value:g}") for vote in sorted(votes.elements()))
        return text.getvalue()

    def _room(self, code: str) -> _Room:
        room, now = self._rooms.get(_read(code)), self._clock()
        if room is None or now - room.opened >= LIFETIME:
            raise InputError(
                f"There is no room “{code.strip()[:20]}”: check the code, or open a new room (each is kept for a day)."
            )
        room.used = now
        return room


def _read(code: str) -> str:
    return code.strip().upper()


def _code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
