"""What the handlers of a tab show of a visitor's photograph and model, without a browser."""

import threading
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from helpers import EXAMPLES, in_a_loop

from demo.engine import Engine
from demo.models import Entry, Library
from demo.models.entries import ENTRIES
from demo.server import uploads
from demo.tabs import captioning, choices, classification, frame, vqa
from demo.tabs.choices import Choosing
from demo.tabs.visits import Shown, Visit, Wanted, show_again


def twins(side: int) -> Engine:
    """One with the shipped models, and each of them once more by the name "Twin"; all see images of that side."""
    entries = {task: [first, Entry("Twin", 0.0, first.open)] for task, (first, *_) in ENTRIES.items()}
    library = Library(entries=entries)
    for task, offered in entries.items():
        for entry in offered:
            model = library.load(task, entry.name)
            model.geometry = model.geometry._replace(side=side)
    return Engine(library)


@pytest.fixture(scope="module")
def seeing() -> Engine:
    """Says what the shipped models say."""
    return twins(256)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Says something, in a sixth of the time."""
    return twins(64)


@cache
def tab_of(module: Any, engine: Engine) -> Any:
    """A tab, which keeps nothing of a visitor, and takes longer to lay out than to use."""
    with gr.Blocks() as page:
        return module._layout(page, engine, frame.shared_column())


def laid_out(module: Any, engine: Engine) -> tuple[Any, dict]:
    """A tab, and what its events give before anything is chosen."""
    tab = tab_of(module, engine)
    given = {
        tab.visit: Visit(),
        tab.shared.photo: example("dog"),
        tab.using: engine.library.default(module.TASK),
        tab.layer: "",
    }
    return tab, given


def example(name: str) -> dict[str, str]:
    """A photograph as an upload."""
    return {"path": uploads.save((EXAMPLES / f"{name}.jpg").read_bytes(), f"{name}.jpg")}


def last_values(shown: AsyncIterator[dict]) -> dict:
    """What the outputs of a handler are in the end; nothing of those that it skips."""

    async def values() -> dict:
        last: dict = {}
        async for some in shown:
            last |= {widget: value for widget, value in some.items() if value != gr.skip()}
        return last

    return in_a_loop(values())


def looks(tab: Any, given: dict) -> dict:
    return last_values(tab.look(given, gr.EventData(None, {})))


@pytest.mark.parametrize("module", [classification, captioning, vqa], ids=lambda module: module.TASK)
def test_another_model_looks_at_the_same_photograph_and_nothing_is_looked_at_twice(engine, module):
    tab, given = laid_out(module, engine)
    visitor, typed = given[tab.visit], {} if module is not vqa else {tab.text: ""}
    for model in (given[tab.using], "Twin"):
        assert looks(tab, given | typed | {tab.using: model})
        assert [query.model for query in visitor.shown.queries] == [model]
        assert not looks(tab, given | typed | {tab.using: model})
    assert looks(tab, given | typed | {tab.shared.photo: example("cat"), tab.using: "Twin"})


@pytest.mark.parametrize("module", [classification, captioning, vqa], ids=lambda module: module.TASK)
def test_another_model_is_looked_at_in_its_first_layer_whatever_stands_in_the_box(engine, module):
    tab, given = laid_out(module, engine)
    given |= {tab.text: ""} if module is vqa else {}
    for model, box, layer in ((given[tab.using], "layer3", "layer3"), ("Twin", "block 11", "layer4")):
        assert looks(tab, given | {tab.using: model, tab.layer: box})
        assert {query.layers for query in given[tab.visit].shown.queries} == {(layer,)}


def chosen(tab: Any, given: dict, method: str, key: str) -> list[tuple[str, tuple[str, ...]]]:
    """What is shown after a choice, each with its layers."""
    choosing = Choosing(tab.engine, tab.visit, tab.shared.photo, set(), tab.panels, tab.query)
    in_a_loop(getattr(choosing, method)(given, key))
    return [(query.targets[0], query.layers) for query in given[tab.visit].shown.queries]


def test_rows_have_the_layer_that_is_shown_although_the_box_still_has_the_one_before(engine):
    tab, given = laid_out(classification, engine)
    looks(tab, given)
    visitor = given[tab.visit]
    visitor.shown = in_a_loop(show_again(engine, visitor.shown, "layer2"))
    stale = given | {tab.layer: "layer4"}
    dog = (visitor.shown.queries[0].targets[0], ("layer2",))
    assert chosen(tab, stale, "put_beside", "zebra") == [dog, ("zebra", ("layer2",))]
    drawn = in_a_loop(
        tab.panels._draw(
            stale
            | {tab.panels.more: [], tab.panels.rival: "", tab.panels.all_layers: False}
            | dict.fromkeys(tab.panels.squares)
        )
    )
    assert len(drawn[tab.panels.panels]["rows"]) == 2
    assert chosen(tab, stale, "put_beside", "no such class") == [dog, ("zebra", ("layer2",))]
    assert chosen(tab, stale, "explain", "tabby") == [("tabby", ("layer2",))]
    # Another model has layers of its own.
    assert chosen(tab, stale | {tab.using: "Twin"}, "put_beside", "zebra")[-1] == ("zebra", ("layer4",))


@pytest.mark.parametrize("look_first", [False, True])
def test_a_layer_of_the_address_that_a_model_lacks_is_passed_over(engine, look_first):
    tab, given = laid_out(classification, engine)
    offer = choices.offer(engine, "classification", tab.visit, tab.using, tab.layer)["fn"]
    for linked, layer in (("layer3", "layer3"), ("block 11", "layer4")):
        visitor = given[tab.visit] = Visit(wanted=Wanted(layer=linked))
        if look_first:
            assert looks(tab, given | {tab.shared.photo: example("cat")})
        assert in_a_loop(offer(given))[tab.layer].value == layer
        assert look_first or looks(tab, given | {tab.shared.photo: example("cat")})
        assert {query.layers for query in visitor.shown.queries} == {(layer,)}


def test_another_model_is_asked_the_suggested_question_and_another_photograph_is_not(engine):
    tab, given = laid_out(vqa, engine)
    looks(tab, given | {tab.text: ""})
    suggested = given[tab.visit].offered[1]
    asked = looks(tab, given | {tab.text: suggested, tab.using: "Twin"})
    assert asked[tab.text] == suggested != vqa.ANIMAL
    asked = looks(tab, given | {tab.text: suggested, tab.using: "Twin", tab.shared.photo: example("cat")})
    assert asked[tab.text] == vqa.ANIMAL


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("What color is it?", True),
        ("Where is the dog?", True),
        ("How many elephants are there?", False),  # the model says no
        ("How many coins are there?", False),  # the model does not know the word
    ],
)
def test_a_typed_question_is_asked_of_the_next_photograph_if_the_model_sees_what_it_takes_for_granted(
    engine, question, kept
):
    tab, given = laid_out(vqa, engine)
    looks(tab, given | {tab.shared.photo: example("bison"), tab.text: ""})
    last_values(tab.ask_typed(given | {tab.shared.photo: example("bison"), tab.text: question}))
    asked = looks(tab, given | {tab.text: question})
    assert asked[tab.text] == (question if kept else vqa.ANIMAL)


def again(tab: Any, given: dict) -> dict:
    return last_values(tab.look(given, gr.EventData(None, {"again": True})))


def test_an_example_that_is_chosen_again_begins_anew(engine):
    tab, given = laid_out(classification, engine)
    looks(tab, given)
    opened = given[tab.visit].shown
    given[tab.visit].shown = Shown()
    assert again(tab, given)
    assert given[tab.visit].shown == opened
    tab, given = laid_out(captioning, engine)
    own = looks(tab, given)[tab.text]
    in_a_loop(tab.explain_typed(given | {tab.text: "a brown dog"}))
    assert again(tab, given)[tab.text] == own
    tab, given = laid_out(vqa, engine)
    first = looks(tab, given | {tab.text: ""})[tab.text]
    last_values(tab.ask_typed(given | {tab.text: "What color is it?"}))
    assert again(tab, given | {tab.text: "What color is it?"})[tab.text] == first


@pytest.mark.parametrize(
    ("module", "name", "targets"),
    [
        (classification, "zebra_elephant", [("zebra",), ("African elephant",)]),
        (captioning, "camera", [(1,), (8,)]),
        (vqa, "zebra_elephant", [("zebra",), ("elephant",)]),
    ],
    ids=lambda value: getattr(value, "TASK", None),
)
def test_what_an_example_opens_with_whenever_it_is_chosen(engine, seeing, module, name, targets):
    tab, given = laid_out(module, seeing if module is captioning else engine)  # whose words are the model's own
    given |= {tab.text: ""} if module is vqa else {}
    for photo in ("cat", name, "cat", name):
        looks(tab, given | {tab.shared.photo: example(photo)})
        shown = given[tab.visit].shown
        assert [query.targets for query in shown.queries] == targets or photo != name
    assert shown is given[tab.visit].opened


def test_a_tab_that_is_turned_to_again_keeps_what_was_picked_whatever_stands_for_the_photograph(engine):
    tab, given = laid_out(classification, engine)
    looks(tab, given)
    picked = chosen(tab, given, "explain", "tabby")
    sent_by_browser = given[tab.shared.photo] | {"url": "file=dog.jpg", "meta": {"_type": "gradio.FileData"}}
    assert not looks(tab, given | {tab.shared.photo: sent_by_browser})
    assert [(query.targets[0], query.layers) for query in given[tab.visit].shown.queries] == picked


def test_a_click_on_something_about_the_photograph_before_changes_nothing(engine):
    late = gr.EventData(None, {"key": "a brown dog", "about": uploads.about(example("dog"))})
    tab, given = laid_out(captioning, engine)
    given[tab.shared.photo] = example("cat")
    looks(tab, given)
    shown = given[tab.visit].shown
    assert in_a_loop(tab.explain_other(given, late)) is None
    assert in_a_loop(tab.explain_considered(given, late)) is None
    assert given[tab.visit].shown is shown
    tab, given = laid_out(vqa, engine)
    given[tab.shared.photo] = example("cat")
    looks(tab, given | {tab.text: ""})
    shown = given[tab.visit].shown
    assert not last_values(tab.ask_suggested(given, late))
    assert given[tab.visit].shown is shown


def test_a_suggested_question_opens_one_row(engine):
    tab, given = laid_out(vqa, engine)
    looks(tab, given | {tab.text: ""})
    for question in given[tab.visit].offered[:2]:
        last_values(tab.ask_suggested(given, gr.EventData(None, {"key": question})))
        (query,) = given[tab.visit].shown.queries
        assert query.text == question


@pytest.mark.parametrize("module", [classification, captioning, vqa], ids=lambda module: module.TASK)
def test_a_photograph_is_read_beside_the_event_loop(engine, module, monkeypatch):
    tab, given = laid_out(module, engine)
    new = uploads.save((EXAMPLES / "dog.jpg").read_bytes() + module.TASK.encode(), "new.jpg")
    readers, open_file = [], Path.open

    def watched(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == "new.jpg":
            readers.append(threading.current_thread().name)
        return open_file(path, *how, **more)

    monkeypatch.setattr(Path, "open", watched)
    assert looks(tab, given | {tab.shared.photo: {"path": new}} | ({tab.text: ""} if module is vqa else {}))
    assert readers
    assert "loop" not in readers


def test_a_photograph_gets_its_own_question_again(engine):
    tab, given = laid_out(vqa, engine)
    dog, cat = given, given | {tab.shared.photo: example("cat")}
    for seen, question in ((dog, "What color is the dog?"), (cat, "Is the cat asleep?")):
        looks(tab, seen | {tab.text: ""})
        last_values(tab.ask_typed(seen | {tab.text: question}))
    assert looks(tab, dog | {tab.text: "Is the cat asleep?"})[tab.text] == "What color is the dog?"
    assert looks(tab, cat | {tab.text: "What color is the dog?"})[tab.text] == "Is the cat asleep?"


def test_a_photograph_gets_the_sentence_again_that_was_typed_for_it(engine):
    tab, given = laid_out(captioning, engine)
    dog, cat = given, given | {tab.shared.photo: example("cat")}
    own = looks(tab, dog)[tab.text]
    in_a_loop(tab.explain_typed(dog | {tab.text: "a brown dog"}))
    assert looks(tab, cat)[tab.text] not in ("a brown dog", own)
    assert looks(tab, dog)[tab.text] == "a brown dog"
    in_a_loop(tab.explain_typed(dog | {tab.text: " "}))
    looks(tab, cat)
    assert looks(tab, dog)[tab.text] == own


@pytest.mark.parametrize(
    ("question", "doubt"),
    [
        ("What color is the bus?", "asked “Is there a bus in the picture?”, it says no"),
        ("What color is the dog?", None),
        ("Is there a horse?", None),
    ],
)
def test_a_question_about_what_the_network_does_not_see_is_doubted(engine, question, doubt):
    tab, given = laid_out(vqa, engine)
    last_values(tab.ask_typed(given | {tab.text: question}))
    assert doubted(tab, given) == doubt


def doubted(tab: vqa.AnsweringTab, given: dict) -> str | None:
    """The doubt that is shown without its frame."""
    said = in_a_loop(tab.doubt(given))
    return said.value.partition("see: ")[2].partition(" (")[0] if said.visible else None


def test_a_doubt_is_about_what_is_shown(engine):
    tab, given = laid_out(vqa, engine)
    no_bus = "asked “Is there a bus in the picture?”, it says no"
    last_values(tab.ask_typed(given | {tab.text: "What color is the bus?"}))
    # What cannot be read leaves the panels as they are.
    last_values(tab.ask_typed(given | {tab.text: "wieviele Hunde"}))
    assert doubted(tab, given) == no_bus
    # The same question about another photograph.
    looks(tab, given | {tab.shared.photo: example("airliner_fire_engine"), tab.text: "What color is the bus?"})
    assert given[tab.visit].text == "What color is the bus?"
    assert doubted(tab, given) is None
    looks(tab, given | {tab.shared.photo: None, tab.text: "What color is the bus?"})
    assert doubted(tab, given) is None


def test_without_a_photograph_nothing_is_asked_that_the_next_one_would_get(engine):
    tab, given = laid_out(vqa, engine)
    gone = given | {tab.shared.photo: None}
    looks(tab, given | {tab.text: ""})
    for question, upload in (("What color is it?", "cat"), ("Is it asleep?", "coffee")):
        last_values(tab.ask_typed(given | {tab.text: question}))
        looks(tab, gone | {tab.text: question})
        assert looks(tab, given | {tab.shared.photo: example(upload), tab.text: question})[tab.text] == question


def test_a_region_that_was_overtaken_changes_nothing_and_one_without_evidence_says_so(engine):
    tab, given = laid_out(classification, engine)
    looks(tab, given)

    def marks(number: int, box: list[float] | None) -> Any:
        return in_a_loop(tab.panels._mark(given, gr.EventData(None, {"number": number, "box": box})))

    assert marks(2, [0.0, 0.0, 1.0, 1.0])["items"]
    assert marks(1, None) == gr.skip()
    assert given[tab.visit].marked is not None
    said = marks(3, [0.5, 0.0, 0.2, 1.0])
    assert (said["items"], said["note"][:11]) == ([], "A region is")
    assert marks(4, None) is None
    assert given[tab.visit].marked is None
