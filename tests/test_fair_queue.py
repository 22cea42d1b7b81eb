"""Whose turn it is."""

from demo.fair_queue import FairQueue


def asked(**lines: list[str]) -> FairQueue:
    """A line in which the visitors stand in this order."""
    line: FairQueue = FairQueue()
    for visitor, things in lines.items():
        for thing in things:
            line.add(visitor, thing)
    return line


def order(line: FairQueue, together: int = 1) -> list[list[str]]:
    """What is served, until nothing waits; things are alike that begin with the same letter."""
    served = []
    while line:
        served.append(line.next_batch(lambda _: together, lambda first, other: first[0] == other[0]))
    return served


def test_visitors_are_served_in_turn():
    line = asked(ann=["a1", "a2", "a3"], bob=["b1"], cid=["c1", "c2"])
    assert [line.position(visitor) for visitor in ("ann", "bob", "cid", "nobody")] == [0, 1, 2, 0]
    assert order(line) == [["a1"], ["b1"], ["c1"], ["a2"], ["c2"], ["a3"]]


def test_whoever_comes_new_waits_for_two_things_of_somebody_who_asked_fifty_at_most():
    line = asked(many=[f"m{number}" for number in range(50)])
    alike = lambda first, other: first[0] == other[0]  # noqa: E731
    assert line.next_batch(lambda _: 4, alike) == ["m0", "m1"]
    line.add("new", "m new")
    line.add("other", "o")
    assert line.next_batch(lambda _: 4, alike) == ["m2", "m new"]


def test_what_is_alike_is_served_together_up_to_a_number():
    line = asked(ann=["x1", "y1"], bob=["y2", "x2"], cid=["x3"], dan=["x4"])
    assert order(line, together=3) == [["x1", "x2", "x3"], ["y2", "y1"], ["x4"]]


def test_what_several_wait_for_is_served_once_when_the_first_of_them_is():
    line = asked(ann=["a1", "shared"], bob=["shared", "b1"])
    assert order(line) == [["a1"], ["shared"], ["b1"]]


def test_what_is_taken_out_is_not_served():
    line = asked(ann=["a1", "shared"], bob=["shared"])
    for visitor in ("ann", "bob"):
        line.remove(visitor, "shared")
    assert "shared" not in line
    assert order(line) == [["a1"]]
    assert not line
