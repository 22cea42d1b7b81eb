"""Occlusion maps, on a score whose values can be worked out by hand."""

import pytest
import torch
from torch import Tensor, nn

from explainers import METHODS, LayerMaps, MethodInputs, Patches, finish, occlusion_maps


def heatmap(side: int, patches: Patches, row: int, column: int) -> tuple[Tensor, Tensor]:
    """The occlusion map (h, w) of a pixel of a white image, and which pixels (H, W) were covered at all."""
    image = torch.ones(1, 1, side, side)
    covered = torch.zeros(side, side, dtype=torch.bool)

    def score(images: Tensor) -> Tensor:
        covered.logical_or_((images != image).any(dim=(0, 1)))
        return images[:, 0, row, column, None]

    unused = LayerMaps(*[torch.zeros(0)] * 6)
    black = torch.full((1, 1, 1), -1.0)
    inputs = MethodInputs(
        score, image, nn.Identity(), None, unused, lambda: None, lambda: None, patches, black, batch=8
    )
    return finish(METHODS["occlusion"].function(inputs))[0], covered


def test_the_fall_of_a_sum_is_what_the_patch_covered():
    image = torch.zeros(1, 3, 4, 6)
    image[0, 0, 1, 4] = 5.0
    image[0, 2, 3, 0] = -2.0
    maps = finish(occlusion_maps(lambda x: torch.stack([x.sum(), 2 * x.sum()]), image, patch=2, stride=2))
    assert torch.equal(maps, torch.tensor([[[0.0, 0, 5], [-2, 0, 0]], [[0, 0, 10], [-4, 0, 0]]]))


def test_patches_overlap_and_take_the_fill():
    image = torch.ones(1, 3, 3, 3)
    maps = finish(occlusion_maps(lambda x: x.sum()[None], image, patch=2, stride=1, fill=3.0))
    assert torch.equal(maps, torch.full((1, 2, 2), -24.0))
    assert image.eq(1).all()


@pytest.mark.parametrize(("patch", "stride"), [(5, 1), (0, 1), (2, 0)])
def test_what_does_not_fit_is_refused(patch, stride):
    with pytest.raises(ValueError, match="do not fit an image of 3 x 4"):
        finish(occlusion_maps(lambda x: x.sum()[None], torch.ones(1, 3, 3, 4), patch=patch, stride=stride))


def test_patches_reach_both_edges_whatever_the_side():
    image = torch.zeros(1, 3, 5, 10)
    image[0, 0, 4, 9] = 1.0
    # 5 = 2 + 3, and 10 in steps of at most 4 from 0 to 6.
    maps = finish(occlusion_maps(lambda x: x.sum()[None], image, patch=4, stride=4))
    assert torch.equal(maps, torch.tensor([[[0.0, 0, 0], [0, 0, 1]]]))


def test_the_last_pixel_of_a_side_that_the_stride_does_not_divide_is_covered():
    """Ten pixels in four cells, 0 2 5 8 10: patches of two cells cover 0-5, 2-8 and 5-10."""
    found, _ = heatmap(10, Patches(size=1 / 2, stride=1 / 4), 9, 9)
    expected = torch.zeros(4, 4)
    # In that corner both patches that cover the cell before it count, and one of them covers the pixel.
    expected[2:, 2:] = torch.tensor([[0.5, 1.0], [1.0, 2.0]])
    assert torch.equal(found, expected)


@pytest.mark.parametrize("patches", [Patches(), Patches(1 / 4, 1 / 16), Patches(1 / 8, 1 / 4), Patches(1 / 3, 1 / 10)])
@pytest.mark.parametrize("side", [3, 45, 97, 224, 300, 380, 518])
def test_every_pixel_is_covered_and_an_object_is_where_the_map_shows_it(side, patches):
    cells, _ = patches.cells(side)
    # The pixel in the middle of a cell as the map is drawn, evenly over the image.
    row, column = cells // 2, cells - 1
    found, covered = heatmap(side, patches, int(side * (row + 0.5) / cells), int(side * (column + 0.5) / cells))
    assert found.shape == (cells, cells)
    assert divmod(found.argmax().item(), cells) == (row, column)
    assert covered.all()
