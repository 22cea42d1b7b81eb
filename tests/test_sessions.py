"""Which sessions are kept when there are too many: the pages that are open."""

from contextlib import ExitStack

import gradio as gr

from demo.server.sessions import MAX_OPEN, MAX_OPEN_OF_ONE, Sessions


def sessions(capacity: int) -> Sessions:
    with gr.Blocks() as page:
        gr.State(0)
    page.state_session_capacity = capacity
    return Sessions(page)


def test_made_up_sessions_throw_away_each_other_and_no_open_page():
    kept = sessions(3)
    with kept.opened("projector", "a"), kept.opened("student", "b"):
        for session in ("projector", "student", *map(str, range(100))):
            kept[session]
        assert set(kept.session_data) == {"projector", "student", "99"} == set(kept.time_last_used)
    for session in ("x", "y", "z"):
        kept[session]
    assert set(kept.session_data) == {"x", "y", "z"}


def test_more_pages_than_there_is_room_for_are_all_kept_while_they_are_open():
    kept = sessions(3)
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context(kept.opened(str(number), "hall"))
            kept[str(number)]
        assert len(kept.session_data) == 20
    kept["later"]
    assert set(kept.session_data) == {"18", "19", "later"}


def test_a_page_that_is_connected_twice_is_open_until_both_connections_end():
    kept = sessions(1)
    with kept.opened("page", "a"):
        with kept.opened("page", "a"):
            kept["page"]
        kept["other"]
        assert "page" in kept.session_data


def test_one_address_keeps_a_bounded_number_open():
    kept = sessions(1)
    with ExitStack() as stack:
        for number in range(MAX_OPEN_OF_ONE + 5):
            stack.enter_context(kept.opened(str(number), "attacker"))
            kept[str(number)]
        with kept.opened("user", "b"):
            kept["user"]
            kept["last"]
            assert "user" in kept.session_data
            assert len(kept.session_data) == MAX_OPEN_OF_ONE + 2


def test_all_addresses_together_keep_a_bounded_number_open():
    kept = sessions(1)
    with ExitStack() as stack:
        for number in range(MAX_OPEN + 5):
            stack.enter_context(kept.opened(str(number), f"attacker {number % 10}"))
            kept[str(number)]
        assert len(kept.session_data) == MAX_OPEN + 1
