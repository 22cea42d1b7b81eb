"""How long the demo takes to start and how much memory it holds (Linux).

    python -m evaluation.startup

Starts `app.py` in a process of its own and prints the seconds until its page is served, until the first
explanation is there, and until 20 clients at once have had 100 more, and the resident memory at these moments.
"""

import re
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gradio_client import Client, handle_file

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "assets" / "examples" / "zebra_elephant.jpg"


def resident_megabytes(pid: int) -> float:
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) / 1024


def main() -> None:
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-u", "app.py"], cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def report(moment: str) -> None:
        seconds = time.perf_counter() - started
        print(f"{moment:22} {seconds:5.1f} s  {resident_megabytes(process.pid):5.0f} MB")

    try:
        assert process.stdout is not None
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.:]+", line)))
        urllib.request.urlopen(address).read()
        report("first page")
        client = Client(address, verbose=False)
        client.predict(handle_file(PHOTO), "", "", "", api_name="/explain_class")
        report("first explanation")
        names = [
            entry["label"] for entry in client.predict(handle_file(PHOTO), "", api_name="/classify")["confidences"]
        ]
        asked = [
            (path, name) for path in PHOTO.parent.glob("*.jpg") for name in [*names, "tench", "goldfish", "hen", "tub"]
        ]

        def ask(path_and_name: tuple[Path, str]) -> None:
            path, name = path_and_name
            client.predict(handle_file(path), name, "", "", api_name="/explain_class")

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(ask, asked[:100]))
        report("100 more, 20 at once")
    finally:
        process.terminate()


if __name__ == "__main__":
    main()
