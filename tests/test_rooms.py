"""The votes of a class: what is counted, what is forgotten, that no vote is lost, and what an attacker cannot do."""

import math
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from scipy import stats

from demo import rooms
from demo.errors import InputError
from demo.rooms import ALPHABET, EMPTY_IDLE_SECONDS, ENOUGH, IDLE_SECONDS, LIFETIME, VALUES, Rooms, Tally, Vote, tally

RIGHT, WRONG = (Vote("object", "guided_gradcam", value) for value in (1, 0))
SCHOOL = "192.0.2.1"


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


def trust(*values):
    return [Vote("trust", "guided_gradcam", value) for value in values]


def test_a_tally_worked_out_by_hand():
    votes = [*trust(2), RIGHT, *trust(-1), WRONG, RIGHT, Vote("object", "guided_backprop", 0), RIGHT]
    assert tally(votes) == [
        Tally("object", "guided_backprop", 1, 0.0, None),
        Tally("object", "guided_gradcam", 4, 0.75, None),
        Tally("trust", "guided_gradcam", 2, 0.5, None),
    ]
    assert tally(Counter(votes)) == tally(votes)
    assert tally([]) == []


def test_the_interval_of_a_share_is_that_of_scipy_and_has_a_width_where_all_were_right():
    for right, wrong in ((5, 0), (0, 5), (3, 2), (41, 7), (1, 300)):
        (row,) = tally([RIGHT] * right + [WRONG] * wrong)
        expected = stats.binomtest(right, right + wrong).proportion_ci(0.95, "wilson")
        assert row.interval == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert row.interval[1] - row.interval[0] > 0.01


def test_the_interval_of_a_score_is_that_of_scipy_within_its_scale():
    values = (2, 1, -1, 1, 0, 1, 2, 1)
    (row,) = tally(trust(*values))
    assert row.interval == pytest.approx(
        stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values)), abs=1e-9
    )
    (row,) = tally(trust(2, 2, 2, 2, 1))
    assert row.interval[1] == 2
    assert 1 < row.interval[0] < row.mean
    assert tally(trust(*[2] * 20))[0].interval is None  # not one without a width


@pytest.mark.parametrize("study", VALUES)
def test_few_votes_have_no_interval(study):
    votes = [Vote(study, "guided_gradcam", value) for value in (0, 1) * ENOUGH]
    assert [row.interval is None for count in range(1, ENOUGH + 1) for row in tally(votes[:count])] == [True] * (
        ENOUGH - 1
    ) + [False]


@pytest.mark.parametrize(
    ("study", "value"),
    [("object", 2), ("object", -1), ("object", 0.5), ("trust", 3), ("trust", math.nan), ("taste", 1)],
)
def test_what_is_no_answer_is_no_vote(study, value):
    with pytest.raises(InputError, match="choose one"):
        Vote(study, "gradcam", value)


def test_each_room_has_its_votes_however_its_code_is_written(open_rooms):
    mine, theirs = open_rooms.open("teacher", SCHOOL), open_rooms.open("teacher", SCHOOL)
    open_rooms.vote(mine, RIGHT, "page")
    open_rooms.vote(f"  {mine.lower()}\n", WRONG, "page")
    open_rooms.vote(theirs, RIGHT, "page")
    assert open_rooms.tally(mine.title()) == [Tally("object", "guided_gradcam", 2, 0.5, None)]
    assert open_rooms.tally(theirs) == [Tally("object", "guided_gradcam", 1, 1.0, None)]
    assert open_rooms.find(f" {mine.lower()}") == mine


def test_the_csv_has_the_votes_and_neither_their_order_nor_anything_else(open_rooms):
    votes = [Vote("trust", "gradcam", -2), RIGHT, WRONG, Vote("trust", "gradcam", 1)]
    written = []
    for order in (votes, votes[::-1]):
        code = open_rooms.open("teacher", SCHOOL)
        for vote in order:
            open_rooms.vote(code, vote, "page")
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
    codes = [open_rooms.open(f"page {page}", SCHOOL) for page in range(200)]
    assert len(set(codes)) == 200
    assert all(len(code) == 5 and set(code) <= set(ALPHABET) for code in codes)
    assert not set(ALPHABET) & set("0O1IL5S2Z8BGUabc")
    assert len(ALPHABET) ** 5 > 600 * rooms.MAX_ROOMS  # even with all rooms open, few guesses find one
    draws = iter([codes[3], codes[3], "NEW34"])
    monkeypatch.setattr(rooms, "_code", lambda: next(draws))
    assert open_rooms.open("teacher", SCHOOL) == "NEW34"


@pytest.mark.parametrize("code", ["", "QQQQQ", "x" * 10_000])
def test_an_unknown_code_is_one_sentence(open_rooms, code):
    for ask in (open_rooms.find, open_rooms.tally, open_rooms.csv, lambda code: open_rooms.vote(code, RIGHT, "page")):
        with pytest.raises(InputError, match="check the code, or open a new room") as error:
            ask(code)
        assert len(str(error.value)) < 120


def test_a_room_is_forgotten_after_a_day_counted_from_its_opening(open_rooms, clock):
    first = open_rooms.open("teacher", SCHOOL)
    clock.now += LIFETIME / 2
    second = open_rooms.open("teacher", SCHOOL)
    clock.now += LIFETIME / 2 - 1
    open_rooms.vote(first, RIGHT, "page")
    clock.now += 1
    with pytest.raises(InputError):
        open_rooms.vote(first, RIGHT, "page")
    assert open_rooms.tally(second) == []


def test_a_clock_that_is_set_back_loses_no_room(open_rooms, clock):
    first = open_rooms.open("teacher", SCHOOL)
    clock.now -= 10 * LIFETIME
    second = open_rooms.open("teacher", SCHOOL)
    open_rooms.vote(first, RIGHT, "page")
    clock.now += LIFETIME
    assert open_rooms.tally(first)
    with pytest.raises(InputError):
        open_rooms.tally(second)


def test_an_idle_room_makes_room_for_a_new_one_and_one_in_use_does_not(open_rooms, clock, monkeypatch):
    monkeypatch.setattr(rooms, "MAX_ROOMS_OF_USER", 3)
    voted, looked_at, empty = (open_rooms.open("teacher", SCHOOL) for _ in range(3))
    open_rooms.vote(voted, RIGHT, "student")
    clock.now += EMPTY_IDLE_SECONDS - 1
    open_rooms.tally(looked_at)
    with pytest.raises(InputError, match="in use"):
        open_rooms.open("teacher", SCHOOL)
    clock.now += 1
    open_rooms.open("teacher", SCHOOL)  # for `empty`
    with pytest.raises(InputError, match="check the code"):
        open_rooms.find(empty)
    with pytest.raises(InputError, match="in use"):
        open_rooms.open("teacher", SCHOOL)
    clock.now += IDLE_SECONDS - EMPTY_IDLE_SECONDS - 1
    assert open_rooms.tally(voted)[0].votes == 1


@pytest.mark.parametrize("bound", ["MAX_ROOMS_OF_USER", "MAX_ROOMS_OF_ADDRESS", "MAX_ROOMS"])
def test_rooms_are_bounded_for_a_user_an_address_and_in_all(open_rooms, clock, monkeypatch, bound):
    monkeypatch.setattr(rooms, bound, 3)
    pages = [("a page" if bound == "MAX_ROOMS_OF_USER" else f"page {n}", SCHOOL if bound != "MAX_ROOMS" else f"{n}")
             for n in range(9)]  # fmt: skip
    codes = [open_rooms.open(*page) for page in pages[:3]]
    for page in pages[3:6]:
        with pytest.raises(InputError, match="All 3 rooms"):
            open_rooms.open(*page)
    assert not any(open_rooms.tally(code) for code in codes)
    clock.now += EMPTY_IDLE_SECONDS
    for page in pages[6:]:
        codes.append(open_rooms.open(*page))
    assert len(set(codes)) == 6
    for code in codes[:3]:
        with pytest.raises(InputError, match="check the code"):
            open_rooms.tally(code)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_an_attacker_does_a_class_goes_on_and_another_can_begin(clock, seed):
    """From the address of the school, with sessions that are made up at will."""
    attacker, open_rooms = random.Random(seed), Rooms(clock)
    code = open_rooms.open("teacher", SCHOOL)
    known, counted = [code], 0
    sessions = [f"attacker {number}" for number in range(100)]

    def attack() -> None:
        for _ in range(600):
            with suppress(InputError):
                match attacker.randrange(3):
                    case 0:
                        known.append(open_rooms.open(attacker.choice(sessions), SCHOOL))
                    case 1:
                        open_rooms.vote(attacker.choice(known), RIGHT, attacker.choice(sessions))
                    case 2:
                        open_rooms.tally(attacker.choice(known))

    for minute in range(10):
        attack()
        clock.now += 60
        for student in range(5):
            open_rooms.vote(code, Vote("trust", "guided_gradcam", 2), f"student {minute} {student}")
            counted += 1
    assert sum(row.votes for row in open_rooms.tally(code) if row.study == "trust") == counted
    other = open_rooms.open("another teacher", SCHOOL)
    attack()
    open_rooms.vote(other, WRONG, "another student")
    assert open_rooms.tally(other)


def test_one_person_cannot_fill_a_room_and_two_hundred_behind_one_address_can_vote(open_rooms):
    code = open_rooms.open("teacher", SCHOOL)
    for _ in range(rooms.MAX_VOTES_OF_USER):
        open_rooms.vote(code, WRONG, "one person")
    for _ in range(100):
        with pytest.raises(InputError, match="counted for you alone"):
            open_rooms.vote(code, WRONG, "one person")
    for student in range(200):
        for _ in range(30):
            open_rooms.vote(code, RIGHT, f"student {student}")
    (row,) = open_rooms.tally(code)
    assert row.votes == rooms.MAX_VOTES_OF_USER + 200 * 30
    elsewhere = open_rooms.open("teacher", SCHOOL)
    open_rooms.vote(elsewhere, WRONG, "one person")


def test_a_full_room_says_so(open_rooms, monkeypatch):
    monkeypatch.setattr(rooms, "MAX_VOTES", 2)
    code = open_rooms.open("teacher", SCHOOL)
    for student in ("one", "another"):
        open_rooms.vote(code, RIGHT, student)
    with pytest.raises(InputError, match="Open a new one"):
        open_rooms.vote(code, RIGHT, "a third")


def test_two_hundred_threads_that_vote_at_once_lose_no_vote():
    together = Rooms()
    codes = [together.open("teacher", SCHOOL), together.open("teacher", SCHOOL)]
    start = threading.Barrier(200)

    def vote(number: int) -> None:
        start.wait(60)
        together.open(f"page {number}", SCHOOL)
        for turn in range(10):
            together.vote(codes[turn % 2], (WRONG, RIGHT)[number % 2], f"page {number}")
            together.tally(codes[0])

    with ThreadPoolExecutor(200) as threads:
        list(threads.map(vote, range(200)))
    for code in codes:
        (row,) = together.tally(code)
        assert (row.votes, row.mean) == (1000, 0.5)
        assert len(together.csv(code).splitlines()) == 1001
