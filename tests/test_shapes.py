"""Panels of images of any shape show the whole image, and a place in a panel is the same place of the image."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import EXAMPLES, says, take
from PIL import Image
from playwright.sync_api import Locator, Page, expect

SHAPES = {
    "upright": (480, 640),
    "square": (512, 512),
    "panorama": (640, 160),
    "strip": (160, 640),
    "landscape": (640, 480),
}
SCREENS = {"laptop": (1280, 800), "telephone": (390, 844), "projector": (1920, 1080)}


def fire_engine() -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the lower object of an upright image, in shares of its sides."""
    mask = np.asarray(Image.open(EXAMPLES / "airliner_fire_engine.mask.png"))
    rows, columns = np.nonzero(mask == mask[520, 240])
    height, width = mask.shape
    return columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height


def test_the_object_of_these_tests_is_below_the_middle():
    left, top, right, bottom = fire_engine()
    assert left < 0.3 < 0.8 < right
    assert 0.6 < top < 0.75 < 0.9 < bottom


def look_at(page: Page, screen: str) -> Page:
    """The page on a screen of this size."""
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_function("width => innerWidth === width", arg=width)
    return page


def turn(page: Page, button: str) -> None:
    """Turn one of the toolbar's buttons on or off."""
    page.get_by_role("button", name=button).locator("visible=true").click()


def give(page: Page, folder: Path, size: tuple[int, int]) -> Image.Image:
    """Make the fire engine's image, squeezed to a size, the page's image; returns it."""
    with Image.open(EXAMPLES / "airliner_fire_engine.jpg") as photo:
        image = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    image.save(folder / "image.png")
    page.get_by_label("Remove Image").click()
    expect(page.locator(".panel-row:visible")).to_have_count(0)
    page.locator("#photo input[type=file]").set_input_files(folder / "image.png")
    expect(page.locator(".panel:visible canvas[role=img]")).to_have_count(3)
    return image


def box_of(element: Locator) -> np.ndarray:
    """Left, top, right, bottom of an element on the screen."""
    box = element.bounding_box()
    assert box
    return np.array([box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]])


def boxes_at_once(panel: Locator, *names: str) -> list[np.ndarray]:
    """The boxes of parts of a panel at one moment, as the page scrolls to what a region supports."""
    edges = """(panel, names) => names.map((name) => {
      const { left, top, right, bottom } = panel.querySelector(name).getBoundingClientRect();
      return [left, top, right, bottom];
    })"""
    return [np.array(box) for box in panel.evaluate(edges, names)]


def at(box: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Where on the screen the shares of a box's sides are."""
    return box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])


def difference(frame: Locator, image: Image.Image) -> float:
    """The mean difference of a panel as it is seen and the image, both in 16 x 16 cells, of 255."""
    seen = Image.open(io.BytesIO(frame.screenshot(animations="disabled"))).convert("RGB")
    inner = seen.crop((2, 2, seen.width - 2, seen.height - 2))  # without the border
    cells = [np.asarray(one.resize((16, 16)), float) for one in (inner, image)]
    return np.abs(cells[0] - cells[1]).mean()


def assert_whole(frame: Locator, image: Image.Image, outer: Locator) -> None:
    """That frame, canvas and image below it lie on each other, in the image's shape, within `outer`."""
    frame.scroll_into_view_if_needed()
    boxes = [box_of(frame), box_of(frame.locator("canvas[role=img]")), box_of(frame.locator("img"))]
    assert np.ptp(boxes, axis=0).max() <= 1, boxes
    left, top, right, bottom = boxes[0]
    assert right - left == pytest.approx((bottom - top) * image.width / image.height, abs=1)
    assert max(right - left, bottom - top) > 150
    around = box_of(outer)
    assert (boxes[0][:2] >= around[:2] - 1).all()
    assert (boxes[0][2:] <= around[2:] + 1).all()


def assert_panels_show_the_whole(image: Image.Image, page: Page) -> None:
    opacity = page.get_by_label("Opacity of the").locator("visible=true")
    before = opacity.input_value()
    opacity.fill("0")  # Grad-CAM's panel shows the bare image
    panels = page.locator(".panel:visible")
    sizes = [np.diff(box_of(panel.locator(".frame")).reshape(2, 2), axis=0) for panel in panels.all()]
    assert np.ptp(sizes, axis=0).max() <= 1
    for panel in panels.all():
        assert_whole(panel.locator(".frame"), image, panel)
    panel = page.locator("[data-panel=gradcam]:visible")
    assert difference(panel.locator(".frame"), image) < 10
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]

    panel.get_by_role("button", name="Enlarge Grad-CAM").click()
    dialog = page.get_by_role("dialog")
    assert_whole(dialog.locator(".frame"), image, dialog)
    longest = np.diff(box_of(dialog.locator(".frame")).reshape(2, 2), axis=0).max()
    assert longest > 0.8 * min(page.viewport_size.values())
    page.keyboard.press("Escape")
    assert_whole(panel.locator(".frame"), image, panel)
    opacity.fill(before)


def assert_a_point_is_the_same_in_panel_and_lens(page: Page, middle: tuple[float, float]) -> None:
    panel = page.locator("[data-panel=gradcam]:visible")
    panel.locator(".frame").scroll_into_view_if_needed()
    shown = box_of(panel.locator("img"))
    page.mouse.move(*at(shown, *middle))
    mark, lens = box_of(panel.locator(".mark")), panel.locator(".lens")
    assert (mark[:2] + mark[2:]) / 2 == pytest.approx(np.array(at(shown, *middle)), abs=1)
    # In the middle of the lens are the canvas's pixels of this point, and the lens leaves the point to be seen.
    colours = """(lens, [x, y]) => {
      const canvas = lens.parentElement.querySelector("canvas[role=img]");
      const pixel = (from, x, y) => [...from.getContext("2d").getImageData(x, y, 1, 1).data];
      return [pixel(lens, lens.width / 2, lens.height / 2), pixel(canvas, x * canvas.width, y * canvas.height)];
    }"""
    seen, expected = lens.evaluate(colours, middle)
    assert np.abs(np.subtract(seen, expected)).max() < 40
    covered, point = box_of(lens), np.array(at(shown, *middle))
    assert (point < covered[:2]).any() or (point > covered[2:]).any()


def assert_a_region_and_the_box_lie_where_they_are_drawn(page: Page, middle: tuple[float, float]) -> None:
    left, top, right, bottom = fire_engine()
    panel = page.locator("[data-panel=gradcam]:visible")
    turn(page, "Select a region")
    panel.locator(".frame").scroll_into_view_if_needed()
    shown = box_of(panel.locator("img"))
    page.mouse.move(*at(shown, left, top))
    page.mouse.down()
    page.mouse.move(*at(shown, *middle))
    page.mouse.move(*at(shown, min(right, 0.999), min(bottom, 0.999)))
    with page.expect_request(lambda request: '"box"' in (request.post_data or "")) as asked:
        page.mouse.up()
    sent = json.loads(asked.value.post_data)["event_data"]["box"]
    assert sent == pytest.approx([left, top, right, bottom], abs=0.012)
    expect(panel.locator(".edge")).to_be_visible()
    edge, shown = boxes_at_once(panel, ".edge", "img")
    assert edge == pytest.approx(np.array([*at(shown, left, top), *at(shown, right, bottom)]), abs=2)

    turn(page, "Box around the evidence")
    panel.locator(".frame").scroll_into_view_if_needed()
    box, shown = boxes_at_once(panel, ".box", "img")
    assert (box[:2] >= shown[:2] - 1).all()
    assert (box[2:] <= shown[2:] + 1).all()
    turn(page, "Box around the evidence")
    turn(page, "Select a region")


@pytest.mark.parametrize("shape", SHAPES)
def test_panels_show_the_whole_image_and_a_place_in_them_is_that_of_the_image(page, tmp_path, shape):
    image = give(page, tmp_path, SHAPES[shape])
    left, top, right, bottom = fire_engine()
    middle = (left + right) / 2, (top + bottom) / 2
    for screen in ("laptop", "telephone"):
        look_at(page, screen)
        assert_panels_show_the_whole(image, page)
        assert_a_point_is_the_same_in_panel_and_lens(page, middle)
        assert_a_region_and_the_box_lie_where_they_are_drawn(page, middle)
    if shape == "upright":
        assert_panels_show_the_whole(image, look_at(page, "projector"))


def test_the_box_around_the_evidence_of_an_upright_image_is_around_the_object(page):
    take(page, "airliner_fire_engine")
    says(page, "airliner, ")
    page.locator("#classification-top .pick", has_text="fire engine").click()
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    expect(page.locator("[aria-label='Grad-CAM for fire engine']:visible")).to_be_visible()
    turn(page, "Box around the evidence")
    panel = page.locator("[data-panel=gradcam]:visible")
    left, top, right, bottom = fire_engine()
    for screen in SCREENS:
        look_at(page, screen)
        panel.locator(".frame").scroll_into_view_if_needed()
        box, shown = box_of(panel.locator(".box")), box_of(panel.locator("img"))
        centre = (box[:2] + box[2:]) / 2
        (x0, y0), (x1, y1) = at(shown, left, top), at(shown, right, bottom)
        assert x0 < centre[0] < x1
        assert y0 < centre[1] < y1


# How far, in pixels, the sides of each canvas are from its own shape.
BENT = """found => found.map(canvas => {
  const { width, height } = canvas.getBoundingClientRect();
  return Math.abs(width - (height * canvas.width) / canvas.height);
})"""


def test_the_lesson_and_the_quiz_show_whole_images_and_the_lesson_grows_in_full_screen(page):
    take(page, "airliner_fire_engine")
    says(page, "airliner, ")
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#lesson .sentence")).to_contain_text("wing, ")
    expect(page.locator("#lesson-targets")).to_contain_text("wing")
    page.locator("#lesson").get_by_role("button", name="1 Feature maps").click()
    for step in range(6):
        expect(page.locator(f".lesson .step-{step + 1}")).to_be_visible()
        canvases = page.locator(".lesson .shown canvas")
        assert step == 0 or canvases.count() >= 2
        assert max([0, *canvases.evaluate_all(BENT)]) <= 1
        if step < 5:
            page.get_by_role("button", name="Next ›").click()

    look_at(page, "projector")
    page.get_by_role("button", name="Full screen", exact=True).click()
    leave = page.get_by_role("button", name="Leave full screen")
    expect(leave).to_be_visible()
    page.wait_for_function("document.fullscreenElement && innerHeight === screen.height")
    sizes = page.locator(".lesson .turning button, .lesson > .sentence").evaluate_all(
        "found => found.map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) > 20
    leave.click()
    expect(page.get_by_role("button", name="Full screen", exact=True)).to_be_visible()
    look_at(page, "laptop")

    page.get_by_role("tab", name="Quiz").click()
    page.locator(".quiz .answers button").first.click()
    expect(page.locator(".quiz .revealed img")).to_be_visible()
    assert max(page.locator(".quiz canvas").evaluate_all(BENT)) <= 1
    sizes = page.locator(".quiz img, .quiz canvas").evaluate_all("found => found.map(one => one.width / one.height)")
    assert np.ptp(sizes) < 0.02
