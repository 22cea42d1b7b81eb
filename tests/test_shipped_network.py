"""The shipped ResNet-50 sees what is there, and Grad-CAM shows where: on scenes whose exact masks are known."""

import json
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import EXAMPLES
from PIL import Image
from samples import runs_of

from demo.images import open_photo
from demo.models import load
from demo.models.resnet50 import encoder
from explainers import explain, layer_maps

SCENES = json.loads((EXAMPLES / "scenes.json").read_text())


def asked(file: str):
    """The score of all objects of a scene, the photograph and the layer."""
    model = load("classification")
    image = model.prepare(open_photo(EXAMPLES / file))
    return model.score(*SCENES[file]["objects"]), image, model.layers["layer4"]


@cache
def heats(file: str) -> torch.Tensor:
    """Grad-CAM of all objects of a scene, as large as the photograph."""
    score, image, layer = asked(file)
    (found,) = layer_maps(score, image, [layer])
    return F.interpolate(found.maps[:, None], image.shape[-2:], mode="bilinear")[:, 0]


def masks_of(file: str, height: int, width: int, cell: int) -> torch.Tensor:
    """Those of the objects, widened by one cell."""
    mask = Image.open(EXAMPLES / SCENES[file]["mask"]).resize((width, height), Image.Resampling.NEAREST)
    count = len(SCENES[file]["objects"])
    masks = torch.stack([torch.from_numpy(np.asarray(mask) == i).float() for i in range(1, count + 1)])
    # Along the columns, then along the rows: the same as in squares, for a fraction of the time.
    for kernel, padding in (((2 * cell + 1, 1), (cell, 0)), ((1, 2 * cell + 1), (0, cell))):
        masks = F.max_pool2d(masks, kernel, stride=1, padding=padding)
    return masks > 0


@pytest.mark.parametrize("file", SCENES)
def test_each_map_falls_on_its_own_object(file):
    found = heats(file)
    for heat, mask in zip(found, masks_of(file, *found.shape[1:], cell=32), strict=True):
        assert mask.float().mean() < 0.5  # or the rest would say little
        assert mask.flatten()[heat.argmax()]
        assert heat[mask].sum() > 0.5 * heat.sum()


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


@pytest.mark.parametrize("file", SCENES)
def test_guided_backprop_does_not_tell_objects_apart_and_the_others_do(file):
    """The paper's figure 1 in numbers, for every pair of objects in a scene."""
    explanation = explain(*asked(file))
    for i, j in combinations(range(len(explanation.scores)), 2):
        guided_i, guided_j = explanation.pixel_gradient[[i, j]]
        assert (guided_i.sign() == guided_j.sign()).float().mean() > 0.97
        guided = cosine(guided_i, guided_j)
        assert guided > 0.55
        assert cosine(*explanation.gradcam[[i, j]]) < guided - 0.25
        assert cosine(*explanation.guided_gradcam[[i, j]]) < guided - 0.5


def test_the_maps_of_two_objects_overlap_little():
    for file in (file for file, entry in SCENES.items() if len(entry["objects"]) == 2):
        shares = heats(file) / heats(file).sum(dim=(1, 2), keepdim=True)
        assert shares.amin(dim=0).sum() < 0.4, file


def test_grad_cam_is_cam_where_global_average_pooling_and_one_linear_layer_follow():
    """The paper's section 3: alpha_k is the class weight w_k^c, up to the number Z of cells."""
    network = encoder("cpu")
    classes = [0, 281, 340, 999]
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with runs_of(network.layer4) as features:
        explanation = explain(lambda x: network(x)[0, classes], image, network.layer4)
    cam = torch.einsum("ck,khw->chw", network.fc.weight[classes], features[0][0].detach()).relu()
    torch.testing.assert_close(explanation.weights * 9, network.fc.weight[classes], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(explanation.maps * 9, cam, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("file", "name"), [("cat.jpg", "Egyptian cat"), ("coffee.jpg", "espresso"), ("zebra_elephant.jpg", "zebra")]
)
def test_what_it_sees_in_the_examples(file, name):
    model = load("classification")
    probability = model.predict(model.prepare(open_photo(EXAMPLES / file)))
    assert next(iter(probability)) == name
    assert len(probability) == 1000
    assert sum(probability.values()) == pytest.approx(1, abs=1e-4)
    assert list(probability.values()) == sorted(probability.values(), reverse=True)


def test_every_example_has_what_its_listing_says():
    model = load("classification")
    for file, entry in SCENES.items():
        mask = np.asarray(Image.open(EXAMPLES / entry["mask"]))
        assert mask.shape[::-1] == Image.open(EXAMPLES / file).size
        assert set(np.unique(mask)) == set(range(len(entry["objects"]) + 1))
        assert set(entry["objects"]) <= set(model.labels)
