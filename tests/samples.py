"""What tests of several files ask: photographs, pictures, questions, networks, and an engine that is held up."""

import io
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import EXAMPLES
from PIL import Image
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vgg import make_layers

from demo.engine import Engine
from demo.models import Entry, Library
from demo.models.entries import ENTRIES
from demo.query import Details, Explain, ExplainResult, ImageFile, Predict, Result, image_file


def assert_same(found: Result, expected: Result) -> None:
    """That an answer of another process is the one of this: one thread adds up in another order than two."""
    assert found.query == expected.query
    assert list(found.predictions) == list(expected.predictions)
    if not isinstance(expected, ExplainResult):
        return
    for row, other in zip(found.rows, expected.rows, strict=True):
        computed = ("seconds", "score", "probability", "peak", "gradcam_seconds", "prediction")
        same = {name: getattr(row.details, name) for name in computed}
        assert row.details == replace(other.details, **same)
        assert row.details.score == pytest.approx(other.details.score, rel=1e-4, abs=1e-4)
        assert row.pictures.keys() == other.pictures.keys()
        tolerance = 1e-3 if row.details.precision is None else 1e-2
        for key, picture in row.pictures.items():
            assert np.abs(picture - other.pictures[key]).mean() <= tolerance * np.abs(other.pictures[key]).max(), key


@contextmanager
def runs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of a layer's runs in this thread; those of an engine that is still at work are not among them."""
    outputs: list[Tensor] = []
    thread = threading.get_ident()

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if threading.get_ident() == thread:
            outputs.append(output)

    with layer.register_forward_hook(keep):
        yield outputs


def photo(name: str) -> ImageFile:
    return image_file((EXAMPLES / f"{name}.jpg").read_bytes())


DETAILS = Details(
    task="classification",
    model="ResNet-50 (ImageNet)",
    layer="layer4",
    target="zebra",
    score=8.25,
    score_is="logit",
    probability=0.282,
    peak=2.0,
    relus=49,
    seconds=0.2,
    image_size=(640, 480),
    box=None,
    feature_maps=2048,
    input_side=256,
    prediction=("zebra", 0.282),
)

ZEBRA = Explain(photo("zebra_elephant"), "classification", targets=("",))


QUERIES = [
    ZEBRA,
    Explain(photo("dog"), "captioning", targets=("",)),
    Explain(photo("dog"), "vqa", text="What animal is this?", targets=("", "cat")),
    Explain(photo("dog"), "captioning", text="a dog", targets=(-1, 0, 1), methods=("gradcam",)),
    Predict(photo("cat"), "classification"),
]


class Slow:
    """A model that holds up the networks until it may go on."""

    name, batch, score_is = "Slow", 1, "logit"
    layers: ClassVar[dict] = {"layer": None}
    labels, attends = (), False

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def resolve_label(self, target: str) -> str:
        return target

    def prepare(self, _photo: Image.Image) -> torch.Tensor:
        self.begun.set()
        assert self.go_on.wait(30)
        return torch.zeros(1, 3, 8, 8)

    def encode(self, images: torch.Tensor, _texts: list[str]) -> list[torch.Tensor]:
        return [images]

    def predictions(self, _image: torch.Tensor, _text: str) -> dict[str, float]:
        return {"nothing": 1.0}


class Held:
    """An engine whose networks are busy while the block runs."""

    def __init__(self) -> None:
        self.slow, self._numbers = Slow(), itertools.count()
        entries = {task: list(offered) for task, offered in ENTRIES.items()}
        entries["classification"].append(Entry("Slow", 0.0, lambda *_: self.slow))
        self.engine = Engine(Library(entries=entries))
        for task in entries:  # what is asked of an open model waits at once
            self.engine.info(task, "").result(30)

    def __enter__(self) -> Engine:
        self.slow.begun.clear()
        self.slow.go_on.clear()
        unknown = str(next(self._numbers))  # to the cache
        self.running = self.engine.ask(Predict(photo("rocket"), "classification", "Slow", unknown))
        assert self.slow.begun.wait(30)
        return self.engine

    def __exit__(self, *_: object) -> None:
        self.slow.go_on.set()


RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def corner(width: int = 64, height: int = 48) -> Image.Image:
    """A blue picture whose upper left quarter is red."""
    picture = Image.new("RGB", (width, height), BLUE)
    picture.paste(RED, (0, 0, width // 2, height // 2))
    return picture


def assert_corner(photo: Image.Image, size: tuple[int, int] = (64, 48), tolerance: int = 8) -> None:
    assert (photo.mode, photo.size) == ("RGB", size)
    for x, y, colour in [(1, 1, RED), (3, 1, BLUE), (1, 3, BLUE), (3, 3, BLUE)]:
        pixel = photo.getpixel((size[0] * x // 4, size[1] * y // 4))
        assert pixel == pytest.approx(colour, abs=tolerance), (x, y)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


BOMB = "more than 50 million pixels. Make it smaller and upload it again"  # said of files that hold no pixel to decode


OTHER = "not an image that can be opened here. Save it as JPEG or PNG"


RELUS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, 0, 6),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "threshold": lambda x: F.threshold(x, 0, 0),
}


def plain(classes: int = 1000) -> nn.Module:
    """Convolutions, ReLUs and pooling one after another, as in VGG: features.8 and .9 are the last of them."""
    features = make_layers([8, "M", 16, "M", 32, 32])
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))
    return nn.Sequential(OrderedDict(features=features, head=head))


@cache
def thin(classes: int = 1000) -> ResNet:
    """A network as the shipped ResNet-50 is, with random weights and one block in each stage."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=classes).eval().requires_grad_(False)


def see_small(engine: Engine, *tasks: str, side: int = 64) -> Engine:
    """Let the shipped models of an engine see images of few pixels, which takes a fraction of the time."""
    for task in tasks or ENTRIES:
        model = engine.library.load(task)
        model.geometry = model.geometry._replace(side=side)
    return engine


def footprint(model: nn.Module) -> list:
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        [(p.requires_grad, p.grad) for p in model.parameters()],
        [
            (id(m), m.training, [dict(d) for name, d in vars(m).items() if name.endswith("_hooks")])
            for m in model.modules()
        ],
    ]
