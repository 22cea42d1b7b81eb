"""The shipped ResNet-50 sees what is there, and Grad-CAM shows where: on scenes whose exact masks are known."""

import json
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
from explainers import explain

SCENES = json.loads((EXAMPLES / "scenes.json").read_text())


@pytest.fixture(scope="module", params=SCENES)
def scene(request):
    """The explanation of all objects of a scene, in one call, and the masks of the objects, widened by one cell."""
    model = load("classification")
    names = SCENES[request.param]["objects"]
    explanation = explain(
        model.score(*names), model.prepare(open_photo(EXAMPLES / request.param)), model.layers["layer4"]
    )
    height, width = explanation.gradcam.shape[1:]
    mask = Image.open(EXAMPLES / SCENES[request.param]["mask"]).resize((width, height), Image.Resampling.NEAREST)
    cell = height // explanation.maps.shape[1]
    masks = torch.stack([torch.from_numpy(np.asarray(mask) == i).float() for i in range(1, len(names) + 1)])
    return explanation, F.max_pool2d(masks, 2 * cell + 1, stride=1, padding=cell) > 0


def test_each_map_falls_on_its_own_object(scene):
    explanation, masks = scene
    for heat, mask in zip(explanation.gradcam, masks, strict=True):
        assert mask.float().mean() < 0.5  # or the rest would say little
        assert mask.flatten()[heat.argmax()]
        assert heat[mask].sum() > 0.5 * heat.sum()


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def test_guided_backprop_does_not_tell_objects_apart_and_the_others_do(scene):
    """The paper's figure 1 in numbers, for every pair of objects in a scene."""
    explanation, _ = scene
    for i, j in combinations(range(len(explanation.scores)), 2):
        guided_i, guided_j = explanation.pixel_gradient[[i, j]]
        assert (guided_i.sign() == guided_j.sign()).float().mean() > 0.97
        guided = cosine(guided_i, guided_j)
        assert guided > 0.55
        assert cosine(*explanation.gradcam[[i, j]]) < guided - 0.25
        assert cosine(*explanation.guided_gradcam[[i, j]]) < guided - 0.5


def test_the_maps_of_two_objects_overlap_little():
    model = load("classification")
    for file, names in ((file, entry["objects"]) for file, entry in SCENES.items() if len(entry["objects"]) == 2):
        image = model.prepare(open_photo(EXAMPLES / file))
        heats = explain(model.score(*names), image, model.layers["layer4"]).gradcam
        shares = heats / heats.sum(dim=(1, 2), keepdim=True)
        assert shares.amin(dim=0).sum() < 0.4, file


def test_grad_cam_is_cam_where_global_average_pooling_and_one_linear_layer_follow():
    """The paper's section 3: alpha_k is the class weight w_k^c, up to the number Z of cells."""
    network = encoder("cpu")
    classes = [0, 281, 340, 999]
    image = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with runs_of(network.layer4) as features:
        explanation = explain(lambda x: network(x)[0, classes], image, network.layer4)
    cam = torch.einsum("ck,khw->chw", network.fc.weight[classes], features[0][0].detach()).relu()
    torch.testing.assert_close(explanation.weights * 64, network.fc.weight[classes], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(explanation.maps * 64, cam, rtol=1e-4, atol=1e-4)


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
        assert set(entry["objects"]) <= set(model.classes)
