"""What breaks on the server: whoever asked is told so in one sentence, and the next visitor is answered."""

import copy
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers import ROOT
from torch import nn

from demo.engine import Engine
from demo.launch import serve
from demo.models import Library
from demo.models.classification import Classifier, shipped_resnet50
from demo.models.entries import ENTRIES, Entry
from demo.page import FAILED, LAUNCH, build
from demo.server.guard import NO_ROOM
from demo.server.routes import surroundings

pytestmark = pytest.mark.demo
PHOTO = ROOT / "assets" / "examples" / "cat.jpg"


def broken(title: str, device: str) -> Classifier:
    """A classifier whose network raises."""

    def fail(*_: object) -> None:
        raise RuntimeError("/home/host/secret\nTraceback")

    model = shipped_resnet50(title, device)
    for name, module in vars(model).copy().items():
        if isinstance(module, nn.Module):  # which all shipped models share
            setattr(model, name, copy.deepcopy(module))
            getattr(model, name).register_forward_pre_hook(fail)
    return model


@pytest.fixture
def client(tmp_path, monkeypatch) -> Iterator[Client]:
    """Of a demo in this process, with a broken model beside those that are shipped."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    first = ENTRIES["classification"][0]
    engine = Engine(Library("cpu", entries={**ENTRIES, "classification": (first, Entry("Broken", 0.0, broken))}))
    page = build(engine)
    _, address, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", app_kwargs=surroundings(engine), **LAUNCH
    )
    yield Client(address, verbose=False)
    engine.close()
    page.close(verbose=False)


def test_a_model_that_raises(client):
    for _ in range(2):
        with pytest.raises(AppError, match=f"^{re.escape(FAILED)}$"):
            client.predict(handle_file(PHOTO), "Broken", api_name="/classify")
        assert len(client.predict(handle_file(PHOTO), "", api_name="/classify")["confidences"]) == 5


def test_results_that_cannot_be_kept(client, tmp_path):
    """Its pictures cannot be written, for the folder is none any more; what needs no file is answered."""
    label = client.predict(handle_file(PHOTO), "", api_name="/classify")
    (tmp_path / "uploads").rename(tmp_path / "away")
    (tmp_path / "uploads").write_bytes(b"")
    refused = httpx.post(f"{client.src}gradio_api/upload", files={"files": PHOTO.read_bytes()})
    assert (refused.status_code, refused.json()) == (503, {"detail": NO_ROOM})
    (tmp_path / "uploads").unlink()
    (tmp_path / "away").rename(tmp_path / "uploads")
    assert client.predict(handle_file(PHOTO), "", api_name="/classify") == label


@pytest.fixture
def narrow(tmp_path) -> Iterator[Path]:
    """The folder of the uploads, before the demo starts, holds little; it is unmounted at the end."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="a file system in memory")
def test_a_folder_that_is_full(narrow, client, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(narrow))
    for number in range(3):
        content = bytes([number]) * (7 * 2**20)
        full = httpx.post(f"{client.src}gradio_api/upload", files={"files": content}, timeout=60)
    assert (full.status_code, full.json()) == (503, {"detail": NO_ROOM})
    assert httpx.get(f"{client.src}health").status_code == 200


def test_a_port_that_is_taken(client):
    taken = int(client.src.rstrip("/").rpartition(":")[2])
    engine = Engine(Library())
    args = SimpleNamespace(host="127.0.0.1", port=taken, share=False, root_path=None, mcp=False)
    refused: list[str] = []
    with pytest.raises(SystemExit):
        serve(build(engine), engine, args, lambda message: sys.exit(refused.append(message)))
    assert refused[0].startswith("The demo cannot listen there: ")
    assert "\n" not in refused[0]
