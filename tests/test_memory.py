"""Models that would not fit into memory."""

import pytest

from demo.errors import InputError
from demo.models import Entry, Library, memory
from demo.models.downloads import File


def test_what_is_available_is_what_the_kernel_or_the_container_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    assert memory.available_megabytes() is None
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:  5000 kB\n")
    assert memory.available_megabytes() == 5.12
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert memory.available_megabytes() == 5.12
    (tmp_path / "memory.max").write_text("3000000\n")
    assert memory.available_megabytes() == 2.0


def test_a_model_that_does_not_fit_is_refused_with_the_figures_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    source = File("http://127.0.0.1:9/net-12345678.pth")
    source.path.parent.mkdir(parents=True)
    source.path.write_bytes(bytes(4_000_000))
    opened = []
    large = Entry("Large", 4.0, lambda *given: opened.append(given), source)
    library = Library(entries={"classification": [large]})
    (tmp_path / "meminfo").write_text("MemAvailable:  7000 kB\n")
    with pytest.raises(InputError, match="Large needs about 8 MB of memory to be opened, and 7 MB are free here"):
        library.load("classification")
    assert not opened
    (tmp_path / "meminfo").write_text("MemAvailable:  9000 kB\n")
    library.load("classification")
    assert opened
