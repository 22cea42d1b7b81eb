"""The models that are open on a device, and those that are being fetched for it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar
from weakref import WeakValueDictionary

import torch

from demo.errors import BusyError, InputError, first_line
from demo.models.altered import altered
from demo.models.classification import Classifier
from demo.models.downloads import Download, Downloads, Source
from demo.models.entries import ENTRIES, Entry
from demo.models.memory import available_megabytes, available_on
from demo.models.network import Model
from demo.query import Weights

T = TypeVar("T")

MAX_MODELS = 3
ROOM = 2.0  # times the size of its files that a model takes while it is opened: what is read, and its tensors
DEVICE_ROOM = 1.5  # times that size that it takes on a GPU: its tensors, and those of a pass
MAX_ALTERED = 2  # copies with other weights, each of which may take as much memory as the model itself


def available_device(name: str) -> str:
    """The device "cpu", "cuda" or "mps" if it is here, or with "auto" the fastest there is.

    Raises:
        InputError: this computer or this PyTorch has no such device.
    """
    if name == "cpu":  # without a look at the others, after which no process could be forked that uses one
        return name
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    present = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    if name not in ("auto", *present):
        raise InputError(f"There is no device “{name}” here. Devices: auto, {', '.join(present)}.")
    return present[-1] if name == "auto" else name


def computes(device: str) -> bool:
    """Whether a device computes: after some errors a GPU refuses all that the process asks it from then on."""
    try:
        return torch.zeros(1, device=device).item() == 0
    except torch.OutOfMemoryError:
        return True
    except RuntimeError:
        return False


class Library:
    """Lists the models of each task, fetches and opens them on first use, and keeps them. Threads may share one.

    Args:
        device: what the models run on, named as for `available_device`.
        most: how many downloaded models are kept in memory, at least 1; the shipped ones are kept besides.
        entries: the models of each task, the shipped one first.
        downloads: whether models that are not installed are offered, and downloaded for anybody who asks; `preload`
            downloads in any case.

    Raises:
        InputError: this computer or this PyTorch has no such device, or `most` is less than one.
    """

    def __init__(
        self,
        device: str = "cpu",
        most: int = MAX_MODELS,
        entries: Mapping[str, Sequence[Entry]] = ENTRIES,
        *,
        downloads: bool = True,
    ) -> None:
        self._device = available_device(device)
        if most < 1:
            raise InputError("At least one model must be kept in memory.")
        self._most = most
        self._entries = {task: list(offered) for task, offered in entries.items()}
        self._defaults = {task: offered[0].name for task, offered in self._entries.items()}
        self._offers_downloads = downloads
        self._downloads = Downloads()
        # Copies that are kept, the one that was used last behind the others; and all that are kept or still in use.
        self._altered: dict[tuple[str, str, Weights], Model] = {}
        self._copies: WeakValueDictionary[tuple[str, str, Weights], Model] = WeakValueDictionary()
        self._altering = threading.Lock()
        self._loaded: dict[tuple[str, str], Model] = {}  # by task and name; the one that was used last is the last
        self._fetching: dict[Source, Future[None]] = {}  # what `require` downloads
        self._opening = threading.Lock()  # one at a time, because transformers changes PyTorch while it opens one
        self._lock = threading.Lock()  # so that who uses an open model does not wait for one that is being opened

    def catalog(self, task: str) -> list[Entry]:
        """The models for a task, the shipped one first; without downloads, those that are installed.

        Raises:
            InputError: no such task.
        """
        return [entry for entry in self._of(task) if self._is_offered(task, entry)]

    def find(self, task: str, name: str | None = None) -> Entry:
        """The model of that name, whatever its capitals, or the task's shipped one.

        Raises:
            InputError: no such task or model, or it is not installed and there are no downloads.
        """
        entries = self._of(task)
        wanted = (name or entries[0].name).casefold()
        entry = next((entry for entry in entries if entry.name.casefold() == wanted), None)
        if entry is not None and self._is_offered(task, entry):
            return entry
        names = ", ".join(entry.name for entry in self.catalog(task))
        if entry is None:
            raise InputError(f"No model “{str(name)[:80]}” for {task}. Models: {names}.")
        raise InputError(
            f"{entry.name} is not installed here, and downloads are turned off. Pick one of {names}, or ask the host "
            "of this demo to install it."
        )

    def _of(self, task: str) -> list[Entry]:
        if task not in self._entries:
            raise InputError(f"No task “{task}”. Tasks: {', '.join(self._entries)}.")
        return self._entries[task]

    def _is_offered(self, task: str, entry: Entry) -> bool:
        return self._offers_downloads or (task, entry.name) in self._loaded or entry.is_here()

    def default(self, task: str) -> str:
        """The name of the model that a tab opens with: the shipped one, or the user's own once it is offered."""
        return self._defaults[task]

    def load(self, task: str, name: str | None = None, weights: Weights = None) -> Model:
        """The model of that name, or the task's shipped one, frozen and in evaluation mode.

        It is downloaded and opened on first use; threads that ask meanwhile wait for it. Of the models that were
        downloaded, those that were not used for the longest time are dropped when there are more than `most`.

        Args:
            task: whose model it is.
            name: as in the catalogue.
            weights: None for the trained ones, or others, as for `altered`.

        Raises:
            InputError: no such task or model, its files cannot be had or read, or it has no such weights.
        """
        entry = self.find(task, name)
        key = (task, entry.name)
        if (model := self._used(key)) is None:
            self.fetch(task, entry.name)
            with self._opening:
                if (model := self._used(key)) is None:
                    self._require_memory(entry)
                    model = self._open(entry)
                    self._keep(key, model)
        return model if weights is None else self.altered(task, model, weights)

    def altered(self, task: str, model: Model, weights: Weights) -> Model:
        """A copy of a model of this library with other weights, shared by all callers that hold it.

        The last `MAX_ALTERED` copies are kept. An older one is dropped before the next is made, so that no more exist
        at a time unless callers hold them.

        Raises:
            InputError: the model has no such weights.
        """
        key = (task, model.name, weights)
        with self._altering:
            other = self._altered.pop(key, None) or self._copies.get(key)
            if other is None:
                while len(self._copies) >= MAX_ALTERED and self._altered:
                    del self._altered[next(iter(self._altered))]
                with torch.inference_mode(False):  # as in `_open`
                    other = altered(model, weights)
            self._altered[key] = self._copies[key] = other
            return other

    def opened(self, task: str, name: str | None = None) -> Model | None:
        """The model, if it is open already.

        Raises:
            InputError: no such task or model.
        """
        return self._used((task, self.find(task, name).name))

    def open(self, task: str, name: str | None = None) -> Future[Model]:
        """The model of `load`, as soon as a thread has opened it, which ends with that."""
        return _in_thread("opener", lambda: self.load(task, name))

    def fetch(self, task: str, name: str | None = None) -> None:
        """Wait until the files of a model are here, unless it is open: `load` then waits for no network.

        Raises:
            InputError: no such task or model, or its files cannot be had.
        """
        entry = self.find(task, name)
        if entry.source is not None and (task, entry.name) not in self._loaded:
            self._downloads.fetch(entry.source, entry.name)

    def computes(self) -> bool:
        """Whether the device of the models computes."""
        return computes(self._device)

    def join(self, source: Source) -> Download | None:
        """The download of a model's files, shared by all who wait for it; none if they are here."""
        return self._downloads.join(source)

    def require(self, task: str, name: str | None = None) -> None:
        """Make sure that a model is here, without waiting: if it is not and is not being downloaded, that begins.

        Raises:
            InputError: it is being downloaded, and why the try before has failed; or there is no such model.
        """
        entry = self.find(task, name)
        source = entry.source
        if source is None or (task, entry.name) in self._loaded or source.is_here():
            return
        failed = ""
        with self._lock:
            fetching = self._fetching.get(source)
            if fetching is not None and fetching.done() and (error := fetching.exception()) is not None:
                failed = f" The last try has failed: {error}"
            if fetching is None or fetching.done():
                self._fetching[source] = _in_thread("download", lambda: self._downloads.fetch(source, entry.name))
        size = f"{entry.megabytes:.0f} MB"
        raise BusyError(f"{entry.name} is being downloaded ({size}). Try again in a few minutes.{failed}")

    def offer(self, open_classifier: Callable[[str], Classifier]) -> None:
        """Offer the user's own classifier, behind the shipped one; it is opened at once, with a device.

        Raises:
            InputError: it cannot be opened, or there is another model of that name.
        """
        model = open_classifier(self._device)
        offered = self._entries["classification"]
        if any(entry.name == model.name for entry in offered):
            raise InputError(f"There is a model called “{model.name}” already. Rename the file or folder.")
        offered.insert(1, Entry(model.name, 0.0, lambda _name, _device: model))
        self._defaults["classification"] = model.name

    def preload(self, name: str) -> None:
        """Download the model of that name, whatever its task and its capitals, unless it is here.

        Raises:
            InputError: there is no such model, or it cannot be had.
        """
        entries = {entry.name.casefold(): entry for task in self._entries for entry in self._of(task)}
        entry = entries.get(name.casefold())
        if entry is None:
            names = ", ".join(entry.name for entry in entries.values())
            raise InputError(f"No model “{name[:80]}”. Models: {names}.")
        if entry.source is not None:
            self._downloads.fetch(entry.source, entry.name)

    def _used(self, key: tuple[str, str]) -> Model | None:
        """The model, if it is in memory; it is then the one that was used last."""
        with self._lock:
            if (model := self._loaded.pop(key, None)) is not None:
                self._loaded[key] = model
            return model

    def _keep(self, key: tuple[str, str], model: Model) -> None:
        with self._lock:
            self._loaded[key] = model
            downloaded = [key for key in self._loaded if not self.find(*key).shipped]
            dropped = downloaded[: max(len(downloaded) - self._most, 0)]
            for old in dropped:
                del self._loaded[old]
        with self._altering:  # a copy has the tensors of its original that it does not change
            for copied in [copied for copied in self._altered if copied[:2] in dropped]:
                del self._altered[copied]

    def _require_memory(self, entry: Entry) -> None:
        """Make sure that a downloaded model fits into the memory that is free, and into that of its device.

        Raises:
            InputError: it does not.
        """
        if entry.source is None:
            return
        path = entry.source.path
        files = [path] if path.is_file() else path.rglob("*")
        size = sum(file.lstat().st_size for file in files) / 1e6
        for needed, free, kind in (
            (ROOM * size, available_megabytes(), "memory"),
            (DEVICE_ROOM * size, available_on(self._device), "GPU memory"),
        ):
            if free is not None and needed > free:
                raise InputError(
                    f"{entry.name} needs about {needed:,.0f} MB of {kind} to be opened, and {free:,.0f} MB are free "
                    "here. Pick a smaller model."
                )

    def _open(self, entry: Entry) -> Model:
        # Tensors made under a caller's inference mode could never be explained.
        with torch.inference_mode(False):
            try:
                return entry.open(entry.name, self._device)
            except InputError:
                raise
            except Exception as error:
                if entry.source is None:
                    raise
                raise InputError(
                    f"{entry.name} cannot be opened ({first_line(error)}). Delete {entry.source.path} and pick it "
                    "again."
                ) from error


def _in_thread(name: str, function: Callable[[], T]) -> Future[T]:
    """The result of a function from a thread of that name, which ends with it. The future can't be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # raised where the result is awaited
            future.set_exception(error)
        except BaseException as error:  # as no cancellation or exit of the caller's
            future.set_exception(RuntimeError(repr(error)))

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
