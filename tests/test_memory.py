"""Models that would not fit into memory."""

import pytest
import torch

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


def test_the_smallest_limit_of_the_groups_that_a_job_lies_in_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUP", tmp_path / "own")
    (tmp_path / "meminfo").write_text("MemAvailable:  9000 kB\n")
    (tmp_path / "own").write_text("0::/slurm/job/step\n")
    (tmp_path / "slurm/job/step").mkdir(parents=True)
    for folder, limit in (("slurm/job/step", "max"), ("slurm/job", "3000000"), ("slurm", "5000000")):
        (tmp_path / folder / "memory.max").write_text(limit)
        (tmp_path / folder / "memory.current").write_text("1000000")
    assert memory.available_megabytes() == 2.0


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"memory.max": "max", "memory.current": "1000"}, None),
        ({"memory.max": "9000", "memory.current": "8000"}, 1000),
        ({"memory.max": "9000", "memory.current": "8000", "memory.stat": "anon 1500\ninactive_file 6000"}, 7000),
        ({"memory.max": "9000", "memory.current": "8000", "memory.stat": "broken"}, 1000),
        (
            {
                "memory/memory.limit_in_bytes": "9000",
                "memory/memory.usage_in_bytes": "8000",
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 6000",
            },
            7000,
        ),
    ],
    ids=["none", "no limit", "no statistics", "version 2", "other statistics", "version 1"],
)
def test_pages_of_files_that_were_read_are_free_in_a_container(tmp_path, files, free):
    (tmp_path / "memory").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(f"{content}\n")
    assert memory.available_in_group(tmp_path) == free


def test_a_device_without_memory_of_its_own_has_no_limit_of_its_own():
    assert memory.available_on("cpu") is memory.available_on("mps") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_memory_of_a_gpu_that_a_model_takes_is_not_free():
    before = memory.available_on("cuda")
    model = torch.zeros(100_000_000, dtype=torch.uint8, device="cuda")
    assert before - memory.available_on("cuda") == pytest.approx(model.nbytes / 1e6, abs=10)


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
