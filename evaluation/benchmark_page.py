"""What a visitor waits for, and what it costs to send, in Chromium (Linux).

    python -m evaluation.benchmark_page [--rounds 9]

Starts the demo in a process of its own and a browser beside it, on the same cores; all traffic stays on 127.0.0.1.
Times are medians over the rounds, from the input until the pictures are drawn:

- an explanation: from a click on one of the five classes until its panels are drawn, and the bytes of all that the
  page got meanwhile, as they came over the wire; each photograph is one that the server has not seen;
- opacity and colours: the time in which the page draws its panels anew, two rows of them, and the bytes;
- a photograph: from the file until its panels are drawn, 1500 x 1200, of at most 0.4 MB;
- live: how many frames of the camera a second get their map, and how long that takes;
- what axe-core finds on the three tabs in light and dark outside of Gradio's footer;
- where the first panel begins and the first row ends, in pixels from the top, in the three tabs.

Beside them stands the bare explanation, median of as many, timed between the rounds in a process of its own.
"""

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from evaluation.benchmark_app import print_heading, print_machine, print_row
from evaluation.film import camera, film
from evaluation.processes import Bare, bare_process, bare_seconds, served
from evaluation.visitors import HERE, photograph

TABS = ["Classification", "Captioning", "Question answering"]
SCREENS = [(1280, 800), (390, 844)]

# Milliseconds from what begins it until `count` rows are drawn for something new.
DRAWN = """([count, begin]) => new Promise((done) => {
  const start = performance.now();
  document.addEventListener("explained", function drawn({ detail }) {
    if (detail.keys.length !== count) return;
    document.removeEventListener("explained", drawn);
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
  });
  eval(begin);
})"""

# Milliseconds that the page needs to follow an input.
FOLLOWED = """([selector, value, event]) => {
  const input = [...document.querySelectorAll(selector)].find((one) => one.offsetParent);
  const start = performance.now();
  input.value = value;
  input.dispatchEvent(new Event(event));
  return performance.now() - start;
}"""


def opened(browser: Browser, address: str, width: int, height: int, theme: str = "light") -> Page:
    """The page with its finished example."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(f"{address}?__theme={theme}")
    page.locator(".panel-row").nth(1).wait_for()
    page.wait_for_timeout(1000)
    return page


def received(page: Page, act: Callable[[], float]) -> float:
    """The kilobytes that come over the wire while something is done, and for half a second after it."""
    session = page.context.new_cdp_session(page)
    sizes: list[float] = []
    session.on("Network.dataReceived", lambda event: sizes.append(event["dataLength"]))
    session.send("Network.enable")
    act()
    page.wait_for_timeout(500)
    session.detach()
    return sum(sizes) / 1000


def drop(page: Page, file: Path) -> float:
    """Milliseconds from a photograph to its panels."""
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").click()
        page.locator(".note:visible").wait_for()
    ends = page.evaluate_handle(f"() => ({{ done: ({DRAWN})([1, '']) }})")
    page.locator("#photo input[type=file]").set_input_files(file)
    return page.evaluate("({ done }) => done", ends)


def click(page: Page, place: int) -> float:
    """Milliseconds from a click on a class to its panels."""
    return page.evaluate(DRAWN, [1, f"document.querySelectorAll('#classification-top .pick')[{place}].click()"])


def measure_waiting(browser: Browser, address: str, bare: Bare, folder: Path, rounds: int) -> None:
    """Counting bytes slows the browser down, so that each is done once more for them."""
    page = opened(browser, address, 1280, 800)
    photographs = iter([photograph(folder, number, (1500, 1200)) for number in range(rounds + 1)])

    def opacity() -> float:
        return page.evaluate(FOLLOWED, ["[data-setting=opacity]", str(next(places)), "input"])

    def colours() -> float:
        return page.evaluate(FOLLOWED, ["select", next(names), "change"])

    def dropped() -> float:
        return drop(page, next(photographs))

    def clicked() -> float:
        return click(page, next(classes))

    places, names, classes = (0.3 + 0.01 * number for number in count()), cycle(("jet", "viridis")), cycle((1, 2, 3))
    acts = {
        "opacity changed": opacity,
        "colours changed": colours,
        "a photograph dropped": dropped,
        "a class clicked": clicked,
    }
    took: dict[str, list[float]] = {name: [] for name in acts}
    alone = []
    for number in range(rounds):
        file = photograph(folder, number, (1500, 1200))
        alone.append(1000 * bare_seconds(bare, "classification", file, ["zebra"]))
        for name, act in acts.items():
            took[name].append(act())
            page.wait_for_timeout(1000)
    print_heading("", "ms", "over the bare explanation", "kB received")
    print_row("bare explanation", f"{(unit := statistics.median(alone)):.0f}", "1.00", "")
    for name, act in acts.items():
        median = statistics.median(took[name])
        print_row(name, f"{median:.0f}", f"{median / unit:.2f}", f"{received(page, act):.0f}")
    page.close()


def measure_page(browser: Browser, address: str) -> None:
    print_heading(
        "tab", *(f"first row at {width} x {height}" for width, height in SCREENS), "axe-core, light and dark"
    )
    found: dict[str, list[object]] = {tab: [] for tab in TABS}
    for width, height in SCREENS:
        page = opened(browser, address, width, height)
        for tab in TABS:
            turn(page, tab)
            box = page.locator(".panel .frame:visible").first.bounding_box()
            assert box
            found[tab].append(f"{box['y']:.0f} to {box['y'] + box['height']:.0f}")
        page.close()
    violations = dict.fromkeys(TABS, 0)
    for theme in ("light", "dark"):
        page = opened(browser, address, 1280, 800, theme)
        for tab in TABS:
            turn(page, tab)
            response = Axe().run(page, {"exclude": ["footer"]}).response
            violations[tab] += sum(len(one["nodes"]) for one in response["violations"])
        page.close()
    for tab in TABS:
        print_row(tab, *found[tab], violations[tab])


def measure_live(address: str, playwright: Playwright, folder: Path, seconds: int) -> None:
    """The camera plays a film of the example photographs."""
    browser = playwright.chromium.launch(**camera(film(folder)))
    page = opened(browser, address, 1280, 800)
    page.evaluate("window.waited = []; addEventListener('live', ({ detail }) => waited.push(detail))")
    page.get_by_role("button", name="Live").click()
    page.locator(".live .pick").first.wait_for()
    page.evaluate("waited.length = 0")
    page.wait_for_timeout(1000 * seconds)
    waited = page.evaluate("waited")
    browser.close()
    print_heading("live", "frames a second", "ms from frame to map, median")
    print_row("", f"{len(waited) / seconds:.1f}", f"{statistics.median(waited):.0f}")


def turn(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()
    page.locator(".panel-row:visible").first.wait_for()
    page.wait_for_timeout(3000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(HERE) as server,
        bare_process(HERE) as bare,
        sync_playwright() as playwright,
    ):
        print_machine(bare)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        measure_waiting(browser, server.address, bare, Path(folder), args.rounds)
        measure_page(browser, server.address)
        browser.close()
        measure_live(server.address, playwright, Path(folder), 10)


if __name__ == "__main__":
    main()
