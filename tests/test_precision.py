"""bfloat16 on processors with instructions for it: what it changes of the shipped network's results."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import ZEBRA, photo

from demo import explain, precision
from demo.engine import Engine
from demo.models import Library
from demo.precision import has_bfloat16
from demo.query import Explain, Predict

HERE = has_bfloat16(torch.device("cpu"))
pytestmark = pytest.mark.skipif(not HERE, reason="this processor has no instructions for bfloat16")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Library())


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_panels_in_bfloat16_are_nearly_those_in_float32(engine):
    exact, reduced = (engine.answer(replace(ZEBRA, precision=precision)) for precision in ("float32", "bfloat16"))
    assert (exact.rows[0].details.precision, reduced.rows[0].details.precision) == (None, "bfloat16")
    assert reduced.predictions["zebra"] == pytest.approx(exact.predictions["zebra"], abs=0.02)
    bounds = {"gradcam": 0.995, "guided_backprop": 0.98, "guided_gradcam": 0.98}
    for key, bound in bounds.items():
        ours, theirs = (result.rows[0].pictures[key] for result in (exact, reduced))
        assert bound < correlation(ours, theirs) < 1, key
        assert theirs.dtype == np.float32


def test_a_slow_method_takes_it_by_itself(engine, monkeypatch):
    slow = replace(ZEBRA, targets=("zebra",), methods=("occlusion",))
    reduced = engine.answer(slow).rows[0]
    for module in (explain, precision):
        monkeypatch.setattr(module, "has_bfloat16", lambda _device: False)
    exact = Engine(engine.library).answer(slow).rows[0]
    assert engine.answer(replace(slow, precision="float32")).rows[0].details.precision is None
    assert (exact.details.precision, reduced.details.precision) == (None, "bfloat16")
    assert 0.99 < correlation(exact.pictures["occlusion"], reduced.pictures["occlusion"]) < 1


def test_predictions_and_cam_do_not_depend_on_what_was_asked_in_bfloat16_before(engine):
    for name in ("kitten", "fruit", "musicians"):
        asked = Explain(photo(name), "classification", methods=("cam", "gradcam"), precision="bfloat16")
        reduced = engine.answer(asked)
        assert correlation(*reduced.rows[0].pictures.values()) > 0.999
        exact = Engine(engine.library).answer(Predict(asked.image, "classification"))
        assert engine.answer(Predict(asked.image, "classification")).predictions == exact.predictions
        assert reduced.predictions != exact.predictions


def test_all_explanations_of_an_engine_are_in_its_precision():
    engine = Engine(Library(), precision="bfloat16")
    assert engine.answer(ZEBRA).rows[0].details.precision == "bfloat16"
