"""What the models of all tasks have in common: how they take a photograph, and how they are asked about it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from demo.models.layers import feature_maps


class Geometry(NamedTuple):
    """How a network takes a photograph: the side of its square in pixels, and mean and deviation of rgb in 0..1."""

    side: int
    mean: Sequence[float]
    std: Sequence[float]

    def normalised(self, photo: Image.Image) -> Tensor:
        """The whole photograph, squashed, (rgb - mean) / std, float32 (1, 3, side, side)."""
        # In NumPy: PyTorch's threads gain nothing on so small an array, and take 13 ms for 0.5 while others are busy.
        pixels = np.asarray(squash(photo, self.side), np.float32) / 255
        normal = (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)[None]))


def squash(photo: Image.Image, side: int) -> Image.Image:
    """The whole photograph, stretched to a square of `side` pixels, so that nothing of it is out of sight."""
    return photo.resize((side, side), Image.Resampling.BICUBIC)


class Network(ABC):
    """A network that says something about a photograph, and gives scores to explain.

    Attributes:
        name: as in the catalogue.
        score_is: what a score is, "logit" or "log-probability".
        layers: names to modules that Grad-CAM may look at; the first is the default.
        geometry: how it takes a photograph.
        batch: how many photographs it takes at a time, where that is faster than one by one.
        above: the attributes that hold modules beside the network, which use its features.
    """

    score_is: str
    batch = 1
    above: tuple[str, ...] = ()

    def __init__(self, name: str, network: nn.Module, layers: dict[str, nn.Module], geometry: Geometry) -> None:
        self.name = name
        self.layers = layers
        self.geometry = geometry
        self._network = network

    def prepare(self, photo: Image.Image) -> Tensor:
        """The photograph as the network takes it: float32 (1, 3, side, side), normalised, on its device."""
        return self.geometry.normalised(photo).to(next(self._network.parameters()).device)

    def reshape(self, output: Tensor) -> Tensor:
        """The output of a layer for B images as (B, K, h, w), for `explain`."""
        return feature_maps(output)

    @abstractmethod
    def encode(self, images: Tensor, texts: Sequence[str]) -> list[Tensor]:
        """Of each of the images (B, 3, side, side), with its text, what saying something and scoring share."""

    @abstractmethod
    def say(self, encoded: Tensor, text: str) -> dict[str, float]:
        """What the network says of an image from `encode`, the best first, each with its probability or score."""

    @torch.inference_mode()
    def predict(self, image: Tensor, text: str = "") -> dict[str, float]:
        """What the network says of a prepared image; see `say`.

        Args:
            image: as `prepare` returns it.
            text: the question, where there is one.

        Raises:
            InputError: the question cannot be read, or the network says nothing.
        """
        return self.say(self.encode(image, [text])[0], text)
