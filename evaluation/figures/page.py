"""Take the pictures of the page, `assets/screens/` for docs/page.md and `assets/recording.webp` for the README.

    python app.py --port 7860 &
    python -m evaluation.figures.page http://127.0.0.1:7860

The screens are those of a laptop and of a telephone. The recording compares two classes, moves the lens, explains an
upright image and an answer, and runs live.
"""

import argparse
import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from evaluation.benchmark import camera
from evaluation.figures.panels import ASSETS

SIZES = {"laptop": (1280, 800), "telephone": (390, 844)}
RECORDED = (960, 600)  # pixels of the recording; the page has those of the laptop
PATIENCE = 120_000  # milliseconds

Frame = tuple[Image.Image, int]


def compare_methods(page: Page) -> None:
    page.get_by_text("Compare methods").locator("visible=true").click()
    for name in ("Gradient", "CAM", "Contrastive excitation (c-MWP)", "Occlusion"):
        page.get_by_role("checkbox", name=name, exact=True).locator("visible=true").check()
    page.locator("[data-panel=occlusion]:visible").first.get_by_role("button", name="Start").click()
    expect(page.locator("[data-panel=occlusion] canvas[role=img]:visible")).to_have_count(2)
    box_button(page).click()


def open_lesson(page: Page) -> None:
    page.get_by_role("tab", name="How it works").click()
    page.get_by_role("button", name=re.compile("Sum")).locator("visible=true").click()
    page.locator("#lesson input[type=range]:visible").fill("8")


def run_experiments(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Make its layers random")).click()
    expect(page.locator("#randomising")).to_contain_text("With the last block alone random")
    page.get_by_role("button", name="Add noise").click()
    expect(page.locator("#noising")).to_contain_text("The network now says")


def answer_quiz(page: Page) -> None:
    page.get_by_role("tab", name="Quiz").click()
    page.locator(".quiz .answers button:visible").first.click()
    expect(page.get_by_role("button", name="Next").locator("visible=true").last).to_be_visible()


def open_upright(page: Page) -> None:
    page.goto(page.url.partition("?")[0])  # without the methods beside the panels
    page.get_by_role("tab", name="Classification").click()
    page.locator("#examples [data-key=airliner_fire_engine]").wait_for()
    explain_upright(page)
    if box_button(page).get_attribute("aria-pressed") == "false":
        box_button(page).click()


# What is shown, and whether on a laptop the whole page is.
SCREENS: dict[str, tuple[Callable[[Page], None], bool]] = {
    "compare": (compare_methods, True),
    "lesson": (open_lesson, False),
    "trust": (run_experiments, True),
    "quiz": (answer_quiz, False),
    "upright": (open_upright, False),
}


def box_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Box around the evidence").locator("visible=true")


def explain_upright(page: Page) -> None:
    page.locator("#examples [data-key=airliner_fire_engine]").click()
    settle(page, 2, "airliner")
    page.locator("#classification-top .pick", has_text="fire engine").click()
    page.locator(".panel canvas[aria-label='Grad-CAM for fire engine']").wait_for()


def take_screens(browser: Browser, address: str) -> None:
    """Write each screen in both sizes."""
    for size, (width, height) in SIZES.items():
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(address)
        expect(page.locator(".panel-row:visible")).to_have_count(2)
        for name, (show, whole) in SCREENS.items():
            show(page)
            page.wait_for_timeout(1500)
            shot = Image.open(io.BytesIO(page.screenshot(full_page=whole and size == "laptop")))
            shot.convert("RGB").save(ASSETS / "screens" / f"{name}_{size}.webp", quality=60, method=6)
        page.close()


def settle(page: Page, rows: int, summary: str) -> None:
    """Wait for so many rows of panels, and a part of the summary line."""
    page.locator(".sentence:visible", has_text=summary).first.wait_for()
    expect(page.locator(".panel-row:visible")).to_have_count(rows)
    page.wait_for_timeout(400)


def frame(page: Page, milliseconds: int) -> Frame:
    """Return what is seen now, and for how long it is shown."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shot.resize(RECORDED, Image.Resampling.LANCZOS), milliseconds


def record(browser: Browser, address: str) -> list[Frame]:
    """Return the frames of the recording."""
    page = browser.new_page(viewport={"width": SIZES["laptop"][0], "height": SIZES["laptop"][1]})
    page.goto(address)
    settle(page, 2, "African elephant")
    frames = [frame(page, 1600)]
    page.locator("#classification-top .pick").nth(1).click()
    settle(page, 1, "African elephant")
    frames.append(frame(page, 1400))
    page.locator("#classification-top .add").nth(0).click()
    settle(page, 2, "Both rows")
    frames.append(frame(page, 1600))

    box = page.locator("[data-panel=gradcam] .frame:visible").first.bounding_box()
    assert box
    for step in range(9):
        page.mouse.move(box["x"] + box["width"] * (0.2 + 0.07 * step), box["y"] + box["height"] * (0.7 - 0.03 * step))
        frames.append(frame(page, 250))
    page.mouse.move(5, 5)

    explain_upright(page)
    settle(page, 1, "fire engine")
    box_button(page).click()
    frames.append(frame(page, 1600))
    box_button(page).click()

    page.locator("#examples [data-key=kitten]").click()
    settle(page, 1, "Grad-CAM in the")
    page.get_by_role("tab", name="Question answering").click()
    settle(page, 1, "as the answer to")
    page.locator("#question textarea").fill("What color is the cat?")
    page.keyboard.press("Enter")
    settle(page, 1, "What color is the cat?")
    frames.append(frame(page, 2000))

    page.get_by_role("button", name="Live").click()
    page.locator(".live .pick").first.wait_for()
    for _ in range(12):
        page.wait_for_timeout(500)
        frames.append(frame(page, 400))
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="where the demo runs")
    address = parser.parse_args().address
    expect.set_options(timeout=PATIENCE)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**camera(Path(folder)))
        take_screens(browser, address)
        pictures, durations = zip(*record(browser, address), strict=True)
        browser.close()
    path = ASSETS / "recording.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=70, method=4)
    print(f"{path.stat().st_size / 1e6:.1f} MB, {len(pictures)} frames")


if __name__ == "__main__":
    main()
