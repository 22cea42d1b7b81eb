"""The engine: queries in, results out, on the shipped models, most of which stand on a small network here."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
import samples
import torch
from helpers import EXAMPLES
from PIL import Image
from samples import QUERIES, ZEBRA, Slow, photo, see_small, thin

from demo.engine import MAX_OF_ONE, Engine
from demo.errors import InputError
from demo.job import AbandonedError, Job
from demo.models import Entry, Library
from demo.models.classification import Classifier
from demo.models.downloads import File
from demo.models.entries import ENTRIES
from demo.models.library import MAX_ALTERED
from demo.models.network import squash
from demo.models.resnet50 import BATCH, stages
from demo.query import (
    Adversarial,
    Explain,
    Predict,
    Query,
    Randomised,
    Result,
    from_json,
    image_file,
    prediction_query,
    to_json,
)
from explainers import Patches

T = TypeVar("T")


def small(engine: Engine) -> Engine:
    """An engine whose shipped models stand on a thin network, and see small images."""
    for task in ENTRIES:
        model = engine.library.load(task)
        model._network, model.layers = thin(), stages(thin())
    return see_small(engine)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return small(Engine(Library()))


class Held(samples.Held):
    """One whose models see small images."""

    def __init__(self) -> None:
        super().__init__()
        small(self.engine)


def says(result: Result) -> str:
    """What the model says before all."""
    return next(iter(result.predictions))


def about_many(engine: Engine) -> list[Query]:
    """One about each of some classes: more than are answered together."""
    names = engine.info("classification", "").result(30).targets[: 2 * BATCH + 1]
    return [replace(ZEBRA, targets=(name,), methods=("gradcam",)) for name in names]


def runs(engine: Engine, task: str) -> tuple[list[tuple[int, str]], object]:
    """How many photographs each run of a model's first layer takes, and in which thread; and the hook to remove."""
    seen: list[tuple[int, str]] = []
    layer = engine.library.load(task).layers["layer1"]
    hook = layer.register_forward_hook(lambda _m, _i, out: seen.append((len(out), threading.current_thread().name)))
    return seen, hook


def test_queries_and_results_travel(engine):
    for query in QUERIES:
        sent = from_json(to_json(query))
        assert (sent, sent.image.data) == (query, b"")
        result = engine.answer(replace(sent, image=query.image))
        back = from_json(to_json(result))
        assert (back.query, back.predictions) == (result.query, result.predictions)
        if not isinstance(query, Explain):
            continue
        assert [row.details for row in back.rows] == [row.details for row in result.rows]
        for row, other in zip(back.rows, result.rows, strict=True):
            assert row.pictures.keys() == set(query.methods)
            assert all(np.array_equal(row.pictures[key], other.pictures[key]) for key in row.pictures)


def test_what_is_left_empty_is_filled_in_by_what_the_model_says(engine):
    result = engine.answer(ZEBRA)
    assert result.query.targets == (says(result),)
    assert (result.query.model, result.query.layers) == ("ResNet-50 (ImageNet)", ("layer4",))
    assert engine.answer(replace(ZEBRA, targets=(says(result),))) is not None
    caption = engine.answer(QUERIES[1])
    assert caption.query.text == says(caption) == caption.rows[0].details.target
    answer = engine.answer(replace(QUERIES[2], targets=("", "horse")))
    assert answer.query.targets == (says(answer), "horse")


def test_a_target_given_twice_has_one_row(engine):
    for query, other in ((ZEBRA, "hen"), (QUERIES[2], "horse")):
        best = says(engine.answer(prediction_query(query)))
        for names, once in (
            ((best.upper(), best), (best,)),
            ((best, ""), (best,)),
            (("", best), (best,)),
            ((other, "", best.upper(), other), (other, best)),
            ((other, f" {other.title()} "), (other,)),
        ):
            for _ in range(2):
                result = engine.answer(replace(query, targets=names))
                assert result.query.targets == tuple(row.details.target for row in result.rows) == once


def test_what_a_model_says_and_its_explanation_share_a_pass(engine):
    for task, text in (("classification", ""), ("captioning", ""), ("vqa", "What is it?")):
        seen, hook = runs(engine, task)
        asked = Explain(photo("coffee"), task, text=text, targets=("",))
        result = engine.answer(asked)
        assert seen == [(1, "worker")], task
        # Neither asking again, nor by name, nor for what the model says alone, takes another.
        for again in (asked, result.query):
            assert engine.answer(again).rows[0] is result.rows[0]
        assert engine.answer(prediction_query(asked)).predictions == result.predictions
        assert len(seen) == 1
        hook.remove()


def test_what_the_model_says_is_there_before_the_explanation(engine):
    pending = engine.ask(Explain(photo("rocket"), "classification", targets=("",)))
    assert next(iter(pending.predictions.result(30))) == pending.result.result(30).query.targets[0]


def test_photographs_that_wait_are_explained_together_as_they_are_alone():
    names = ("garden", "fruit", "cat", "rocket", "dog")
    for task, text in (("classification", ""), ("captioning", "a dog"), ("vqa", "Is it outside?")):
        held = Held()
        seen, hook = runs(held.engine, task)
        with held as engine:
            asked = {name: Explain(photo(name), task, text=text, targets=("",)) for name in names}
            pending = [engine.ask(query, client=name) for name, query in asked.items()]
        together = [one.result.result(60) for one in pending]
        assert [count for count, _ in seen] == [BATCH, len(names) - BATCH]
        hook.remove()
        alone = small(Engine(Library()))
        assert len({result.rows[0].details.score for result in together}) == len(names)
        for name, result in zip(names, together, strict=True):
            single = alone.answer(asked[name])
            assert result.query == single.query
            (row,), (other,) = result.rows, single.rows
            assert row.details.score == pytest.approx(other.details.score, rel=1e-4, abs=1e-4)
            assert other.pictures["guided_backprop"].any()
            for key, picture in row.pictures.items():
                assert np.abs(picture - other.pictures[key]).mean() <= 1e-3 * np.abs(other.pictures[key]).max(), key


def test_one_that_cannot_be_answered_does_not_disturb_the_others():
    with Held() as engine:
        wrong = engine.ask(replace(ZEBRA, targets=("zebr",)))
        layer = engine.ask(replace(ZEBRA, layers=("layer9",)))
        long = engine.ask(Explain(ZEBRA.image, "captioning", targets=("40",)))
        right = engine.ask(ZEBRA)
        short = engine.ask(Explain(ZEBRA.image, "captioning", targets=("0",)))
    for pending, message in ((wrong, "Did you mean zebra"), (layer, "no layer “layer9”"), (long, "no word 40")):
        with pytest.raises(InputError, match=message):
            pending.result.result(30)
    assert right.result.result(30).query.targets == (says(right.result.result()),)
    assert short.result.result(30).query.targets == (0,)


def test_the_same_question_asked_by_many_is_answered_once():
    held = Held()
    seen, hook = runs(held.engine, "classification")
    with held as engine, ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda _: engine.ask(ZEBRA), range(16)))
    assert len({id(pending.result.result(30)) for pending in asked}) == 1
    assert len(seen) == 1
    hook.remove()


def test_what_is_kept_is_bounded():
    engine = small(Engine(Library(), cache_bytes=2**20))
    asked = [Explain(photo(name), "classification", targets=("",)) for name in ("garden", "fruit", "cat")]
    for query in asked:
        engine.answer(query)
        assert 0 < engine._cache.currsize <= 2**20
    assert asked[0].image.sha256 not in engine._cache


def test_the_file_of_an_image_is_not_cached():
    engine = small(Engine(Library()))
    engine.answer(ZEBRA)
    cached = {query: result for query, result in engine._cache.items() if isinstance(query, Query)}
    assert len(cached) == 3  # as asked, completed, and the predictions alone
    assert not any(value.image.data for pair in cached.items() for value in (pair[0], pair[1].query))
    assert engine.answer(ZEBRA).query.image.data == ZEBRA.image.data


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (replace(ZEBRA, task="haiku"), "No task “haiku”"),
        (replace(ZEBRA, model="GPT"), "No model “GPT”"),
        (replace(ZEBRA, image=image_file(b"nothing")), "not an image that can be opened here"),
        (Explain(ZEBRA.image, "vqa", targets=("",)), "There is no question"),
        (
            Explain(ZEBRA.image, "vqa", text="what" + 20_000 * " ", targets=("",)),
            "longer than 20000 characters: shorten it",
        ),
        (replace(ZEBRA, targets=(20_001 * "a",)), "longer than 20000 characters"),
        (Explain(ZEBRA.image, "captioning", text="a dog", targets=("first",)), "“first” is not the index of a word"),
        (Explain(ZEBRA.image, "vqa", text="What is it?", targets=("zebbra",)), "Did you mean zebra"),
    ],
)
def test_what_cannot_be_asked_gets_a_sentence(engine, query, message):
    with pytest.raises(InputError, match=message):
        engine.answer(query)


def test_photographs_are_equal_by_content():
    data = (EXAMPLES / "cat.jpg").read_bytes()
    assert image_file(data) == image_file(bytes(bytearray(data))) != image_file(data + b" ")
    assert Image.open(EXAMPLES / "cat.jpg").size == Engine(Library()).open(image_file(data)).size


def test_what_no_widget_sends_fails_alone():
    with Held() as engine:
        first, bad, last = (
            engine.ask(Explain(photo(name), "vqa", text=text, targets=("",)))
            for name, text in (("cat", "What is it?"), ("dog", 5), ("rocket", "What is it?"))
        )
    with pytest.raises(TypeError):
        bad.result.result(30)
    assert first.result.result(30).predictions
    assert last.result.result(30).predictions


def test_who_uses_a_model_does_not_wait_for_another_that_is_being_opened():
    opening, go_on = threading.Event(), threading.Event()

    def opener(*_: object) -> Slow:
        opening.set()
        assert go_on.wait(30)
        return slow

    slow = Slow()
    slow.go_on.set()
    entries = {task: list(offered) for task, offered in ENTRIES.items()}
    entries["classification"].append(Entry("Slow", 0.0, opener))
    engine = small(Engine(Library(entries=entries)))
    waiting = engine.ask(Predict(ZEBRA.image, "classification", "Slow"))
    assert opening.wait(10)
    assert engine.answer(ZEBRA).rows
    assert not waiting.result.done()
    go_on.set()
    assert waiting.result.result(30).predictions == {"nothing": 1.0}


def test_a_dropped_model_that_is_waited_for_is_not_opened_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = File("http://127.0.0.1:9/net-12345678.pth")
    source.path.parent.mkdir(parents=True)
    source.path.write_bytes(b"")
    slow, opened = Slow(), []

    def opener(name: str, _device: str) -> Slow:
        opened.append((name, threading.current_thread().name))
        return slow

    downloaded = [Entry(name, 0.0, opener, source) for name in "ABC"]
    engine = Engine(Library(most=1, entries={"classification": downloaded}))
    asked = []
    for name in "ABC":
        asked.append(engine.ask(Predict(ZEBRA.image, "classification", name)))
        engine.info("classification", name).result(30)
    slow.go_on.set()
    for pending in asked:
        assert pending.result.result(30).predictions == {"nothing": 1.0}
    assert {thread for _, thread in opened} == {"opener"}


def test_a_model_that_cannot_be_opened_is_said_to_whoever_asks():
    def opener(*_: object) -> Slow:
        raise InputError("Broken cannot be opened: try another.")

    entries = {"classification": [Entry("Broken", 0.0, opener)]}
    engine = Engine(Library(entries=entries))
    for _ in range(2):
        with pytest.raises(InputError, match="Broken cannot be opened"):
            engine.answer(ZEBRA)


LONG = replace(ZEBRA, methods=("occlusion",))  # 49 passes, in 13 steps
DEAR = replace(LONG, patches=Patches(size=1 / 4, stride=1 / 4))  # 16 passes, in 4 steps


def then(pending: Job, look: Callable[[], T]) -> Future[T]:
    """What there is to see at the moment when a query is answered."""
    seen: Future[T] = Future()
    pending.result.add_done_callback(lambda _: seen.set_result(look()))
    return seen


def test_others_are_answered_between_the_passes_of_a_dear_query():
    with Held() as engine:
        dear = engine.ask(replace(DEAR, image=photo("kitten")))
        quick = engine.ask(Explain(photo("rocket"), "classification", targets=("",)))
        done = then(quick, lambda: dear.progress)
    assert quick.result.result(30).rows
    assert done.result(30) == (BATCH, 4 * 4)  # and then it was the other's turn
    (row,) = dear.result.result(30).rows
    assert row.details.seconds > row.details.gradcam_seconds
    alone = small(Engine(Library())).answer(dear.query).rows[0].pictures["occlusion"]
    assert alone.any()
    np.testing.assert_allclose(row.pictures["occlusion"], alone, rtol=1e-4, atol=1e-4)


def test_dear_queries_take_turns():
    with Held() as engine:
        first, second = (engine.ask(replace(LONG, image=photo(name)), client=name) for name in ("horses", "palace"))
        little = engine.ask(replace(DEAR, image=photo("dog")))
        done = then(little, lambda: [first.progress[0], second.progress[0]])
    assert little.result.result(30).rows
    engine.leave(first, "horses")
    engine.leave(second, "palace")
    assert all(0 < passes < 7 * 7 for passes in done.result(30))


def test_what_a_network_says_that_was_made_random_is_not_taken_for_what_the_trained_one_says():
    engine = see_small(Engine(Library()), "classification")
    asked = Predict(photo("cat"), "classification")
    random = engine.answer(Explain(asked.image, asked.task, weights=Randomised(1))).predictions
    noised = engine.answer(Adversarial(asked.image, asked.task, target="vizsla"))
    assert says(noised) == "vizsla"
    trained = engine.answer(asked)
    assert says(trained) == "Egyptian cat"
    assert random != trained.predictions
    assert engine.answer(replace(asked, weights=Randomised(1))).predictions == random


def classifiers() -> set[Classifier]:
    """All that are in memory, also those of other tests."""
    return {found for found in gc.get_objects() if isinstance(found, Classifier)}


def test_queries_that_wait_for_random_weights_hold_no_copy_of_the_network():
    asked = [
        Explain(photo("cat"), "classification", targets=("",), weights=Randomised(count), methods=("gradcam",))
        for count in range(MAX_ALTERED + 2)
    ]
    with Held() as engine:
        before = classifiers()  # and they stay
        waiting = [engine.ask(query, client=str(query.weights)) for query in asked]
        assert classifiers() <= before
    found = [pending.result.result(60).predictions for pending in waiting]
    assert len({tuple(predictions.items()) for predictions in found}) == len(asked)
    assert len(classifiers() - before) == MAX_ALTERED


def test_of_a_network_with_other_weights_two_copies_exist_at_most_whatever_is_begun(monkeypatch):
    held, seen = Held(), []
    library, alter = held.engine.library, held.engine.library.altered

    def watched(*given: object) -> object:
        made = alter(*given)
        seen.append(len(library._copies))  # more there are at no other time
        return made

    monkeypatch.setattr(library, "altered", watched)
    with held as engine:
        asked = [
            engine.ask(replace(query, weights=Randomised(count)), client=f"{query.methods} {count}")
            for query, counts in ((DEAR, (0, 1, 2)), (replace(ZEBRA, methods=("gradcam",)), (3, 1, 2)))
            for count in counts
        ]
    assert all(pending.result.result(60).rows for pending in asked)
    assert max(seen) == MAX_ALTERED


def test_a_model_that_others_wait_for_is_not_opened_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = File("http://127.0.0.1:9/net-12345678.pth")
    source.path.parent.mkdir(parents=True)
    source.path.write_bytes(b"")
    opened: list[str] = []
    slow = {name: Slow() for name in "ABC"}

    def opener(name: str, _device: str) -> Slow:
        opened.append(name)
        return slow[name]

    engine = Engine(Library(most=1, entries={"classification": [Entry(name, 0.0, opener, source) for name in slow]}))
    asked = []
    for number, name in enumerate("CABAB"):  # the first holds up the others
        asked.append(engine.ask(Explain(ZEBRA.image, "classification", name, targets=(str(number),))))
        engine.info("classification", name).result(30)
    assert opened == ["C", "A", "B"]
    for model in slow.values():
        model.go_on.set()
    for pending in asked:
        assert isinstance(pending.result.exception(30), AttributeError)  # it has no scores


def stopped(engine: Engine, pending: Job, *steps: tuple[int, threading.Event, threading.Event]) -> Any:
    """Let the classifier wait after so many passes for the second event, and set the first; the hook to remove."""
    waits = list(steps)

    def hook(*_: object) -> None:
        if waits and pending.progress[0] >= waits[0][0]:
            _, begun, go_on = waits.pop(0)
            begun.set()
            assert go_on.wait(30)

    return engine.library.load("classification").layers["layer1"].register_forward_hook(hook)


def test_a_dear_query_that_nobody_waits_for_is_given_up_and_can_be_asked_again():
    first_begun, first_left, second_begun, second_left = (threading.Event() for _ in range(4))
    with Held() as engine:
        first, second = engine.ask(LONG), engine.ask(LONG)
        steps = (BATCH, first_begun, first_left), (3 * BATCH, second_begun, second_left)
        hook = stopped(engine, first, *steps)
    assert first_begun.wait(30)
    engine.leave(first)
    first_left.set()
    assert second_begun.wait(30)  # as somebody waits still
    assert second.clients == [""]
    assert not second.result.done()
    engine.leave(second)
    again = engine.ask(LONG)
    second_left.set()
    with pytest.raises(AbandonedError):
        first.result.result(30)
    hook.remove()
    assert again is not first
    assert again.result.result(60).rows


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (replace(DEAR, patches=Patches(size=0)), "Patches have a side of 1/32 to 1"),
        (replace(DEAR, patches=Patches(fill="green")), "filled with mean, black, white"),
        (replace(QUERIES[2], methods=("cam",)), "There is no CAM here: it needs scores that are one linear layer"),
        (replace(QUERIES[2], targets=("dog",), methods=("c_mwp",)), "There is no Contrastive excitation"),
        (Adversarial(ZEBRA.image, "classification", target="vizla"), "Did you mean vizsla"),
        (
            Adversarial(ZEBRA.image, "captioning", target="a dog"),
            "Noise is made for classes and answers, not for captions",
        ),
        (Adversarial(ZEBRA.image, "classification"), "Name the class or answer that the model should predict"),
        (replace(ZEBRA, targets=()), "at least one target, one layer and one method"),
        (replace(ZEBRA, layers=()), "at least one target, one layer and one method"),
        (replace(ZEBRA, layers=("layer4", "layer3")), "Several layers are compared only by methods whose passes end"),
        (replace(ZEBRA, layers=("layer4", "layer3"), methods=("cam",)), "Several layers are compared only by methods"),
        (replace(ZEBRA, targets=tuple(map(str, range(101)))), "At most 100 targets are explained at a time"),
        (replace(ZEBRA, weights=Randomised(99)), "blocks to randomise, not 99"),
        (replace(ZEBRA, model="ze\x1dbra\n\ud800"), r"^No model “ze bra \?” for"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_said(engine, query, says):
    with pytest.raises(InputError, match=says):
        engine.answer(query)


def test_noise_that_nobody_sees_changes_what_is_said_but_not_where_the_zebra_is():
    """The paper's section on adversarial noise: https://arxiv.org/abs/1610.02391, section 6.2."""
    engine = Engine(Library())
    noised = engine.answer(Adversarial(ZEBRA.image, "classification", target="Vizsla"))
    name, probability = next(iter(noised.predictions.items()))
    assert (name, noised.query.target) == ("vizsla", "vizsla")
    assert probability > 0.9
    model = engine.library.load("classification")
    seen = np.asarray(squash(engine.open(ZEBRA.image), model.geometry.side)).astype(int)
    changed = np.asarray(engine.open(noised.image)).astype(int) - seen
    assert 0 < np.abs(changed).max() <= 8
    for target in ("zebra", "African elephant"):
        before, after = (
            engine.answer(replace(ZEBRA, image=picture, targets=(target,), methods=("gradcam",)))
            .rows[0]
            .pictures["gradcam"]
            for picture in (ZEBRA.image, noised.image)
        )
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_a_method_that_is_none_is_refused_and_the_engine_goes_on(engine):
    with pytest.raises(InputError, match=r"No method “magic”\. Methods: guided_backprop, gradcam"):
        engine.answer(replace(ZEBRA, methods=("magic", "gradcam")))
    assert engine.answer(ZEBRA).rows


def ended(pendings: list[Job]) -> list[Job]:
    """The queries in the order in which their turns came, when all are answered."""
    for pending in pendings:
        pending.result.result(60)
    return sorted(pendings, key=lambda pending: pending.started)


def test_somebody_who_asks_much_does_not_hold_up_the_others():
    with Held() as engine:
        flood = [engine.ask(query, client="many") for query in about_many(engine)]
        one = engine.ask(Explain(photo("dog"), "classification", targets=("",)), client="one")
        assert engine.position("one") == 1
    assert ended([*flood, one]).index(one) <= 2


def test_who_joins_what_waits_far_back_gets_it_when_it_is_their_turn():
    with Held() as engine:
        asked = [engine.ask(query, client="many") for query in about_many(engine)]
        joined = engine.ask(asked[-1].query, client="one")
        assert joined is asked[-1]
    assert ended(asked).index(joined) <= 2


def test_what_whoever_left_waited_for_is_dropped_unless_others_wait_too():
    held = Held()
    seen, hook = runs(held.engine, "classification")
    with held as engine:
        gone = [engine.ask(query, client="gone") for query in about_many(engine)]
        stays = engine.ask(gone[4].query, client="stays")
        for pending in gone:
            engine.leave(pending, "gone")
    assert stays.result.result(30).rows
    for pending in gone:
        if pending is not stays:
            with pytest.raises(AbandonedError):
                pending.result.result(0)
    assert len(seen) == 1
    hook.remove()
    assert engine.answer(gone[0].query).rows


def test_who_leaves_and_comes_again_waits_once():
    held = Held()
    seen, hook = runs(held.engine, "classification")
    with held as engine:
        shared = engine.ask(ZEBRA, client="ann")
        assert engine.ask(ZEBRA, client="bob") is shared
        engine.leave(shared, "ann")
        assert engine.ask(ZEBRA, client="ann") is shared
        other = engine.ask(Explain(photo("dog"), "captioning", targets=("",)), client="ann")
    assert shared.result.result(30).rows
    assert other.result.result(30).rows
    assert len(seen) == 1 + 1  # a photograph for each
    hook.remove()


def test_past_its_bound_the_engine_says_so_at_once():
    with Held() as engine:
        asked = [engine.ask(replace(ZEBRA, targets=(str(number),)), client="many") for number in range(MAX_OF_ONE)]
        with pytest.raises(InputError, match=r"^The server is busy\. Please try again in a moment\.$"):
            engine.ask(replace(ZEBRA, targets=("zebra",)), client="many")
        one = engine.ask(replace(ZEBRA, targets=("zebra",)), client="one")
        for pending in asked:
            engine.leave(pending, "many")
    assert one.result.result(30).rows


def test_of_one_visitor_a_single_dear_query_is_begun():
    with Held() as engine:
        mine = [engine.ask(replace(LONG, image=photo(name)), client="many") for name in ("horses", "palace", "garden")]
        theirs = engine.ask(replace(DEAR, image=photo("fruit")), client="one")
        begun = then(theirs, lambda: [pending.started is not None for pending in mine])
    assert theirs.result.result(60).rows
    for pending in mine:
        engine.leave(pending, "many")
    assert begun.result(30) == [True, False, False]


def test_a_stopped_engine_says_so_to_whoever_waits_and_finishes_what_has_begun():
    held = Held()
    with held as engine:
        waits = engine.ask(ZEBRA)
        closing = threading.Thread(target=engine.close)
        closing.start()
        with pytest.raises(InputError, match="is being stopped"):
            waits.result.result(30)
        with pytest.raises(InputError, match="is being stopped"):
            engine.ask(QUERIES[4])
        assert not engine.is_well()
    closing.join(30)
    assert held.running.result.result(30).predictions == {"nothing": 1.0}


def test_an_engine_whose_device_has_failed_is_not_well_and_says_so():
    """The meta device stands for a GPU that refuses to compute."""
    broken, held = Slow(), Held()
    broken.go_on.set()
    engine, library = held.engine, held.engine.library
    library._entries["classification"].append(Entry("Broken", 0.0, lambda *_: broken))
    broken.encode = lambda *_: torch.zeros(1, device="meta").item()
    query = Predict(photo("rocket"), "classification", "Broken")
    with pytest.raises(RuntimeError, match="meta"):  # an error of one query
        engine.answer(query)
    assert engine.is_well()
    library._device = "meta"
    with pytest.raises(RuntimeError, match="meta"):
        engine.answer(query)
    with pytest.raises(InputError, match="The device that runs the models has failed"):
        engine.answer(ZEBRA)
    assert not engine.is_well()
