"""Record the page as the README shows it, `assets/recording.webp`.

Choosing, comparing, the lens, an upright image, a question, live.

python app.py --port 7860 &
python -m evaluation.figures.recording http://127.0.0.1:7860
"""

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from evaluation.benchmark import camera
from evaluation.figures.rows import ASSETS

SIZE = (960, 600)  # pixels of the recording; the page has 1280 x 800

Frame = tuple[Image.Image, int]


def look(page: Page, milliseconds: int) -> Frame:
    """What is seen now, and for how long."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shot.resize(SIZE, Image.Resampling.LANCZOS), milliseconds


def settled(page: Page, rows: int, sentence: str) -> None:
    page.locator(".sentence:visible", has_text=sentence).first.wait_for()
    expect(page.locator(".panel-row:visible")).to_have_count(rows)
    page.wait_for_timeout(400)


def compare(page: Page) -> list[Frame]:
    frames = []
    page.locator("#classification-top .pick").nth(1).click()
    settled(page, 1, "African elephant")
    frames.append(look(page, 1400))
    page.locator("#classification-top .add").nth(0).click()
    settled(page, 2, "Both rows")
    return [*frames, look(page, 1600)]


def point(page: Page) -> list[Frame]:
    frames = []
    box = page.locator("[data-panel=gradcam] .frame:visible").first.bounding_box()
    assert box
    for step in range(9):
        page.mouse.move(box["x"] + box["width"] * (0.2 + 0.07 * step), box["y"] + box["height"] * (0.7 - 0.03 * step))
        frames.append(look(page, 250))
    page.mouse.move(5, 5)
    return frames


def upright(page: Page) -> list[Frame]:
    page.locator("#examples [data-key=airliner_fire_engine]").click()
    settled(page, 2, "airliner")
    page.locator("#classification-top .pick", has_text="fire engine").click()
    settled(page, 1, "fire engine")
    boxed = page.get_by_role("button", name="Box around the evidence").locator("visible=true")
    boxed.click()
    frames = [look(page, 1600)]
    boxed.click()
    return frames


def question(page: Page) -> list[Frame]:
    page.locator("#examples [data-key=kitten]").click()
    settled(page, 1, "Grad-CAM in the")
    page.get_by_role("tab", name="Question answering").click()
    settled(page, 1, "as the answer to")
    page.locator("#question textarea").fill("What color is the cat?")
    page.keyboard.press("Enter")
    settled(page, 1, "What color is the cat?")
    return [look(page, 2000)]


def live(page: Page) -> list[Frame]:
    page.get_by_role("button", name="Live").click()
    page.locator(".live .pick").first.wait_for()
    frames = []
    for _ in range(12):
        page.wait_for_timeout(500)
        frames.append(look(page, 400))
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="where the demo runs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**camera(Path(folder)))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(args.address)
        settled(page, 2, "African elephant")
        frames = [look(page, 1600), *compare(page), *point(page), *upright(page), *question(page), *live(page)]
        browser.close()
    pictures, durations = zip(*frames, strict=True)
    path = ASSETS / "recording.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=70, method=4)
    print(f"{path.stat().st_size / 1e6:.1f} MB, {len(frames)} frames")


if __name__ == "__main__":
    main()
