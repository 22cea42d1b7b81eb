"""Take the pictures of the page that docs/page.md shows, on a laptop and on a telephone. `assets/screens/`.

python app.py --port 7860 &
python -m evaluation.figures.screens http://127.0.0.1:7860
"""

import argparse
import io
import re
import shutil
from collections.abc import Callable

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from evaluation.figures.rows import ASSETS

SIZES = {"laptop": (1280, 800), "telephone": (390, 844)}
PATIENCE = 120_000  # milliseconds


def compared(page: Page) -> None:
    """Methods beside the panels."""
    page.get_by_text("Compare methods").locator("visible=true").click()
    for name in ("Gradient", "CAM", "Contrastive excitation (c-MWP)", "Occlusion"):
        page.get_by_role("checkbox", name=name, exact=True).locator("visible=true").check()
    page.locator("[data-panel=occlusion]:visible").first.get_by_role("button", name="Start").click()
    expect(page.locator("[data-panel=occlusion] canvas[role=img]:visible")).to_have_count(2)
    page.get_by_role("button", name="Box around the evidence").locator("visible=true").click()


def step(page: Page) -> None:
    """A step of the lesson."""
    page.get_by_role("tab", name="How it works").click()
    page.get_by_role("button", name=re.compile("Sum")).locator("visible=true").click()
    slider = page.locator("#lesson input[type=range]:visible")
    slider.fill("8")


def trusted(page: Page) -> None:
    """The two experiments."""
    page.get_by_role("button", name=re.compile("^Make its layers random")).click()
    expect(page.locator("#randomising")).to_contain_text("With the last block alone random")
    page.get_by_role("button", name="Add noise").click()
    expect(page.locator("#noising")).to_contain_text("The network now says")


def question(page: Page) -> None:
    """A question of the quiz, answered."""
    page.get_by_role("tab", name="Quiz").click()
    answers = page.locator(".quiz .answers button:visible")
    answers.first.click()
    expect(page.get_by_role("button", name="Next").locator("visible=true").last).to_be_visible()


def upright(page: Page) -> None:
    """The panels of an upright image, with the box."""
    page.reload()  # without the methods beside them
    page.get_by_role("tab", name="Classification").click()
    page.locator("#examples [data-key=airliner_fire_engine]").click()
    page.locator("#classification-top .pick", has_text="fire engine").click()
    page.locator(".panel canvas[aria-label='Grad-CAM for fire engine']").wait_for()
    boxed = page.get_by_role("button", name="Box around the evidence").locator("visible=true")
    if boxed.get_attribute("aria-pressed") == "false":
        boxed.click()


# What is shown, and whether on a laptop the whole page is.
SHOWN: dict[str, tuple[Callable[[Page], None], bool]] = {
    "compare": (compared, True),
    "lesson": (step, False),
    "trust": (trusted, True),
    "quiz": (question, False),
    "upright": (upright, False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="where the demo runs")
    args = parser.parse_args()
    expect.set_options(timeout=PATIENCE)
    out = ASSETS / "screens"
    out.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for size, (width, height) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(args.address)
            expect(page.locator(".panel-row:visible")).to_have_count(2)
            for name, (show, whole) in SHOWN.items():
                show(page)
                page.wait_for_timeout(1500)
                shot = Image.open(io.BytesIO(page.screenshot(full_page=whole and size == "laptop")))
                shot.convert("RGB").save(out / f"{name}_{size}.webp", quality=60, method=6)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
