"""How much memory there is for one more model."""

from pathlib import Path

MEMORY = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # of a container


def available_megabytes() -> float | None:
    """The memory that can be had without swapping, in millions of bytes; none where it is not known, as on a Mac."""
    try:
        lines = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
        available = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = (int((GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        available = min(available, limit - used)
    except (OSError, ValueError):  # no container, or one without a limit
        pass
    return available / 1e6
