"""What the models of all tasks have in common: how they take a photograph, and how they are asked about it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from demo.models.layers import feature_maps
from demo.query import ScoreKind

ChannelOrder = Literal["RGB", "BGR", "L"]
GREY: ChannelOrder = "L"


class Geometry(NamedTuple):
    """How a network takes an image.

    Attributes:
        side: of its square, in pixels.
        mean, std: of each channel, of values in 0..1: the network gets (value - mean) / std.
        resample: the filter by which the image is resized.
        order: the order of its channels; of a grey image all channels are the same, be it one or more.
    """

    side: int
    mean: Sequence[float]
    std: Sequence[float]
    resample: Image.Resampling = Image.Resampling.BICUBIC
    order: ChannelOrder = "RGB"

    def pixels(self, photo: Image.Image) -> np.ndarray:
        """The whole photograph, squashed: uint8 (side, side, C), in the order of the network's channels."""
        if self.order == GREY:
            grey = np.asarray(squash(photo.convert("L"), self.side, self.resample))
            return np.repeat(grey[..., None], len(self.mean), axis=2)
        return np.asarray(squash(photo, self.side, self.resample))[..., :: -1 if self.order == "BGR" else 1]

    def image(self, pixels: np.ndarray) -> Image.Image:
        """The RGB image that has these `pixels`."""
        if pixels.shape[2] == 1:
            return Image.fromarray(pixels[..., 0]).convert("RGB")
        return Image.fromarray(np.ascontiguousarray(pixels[..., :: -1 if self.order == "BGR" else 1]))

    def as_rgb(self, values: Tensor) -> Tensor:
        """Values at the pixels, (T, C, H, W) in the order of the channels, as (T, 3, H, W) in that of colours."""
        if self.order == GREY:  # a change of the grey changes all channels
            return values.sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        return values.flip(1) if self.order == "BGR" else values

    def normalised(self, photo: Image.Image) -> Tensor:
        """The whole photograph, squashed, (value - mean) / std, float32 (1, C, side, side)."""
        # In NumPy: PyTorch's threads gain nothing on so small an array, and take 13 ms for 0.5 while others are busy.
        normal = (self.pixels(photo) / 255 - np.asarray(self.mean)) / np.asarray(self.std)
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32))


def squash(photo: Image.Image, side: int, resample: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    """The whole photograph, stretched to a square of `side` pixels, so that nothing of it is out of sight."""
    return photo.resize((side, side), resample)


def channels_of(network: nn.Module) -> int:
    """How many channels the images of a network have: the inputs of its first convolution, or three."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


class Model(ABC):
    """A network that predicts something of an image, and gives scores to explain.

    Attributes:
        name: as in the catalogue.
        score_is: what a score is.
        labels: the classes or answers that it can predict; empty if any text can be a target.
        layers: names to modules that Grad-CAM may use; the first is the default.
        geometry: how it takes an image.
        batch: how many images it takes at a time, where that is faster than one by one.
        attends: whether `attention` returns weights.
        above: the attributes that hold modules beside the network, which use its features.
    """

    score_is: ScoreKind
    labels: Sequence[str] = ()
    batch = 1
    attends = False
    above: tuple[str, ...] = ()

    def __init__(self, name: str, network: nn.Module, layers: dict[str, nn.Module], geometry: Geometry) -> None:
        self.name = name
        self.layers = layers
        self.geometry = geometry
        self._network = network

    def prepare(self, photo: Image.Image) -> Tensor:
        """The image as the network takes it: float32 (1, C, side, side), normalised, on its device."""
        return self.geometry.normalised(photo).to(next(self._network.parameters()).device)

    def reshape(self, output: Tensor) -> Tensor:
        """The output of a layer for B images as (B, K, h, w), for `explain`."""
        return feature_maps(output)

    @abstractmethod
    def encode(self, images: Tensor, texts: Sequence[str]) -> list[Tensor]:
        """Of each of the images (B, C, side, side), with its text, what predictions and scores share."""

    @abstractmethod
    def predictions(self, encoded: Tensor, text: str) -> dict[str, float]:
        """What the network predicts of an image from `encode`, the best first, with probabilities or scores."""

    @abstractmethod
    def scores(self, encoded: Tensor, text: str, targets: Sequence[Any]) -> Tensor:
        """The scores (T,) of targets of an image from `encode`, in the network's spelling."""

    @abstractmethod
    def resolve_label(self, label: str) -> str:
        """A class, an answer or a caption in the network's spelling.

        Raises:
            InputError: the network cannot score it.
        """

    def resolve_targets(self, _text: str, targets: Sequence[Any]) -> Sequence[Any]:
        """Targets in the network's spelling; see `resolve_label`."""
        return [self.resolve_label(target) for target in targets]

    def check_question(self, question: str) -> None:  # noqa: B027
        """Raise InputError if a question cannot be read."""

    def ignored_words(self, _question: str) -> list[str]:
        """The words of a question that the network does not know, and ignores."""
        return []

    def log_probabilities(self, _encoded: Tensor) -> Tensor:
        """The log-probabilities of all labels for an image from `encode`, (1, C), if its scores are logits."""
        raise NotImplementedError

    def linear_weights(self, _encoded: Tensor, _features: Tensor) -> Tensor | None:
        """The weights (C, K) that make the logits of all labels of the mean of feature maps (1, K, h, w).

        None if the logits are made otherwise.
        """
        return None

    def attention(self, _image: Tensor, _question: str) -> Tensor | None:
        """The weights (h, w) that the network gives to the cells of a prepared image, if it attends; they sum to 1."""
        return None

    def score(self, text: str, /, *targets: Any) -> Callable[[Tensor], Tensor]:
        """The scores of targets as a function of a prepared image, (1, C, side, side) -> (T,), for `explain`.

        Args:
            text: the caption or question.
            targets: positions of words in the caption, or answers; in this order are the scores.

        Raises:
            InputError: the text or a target cannot be read; see `check_question`, `resolve_label`.
        """
        self.check_question(text)
        resolved = self.resolve_targets(text, targets)
        return lambda image: self.scores(self.encode(image, [text])[0], text, resolved)

    @torch.inference_mode()
    def predict(self, image: Tensor, text: str = "") -> dict[str, float]:
        """What the network predicts of a prepared image; see `predictions`.

        Args:
            image: as `prepare` returns it.
            text: the question, where there is one.

        Raises:
            InputError: the question cannot be read, or the network predicts nothing.
        """
        return self.predictions(self.encode(image, [text])[0], text)


class LogitModel(Model):
    """A network that gives a logit to each of its labels.

    Attributes:
        independent: whether each has a probability of its own, the sigmoid of its logit, as where several can be true
            of an image; otherwise one is true, and the probabilities are the softmax of all logits and sum to 1.
    """

    score_is = "logit"
    independent = False

    def predictions(self, logits: Tensor, _text: str) -> dict[str, float]:
        """The probability of each label for logits (1, C), the most probable first; see `independent`."""
        probabilities = logits[0].sigmoid() if self.independent else logits[0].softmax(dim=0)
        values, order = probabilities.sort(descending=True)
        return {self.labels[i]: value for i, value in zip(order.tolist(), values.tolist(), strict=True)}

    def log_probabilities(self, logits: Tensor) -> Tensor:
        return nn.functional.logsigmoid(logits) if self.independent else logits.log_softmax(dim=1)

    def scores(self, logits: Tensor, _text: str, labels: Sequence[str]) -> Tensor:
        """Of logits (1, C) those of labels in the network's spelling, (T,)."""
        return logits[0, [self._indices[label] for label in labels]]

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.labels)}
