"""The table of methods, on a network whose numbers can be worked out by hand."""

import pytest
import torch
from torch import nn

from explainers import METHODS, counterfactual_map, explain, layer_maps


def weighted() -> tuple[nn.Module, torch.Tensor]:
    """Two feature maps, the first pixel colours themselves; the score is 2 * mean(first) - 3 * mean(second)."""
    layer = nn.Conv2d(3, 2, 1, bias=False)
    layer.weight.data = torch.tensor([[[[1.0]], [[0.0]], [[0.0]]], [[[0.0]], [[1.0]], [[0.0]]]])
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[4.0, 0.0], [8.0, 0.0]])
    image[0, 1] = torch.tensor([[0.0, 4.0], [8.0, 0.0]])
    return layer, image


def test_what_speaks_for_and_against_a_score_by_hand():
    layer, image = weighted()

    def score(x):
        first, second = layer(x)[0].mean(dim=(1, 2))
        return (2 * first - 3 * second)[None]

    explanation = explain(score, image, layer)
    # alpha = (2, -3) / 4 pixels
    assert explanation.signed.tolist() == [[[2, -3], [-2, 0]]]
    assert explanation.maps.tolist() == [[[2, 0], [0, 0]]]
    assert counterfactual_map(explanation).tolist() == [[[0, 3], [2, 0]]]


@pytest.mark.parametrize("key", [key for key, method in METHODS.items() if method.passes != "own"])
def test_each_method_gives_pictures_of_its_kind(key):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    image = torch.randn(1, 3, 8, 8)

    def score(x):
        return network(x)[0]

    method = METHODS[key]
    rule = "guided" if method.passes == "layer" else method.passes
    picture = method.function(explain(score, image, network[2], rule=rule))
    assert picture.shape == ((3, 3, 8, 8) if method.kind == "gradient" else (3, 4, 4))
    if method.kind == "map":
        assert picture.min() >= 0
    if method.passes == "layer":
        (maps,) = layer_maps(score, image, [network[2]])
        assert torch.equal(method.function(maps), picture)
    assert method.title
    assert method.sentence


def test_the_counterfactual_of_a_score_is_the_map_of_its_negative():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 2))
    image = torch.randn(1, 3, 8, 8)
    against = counterfactual_map(explain(lambda x: network(x)[0], image, network[0]))
    torch.testing.assert_close(against, explain(lambda x: -network(x)[0], image, network[0]).maps)
    assert against.max() > 0
