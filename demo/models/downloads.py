"""Weights that are on a hub: whether they are here already, and fetching them once for all who wait for them."""

import hashlib
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import torch
from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name
from torch.hub import HASH_REGEX

from demo.errors import InputError, first_line

CHUNK = 2**20
PATIENCE = 20  # seconds without an answer

# Never a pickle. The weights last: where they are, the rest is.
_FILES = ("*.json", "*.txt", "model.safetensors")
_NEEDED = ("config.json", "model.safetensors")

# Many older models have but a pickle. The hub's own program then offers the same weights in a pull request, which
# often nobody merges.
_CONVERTER = "SFconvertbot"

# hf_xet counts bytes twice, and goes on when nobody waits for it any more.
constants.HF_HUB_DISABLE_XET = True

Count = Callable[[int], None]


@dataclass(frozen=True)
class File:
    """A file of torchvision's, kept where torchvision itself would keep it (see `TORCH_HOME`).

    Attributes:
        url: its name ends with the first digits of its SHA-256, as torch.hub has them.
    """

    url: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.url).name

    @property
    def path(self) -> Path:
        return Path(torch.hub.get_dir(), "checkpoints", self.name)

    def is_here(self) -> bool:
        return self.path.is_file()

    def download(self, expect: Count, count: Count) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with TemporaryDirectory(dir=self.path.parent) as folder:
            partial = Path(folder, self.name)
            with urllib.request.urlopen(self.url, timeout=PATIENCE) as answer, partial.open("wb") as file:
                expect(int(answer.headers["Content-Length"] or 0))
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    count(len(chunk))
            found = HASH_REGEX.search(self.name)
            if found is None or not digest.hexdigest().startswith(found[1]):
                raise OSError("the file arrived damaged")
            partial.replace(self.path)


@dataclass(frozen=True)
class Repository:
    """A model of the Hugging Face hub, in the hub's own cache (see `HF_HOME`, `HF_HUB_OFFLINE`, `HF_ENDPOINT`)."""

    name: str

    @property
    def path(self) -> Path:
        return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=self.name, repo_type="model"))

    @property
    def folder(self) -> Path:
        """Where its files are.

        Raises:
            FileNotFoundError: they are not here.
        """
        references = self.path / "refs"
        pull_requests = sorted(file.relative_to(references).as_posix() for file in references.glob("refs/pr/*"))
        for revision in ("main", *pull_requests):
            # Both, because transformers itself fetches nothing but the weights of a pull request.
            found = [try_to_load_from_cache(self.name, file, revision=revision) for file in _NEEDED]
            if all(isinstance(file, str) for file in found):
                return Path(str(found[0])).parent
        raise FileNotFoundError(f"no files of {self.name} in {self.path}")

    def is_here(self) -> bool:
        with suppress(FileNotFoundError):
            return self.folder.is_dir()
        return False

    def download(self, expect: Count, count: Count) -> None:
        class Bar:
            """What huggingface_hub uses of a tqdm bar."""

            def __init__(self, *_args: object, **_kwargs: object) -> None: ...

            def __enter__(self) -> "Bar":
                return self

            def __exit__(self, *_args: object) -> None: ...

            def update(self, size: int = 1) -> None:
                count(size)

        for revision in self._revisions():
            found = HfApi().model_info(self.name, revision=revision, files_metadata=True, timeout=PATIENCE).siblings
            files = [file for pattern in _FILES for file in found or [] if fnmatch(file.rfilename, pattern)]
            if {file.rfilename for file in files}.issuperset(_NEEDED):
                break
        else:
            raise OSError(f"{self.name} has no {' with a '.join(_NEEDED)}")
        expect(sum(file.size or 0 for file in files))
        for file in files:
            hf_hub_download(self.name, file.rfilename, revision=revision, tqdm_class=Bar)

    def _revisions(self) -> Iterator[str]:
        """Where its weights can be."""
        yield "main"
        offers = HfApi().get_repo_discussions(
            self.name, author=_CONVERTER, discussion_type="pull_request", discussion_status="open"
        )
        for offer in offers:
            yield f"refs/pr/{offer.num}"


Source = File | Repository


class _NobodyWaitsError(Exception): ...


@dataclass(eq=False)
class Download:
    """One that is going on, for all who wait for it; `Downloads.join` gives it.

    Attributes:
        total: how many bytes there are, or 0 if not known yet.
        done: how many have arrived.
        ended: set when nothing more will arrive.
    """

    source: Source
    _downloads: "Downloads"
    total: int = 0
    done: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _waiting: int = 0
    _error: Exception | None = None

    def leave(self) -> None:
        """Whoever has joined leaves once, at the end or before it. With the last of them the download stops."""
        with self._downloads.lock:
            self._waiting -= 1
            if self._waiting == 0:
                self._downloads.forget(self)  # who comes now starts anew

    def check(self, name: str) -> None:
        """After the end; `name` is that of the model.

        Raises:
            InputError: the files could not be had.
        """
        if self._error is not None:
            error = self._error.reason if type(self._error) is urllib.error.URLError else self._error
            said = first_line(error if isinstance(error, Exception) else self._error)
            raise InputError(f"{name} cannot be downloaded ({said}): try again with a network and room on the disk.")

    def _run(self) -> None:
        try:
            self.source.download(self._expect, self._count)
        except Exception as error:  # a hub can fail in any way; whoever waits is told
            self._error = error
        with self._downloads.lock:
            self._downloads.forget(self)
        self.ended.set()

    def _expect(self, size: int) -> None:
        self.total = size

    def _count(self, size: int) -> None:
        self.done += size
        with self._downloads.lock:
            if self._waiting == 0:
                raise _NobodyWaitsError


class Downloads:
    """Those that are going on, one of each source."""

    def __init__(self) -> None:
        self._running: dict[Source, Download] = {}
        self.lock = threading.Lock()  # of what is running, and of how many wait for each

    def join(self, source: Source) -> Download | None:
        """The download of a model's files, which is started if nobody waits for it yet; none if they are here."""
        with self.lock:
            download = self._running.get(source)
            if download is None:
                if source.is_here():
                    return None
                download = Download(source, self)
                threading.Thread(target=download._run, daemon=True).start()
                self._running[source] = download  # unless no thread can be started
            download._waiting += 1  # before anything is counted, which takes the lock
            return download

    def fetch(self, source: Source, name: str) -> None:
        """Wait until the files of the model of that name are here.

        Raises:
            InputError: they cannot be had.
        """
        if download := self.join(source):
            try:
                download.ended.wait()
            finally:
                download.leave()
            download.check(name)

    def forget(self, download: Download) -> None:
        """Another one of its source may start; the caller holds the lock."""
        if self._running.get(download.source) is download:
            del self._running[download.source]
