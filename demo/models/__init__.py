"""The models behind the tabs: `catalog(task)` lists them, `load(task)` gives one ready to use."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, overload

import torch

from demo.errors import InputError
from demo.models.captioning import Captioner, shipped_captioner
from demo.models.classification import Classifier, shipped_resnet50
from demo.models.vqa import Answerer, shipped_answerer

Model = Classifier | Captioner | Answerer


@dataclass(frozen=True)
class Entry:
    """A model that can be picked.

    Attributes:
        name: what `load` takes, and what people read.
        megabytes: the size of its weights.
        shipped: whether it comes with the project; the others are downloaded when picked.
    """

    name: str
    megabytes: float
    shipped: bool


_LOADERS: dict[str, dict[Entry, Callable[[str, str], Model]]] = {
    "classification": {Entry("ResNet-50 (ImageNet)", 51.5, shipped=True): shipped_resnet50},
    "captioning": {Entry("ResNet-50 + LSTM (Flickr8k)", 7.6, shipped=True): shipped_captioner},
    "vqa": {Entry("ResNet-50 + LSTM (questions)", 11.1, shipped=True): shipped_answerer},
}


def catalog(task: str) -> list[Entry]:
    """The models for a task, the default one first.

    Raises:
        InputError: no such task.
    """
    if task not in _LOADERS:
        raise InputError(f"No task “{task}”. Tasks: {', '.join(_LOADERS)}.")
    return list(_LOADERS[task])


@overload
def load(task: Literal["classification"], name: str | None = None) -> Classifier: ...


@overload
def load(task: Literal["captioning"], name: str | None = None) -> Captioner: ...


@overload
def load(task: Literal["vqa"], name: str | None = None) -> Answerer: ...


def load(task: str, name: str | None = None) -> Model:
    """The model of that name, or the task's default one, frozen and in evaluation mode.

    It is loaded on first use, once per process; threads that ask meanwhile wait for it.

    Raises:
        InputError: no such task or model.
    """
    entries = {entry.name: entry for entry in catalog(task)}
    entry = entries.get(name) if name else next(iter(entries.values()))
    if entry is None:
        raise InputError(f"No model “{str(name)[:80]}” for {task}. Models: {', '.join(entries)}.")
    # Tensors made under a caller's inference mode could never be explained.
    with _loading, torch.inference_mode(False):
        return _load(task, entry, _device)


def available_device(name: str) -> str:
    """The device "cpu", "cuda" or "mps" if it is here, or with "auto" the fastest there is.

    Raises:
        InputError: this computer or this PyTorch has no such device.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    present = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    if name not in ("auto", *present):
        raise InputError(f"There is no device “{name}” here. Devices: auto, {', '.join(present)}.")
    return present[-1] if name == "auto" else name


def use_device(name: str) -> None:
    """Put the models that are loaded from now on on a device, named as for `available_device`.

    Raises:
        InputError: this computer or this PyTorch has no such device.
    """
    global _device
    _device = available_device(name)


_device = "cpu"
_loading = threading.Lock()


@cache
def _load(task: str, entry: Entry, device: str) -> Model:
    return _LOADERS[task][entry](entry.name, device)
