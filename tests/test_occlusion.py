"""Occlusion maps, on a score whose values can be worked out by hand."""

import pytest
import torch

from explainers import occlusion_maps


def test_the_fall_of_a_sum_is_what_the_square_covered():
    image = torch.zeros(1, 3, 4, 6)
    image[0, 0, 1, 4] = 5.0
    image[0, 2, 3, 0] = -2.0
    maps = occlusion_maps(lambda x: torch.stack([x.sum(), 2 * x.sum()]), image, patch=2, stride=2)
    assert torch.equal(maps, torch.tensor([[[0.0, 0, 5], [-2, 0, 0]], [[0, 0, 10], [-4, 0, 0]]]))


def test_squares_overlap_and_take_the_fill():
    image = torch.ones(1, 3, 3, 3)
    maps = occlusion_maps(lambda x: x.sum()[None], image, patch=2, stride=1, fill=3.0)
    assert torch.equal(maps, torch.full((1, 2, 2), -24.0))
    assert image.eq(1).all()


@pytest.mark.parametrize(("patch", "stride"), [(5, 1), (0, 1), (2, 0)])
def test_what_does_not_fit_is_refused(patch, stride):
    with pytest.raises(ValueError, match="do not fit an image of 3 x 4"):
        occlusion_maps(lambda x: x.sum()[None], torch.ones(1, 3, 3, 4), patch=patch, stride=stride)
