"""Downloads from a hub on this computer that is slow, damaged, or does not answer."""

import hashlib
import http.server
import random
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import ClassVar

import pytest
import torch

from demo.errors import InputError
from demo.models import Entry, Library, catalog, downloads
from demo.models.downloads import Downloads, File
from demo.models.entries import ENTRIES

CONTENT = random.Random(0).randbytes(4 * 2**20)  # several chunks
HASH = hashlib.sha256(CONTENT).hexdigest()[:8]


class Hub(http.server.BaseHTTPRequestHandler):
    """Gives out CONTENT; what is asked for decides what goes wrong."""

    asked: ClassVar[list[str]] = []
    go_on = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        half = len(CONTENT) // 2
        self.wfile.write(CONTENT[:half])
        if "slow" in self.path:
            self.go_on.wait(20)
        if "cut" not in self.path:
            self.wfile.write(CONTENT[half:] if "damaged" not in self.path else CONTENT[:half])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    Hub.asked, Hub.go_on = [], threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        Hub.go_on.set()
        server.shutdown()


def library_with(task: str, *entries: Entry, most: int = 3) -> Library:
    """One that has these models of a task too, behind the others."""
    return Library(most=most, entries={**ENTRIES, task: [*ENTRIES[task], *entries]})


def held(file: File) -> list:
    """The files in the folder of a download."""
    return [path for path in file.path.parent.rglob("*") if path.is_file()]


def test_a_file_is_downloaded_once_to_where_torch_looks_for_it(hub, tmp_path):
    file = File(f"{hub}/net-{HASH}.pth")
    assert not file.is_here()
    shared = Downloads()
    shared.fetch(file, "Net")
    shared.fetch(file, "Net")
    assert file.path == tmp_path / "torch" / "hub" / "checkpoints" / f"net-{HASH}.pth"
    assert file.path.read_bytes() == CONTENT
    assert held(file) == [file.path]
    assert len(Hub.asked) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [("damaged", "the file arrived damaged"), ("cut", "damaged|IncompleteRead"), ("missing", "HTTP Error 404")],
)
def test_nothing_is_left_of_a_file_that_did_not_arrive_whole(hub, name, reason):
    file = File(f"{hub}/{name}-{HASH}.pth")
    with pytest.raises(InputError, match=rf"Net cannot be downloaded \(.*({reason})"):
        Downloads().fetch(file, "Net")
    assert not file.is_here()
    assert held(file) == []


def test_a_hub_that_is_not_there_is_one_sentence(hub):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match=r"Connection refused\): try again with a network and room on the disk\."):
            Downloads().fetch(File(f"http://127.0.0.1:{closed.getsockname()[1]}/net-{HASH}.pth"), "Net")


def test_eight_who_want_the_same_wait_for_one_download(hub):
    file = File(f"{hub}/slow-{HASH}.pth")
    shared = Downloads()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(shared.fetch, file, "Net") for _ in range(8)]
        time.sleep(0.5)
        assert not any(one.done() for one in waiting)
        Hub.go_on.set()
        for one in waiting:
            one.result(timeout=10)
    assert len(Hub.asked) == 1


def test_it_goes_on_while_somebody_waits_and_stops_with_the_last(hub):
    file = File(f"{hub}/slow-{HASH}.pth")
    shared = Downloads()
    first, second = shared.join(file), shared.join(file)
    assert first is second
    deadline = time.monotonic() + 10
    while first.done < len(CONTENT) // 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (first.done, first.total) == (len(CONTENT) // 2, len(CONTENT))
    first.leave()
    assert not first.ended.is_set()
    second.leave()
    Hub.go_on.set()
    assert first.ended.wait(10)
    assert not file.is_here()
    assert held(file) == []
    shared.fetch(file, "Net")  # and can be had again
    assert file.path.read_bytes() == CONTENT


def test_a_request_of_the_api_does_not_wait(hub):
    slow = Entry("Slow", 4.0, lambda *_: None, File(f"{hub}/slow-{HASH}.pth"))
    library = library_with("classification", slow)
    with pytest.raises(InputError, match=r"Slow is being downloaded \(4 MB\)\. Try again"):
        library.require("classification", "Slow")
    Hub.go_on.set()
    library.fetch("classification", "Slow")
    library.require("classification", "Slow")
    library.require("classification")


def test_requests_of_the_api_share_one_download_and_one_who_waits_for_it(hub):
    slow = Entry("Slow", 4.0, lambda *_: None, File(f"{hub}/slow-{HASH}.pth"))
    library = library_with("vqa", slow)
    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(InputError, match="is being downloaded"):
            library.require("vqa", "Slow")
    # The one that waits and the download; and two connections of the hub.
    assert threading.active_count() <= before + 4
    Hub.go_on.set()
    library.fetch("vqa", "Slow")


def test_a_failure_is_forgotten_when_the_model_has_come_otherwise(hub):
    late = Entry("Late", 4.0, lambda *_: None, File(f"{hub}/missing-{HASH}.pth"))
    library = library_with("vqa", late)
    with pytest.raises(InputError, match="is being downloaded"):
        library.require("vqa", "Late")
    wait([library._fetching[late.source]], 10)
    late.source.path.write_bytes(CONTENT)
    library.require("vqa", "Late")


def test_a_model_in_memory_needs_its_file_no_more(hub):
    source = File(f"{hub}/net-{HASH}.pth")
    entry = Entry("Net", 4.0, lambda *_: object(), source)
    library = library_with("vqa", entry)
    model = library.load("vqa", "Net")
    source.path.unlink()
    library.require("vqa", "Net")
    library.fetch("vqa", "Net")
    assert library.load("vqa", "Net") is model
    assert len(Hub.asked) == 1


def test_after_a_failed_download_the_next_request_tries_again_and_learns_why(hub):
    gone = Entry("Gone", 4.0, lambda *_: None, File(f"{hub}/missing-{HASH}.pth"))
    library = library_with("vqa", gone)
    again = r"^Gone is being downloaded \(4 MB\)\. Try again in a few minutes\."
    for number, why in enumerate(("$", r" The last try has failed: .*HTTP Error 404", r" The last try has failed")):
        with pytest.raises(InputError, match=again + why):
            library.require("vqa", "Gone")
        wait([library._fetching[gone.source]], 10)
        assert len(Hub.asked) == number + 1
    with pytest.raises(InputError, match=r"^Gone cannot be downloaded \(HTTP Error 404"):  # who waits for one
        library.fetch("vqa", "Gone")


def test_preloading_by_name(hub):
    entry = Entry("Net", 4.0, lambda *_: None, File(f"{hub}/net-{HASH}.pth"))
    library = library_with("vqa", entry)
    library.preload("nET")
    assert entry.is_here()
    library.preload("ResNet-50 (ImageNet)")
    with pytest.raises(InputError, match=r"No model “Nut”. Models: ResNet-50"):
        library.preload("Nut")


def test_without_downloads_what_is_not_installed_is_not_offered_and_nothing_is_asked_of_the_hub(hub):
    net, other = (Entry(name, 4.0, lambda *_: object(), File(f"{hub}/{name}-{HASH}.pth")) for name in ("net", "other"))
    library = Library(entries={**ENTRIES, "vqa": [ENTRIES["vqa"][0], net, other]}, downloads=False)
    shipped = ENTRIES["vqa"][0].name
    assert [entry.name for entry in library.catalog("vqa")] == [shipped]
    for ask in (library.find, library.require, library.fetch, library.load, library.opened):
        with pytest.raises(
            InputError,
            match=rf"^net is not installed here, and downloads are turned off. Pick one of {re.escape(shipped)},",
        ):
            ask("vqa", "Net")
    assert Hub.asked == []
    library.preload("Net")  # by whoever starts the demo
    assert [entry.name for entry in library.catalog("vqa")] == [shipped, "net"]
    model = library.load("vqa", "net")
    net.source.path.unlink()
    assert library.load("vqa", "net") is model


def test_the_least_recently_used_downloaded_models_are_dropped_and_shipped_ones_stay(hub):
    source = File(f"{hub}/net-{HASH}.pth")
    opened = []

    def opener(name, _device):
        opened.append(name)
        return object()

    entries = [Entry(name, 4.0, opener, source) for name in "ABC"]
    library = library_with("classification", *entries, most=2)
    shipped = library.load("classification")
    for name in "ABACAB":
        library.load("classification", name)
    assert "".join(opened) == "ABCB"  # C put B out, as A had been used since
    assert library.load("classification") is shipped
    with pytest.raises(InputError, match="At least one"):
        Library(most=0)


def test_who_uses_a_model_does_not_wait_for_another_that_is_being_opened():
    opening, go_on = threading.Event(), threading.Event()

    def opener(_name, _device):
        opening.set()
        assert go_on.wait(20)
        return object()

    library = library_with("classification", Entry("Slow", 4.0, opener))
    shipped = library.load("classification")
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(library.load, "classification", "Slow") for _ in range(2)]
        assert opening.wait(10)
        assert pool.submit(library.load, "classification").result(timeout=10) is shipped
        go_on.set()
        assert waiting[0].result(timeout=10) is waiting[1].result(timeout=10)  # opened once


def test_a_damaged_file_on_disk_is_one_sentence(hub):
    library = Library()
    entry = library.find("classification", "AlexNet")
    entry.source.path.parent.mkdir(parents=True)
    entry.source.path.write_bytes(b"not weights")
    with pytest.raises(
        InputError, match=r"AlexNet cannot be opened \(.+\)\. Delete .*alexnet-owt-7be5be79\.pth and pick it again\."
    ):
        library.load("classification", "AlexNet")


def test_weights_that_torch_downloaded_itself_are_found_and_used(hub):
    library = Library()
    entry = library.find("classification", "SqueezeNet 1.1")
    assert not entry.is_here()
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1()
    entry.source.path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), entry.source.path)
    assert entry.is_here()
    model = library.load("classification", "SqueezeNet 1.1")
    image = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(model.score("zebra")(image)[0], network.eval()(image)[0, 340])


def test_sizes_are_those_of_the_files():
    """As torchvision gives them, and no model is in the catalogue twice."""
    sizes = {entry.name: entry.megabytes for entry in catalog("classification")}
    assert sizes["VGG-16"] == pytest.approx(553.4, abs=0.1)
    names = [entry.name for task in ("classification", "captioning", "vqa") for entry in catalog(task)]
    assert len(set(names)) == len(names)
    assert all(downloads.HASH_REGEX.search(entry.source.name) for entry in catalog("classification")[1:])
    assert not Library().find("vqa", "ViLT").shipped
