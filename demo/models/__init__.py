"""The models behind the tabs: `catalog(task)` lists them, `load(task)` gives one ready to use."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import torch

from demo.errors import InputError, first_line
from demo.models import imagenet
from demo.models.captioning import Captioner, shipped_captioner
from demo.models.classification import Classifier, shipped_resnet50
from demo.models.downloads import Repository, Source, fetch
from demo.models.hub_captioning import HubCaptioner, blip_captioner, git_captioner, vit_gpt2_captioner
from demo.models.hub_vqa import BlipAnswerer, Vilt, blip_answerer, vilt
from demo.models.vqa import Answerer, shipped_answerer

AnyCaptioner = Captioner | HubCaptioner
AnyAnswerer = Answerer | Vilt | BlipAnswerer
Model = Classifier | AnyCaptioner | AnyAnswerer
Key = tuple[str, str, str]  # task, name, device

MAX_MODELS = 3


@dataclass(frozen=True)
class Entry:
    """A model that can be picked.

    Attributes:
        name: what `load` takes, and what people read.
        megabytes: the size of its weights, in millions of bytes.
        open: makes it from its name and a device, once its weights are here.
        source: where its weights are downloaded from; none if it comes with the project or is the user's own.
    """

    name: str
    megabytes: float
    open: Callable[[str, str], Model]
    source: Source | None = None

    @property
    def shipped(self) -> bool:
        """Whether it is here without a download."""
        return self.source is None

    def is_here(self) -> bool:
        """Whether it need not be downloaded, or has been."""
        return self.source is None or self.source.is_here()


def _hub(name: str, megabytes: float, opener: Callable[[str, Path, str], Model], repository: str) -> Entry:
    source = Repository(repository)
    return Entry(name, megabytes, lambda title, device: opener(title, source.folder, device), source)


_ENTRIES: dict[str, list[Entry]] = {
    "classification": [
        Entry("ResNet-50 (ImageNet)", 51.5, shipped_resnet50),
        *(
            Entry(name, imagenet.megabytes(kind), imagenet.pretrained, imagenet.weights_file(kind))
            for name, kind in imagenet.ARCHITECTURES.items()
        ),
    ],
    "captioning": [
        Entry("ResNet-50 + LSTM (Flickr8k)", 7.6, shipped_captioner),
        _hub("BLIP base", 990, blip_captioner, "Salesforce/blip-image-captioning-base"),
        _hub("BLIP large", 1879, blip_captioner, "Salesforce/blip-image-captioning-large"),
        _hub("GIT base", 707, git_captioner, "microsoft/git-base-coco"),
        _hub("ViT-GPT2", 957, vit_gpt2_captioner, "nlpconnect/vit-gpt2-image-captioning"),
    ],
    "vqa": [
        Entry("ResNet-50 + LSTM (questions)", 11.1, shipped_answerer),
        _hub("BLIP VQA", 1539, blip_answerer, "Salesforce/blip-vqa-base"),
        _hub("ViLT", 470, vilt, "dandelin/vilt-b32-finetuned-vqa"),
    ],
}


def catalog(task: str) -> list[Entry]:
    """The models for a task, the default one first.

    Raises:
        InputError: no such task.
    """
    if task not in _ENTRIES:
        raise InputError(f"No task “{task}”. Tasks: {', '.join(_ENTRIES)}.")
    return list(_ENTRIES[task])


def find(task: str, name: str | None = None) -> Entry:
    """The model of that name, or the task's default one.

    Raises:
        InputError: no such task or model.
    """
    entries = {entry.name: entry for entry in catalog(task)}
    entry = entries.get(name) if name else next(iter(entries.values()))
    if entry is None:
        raise InputError(f"No model “{str(name)[:80]}” for {task}. Models: {', '.join(entries)}.")
    return entry


@overload
def load(task: Literal["classification"], name: str | None = None) -> Classifier: ...


@overload
def load(task: Literal["captioning"], name: str | None = None) -> AnyCaptioner: ...


@overload
def load(task: Literal["vqa"], name: str | None = None) -> AnyAnswerer: ...


@overload
def load(task: str, name: str | None = None) -> Model: ...


def load(task: str, name: str | None = None) -> Model:
    """The model of that name, or the task's default one, frozen and in evaluation mode.

    It is downloaded and loaded on first use; threads that ask meanwhile wait for it. Of the models that were
    downloaded, those that were not used for the longest time are dropped when there are more than `keep_models` says.

    Raises:
        InputError: no such task or model, or its files cannot be had or read.
    """
    entry = find(task, name)
    key = (task, entry.name, _device)
    if (model := _used(key)) is None:
        if entry.source is not None:
            fetch(entry.source, entry.name)
        with _opening:
            if (model := _used(key)) is None:
                model = _open(entry)
                _keep(key, model)
    return model


def _used(key: Key) -> Model | None:
    """The model, if it is in memory; it is then the one that was used last."""
    with _lock:
        if (model := _loaded.pop(key, None)) is not None:
            _loaded[key] = model
        return model


def _keep(key: Key, model: Model) -> None:
    with _lock:
        _loaded[key] = model
        downloaded = [key for key in _loaded if not find(*key[:2]).shipped]
        for old in downloaded[: max(len(downloaded) - _most, 0)]:
            del _loaded[old]


def _open(entry: Entry) -> Model:
    # Tensors made under a caller's inference mode could never be explained.
    with torch.inference_mode(False):
        try:
            return entry.open(entry.name, _device)
        except InputError:
            raise
        except Exception as error:
            if entry.source is None:
                raise
            raise InputError(
                f"{entry.name} cannot be opened: delete {entry.source.path} and pick it anew ({first_line(error)})."
            ) from error


def require(task: str, name: str | None = None) -> None:
    """Make sure that a model is here, without waiting: if it is not, its download begins.

    Raises:
        InputError: it is not here yet, its last download failed, or there is no such model.
    """
    entry = find(task, name)
    source = entry.source
    if source is None or (task, entry.name, _device) in _loaded or source.is_here():
        return
    with _lock:
        said = _asked.pop(source, None)
        if not said:
            _asked[source] = ""
    if said:
        raise InputError(said)

    def wait() -> None:
        try:
            fetch(source, entry.name)
        except InputError as error:
            _asked[source] = str(error)
        else:
            del _asked[source]

    if said is None:
        threading.Thread(target=wait, daemon=True).start()
    raise InputError(f"{entry.name} is being downloaded ({entry.megabytes:.0f} MB): ask again in a few minutes.")


def use_own_classifier(open_classifier: Callable[[str], Classifier]) -> None:
    """Offer the user's own classifier, behind the default one; it is opened at once, with a device.

    Raises:
        InputError: it cannot be opened, or there is another model of that name.
    """
    model = open_classifier(_device)
    if any(entry.name == model.name for entry in _ENTRIES["classification"]):
        raise InputError(f"There is a model called “{model.name}” already: rename the file or folder.")
    _ENTRIES["classification"].insert(1, Entry(model.name, 0.0, lambda _name, _device: model))


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


def keep_models(most: int) -> None:
    """Keep at most so many downloaded models in memory.

    Raises:
        InputError: fewer than one.
    """
    global _most
    if most < 1:
        raise InputError("At least one model must be kept in memory.")
    _most = most


def preload(name: str) -> None:
    """Download the model of that name, whatever its task, unless it is here.

    Raises:
        InputError: there is no such model, or it cannot be had.
    """
    entries = {entry.name: entry for task in _ENTRIES for entry in catalog(task)}
    if name not in entries:
        raise InputError(f"No model “{name[:80]}”. Models: {', '.join(entries)}.")
    if (source := entries[name].source) is not None:
        fetch(source, name)


_device = "cpu"
_most = MAX_MODELS
_loaded: dict[Key, Model] = {}  # the one that was used last is the last
_asked: dict[Source, str] = {}  # what `require` downloads: why it failed, or nothing while it goes on
_opening = threading.Lock()  # one at a time, because transformers changes PyTorch while it opens one
_lock = threading.Lock()  # so that who uses a model that is open does not wait for one that is being opened
