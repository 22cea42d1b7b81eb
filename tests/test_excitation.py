"""Excitation backprop: worked out by hand, and against zennit."""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from samples import RELUS, footprint
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.models.vgg import make_layers
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import ExcitationBackprop
from zennit.core import BasicHook
from zennit.layer import Sum
from zennit.rules import NoMod
from zennit.torchvision import ResNetCanonizer

from demo.models.resnet50 import GEOMETRY, encoder, stages
from demo.models.speed import fold_batch_norms
from explainers.excitation import excitation_maps


def row(*numbers: float) -> Tensor:
    """An image of one row, whose channels 1 and 2 are zero."""
    image = torch.zeros(1, 3, 1, len(numbers))
    image[0, 0, 0] = torch.tensor(numbers)
    return image


def linear(*weights: float) -> nn.Linear:
    """From a row of numbers to one score."""
    module = nn.Linear(len(weights), 1)
    module.weight.data, module.bias.data = torch.tensor([weights]).float(), torch.ones(1)
    return module.requires_grad_(False)


def convolution(*weights: float) -> nn.Conv2d:
    """Of channel 0, with a row of weights for a kernel."""
    module = nn.Conv2d(3, 1, (1, len(weights)))
    module.weight.data.zero_()[0, 0, 0] = torch.tensor(weights)
    return module


def assert_row(maps: Tensor, *numbers: float) -> None:
    torch.testing.assert_close(maps, torch.tensor([[numbers]], dtype=torch.float32))


@pytest.mark.parametrize("frozen", [False, True])
def test_linear_by_hand(frozen):
    head = linear(2, 1, -3, 4).requires_grad_(not frozen)

    def score(x: Tensor) -> Tensor:
        return head(x[0, 0, 0])

    # The pixels add 2 * 1, 1 * 3 and 4 * 0 to the score, and 3 * 2 to its dual.
    assert_row(excitation_maps(score, row(1, 3, 2, 0), None), 2 / 5, 3 / 5, 0, 0)
    assert_row(excitation_maps(score, row(1, 3, 2, 0), None, contrastive=True), 2 / 5, 3 / 5, 0, 0)
    # Of negative inputs, those through negative weights excite: 2 * 1 and (-3) * (-2).
    assert_row(excitation_maps(score, row(1, -3, -2, 0), None), 2 / 8, 0, 6 / 8, 0)
    # Nothing excites the score.
    assert_row(excitation_maps(score, row(0, -3, 2, 0), None), 0, 0, 0, 0)


def test_convolution_and_contrast_by_hand():
    hidden, head = convolution(1, 2), linear(1, -2)

    def score(x: Tensor) -> Tensor:
        return head(F.relu(hidden(x))[:, 0, 0])[0]

    # Pixels 1, 2, 3. Hidden 5 and 8, biases aside: the score is won by the first, its dual by the second.
    with torch.no_grad():
        hidden.bias.zero_()
    assert_row(excitation_maps(score, row(1, 2, 3), hidden), 1, 0)
    assert_row(excitation_maps(score, row(1, 2, 3), hidden, contrastive=True), 1, 0)
    # 1 and 4 of the 5 come from the first pixels; 2 and 6 of the 8, which the dual takes away, from the last.
    assert_row(excitation_maps(score, row(1, 2, 3), None), 1 / 5, 4 / 5, 0)
    assert_row(excitation_maps(score, row(1, 2, 3), None, contrastive=True), 1 / 5, 4 / 5 - 2 / 8, 0)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.flatten(1), lambda x: x[:, :1]])
@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_every_spelling_of_relu_passes_probabilities_on(relu, view):
    hidden, head = convolution(0.1, 0.2), linear(1, -2)
    maps = excitation_maps(lambda x: head(relu(view(hidden(x))).reshape(1, 2))[0], row(1, 2, 3), None)
    assert_row(maps, 1 / 5, 4 / 5, 0)


def in_place(a: Tensor, b: Tensor) -> Tensor:
    a += b
    return a


def in_place_on_a_view(a: Tensor, b: Tensor) -> Tensor:
    a[:, :, 0].add_(b[:, :, 0])
    return a


@pytest.mark.parametrize("add", [torch.add, in_place, in_place_on_a_view, lambda a, b: sum([a, b])])
def test_addition_by_hand(add):
    branch, head = convolution(3), linear(1, 1)
    branch.bias.data.zero_()

    def score(sign: float):
        return lambda x: head(F.relu(add(branch(x), (sign * x[:, :1]).clone()))[0, 0])[0]

    # 3 + 1 and 6 + 2: the sums win 1/3 and 2/3, of which the branch gets 3/4.
    assert_row(excitation_maps(score(1), row(1, 2), branch), 1 / 4, 1 / 2)
    assert_row(excitation_maps(score(1), row(1, 2), None), 1 / 3, 2 / 3)
    # 3 - 1 and 6 - 2: the branch gets all. A factor of -1 has no rule.
    negative = convolution(-1)
    negative.bias.data.zero_()
    assert_row(excitation_maps(lambda x: head(add(branch(x), negative(x))[0, 0])[0], row(1, 2), branch), 1 / 3, 2 / 3)
    with pytest.raises(ValueError, match="no rule for Mul"):
        excitation_maps(score(-1), row(1, 2), None)


AVERAGES = {
    "mean": lambda x: x.mean(dim=(2, 3)),
    "torch.mean": lambda x: torch.mean(x, dim=3),
    "sum": lambda x: x.sum(dim=(2, 3)),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive, channels last": lambda x: F.adaptive_avg_pool2d(x.contiguous(memory_format=torch.channels_last), 1),
    "average pooling": nn.AvgPool2d((1, 4)),
    "scaled before": lambda x: ((x * 2 + 1 - 1) / 3).mean(dim=(2, 3)),
}


@pytest.mark.parametrize("average", AVERAGES.values(), ids=AVERAGES)
def test_averages_by_hand(average):
    assert_row(excitation_maps(lambda x: average(x)[:, 0].flatten(), row(1, 3, 0, 4), None), 1 / 8, 3 / 8, 0, 4 / 8)


@pytest.mark.parametrize("pool", [F.avg_pool2d, lambda x, size: F.adaptive_avg_pool2d(x, (1, 2))])
def test_pooling_by_hand(pool):
    head = linear(1, 3)
    # The pools are 2 and 2, so they win 1/4 and 3/4.
    expected = {pool: (1 / 16, 3 / 16, 0, 3 / 4), F.max_pool2d: (0, 3 / 15, 0, 12 / 15)}
    for function, numbers in expected.items():
        maps = excitation_maps(lambda x: head(function(x, (1, 2))[0, 0, 0]), row(1, 3, 0, 4), None)  # noqa: B023
        assert_row(maps, *numbers)


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, groups=2, dilation=2), nn.ReLU(inplace=True), nn.AvgPool2d(2)),
        *(nn.Conv2d(8, 16, 3, stride=2, bias=False), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(), nn.Linear(16, 5)),
    ).eval()


def noise(seed: int = 0, side: int = 32) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layer", [None, *range(9)])
def test_the_probabilities_sum_to_one_at_every_layer(layer):
    network = small_network()
    maps = excitation_maps(lambda x: network(x)[0], noise(), network[layer] if layer is not None else None)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(5))


def test_the_shipped_network_tells_two_animals_apart():
    network = encoder("cpu")
    photograph, mask = (Image.open(f"assets/examples/zebra_elephant.{end}") for end in ("jpg", "mask.png"))
    image = F.interpolate(GEOMETRY.normalised(photograph), (160, 160), mode="area")

    def score(x: Tensor) -> Tensor:
        return network(x)[0, [340, 386]]

    for layer in [None, *stages(network).values()]:
        maps = excitation_maps(score, F.avg_pool2d(image, 2), layer)
        torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(2), rtol=0, atol=1e-4)

    objects = torch.stack([torch.from_numpy(np.array(mask) == number).float() for number in (1, 2)])
    objects = F.adaptive_avg_pool2d(objects, 10)
    maps = excitation_maps(score, image, network.layer3, contrastive=True)
    inside = torch.einsum("thw,ohw->to", maps / maps.sum(dim=(1, 2), keepdim=True), objects)
    assert inside.diagonal().min() > 0.5
    assert inside[0, 1] == inside[1, 0] == 0


def positive_sum() -> BasicHook:
    """zennit's rule for sums, with the positive parts of the summands for the summands."""
    return BasicHook(
        input_modifiers=[lambda x: x.clamp(min=0)],
        param_modifiers=[NoMod(param_keys=[])],
        output_modifiers=[lambda output: output],
        gradient_mapper=lambda p, outputs: p / (outputs[0] + 1e-12),
        reducer=lambda inputs, gradients: inputs[0] * gradients[0],
    )


def zennit(network: nn.Module, image: Tensor, target: int, canonizers: list) -> Tensor:
    """The probabilities of the pixels, (3, H, W), for one class."""
    composite = ExcitationBackprop(
        stabilizer=1e-12, zero_params=["bias"], canonizers=canonizers, layer_map=[(Sum, positive_sum())]
    )
    image = image.clone().requires_grad_()
    with composite.context(network) as modified:
        modified(image)[0, target].backward(torch.ones((), dtype=image.dtype))
    return image.grad[0]


def randomize_batch_norms(network: nn.Module) -> None:
    """So that each does something, with scales of both signs."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            module.eps = 1e-12  # zennit keeps it in what it makes of a batch norm


def shortcuts() -> ResNet:
    """The first two stages of a ResNet, with one block in each."""
    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.layer3 = network.layer4 = nn.Identity()
    network.fc = nn.Linear(128, 1000)
    return network


def inverted() -> models.MobileNetV2:
    """A MobileNet with few blocks, of which the last adds what it was given."""
    return models.MobileNetV2(inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2]])


def small_vgg() -> nn.Module:
    features = make_layers([16, "M", 32, 32, "M", 64], batch_norm=True)
    head = nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 9)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(2), nn.Flatten(), *head)


PEERS = {
    "vgg": (small_vgg, [SequentialMergeBatchNorm()], "5"),
    "resnet": (shortcuts, [ResNetCanonizer()], "fc"),
    "small": (small_network, [], "11"),
    # zennit's ReLUs behind the last convolution would see the dual's numbers, so there is no contrast to compare with.
    "squeezenet": (models.squeezenet1_1, [], None),
}


@pytest.mark.parametrize("name", PEERS)
def test_zennit(name):
    build, canonizers, top = PEERS[name]
    torch.manual_seed(0)
    network = build().eval()
    randomize_batch_norms(network)
    network, image = network.double(), noise(side=48).double()

    def ours(contrastive: bool) -> Tensor:
        return excitation_maps(lambda x: network(x)[0, [3, 4]], image, None, contrastive=contrastive)[1]

    theirs = zennit(network, image, 4, canonizers)
    torch.testing.assert_close(ours(False), theirs.sum(dim=0).float(), rtol=1e-6, atol=1e-10)

    if top is None:
        return
    dual = copy.deepcopy(network)
    with torch.no_grad():
        dual.get_submodule(top).weight.neg_()
    contrast = (theirs - zennit(dual, image, 4, canonizers)).sum(dim=0).clamp(min=0)
    torch.testing.assert_close(ours(True), contrast.float(), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("build", [small_vgg, shortcuts, inverted, models.shufflenet_v2_x0_5])
def test_batch_norms_may_be_folded(build):
    torch.manual_seed(0)
    separate = build().eval()
    randomize_batch_norms(separate)
    separate.double()
    folded = copy.deepcopy(separate)
    fold_batch_norms(folded)
    folded.to(memory_format=torch.channels_last)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    image = noise(side=32).double()
    for contrastive in (False, True):
        one, other = (
            excitation_maps(lambda x: network(x)[0, [3, 7]], image, None, contrastive=contrastive)  # noqa: B023
            for network in (separate, folded)
        )
        assert one.max() > 0
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)


def dense() -> models.DenseNet:
    return models.DenseNet(8, (2, 2), 16)


@pytest.mark.parametrize(
    "build", [models.googlenet, models.inception_v3, dense, models.mnasnet0_5, models.regnet_x_400mf]
)
def test_torchvision(build):
    torch.manual_seed(0)
    options = {"init_weights": False} if build in (models.googlenet, models.inception_v3) else {}
    network = build(**options, **({"transform_input": True} if options else {})).eval()
    maps = excitation_maps(lambda x: network(x)[0, [3]], noise(side=96), None)
    total = maps.sum().item()
    # Where a linear layer follows on another, as MNASNet's do, negative inputs can win and have nothing below them.
    assert 0 < total < 1 if build is models.mnasnet0_5 else total == pytest.approx(1, abs=1e-4)


NO_RULE = {
    "silu": (F.silu, "Silu"),
    "gate": (lambda x: x * x.mean(dim=(2, 3), keepdim=True).sigmoid(), "Sigmoid"),
    "product": (lambda x: x * x, "Mul"),
    "negative factor": (lambda x: x * -1, "Mul"),
    "difference": (lambda x: x - x.mean(), "Sub"),
    "weighted sum": (lambda x: torch.add(x, x, alpha=2), "Add"),
    "softmax": (lambda x: x.softmax(dim=1), "Softmax"),
    "leaky": (lambda x: F.leaky_relu(x), "LeakyRelu"),
    "clipped": (lambda x: F.hardtanh(x), "Hardtanh"),
    "transposed": (lambda x: F.conv_transpose2d(x, torch.ones(3, 3, 1, 1)), "Convolution"),
    "weights of the image": (lambda x: F.conv2d(x, x.mean() + torch.ones(3, 3, 1, 1)), "Convolution"),
    "work on a view": (lambda x: (x[:, 0].mul_(x[:, 1]), x)[1], "CopySlices"),
    "batch norm in training": (nn.BatchNorm2d(3), "NativeBatchNorm"),
}


@pytest.mark.parametrize("case", NO_RULE)
def test_what_has_no_rule_is_named(case):
    function, operation = NO_RULE[case]
    head = small_network()
    with pytest.raises(ValueError, match=f"no rule for {operation}, with which this network computes between them"):
        excitation_maps(lambda x: head(function(x)).flatten()[:2], noise(), None)
    # Below the layer it does not matter.
    assert excitation_maps(lambda x: head(function(x)).flatten()[:2], noise(), head[4]).max() > 0


@contextmanager
def kernels_of_their_own() -> Iterator[None]:
    """Linear layers and max pooling are not split into other operations on the CPU either, as on Apple's GPUs."""
    aten = torch.ops.aten

    def linear_backward(x: Tensor, grad: Tensor, weight: Tensor, _mask: list[bool]) -> tuple[Tensor, ...]:
        rows = grad.flatten(end_dim=-2)
        return grad @ weight, rows.T @ x.flatten(end_dim=-2), rows.sum(dim=0)

    def pool_backward(grad: Tensor, x: Tensor, *given: object) -> Tensor:
        _, indices = aten.max_pool2d_with_indices(x, *given)
        defaults = ((), 0, 1, False)[len(given) - 1 :]
        return aten.max_pool2d_with_indices_backward(grad, x, *given, *defaults, indices)

    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("linear", lambda x, weight, bias=None: x @ weight.T + (0 if bias is None else bias), "CPU")
        library.impl("linear_backward", linear_backward, "CPU")
        library.impl("max_pool2d", lambda *given: aten.max_pool2d_with_indices(*given)[0], "CPU")
        library.impl("max_pool2d_backward", pool_backward, "CPU")
        yield


@pytest.mark.parametrize("contrastive", [False, True])
def test_linear_layers_and_max_pooling_with_kernels_of_their_own(contrastive):
    torch.manual_seed(0)
    pixels = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    head = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5)).requires_grad_(False)

    def score(image: Tensor) -> Tensor:
        return head(pixels(image).flatten(2).transpose(1, 2)).mean(dim=(0, 1))

    def maps() -> Tensor:
        return excitation_maps(score, noise(), None, contrastive=contrastive)

    usual = maps()
    with kernels_of_their_own():
        x = noise().requires_grad_()
        assert F.linear(x, torch.ones(2, 32)).grad_fn.name() == "LinearBackward0"
        assert F.max_pool2d(x, 2).grad_fn.name() == "MaxPool2DBackward0"
        torch.testing.assert_close(maps(), usual)


def test_the_errors_of_explain():
    network = small_network()
    score = lambda x: network(x)[0]  # noqa: E731
    other = nn.Conv2d(3, 3, 1)
    with pytest.raises(ValueError, match=r"shape \(1, C, H, W\)"):
        excitation_maps(score, noise()[0], None)
    with pytest.raises(ValueError, match="it did not run"):
        excitation_maps(score, noise(), other)
    with pytest.raises(ValueError, match="it ran 2 times"):
        excitation_maps(lambda x: network(other(other(x)))[0], noise(), other)
    with pytest.raises(ValueError, match="finite"):
        excitation_maps(lambda x: score(x) * float("nan"), noise(), None)
    with pytest.raises(ValueError, match="do not depend on the image"):
        excitation_maps(lambda x: score(noise()), noise(), None)
    for contrastive in (False, True):
        with pytest.raises(ValueError, match="do not depend on the layer's output"):
            excitation_maps(lambda x: (other(x), score(x))[1], noise(), other, contrastive=contrastive)
    with pytest.raises(ValueError, match="no linear or convolution layer to contrast"):
        excitation_maps(lambda x: x.mean(dim=(2, 3))[0], noise(), None, contrastive=True)
    with pytest.raises(ValueError, match="pass `reshape`"):
        excitation_maps(score, noise(), network[9])


def test_tokens_become_a_map():
    tokens, head = nn.Linear(3, 4), nn.Linear(4, 2)
    image = noise(side=2)

    def score(x: Tensor) -> Tensor:
        return head(F.relu(tokens(x.flatten(2).transpose(1, 2))).mean(dim=1))[0]

    maps = excitation_maps(score, image, tokens, reshape=lambda t: t.transpose(1, 2).reshape(1, 4, 2, 2))
    pixels = excitation_maps(score, image, None)
    torch.testing.assert_close(maps, pixels)  # each token has one pixel, and nothing is lost


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_model_is_unchanged(failing, context):
    network = small_network()
    expected = excitation_maps(lambda x: network(x)[0], noise(), network[3])
    network[0].weight.requires_grad_(False)
    before = footprint(network)
    seen = []
    with context():
        if failing:
            with pytest.raises(ValueError, match="no rule for Silu"):
                excitation_maps(lambda x: seen.append(F.silu(network(x)[0])) or seen[0], noise(), network[3])
            with pytest.raises(ZeroDivisionError):
                excitation_maps(lambda x: network(x)[0] / (1 // 0), noise(), network[3])
        else:
            found = excitation_maps(lambda x: seen.append(network(x)[0]) or seen[0], noise(), network[3])
            torch.testing.assert_close(found, expected)
    torch.testing.assert_close(footprint(network), before, rtol=0, atol=0)


def test_no_rule_is_left_on_the_graph_after_an_error():
    network, kept = small_network(), []

    def score(x: Tensor) -> Tensor:
        kept.extend([x, network(F.silu(x))[0]])
        return kept[1]

    with pytest.raises(ValueError, match="no rule for Silu"):
        excitation_maps(score, noise(), None)
    with torch.enable_grad():
        x = noise().requires_grad_()
        (expected,) = torch.autograd.grad(network(F.silu(x))[0, 0], x)
    (found,) = torch.autograd.grad(kept[1][0], kept[0])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("build", [shortcuts, models.squeezenet1_1])
def test_two_threads_on_one_model_give_what_two_calls_give(build):
    torch.manual_seed(0)
    network = build().eval()

    def run(i: int) -> Tensor:
        return excitation_maps(lambda x: network(x)[0, [i, 9]], noise(i, 48), None, contrastive=i % 2 == 1)

    alone = [run(i) for i in range(4)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(run, range(4)))
    assert all(map(torch.equal, alone, together))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, "autocast"])
def test_other_precisions_come_back_as_float32(dtype):
    torch.manual_seed(0)
    network = shortcuts().eval()
    image, autocast = noise(side=48), dtype == "autocast"
    if not autocast:
        network, image = network.to(dtype), image.to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        maps = excitation_maps(lambda x: network(x)[0, [3]], image, network.layer2)
    assert maps.dtype == torch.float32
    assert maps.sum().item() == pytest.approx(1, abs=0.02)
