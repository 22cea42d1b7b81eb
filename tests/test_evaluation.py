"""The measures of `evaluation/`, on numbers small enough to be worked out by hand."""

import io
import math
import mmap
import os
import time

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.benchmark import answered, percentile
from evaluation.caption_localization import centred, inside, pointed, ratio
from evaluation.captions import variety
from evaluation.load import EXAMPLES, cpu_seconds, difference, photograph, resident_mebibytes
from evaluation.vqa import clustered, reliability
from evaluation.vqa_faithfulness import PATCH, STRIDE, in_squares
from explainers import finish, occlusion_maps


def test_boxes_in_voc_pixels_become_a_mask_of_the_squashed_photograph():
    boxes = [
        {"xmin": 1, "ymin": 1, "xmax": 200, "ymax": 25},  # the left half of the upper quarter
        {"xmin": 301, "ymin": 76, "xmax": 400, "ymax": 100},  # the right quarter of the lower one
        {"xmin": 205, "ymin": 52, "xmax": 206, "ymax": 53},  # smaller than a pixel, and not lost
    ]
    expected = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).bool()
    assert torch.equal(inside(boxes, (400, 100), side=4), expected)


def test_the_ratio_and_the_pointing_game_on_a_map_of_six_pixels():
    heat = torch.tensor([[3.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
    left = torch.tensor([[True, False, False], [True, False, False]])
    assert ratio(heat, left) == pytest.approx(2.5 / 0.25)
    assert ratio(heat, ~left) == pytest.approx(0.25 / 2.5)
    assert (pointed(heat, left), pointed(heat, ~left)) == (1, 0)


def test_a_map_of_zeros_points_nowhere_and_prefers_nothing():
    heat, everywhere_but_one = torch.zeros(2, 2), torch.tensor([[True, True], [True, False]])
    assert (pointed(heat, everywhere_but_one), ratio(heat, everywhere_but_one)) == (0, 1)


def test_of_a_flat_peak_the_middle_counts_and_a_box_at_the_edge_is_not_lost():
    heat = torch.tensor([[5.0, 5.0, 5.0, 0.0], [5.0, 5.0, 5.0, 0.0], [5.0, 5.0, 5.0, 0.0]])
    middle = torch.zeros(3, 4, dtype=torch.bool)
    middle[1, 1] = True
    assert (pointed(heat, middle), pointed(heat, ~middle)) == (1, 0)
    assert inside([{"xmin": 999, "ymin": 1, "xmax": 1000, "ymax": 1000}], (1000, 1000), side=4)[:, 3].all()


def test_the_baseline_of_the_centre_is_highest_there_and_falls_off_alike_on_all_sides():
    heat = centred(5)
    assert heat.argmax() == 12
    assert torch.allclose(heat, heat.T)
    assert torch.allclose(heat, heat.flip(0))
    # Two spreads from the centre at the middle of an edge, and that twice at a corner: exp(-2) and exp(-4).
    assert heat[0, 2].item() == pytest.approx(0.135, abs=1e-3)
    assert heat[0, 0].item() == pytest.approx(0.018, abs=1e-3)


def test_variety_counts_different_captions_and_repeated_content_words():
    captions = ["a dog on a hill", "a dog on a hill", "a dog dog on a hill", "a man beside a man"]
    assert variety(captions) == {"distinct": 0.75, "repeats a word at once": 0.25, "repeats a word anywhere": 0.5}


def test_the_error_of_a_mean_over_two_photographs_is_that_of_their_sums():
    mean, error = clustered([1.0, 1.0, 0.0], ["one", "one", "other"])
    assert mean == pytest.approx(2 / 3)
    # Deviations sum to 2/3 and -2/3: sqrt(2 * (4/9 + 4/9)) / 3.
    assert error == pytest.approx((16 / 9) ** 0.5 / 3)


def test_the_error_of_independent_values_is_the_usual_one():
    values = torch.rand(50, generator=torch.Generator().manual_seed(0)).tolist()
    mean, error = clustered(values, range(50))
    assert mean == pytest.approx(sum(values) / 50)
    assert error == pytest.approx((torch.tensor(values).var() / 50).sqrt().item(), rel=1e-5)


def test_maps_are_averaged_in_the_squares_that_are_covered():
    """Of a score that sums the pixels, covering takes away what the squares hold."""
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    falls = finish(occlusion_maps(lambda x: x.sum()[None], image, patch=PATCH, stride=STRIDE))[0]
    torch.testing.assert_close(in_squares(image[0].sum(dim=0)) * PATCH**2, falls, rtol=1e-3, atol=1)


def test_of_twenty_requests_one_may_be_slower_than_the_95th_percentile():
    assert percentile(range(20, 0, -1), 0.95) == 19
    assert (percentile([3, 1, 2], 0.5), percentile([7], 0.95)) == (2, 7)
    assert math.isnan(percentile(answered([math.nan, math.nan]), 0.5))


def test_the_benchmark_never_sends_the_same_photograph_twice(tmp_path):
    numbers = [0, 1, 2, len(EXAMPLES), 2 * len(EXAMPLES), 40000, 40000 + len(EXAMPLES)]
    sent = [np.asarray(Image.open(photograph(tmp_path, number, (500, 380)))).astype(int) for number in numbers]
    for i in range(len(sent)):
        assert sent[i].shape == (380, 500, 3)
        assert all(np.abs(sent[i] - other).max() > 100 for other in sent[:i])


def test_answers_are_compared_in_all_but_their_seconds():
    def picture(level: int, width: int = 3) -> bytes:
        Image.new("L", (width, 2), level).save(file := io.BytesIO(), "PNG")
        return file.getvalue()

    def answer(level: int, **details: object) -> list[object]:
        return [picture(level), {"target": "zebra", "score": 20.0, "box": [1, 2], "seconds": 0.5} | details]

    assert difference(answer(7), answer(7, seconds=9.0)) == (0, 0)
    assert difference(answer(7), answer(9, score=20.02)) == (2, pytest.approx(0.001, rel=0.01))
    assert difference([0.001], [0.002]) == (0, pytest.approx(0.001))
    for other in (answer(7, target="hen"), answer(7, box=[1, 3]), answer(7, box=[1]), answer(7, word=None), ["no"]):
        assert difference(answer(7), other).share == math.inf
    assert difference([picture(7)], [picture(7, width=4)]).levels == math.inf


def test_what_a_process_holds_and_has_used_is_read_from_the_kernel():
    pid, before = os.getpid(), resident_mebibytes(os.getpid())
    with mmap.mmap(-1, 64 * 2**20) as held:
        held.write(bytes(len(held)))
        assert resident_mebibytes(pid) - before == pytest.approx(len(held) / 2**20, abs=8)
    assert cpu_seconds(pid) == pytest.approx(time.process_time(), abs=0.1)


def test_the_calibration_error_is_the_mean_gap_of_probability_and_accuracy():
    sure, right = np.array([0.9, 0.9, 0.5, 0.5]), np.array([1.0, 0.0, 1.0, 0.0])
    assert reliability(sure, right).error() == pytest.approx(0.2)  # 0.4 in one bin, none in the other
    assert reliability(np.ones(3), np.ones(3)).error() == 0
