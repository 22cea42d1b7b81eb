"""The contracts of `explain`, on networks small enough to be worked out by hand."""

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from samples import RELUS, footprint, plain
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import roi_align

from explainers import excitation_maps, explain, explain_batch, finish, gradcam_maps, targeted_noise

IMAGE = torch.tensor([[[1.0, -2.0]], [[0.0, 0.0]], [[0.0, 0.0]]])[None]


class TwoPixels(nn.Module):
    """For IMAGE, whose channel 0 is (1, -2), worked out by hand.

    convolution: A^0 = (1, -2), A^1 = (-1, 2). relu: (1, 0) and (0, 2).
    score: 3 * (1 + 0) - (0 + 2) = 1.
    """

    def __init__(self, relu=F.relu) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 1, bias=False)
        self.convolution.weight.data = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]).reshape(2, 3, 1, 1)
        self.relu = relu
        self.rectified = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        hidden = self.rectified(self.relu(self.convolution(image)))
        return torch.stack([3 * hidden[0, 0].sum() - hidden[0, 1].sum()])


def test_the_equations_by_hand():
    model = TwoPixels()
    before = explain(model, IMAGE, model.convolution)
    # Gradients at A: (3, 0) and (0, -1), so alpha = (1.5, -0.5) and the map is ReLU(1.5 + 0.5, -3 - 1).
    assert before.scores.tolist() == [1]
    assert before.weights.tolist() == [[1.5, -0.5]]
    assert before.maps.tolist() == before.gradcam.tolist() == [[[2, 0]]]
    assert before.pixel_gradient[0, 0].tolist() == [[3, 0]]
    assert before.guided_gradcam[0, 0].tolist() == [[6, 0]]

    # Behind the ReLU the gradients are (3, 3) and (-1, -1): alpha = (3, -1), the map is ReLU(3 * 1, -1 * 2).
    behind = explain(model, IMAGE, model.rectified)
    assert behind.weights.tolist() == [[3, -1]]
    assert behind.maps.tolist() == [[[3, 0]]]


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
@pytest.mark.parametrize(
    ("rule", "channel_0"),
    [
        # The gradients (3, 3) and (-1, -1) arrive at the ReLUs, which are open at (yes, no) and (no, yes).
        ("plain", [3, 1]),  # 3 through A^0; the -1 at A^1 comes back through a weight of -1
        ("guided", [3, 0]),  # the negative gradient is stopped
        ("deconv", [3, 3]),  # only the gradient's sign counts
    ],
)
def test_every_spelling_of_relu_follows_the_rule(relu, rule, channel_0):
    model = TwoPixels(relu)
    explanation = explain(model, IMAGE, model.convolution, rule=rule)
    assert explanation.pixel_gradient[0].tolist() == [[channel_0], [[0, 0]], [[0, 0]]]
    assert explanation.weights.tolist() == [[1.5, -0.5]]  # the rule is for the pixels alone
    assert explanation.relus == 1


VIEWS = {
    "flattened": lambda x: x.flatten(1).flatten(0),
    "permuted": lambda x: x.permute(0, 2, 3, 1),
    "one picture": lambda x: x[0],
    "half of the channels": lambda x: x[:, :1],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("relu", ["nn.ReLU in place", "F.relu in place", "torch.relu_", "Tensor.relu_", "clamp_"])
def test_in_place_relus_on_views_follow_the_rule(relu, view):
    """What autograd would hide: the same as the ReLU out of place, written into the view."""
    in_place = (RELUS | {"clamp_": lambda x: x.clamp_(min=0)})[relu]

    def hidden(x: Tensor) -> Tensor:
        x = x + 0
        in_place(view(x))
        return x

    def open_(x: Tensor) -> Tensor:
        x = x + 0
        view(x).copy_(torch.relu(view(x)))
        return x

    models = [TwoPixels(hidden), TwoPixels(open_)]
    one, other = (explain(model, IMAGE, model.convolution) for model in models)
    assert one.relus == other.relus == 1
    assert all(map(torch.equal, everything(one), everything(other)))


def test_a_relu_that_no_gradient_reaches_is_no_obstacle():
    """As in detectors: boxes come through a ReLU, and pooling regions has no gradient for boxes."""
    model = TwoPixels()

    def score(image: Tensor) -> Tensor:
        boxes = model.convolution(image).mean().relu() + torch.tensor([[0.0, 0, 2, 1]])
        return roi_align(image, [boxes], output_size=1).flatten()[:1] + model(image)

    for rule in ("guided", "deconv", "plain"):
        explanation = explain(score, IMAGE, model.rectified, rule=rule)
        assert explanation.relus == 2


@pytest.mark.parametrize(("rule", "gradient"), [("plain", 0), ("guided", 0), ("deconv", 3)])
def test_relu6_is_closed_above_six(rule, gradient):
    model = TwoPixels(F.relu6)
    explanation = explain(model, IMAGE * 7, model.convolution, rule=rule)
    assert explanation.pixel_gradient[0, 0, 0, 0] == gradient


@pytest.mark.parametrize("other", [F.gelu, F.leaky_relu, F.hardtanh, F.silu, lambda x: x.clamp(-1, 1)])
def test_what_is_not_a_relu_keeps_the_true_gradient(other):
    model = TwoPixels(other)
    guided, plain = (explain(model, IMAGE, model.convolution, rule=rule) for rule in ("guided", "plain"))
    assert torch.equal(guided.pixel_gradient, plain.pixel_gradient)
    assert guided.relus == 0


def test_relus_that_the_image_does_not_reach_are_not_counted():
    model, question = TwoPixels(), nn.Linear(4, 1)
    explanation = explain(lambda image: model(image) * question(torch.ones(4)).relu().exp(), IMAGE, model.convolution)
    assert explanation.relus == 1


def small_network() -> nn.Sequential:
    """Convolutions, batch norm, in-place ReLUs and pooling; an image of 16 x 16 gives 5 scores."""
    torch.manual_seed(3)
    relu = nn.ReLU(inplace=True)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), relu, nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), relu,
        nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), relu, nn.Flatten(), nn.Linear(6 * 36, 5),
    )  # fmt: skip


def noise(seed: int = 0, side: int = 16) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def everything(explanation) -> list[Tensor]:
    return [value for value in vars(explanation).values() if isinstance(value, Tensor)]


def test_shapes_types_and_graph_of_the_result():
    model = small_network().eval()
    explanation = explain(lambda x: model(x)[0, [0, 3]], noise(), model[6])
    assert [tuple(value.shape) for value in everything(explanation)] == [
        (2,), (1, 6, 6, 6), (2, 6, 6, 6), (2, 6), (2, 6, 6), (2, 6, 6), (2, 16, 16), (2, 3, 16, 16), (2, 3, 16, 16)
    ]  # fmt: skip
    for value in everything(explanation):
        assert value.dtype == torch.float32
        assert not value.requires_grad
    with pytest.raises(AttributeError):
        explanation.scores = None


def test_many_targets_cost_one_forward_pass_and_equal_single_ones():
    model = small_network().eval()
    runs = []

    def score(image: Tensor, targets=(4, 0, 2)) -> Tensor:
        runs.append(1)
        return model(image)[0, list(targets)]

    together = explain(score, noise(), model[6])
    assert len(runs) == 1
    for row, target in enumerate((4, 0, 2)):
        alone = explain(lambda image: score(image, [target]), noise(), model[6])  # noqa: B023
        for several, one in zip(everything(together), everything(alone), strict=True):
            torch.testing.assert_close(several[row if len(several) > 1 else 0], one[0])


def test_maps_alone_are_those_of_the_whole_explanation():
    model = small_network().eval()
    alone = gradcam_maps(lambda x: model(x)[0], noise(), model[6])
    assert torch.equal(alone, explain(lambda x: model(x)[0], noise(), model[6]).maps)
    assert not alone.requires_grad
    with pytest.raises(ValueError, match="floating-point"):
        gradcam_maps(lambda x: model(x)[0], noise().byte(), model[6])


@pytest.mark.parametrize("layer", range(8))
def test_in_place_relus_change_nothing(layer):
    in_place = small_network().eval()
    separate = copy.deepcopy(in_place)
    for module in separate:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    if isinstance(in_place[layer], nn.ReLU):
        in_place[layer] = nn.ReLU(inplace=True)
        separate[layer] = nn.ReLU()
    for one, other in zip(
        *(everything(explain(lambda x: m(x)[0, :1], noise(), m[layer])) for m in (in_place, separate)),  # noqa: B023
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_unchanged(failing, training):
    model = small_network().train(training)
    model[0].weight.requires_grad_(False)
    model[3].track_running_stats = False  # in training mode a forward pass itself would count batches
    before = footprint(model)
    if failing:
        with pytest.raises(ZeroDivisionError):
            explain(lambda x: model(x)[0] / (1 // 0), noise(), model[6])
        with pytest.raises(ValueError, match="finite"):
            explain(lambda x: model(x)[0] * float("nan"), noise(), model[6])
    else:
        explain(lambda x: model(x)[0], noise(), model[6])
    torch.testing.assert_close(footprint(model), before, rtol=0, atol=0)


def shortcuts() -> ResNet:
    """The first two stages of a ResNet, with one block in each."""
    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.layer3 = network.layer4 = nn.Identity()
    network.fc = nn.Linear(128, 1000)
    return network


@pytest.mark.parametrize("build", [shortcuts, plain])
def test_eight_threads_on_one_model_give_what_eight_calls_give(build):
    torch.manual_seed(0)
    model = build().eval()
    layer = model.layer2 if build is shortcuts else model.features[8]
    rules = ["guided", "plain", "deconv", "guided"] * 2

    def run(i: int):
        return explain(lambda x: model(x)[0, [i, 999 - i]], noise(i, side=48), layer, rule=rules[i])

    alone = [run(i) for i in range(8)]
    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(run, range(8)))
        for one, other in zip(alone, together, strict=True):
            assert one.relus == other.relus
            assert all(map(torch.equal, everything(one), everything(other)))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_are_computed_where_the_caller_has_switched_them_off(context):
    model = TwoPixels()
    with context():
        explanation = explain(model, IMAGE.clone(), model.convolution)
        assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)
        assert not torch.is_grad_enabled()
    assert explanation.guided_gradcam[0, 0].tolist() == [[6, 0]]


def test_tokens_with_a_class_token_become_a_map():
    torch.manual_seed(0)
    tokens = nn.Linear(3, 4)

    def score(image: Tensor) -> Tensor:
        patches = image.flatten(2).transpose(1, 2)  # (1, 6, 3)
        hidden = tokens(torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1))
        return hidden.square().sum(dim=(1, 2))

    image = torch.randn(1, 3, 2, 3)
    explanation = explain(score, image, tokens, reshape=lambda t: t[:, 1:].transpose(1, 2).reshape(1, 4, 2, 3))
    # d score / d A = 2 A, so alpha_k is twice the mean of A^k over the patches.
    features = tokens(image.flatten(2).transpose(1, 2))[0].T.reshape(4, 2, 3).detach()
    torch.testing.assert_close(explanation.weights[0], 2 * features.mean(dim=(1, 2)))
    with pytest.raises(ValueError, match=r"\(1, K, h, w\), got \(1, 7, 4\); pass `reshape`"):
        explain(score, image, tokens)


def test_autocast_of_the_caller_does_not_reach_the_result():
    model = small_network().eval()
    with torch.autocast("cpu", torch.bfloat16):
        explanation = explain(lambda x: model(x)[0], noise(), model[6])
    assert {value.dtype for value in everything(explanation)} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_come_back_as_float32(dtype):
    model = small_network().eval().to(dtype)
    explanation = explain(lambda x: model(x)[0], noise().to(dtype), model[6])
    assert {value.dtype for value in everything(explanation)} == {torch.float32}


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_have_any_number_of_channels(channels):
    """An X-ray has one, colours with depth or a scan in two contrasts others."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, 3, 2, bias=False).requires_grad_(False)
    image = torch.rand(1, channels, 4, 5)
    explanation = explain(lambda x: convolution(x).sum(dim=(2, 3))[0, :1], image, convolution)
    assert explanation.pixel_gradient.shape == explanation.guided_gradcam.shape == (1, channels, 4, 5)
    # The score is the sum of A^0: alpha is (1, 0, 0), and the gradient at a corner pixel one weight.
    torch.testing.assert_close(explanation.signed[0], convolution(image)[0, 0])
    torch.testing.assert_close(explanation.pixel_gradient[0, :, 0, 0], convolution.weight[0, :, 0, 0])


class Block(nn.Module):
    """As the blocks of transformers, it returns its tokens in a container, beside what nobody uses."""

    def __init__(self, kind) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.kind = kind

    def forward(self, tokens: Tensor):
        hidden = self.linear(tokens)
        return self.kind({"tokens": hidden, "weights": hidden.softmax(dim=1), "places": torch.arange(6), "none": None})


def output_of_transformers(parts: dict[str, Any]) -> Any:
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=parts["tokens"], attentions=(parts["weights"],))


CONTAINERS = {
    "tuple": (lambda parts: tuple(parts.values()), 0),
    "list": (lambda parts: list(parts.values()), 0),
    "dict": (dict, "tokens"),
    "output of transformers": (output_of_transformers, "last_hidden_state"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_reshape_gets_all_that_a_layer_returns(kind):
    torch.manual_seed(0)
    wrap, key = CONTAINERS[kind]
    block, head, image = Block(wrap), nn.Linear(4, 2), torch.randn(1, 3, 2, 3)

    def run(layer, reshape):
        def score(image: Tensor) -> Tensor:
            tokens = block(image.flatten(2).transpose(1, 2))[key]
            tokens.relu_()  # A^k is what was returned, whatever is done with it later
            return head(tokens.mean(dim=1))[0]

        explanation = explain(score, image, layer, reshape=reshape)
        return [*everything(explanation), excitation_maps(score, image, layer, reshape=reshape)]

    found = run(block, lambda output: output[key].transpose(1, 2).unflatten(2, (2, 3)))
    expected = run(block.linear, lambda tokens: tokens.transpose(1, 2).unflatten(2, (2, 3)))
    assert all(map(torch.equal, found, expected))
    assert found[1].abs().max() > 0  # alpha


class Pair(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image, image


PAIR = Pair()


def twice(model: nn.Module):
    return lambda x: model(model.convolution(x)[:, [0, 1, 1]])


MODEL = TwoPixels().requires_grad_(False)
TRAINABLE = TwoPixels()
ERRORS = {
    "no batch": (MODEL, IMAGE[0], {}, r"shape \(1, C, H, W\), got \(3, 1, 2\)"),
    "a batch of two": (MODEL, IMAGE.repeat(2, 1, 1, 1), {}, r"got \(2, 3, 1, 2\)"),
    "no channels": (MODEL, IMAGE[:, :0], {}, r"got \(1, 0, 1, 2\)"),
    "no pixels": (MODEL, IMAGE[..., :0], {}, r"got \(1, 3, 1, 0\)"),
    "bytes": (MODEL, IMAGE.byte(), {}, "floating-point tensor, got torch.uint8"),
    "a list": (MODEL, IMAGE.tolist(), {}, "floating-point tensor, got list"),
    "unknown rule": (MODEL, IMAGE, {"rule": "smooth"}, "one of guided, deconv, plain, got 'smooth'"),
    "scores with a batch": (lambda x: MODEL(x)[None], IMAGE, {}, r"\(T,\) with T >= 1, got \(1, 1\)"),
    "a number": (lambda x: MODEL(x).item(), IMAGE, {}, "got float"),
    "no scores": (lambda x: MODEL(x)[:0], IMAGE, {}, r"got \(0,\)"),
    "nan": (lambda x: MODEL(x) * float("nan"), IMAGE, {}, r"finite, got \[nan\]"),
    "constant": (lambda x: MODEL(x).detach(), IMAGE, {}, "do not depend on the image"),
    "another image": (lambda x: TRAINABLE(IMAGE), IMAGE, {"layer": TRAINABLE.convolution}, "not depend on the image"),
    "layer does not run": (MODEL, IMAGE, {"layer": nn.Conv2d(3, 3, 1)}, "exactly once .* it did not run"),
    "layer runs twice": (twice(MODEL), IMAGE, {}, "it ran 2 times"),
    "layer is cut off": (
        lambda x: (MODEL.convolution(IMAGE), x.sum()[None])[1],
        IMAGE,
        {},
        "layer's output does not depend on the image",
    ),
    "layer is not used": (lambda x: (MODEL(x), x.sum()[None])[1], IMAGE, {}, "not depend on the layer's output"),
    "layer returns a tuple": (lambda x: PAIR(x)[0].sum()[None], IMAGE, {"layer": PAIR}, "got tuple; pass `reshape`"),
    "layer is not spatial": (
        lambda x: MODEL(x),
        IMAGE,
        {"reshape": lambda a: a.flatten(1)},
        r"got \(1, 4\); pass `reshape`",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_is_wrong_and_what_was_given(case):
    score, image, options, message = ERRORS[case]
    options = {"layer": MODEL.convolution} | options
    with pytest.raises(ValueError, match=message):
        explain(score, image, **options)


def test_a_layer_that_returns_an_unknown_type_is_told_by_its_name():
    class Maps:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    class Wrapping(nn.Module):
        def forward(self, x: Tensor) -> Maps:
            return Maps(x)

    layer = Wrapping()
    with pytest.raises(ValueError, match=r"must return tensors, .* got Maps"):
        explain(lambda x: layer(x).tensor.sum()[None], IMAGE, layer=layer)


class Failing(torch.autograd.Function):
    """A step of a model whose gradient ends in an error of the library that computes it."""

    @staticmethod
    def forward(context: Any, x: Tensor, message: str) -> Tensor:
        context.message = message
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> None:
        raise RuntimeError(context.message)


def test_what_to_do_is_said_where_cudnn_has_no_gradient_and_other_errors_are_passed_on():
    def score(message: str):
        return lambda x: MODEL(Failing.apply(x, message))

    cudnn = score("cudnn RNN backward can only be called in training mode")
    bounds = (torch.full_like(IMAGE, -1.0), torch.ones_like(IMAGE))
    with pytest.raises(ValueError, match=r"nn.LSTM.* inside `torch.backends.cudnn.flags\(enabled=False\)`"):
        explain(cudnn, IMAGE, MODEL.convolution)
    with pytest.raises(ValueError, match=r"cudnn\.flags"):
        finish(targeted_noise(cudnn, IMAGE, torch.ones(3, 1, 1), bounds=bounds, passes=1, enough=1e9))
    with pytest.raises(RuntimeError, match="out of memory"):
        explain(score("CUDA out of memory"), IMAGE, MODEL.convolution)


@pytest.mark.parametrize("rule", ["guided", "deconv", "plain"])
@pytest.mark.parametrize("build", [shortcuts, plain])
def test_a_batch_is_explained_as_its_images_are_one_by_one(build, rule):
    torch.manual_seed(0)
    model = build().eval().double()  # in which rounding turns no ReLU on or off
    layer = model.layer2 if build is shortcuts else model.features[8]
    images = torch.cat([noise(seed, 48) for seed in range(3)]).double()
    classes = torch.tensor([7, 3, 7])
    together = explain_batch(lambda x: model(x)[range(3), classes], images, layer, rules=[rule])[rule]
    for row, number in enumerate(classes):
        alone = explain(lambda x: model(x)[0, [number]], images[row : row + 1], layer, rule=rule)  # noqa: B023
        for several, one in zip(everything(together), everything(alone), strict=True):
            largest = one.abs().max().item()
            torch.testing.assert_close(several[row], one[0], rtol=0, atol=1e-5 * largest)
        assert together.relus == alone.relus


def test_a_batch_needs_one_score_for_each_image():
    model = small_network().eval()
    images = torch.cat([noise(0), noise(1)])
    with pytest.raises(ValueError, match="one score for each of the 2 images, got 3"):
        explain_batch(lambda x: model(x)[0, :3], images, model[6])
    with pytest.raises(ValueError, match=r"shape \(1, C, H, W\), got \(2, 3, 16, 16\)"):
        explain(lambda x: model(x)[:, 0], images, model[6])


def test_what_runs_without_gradients_on_the_way_to_the_score_does_not_count():
    """As a caption that is generated before it is scored."""
    model = small_network().eval()

    def score(x):
        with torch.inference_mode():
            best = model(x.detach())[0].argmax().item()
        return model(x)[0, [best]]

    found = explain(score, noise(), model[6])
    best = model(noise())[0].argmax().item()
    torch.testing.assert_close(found.maps, explain(lambda x: model(x)[0, [best]], noise(), model[6]).maps)
