"""Take the README's picture of the page, as its first visitor sees it: `assets/screenshot.png`.

python app.py --port 7860 &
python -m evaluation.figures.screenshot http://127.0.0.1:7860
"""

import argparse
import shutil

from playwright.sync_api import sync_playwright

from evaluation.figures.rows import ASSETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="where the demo runs")
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1200})
        page.goto(args.address)
        page.locator(".panel-row").nth(1).locator(".panel img").last.wait_for()
        page.wait_for_function("[...document.images].every(image => image.complete)")
        page.wait_for_timeout(1000)  # until the bars have grown
        page.screenshot(path=ASSETS / "screenshot.png")
        browser.close()


if __name__ == "__main__":
    main()
