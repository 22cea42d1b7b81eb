"""The votes of a class: what is counted, what is forgotten, and that no vote is lost."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo import rooms
from demo.errors import InputError
from demo.rooms import ALPHABET, LIFETIME, Rooms, Tally, Vote, tally

RIGHT, WRONG = (Vote("object", "guided_gradcam", value) for value in (1, 0))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_rooms(clock):
    return Rooms(clock)


def test_a_tally_worked_out_by_hand():
    votes = [
        Vote("trust", "guided_gradcam", 2),
        RIGHT,
        Vote("trust", "guided_gradcam", -1),
        WRONG,
        RIGHT,
        Vote("object", "guided_backprop", 0),
        RIGHT,
    ]
    # 3 of 4 right: squares about the mean 3 / 16 + 9 / 16, over 3, is 1 / 4; its root over the root of 4 is 1 / 4.
    # 2 and -1: squares about the mean 9 / 4 + 9 / 4, over 1; its root over the root of 2 is 3 / 2.
    assert tally(votes) == [
        Tally("object", "guided_backprop", 1, 0.0, None),
        Tally("object", "guided_gradcam", 4, 0.75, 0.25),
        Tally("trust", "guided_gradcam", 2, 0.5, pytest.approx(1.5)),
    ]
    assert tally([]) == []


@pytest.mark.parametrize(
    ("study", "value"),
    [("object", 2), ("object", -1), ("object", 0.5), ("trust", 3), ("trust", math.nan), ("taste", 1)],
)
def test_what_is_no_answer_is_no_vote(study, value):
    with pytest.raises(InputError, match="choose one"):
        Vote(study, "gradcam", value)


def test_each_room_has_its_votes_however_its_code_is_written(open_rooms):
    mine, theirs = open_rooms.open(), open_rooms.open()
    open_rooms.vote(mine, RIGHT)
    open_rooms.vote(f"  {mine.lower()}\n", WRONG)
    open_rooms.vote(theirs, RIGHT)
    assert open_rooms.tally(mine.title()) == [Tally("object", "guided_gradcam", 2, 0.5, 0.5)]
    assert open_rooms.tally(theirs) == [Tally("object", "guided_gradcam", 1, 1.0, None)]
    assert open_rooms.find(f" {mine.lower()}") == mine


def test_the_csv_has_the_votes_and_neither_their_order_nor_anything_else(open_rooms):
    votes = [Vote("trust", "gradcam", -2), RIGHT, WRONG, Vote("trust", "gradcam", 1)]
    written = []
    for order in (votes, votes[::-1]):
        code = open_rooms.open()
        for vote in order:
            open_rooms.vote(code, vote)
        written.append(open_rooms.csv(code))
    assert written[0] == written[1]
    assert written[0].splitlines() == [
        "study,method,value",
        "object,guided_gradcam,0",
        "object,guided_gradcam,1",
        "trust,gradcam,-2",
        "trust,gradcam,1",
    ]


def test_codes_are_short_differ_and_have_no_look_alikes(open_rooms, monkeypatch):
    codes = [open_rooms.open() for _ in range(200)]
    assert len(set(codes)) == 200
    assert all(len(code) == 5 and set(code) <= set(ALPHABET) for code in codes)
    assert not set(ALPHABET) & set("0O1IL5S2Z8BGUabc")
    assert len(ALPHABET) ** 5 > 20_000 * rooms.MOST_ROOMS  # one guess in so many opens somebody's room
    draws = iter([codes[3], codes[3], "NEW34"])
    monkeypatch.setattr(rooms, "_code", lambda: next(draws))
    assert open_rooms.open() == "NEW34"


@pytest.mark.parametrize("code", ["", "QQQQQ", "x" * 10_000])
def test_an_unknown_code_is_one_sentence(open_rooms, code):
    for ask in (open_rooms.find, open_rooms.tally, open_rooms.csv, lambda code: open_rooms.vote(code, RIGHT)):
        with pytest.raises(InputError, match="check the code, or open a new room") as error:
            ask(code)
        assert len(str(error.value)) < 120


def test_a_room_is_forgotten_after_a_day_counted_from_its_opening(open_rooms, clock):
    first = open_rooms.open()
    clock.now += LIFETIME / 2
    second = open_rooms.open()
    clock.now += LIFETIME / 2 - 1
    open_rooms.vote(first, RIGHT)
    clock.now += 1
    with pytest.raises(InputError):
        open_rooms.vote(first, RIGHT)
    assert open_rooms.tally(second) == []


def test_a_clock_that_is_set_back_loses_no_room(open_rooms, clock):
    first = open_rooms.open()
    clock.now -= 10 * LIFETIME
    second = open_rooms.open()
    open_rooms.vote(first, RIGHT)
    clock.now += LIFETIME
    assert open_rooms.tally(first)
    with pytest.raises(InputError):
        open_rooms.tally(second)


def test_rooms_and_votes_are_bounded(open_rooms, monkeypatch):
    monkeypatch.setattr(rooms, "MOST_ROOMS", 3)
    monkeypatch.setattr(rooms, "MOST_VOTES", 2)
    oldest, *others = (open_rooms.open() for _ in range(4))
    with pytest.raises(InputError):
        open_rooms.tally(oldest)
    for code in others:
        open_rooms.vote(code, RIGHT)
        open_rooms.vote(code, RIGHT)
        with pytest.raises(InputError, match="open a new one"):
            open_rooms.vote(code, RIGHT)
        assert open_rooms.tally(code)[0].votes == 2


def test_two_hundred_threads_that_vote_at_once_lose_no_vote():
    together = Rooms()
    codes = [together.open(), together.open()]
    start = threading.Barrier(200)

    def vote(number: int) -> None:
        start.wait(60)
        together.open()
        for turn in range(10):
            together.vote(codes[turn % 2], (WRONG, RIGHT)[number % 2])
            together.tally(codes[0])

    with ThreadPoolExecutor(200) as threads:
        list(threads.map(vote, range(200)))
    for code in codes:
        (row,) = together.tally(code)
        assert (row.votes, row.mean) == (1000, 0.5)
        assert len(together.csv(code).splitlines()) == 1001
