"""Image classifiers: which classes a network sees in a photograph, and their scores to explain."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights

from demo.errors import InputError, unknown
from demo.models.network import Geometry, LogitModel
from demo.models.resnet50 import BATCH, GEOMETRY, encoder, stages

MULTI_LABEL = "multi_label_classification"  # as transformers calls it


def distinct(names: Sequence[str]) -> list[str]:
    """The names, a repeated one with a number: two of ImageNet's classes are called "crane"."""
    given, found = set(names), dict[str, None]()
    numbers: dict[str, Iterator[int]] = {}
    for name in names:
        numbered = (f"{name} ({number})" for number in numbers.setdefault(name, count(2)))
        distinct_name = (
            name if name not in found else next(each for each in numbered if each not in given and each not in found)
        )
        found[distinct_name] = None
    return list(found)


def _short(name: str) -> str:
    """The first of a class's synonyms."""
    return name.split(",")[0]


class Classifier(LogitModel):
    """A network that gives a logit to each of C classes, its labels, each with another name."""

    def __init__(
        self,
        name: str,
        network: nn.Module,
        classes: Sequence[str],
        layers: dict[str, nn.Module],
        geometry: Geometry,
        batch: int = 1,
        independent: bool = False,
    ) -> None:
        super().__init__(name, network, layers, geometry)
        self.batch = batch
        self.independent = independent
        self.labels = list(classes)
        # ImageNet's classes are "tabby" for some and "tabby, tabby cat" for others.
        self._short = [_short(name) for name in self.labels]
        times = Counter(short.casefold() for short in self._short)
        pairs = [(short.casefold(), name) for short, name in zip(self._short, self.labels, strict=True)]
        self._spellings = {short: name for short, name in pairs if times[short] == 1}
        self._spellings |= {name.casefold(): name for name in self.labels}

    def encode(self, images: Tensor, _texts: Sequence[str]) -> list[Tensor]:
        """The logits of each of the images (B, 3, H, W): B times (1, C)."""
        return list(self._network(images).split(1))

    def linear_weights(self, logits: Tensor, features: Tensor) -> Tensor | None:
        linear = [module for module in self._network.modules() if isinstance(module, nn.Linear)]
        if not linear or linear[-1].weight.shape != (logits.shape[1], features.shape[1]):
            return None
        from_mean = linear[-1](features.mean(dim=(2, 3)))
        same = torch.allclose(from_mean, logits, rtol=0, atol=1e-3 * logits.abs().max().item())
        return linear[-1].weight if same else None

    def resolve_label(self, name: str) -> str:
        """The class of that name, in its own spelling: capitals count only where they tell two classes apart.

        The first of several synonyms, "tabby" of "tabby, tabby cat", is enough if one class alone has it.

        Raises:
            InputError: there is none; the message offers the nearest ones.
        """
        if name in self._indices:
            return name
        for spelling in (name.strip().casefold(), _short(name).strip().casefold()):
            if spelling in self._spellings:
                return self._spellings[spelling]
        raise InputError(unknown(name, self.name, "class", self._short))

    def score(self, *names: str) -> Callable[[Tensor], Tensor]:
        """The logits y^c of the named classes, (1, 3, H, W) -> (T,), in the order of the names.

        Raises:
            InputError: a name is not known; see `resolve_label`.
        """
        return super().score("", *names)


def shipped_resnet50(name: str, device: str) -> Classifier:
    """The shipped encoder with its own 1000-class ImageNet head."""
    network = encoder(device)
    classes = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    return Classifier(name, network, classes, stages(network), GEOMETRY, BATCH)
