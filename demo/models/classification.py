"""Image classifiers: which classes a network sees in a photograph, and their scores to explain."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights

from demo.errors import InputError, unknown
from demo.models.layers import feature_maps
from demo.models.resnet50 import BATCH, MEAN, SIDE, STD, encoder, stages


def squash(photo: Image.Image, side: int) -> Image.Image:
    """The whole photograph, stretched to a square of `side` pixels, so that nothing of it is out of sight."""
    return photo.resize((side, side), Image.Resampling.BICUBIC)


def normalised(photo: Image.Image, side: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The photograph as a network takes it: squashed, (rgb - mean) / std, float32 (1, 3, side, side)."""
    # In NumPy: PyTorch's threads gain nothing on so small an array, and take 13 ms for 0.5 while others are busy.
    pixels = np.asarray(squash(photo, side), np.float32) / 255
    normal = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)[None]))


def ranked(probabilities: Tensor, names: Sequence[str]) -> dict[str, float]:
    """The names with their probabilities (C,), the most probable first."""
    values, order = probabilities.sort(descending=True)
    return {names[i]: value for i, value in zip(order.tolist(), values.tolist(), strict=True)}


def _short(name: str) -> str:
    """The first of a class's synonyms."""
    return name.split(",")[0]


class Classifier:
    """A network that gives a logit to each of C classes.

    Attributes:
        name: as in the catalogue.
        score_is: what a score is.
        classes: the C class names, each different.
        layers: names to modules that Grad-CAM may look at; the first is the default.
        reshape: brings the output of a layer to (1, K, h, w), for `explain`.
        side: of the square that photographs are squashed to, in pixels.
        batch: how many photographs it takes at a time, where that is faster than one by one.
    """

    score_is = "logit"
    reshape = staticmethod(feature_maps)

    def __init__(
        self,
        name: str,
        network: nn.Module,
        classes: Sequence[str],
        layers: dict[str, nn.Module],
        mean: Sequence[float],
        std: Sequence[float],
        side: int,
        batch: int = 1,
    ) -> None:
        self.name = name
        self.batch = batch
        self.classes = list(classes)
        self.layers = layers
        self._network = network
        self.side = side
        self._mean, self._std = mean, std
        self._indices = {name: index for index, name in enumerate(self.classes)}
        # ImageNet's classes are "tabby" for some and "tabby, tabby cat" for others.
        self._short = [_short(name) for name in self.classes]
        times = Counter(short.casefold() for short in self._short)
        pairs = [(short.casefold(), name) for short, name in zip(self._short, self.classes, strict=True)]
        self._spellings = {short: name for short, name in pairs if times[short] == 1}
        self._spellings |= {name.casefold(): name for name in self.classes}

    def prepare(self, photo: Image.Image) -> Tensor:
        """The photograph as the network takes it: float32 (1, 3, side, side), normalised, on its device."""
        device = next(self._network.parameters()).device
        return normalised(photo, self.side, self._mean, self._std).to(device)

    def encode(self, images: Tensor, _texts: Sequence[str]) -> list[Tensor]:
        """The logits of each of the images (B, 3, H, W): B times (1, C)."""
        return list(self._network(images).split(1))

    def say(self, logits: Tensor, _text: str = "") -> dict[str, float]:
        """The probability of each class for logits (1, C), the most probable first; they sum to 1."""
        return ranked(logits[0].softmax(dim=0), self.classes)

    def scores(self, logits: Tensor, _text: str, names: Sequence[str]) -> Tensor:
        """Of logits (1, C) those of the named classes, (T,)."""
        return logits[0, [self._indices[self.known(name)] for name in names]]

    @torch.inference_mode()
    def predict(self, image: Tensor) -> dict[str, float]:
        """The probability of each class for a prepared image; see `say`."""
        return self.say(self._network(image))

    def known(self, name: str) -> str:
        """The class of that name, in its own spelling: capitals count only where they tell two classes apart.

        The first of several synonyms, "tabby" of "tabby, tabby cat", is enough if one class alone has it.

        Raises:
            InputError: there is none; the message offers the nearest ones.
        """
        if name in self._indices:
            return name
        for spelling in (name.casefold(), _short(name).casefold()):
            if spelling in self._spellings:
                return self._spellings[spelling]
        raise InputError(unknown(name, self.name, "class", self._short))

    def score(self, *names: str) -> Callable[[Tensor], Tensor]:
        """The logits y^c of the named classes, (1, 3, H, W) -> (T,), in the order of the names.

        Raises:
            InputError: a name is not known; see `known`.
        """
        known = [self.known(name) for name in names]
        return lambda image: self.scores(self._network(image), "", known)


def shipped_resnet50(name: str, device: str) -> Classifier:
    """The shipped encoder with its own 1000-class ImageNet head."""
    network = encoder(device)
    return Classifier(
        name=name,
        network=network,
        classes=ResNet50_Weights.IMAGENET1K_V1.meta["categories"],
        layers=stages(network),
        mean=MEAN,
        std=STD,
        side=SIDE,
        batch=BATCH,
    )
