"""How much memory there is for one more model."""

from pathlib import Path

import torch

MEMORY = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # of a container
OWN_GROUP = Path("/proc/self/cgroup")  # names a folder there, as of Slurm's jobs

# The files of a container's limit and use, and the line of `memory.stat` for file pages that are free at once: those
# of files that were read count as used. In version 2 of control groups, then in version 1.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file")


def available_megabytes() -> float | None:
    """The memory that can be had without swapping, in millions of bytes; none where it is not known, as on a Mac."""
    try:
        available = 1024 * _numbers(MEMORY)["MemAvailable:"]
    except (OSError, KeyError, ValueError):
        return None
    in_groups = [available_in_group(folder) for folder in _groups()]
    return min([available, *(free for free in in_groups if free is not None)]) / 1e6


def _groups() -> list[Path]:
    """The folders of this program's control group of version 2 and those that it lies in, up to `GROUP`."""
    try:
        lines = OWN_GROUP.read_text().splitlines()
    except OSError:
        lines = []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return [GROUP / folder for folder in (Path(own), *Path(own).parents)]


def available_in_group(folder: Path) -> int | None:
    """The bytes that a container may still take, from its control group's folder; none if it has no limit."""
    for limit, used, inactive in (_V2, _V1):
        try:
            free = int((folder / limit).read_text()) - int((folder / used).read_text())
        except (OSError, ValueError):  # no container, one without a limit, or another version
            continue
        try:
            return free + _numbers((folder / used).with_name("memory.stat")).get(inactive, 0)
        except (OSError, ValueError):
            return free
    return None


def available_on(device: str) -> float | None:
    """The memory of a GPU that can be had, in millions of bytes; none for a device that uses the computer's own."""
    if device != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info()
    # What PyTorch has taken and does not use, it gives to the next model.
    return (free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()) / 1e6


def _numbers(path: Path) -> dict[str, int]:
    """The numbers of a file of the kernel, by the name at the start of their lines."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in lines}
