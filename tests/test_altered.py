"""Networks with other weights: what changes, what is shared, and that the trained network never notices."""

import copy
import hashlib
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from helpers import EXAMPLES
from PIL import Image
from samples import thin
from torch import Tensor, nn
from torchvision import models

from demo.models import imagenet, load
from demo.models.altered import WORSE, WORSE_SEED, blocks_of, randomised, same_layers, worsened
from demo.models.resnet50 import encoder
from demo.models.speed import quicken
from explainers import gradcam_maps

BLOCKS = ["fc", "layer4", "layer3", "layer2", "layer1", "conv1"]
TRANSFORMER = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}


def prepared(*names: str) -> Tensor:
    model = load("classification")
    return torch.cat([model.prepare(Image.open(EXAMPLES / f"{name}.jpg").convert("RGB")) for name in names])


@cache
def small() -> nn.Module:
    """A thin network as it runs."""
    network = copy.deepcopy(thin(20))
    quicken(network)
    return network


def digest(network: nn.Module) -> str:
    """Of all that a network holds."""
    found = hashlib.sha256()
    for name, values in network.state_dict().items():
        found.update(name.encode() + values.contiguous().numpy().tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module", autouse=True)
def unnoticed():
    """Whatever the tests of this file do, the trained network stays as it is."""
    before = {name: values.clone() for name, values in encoder("cpu").state_dict().items()}
    yield
    after = encoder("cpu").state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(values, after[name]) for name, values in before.items())
    assert not any(module._forward_hooks for module in encoder("cpu").modules())


def test_the_blocks_of_the_shipped_network():
    assert blocks_of(encoder("cpu")) == BLOCKS


@pytest.mark.parametrize("architecture", imagenet.ARCHITECTURES.values())
def test_the_blocks_of_every_network_of_the_catalogue(architecture):
    options = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        network = models.get_model(architecture, **options)
    names = blocks_of(network)
    parts = [network.get_submodule(name) for name in names]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    covered = set(parameters)
    assert len(names) >= 5
    assert len(parameters) == len(covered)  # no block is within another
    assert any(parameter.shape == (1000,) for parameter in parts[0].parameters())  # the biases of the logits
    assert any(parameter.ndim == 4 and parameter.shape[1] == 3 for parameter in parts[-1].parameters())  # of rgb
    # What is in none is used in training alone, or is a transformer's for its class token and positions.
    left = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter not in covered}
    assert left <= {"aux1", "aux2", "AuxLogits", "class_token", "encoder"}


@pytest.mark.parametrize("count", [0, 2, 6])
def test_the_top_blocks_are_new_and_all_else_is_shared(count):
    trained = encoder("cpu")
    altered = randomised(trained, BLOCKS[:count])
    assert not set(trained.modules()) & set(altered.modules())
    for (name, old), (same_name, new) in zip(trained.named_parameters(), altered.named_parameters(), strict=True):
        assert name == same_name
        if name.split(".")[0] not in BLOCKS[:count]:
            assert new is old
        elif old.ndim == 1:
            assert not new.any()
        else:
            assert not torch.equal(new, old)
            sampling = 5 / old.numel() ** 0.5
            assert new.mean().abs() < sampling * old.std()
            assert new.std().item() == pytest.approx(old.std().item(), rel=sampling)
            assert new.stride() == old.stride()  # channels last, as the trained one
        assert not new.requires_grad
    assert not altered.training


def test_the_same_seed_gives_the_same_weights_whatever_the_global_one_and_the_count():
    trained = small()
    with torch.random.fork_rng():
        state = torch.get_rng_state()
        one = randomised(trained, BLOCKS[:2], seed=3)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(99)
        other, third = randomised(trained, BLOCKS[:3], seed=3), randomised(trained, BLOCKS[:2], seed=4)
        again = worsened(trained, 0.1)
        assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(99).get_state())
    assert digest(one.fc) == digest(other.fc) != digest(third.fc)
    assert digest(one.layer4) == digest(other.layer4) != digest(third.layer4)
    assert digest(again) == digest(worsened(trained, 0.1)) != digest(worsened(trained, 0.1, seed=1))


def outputs(network: nn.Module, images: Tensor) -> dict[str, float]:
    """The root mean square of what each block gives."""
    found = {}
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: found.update({name: output.square().mean().sqrt().item()})
        )
        for name in BLOCKS
    ]
    with torch.inference_mode():
        network(images)
    for handle in handles:
        handle.remove()
    return found


def test_activations_stay_of_the_same_order_however_much_is_random():
    images = F.interpolate(prepared("zebra_elephant", "cat"), 96, mode="area")
    trained = outputs(encoder("cpu"), images)
    for count in range(1, len(BLOCKS) + 1):
        for name, size in outputs(randomised(encoder("cpu"), BLOCKS[:count]), images).items():
            assert 0.3 < size / trained[name] < 9, (count, name)


def test_a_random_network_ranks_classes_otherwise_and_grad_cam_on_it_leaves_the_trained_one_alone():
    model, image = load("classification"), prepared("zebra_elephant")
    zebra = model.labels.index("zebra")
    altered = randomised(encoder("cpu"), BLOCKS[:2])
    layers = same_layers(model.layers, encoder("cpu"), altered)
    assert layers.keys() == model.layers.keys()
    assert layers["layer3"] is altered.layer3
    before, found, after = (
        gradcam_maps(lambda x, n=network: n(x)[0, [zebra]], image, layer)
        for network, layer in (
            (encoder("cpu"), encoder("cpu").layer4),
            (altered, layers["layer4"]),
            (encoder("cpu"), encoder("cpu").layer4),
        )
    )
    assert torch.equal(before, after)
    pair = torch.stack([before.flatten(), found.flatten()])
    assert torch.corrcoef(pair)[0, 1] < 0.8
    assert altered(image).argmax() != zebra == encoder("cpu")(image).argmax()


def test_hooks_of_whoever_explains_meanwhile_stay_out_of_the_copy():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    seen = []
    handle = network[0].register_forward_hook(lambda *_: seen.append(1))
    altered = randomised(network, ["0"])
    altered(torch.zeros(1, 3, 2, 2))
    assert not seen
    network(torch.zeros(1, 3, 2, 2))
    handle.remove()
    assert seen == [1]


def test_the_noise_is_in_proportion_to_the_weights():
    trained = small()
    altered = worsened(trained, 0.25)
    for (name, old), new in zip(trained.named_parameters(), altered.parameters(), strict=True):
        if old.ndim == 1:
            assert new is old, name
            continue
        noise = ((new - old) / old)[old.abs() > 1e-6] / 0.25
        sampling = 5 / noise.numel() ** 0.5
        assert noise.mean().abs() < sampling, name
        assert noise.std().item() == pytest.approx(1, abs=sampling), name
    assert digest(worsened(trained, 0.0)) == digest(trained)


def test_a_transformer():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = models.VisionTransformer(**TRANSFORMER, num_classes=5).eval().requires_grad_(False)
        nn.init.normal_(network.heads.head.weight)
        nn.init.uniform_(network.encoder.ln.weight, 1, 3)
        image = torch.randn(1, 3, 32, 32)
    names = blocks_of(network)
    assert names == [
        "heads.head",
        "encoder.ln",
        "encoder.layers.encoder_layer_1",
        "encoder.layers.encoder_layer_0",
        "conv_proj",
    ]
    altered = randomised(network, names)
    logits = altered(image)
    assert logits.isfinite().all()
    assert not torch.allclose(logits, network(image), atol=0.1)
    assert torch.allclose(altered.encoder.ln.weight, network.encoder.ln.weight.mean())
    assert altered.class_token is network.class_token


def test_the_worse_network_agrees_about_some_examples_and_is_less_sure_of_them():
    images = prepared(*(path.stem for path in sorted(EXAMPLES.glob("*.jpg"))))
    with torch.inference_mode():
        networks = encoder("cpu"), worsened(encoder("cpu"), WORSE, WORSE_SEED)
        trained, worse = (network(images).softmax(1) for network in networks)
    same = trained.argmax(1) == worse.argmax(1)
    assert 3 <= same.sum() < len(same)
    assert worse[same].max(1).values.mean() < trained[same].max(1).values.mean()
