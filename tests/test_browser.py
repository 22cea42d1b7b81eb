"""The demo in a browser, used as its users would."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from playwright.sync_api import Browser, Page, expect

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
PANELS = ["Guided Backprop", "Grad-CAM", "Guided Grad-CAM"]


@pytest.fixture
def page(browser: Browser, server: str):
    """The opened page, with its finished example; it must not complain in the browser's console."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(error))
    page.goto(server)
    wait_for(page, "Explaining zebra")
    yield page
    page.close()
    assert not complaints


def wait_for(page: Page, sentence: str, row: int = 0) -> None:
    expect(page.locator(".panel-row").nth(row).locator(".sentence p")).to_contain_text(sentence)


def panel_bytes(page: Page, row: int = 0) -> list[bytes]:
    pictures = page.locator(".panel-row").nth(row).locator(".panel img")
    return [page.request.get(picture.get_attribute("src")).body() for picture in pictures.all()]


def upload(page: Page, path: Path) -> None:
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").click()
        wait_for(page, "There is no photograph: choose one first.")
    page.locator("#photo input[type=file]").set_input_files(path)


def choose(page: Page, box: str, typed: str) -> None:
    page.locator(f"#{box} input").click()
    page.locator(f"#{box} input").press_sequentially(typed)
    page.get_by_role("option", name=typed, exact=True).click()


def test_the_first_visitor_sees_a_finished_example(page):
    wait_for(page, "Explaining African elephant", row=1)
    wait_for(page, "Both rows share one scale")
    for row, target in enumerate(["zebra", "African elephant"]):
        pictures = page.locator(".panel-row").nth(row).locator(".panel img")
        assert [picture.get_attribute("alt") for picture in pictures.all()] == [f"{p} for {target}" for p in PANELS]
        assert {Image.open(io.BytesIO(data)).size for data in panel_bytes(page, row)} == {(640, 480)}
    assert page.locator("#examples img").count() == len(list(EXAMPLES.glob("*.jpg"))) >= 8


def test_a_photograph_of_ones_own(page, tmp_path):
    """Without a click its classes and its panels are there; a telephone's photograph stands upright."""
    photo = Image.open(EXAMPLES / "cat.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored turned to the left
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "telephone.jpg", exif=exif)
    upload(page, tmp_path / "telephone.jpg")
    wait_for(page, "Explaining Egyptian cat: probability 8")
    expect(page.locator("#classification-top")).to_contain_text("tabby")
    expect(page.locator("#classification-chosen input")).to_have_value("Egyptian cat")
    expect(page.locator(".panel-row")).to_have_count(1)
    assert {Image.open(io.BytesIO(data)).size for data in panel_bytes(page)} == {photo.size}


def test_other_classes_by_click_by_keyboard_and_by_search(page):
    zebra = panel_bytes(page)
    page.locator("#classification-top button").nth(2).click()
    wait_for(page, "Explaining tusker")
    wait_for(page, "Explaining African elephant", row=1)
    tusker = panel_bytes(page)
    assert all(a != b for a, b in zip(zebra, tusker, strict=True))

    page.locator("#classification-top button").nth(3).focus()
    page.keyboard.press("Enter")
    wait_for(page, "Explaining Indian elephant")

    choose(page, "classification-other", "nothing")
    expect(page.locator(".panel-row")).to_have_count(1)
    choose(page, "classification-chosen", "goldfish")
    wait_for(page, "Explaining goldfish: probability under 0.1%")


def test_of_quick_clicks_the_last_one_stays(page):
    for place in (2, 4, 3):
        page.locator("#classification-top button").nth(place).click()
        page.wait_for_timeout(250)
    wait_for(page, "Explaining Indian elephant")
    page.wait_for_timeout(2000)
    wait_for(page, "Explaining Indian elephant")
    expect(page.locator("#classification-chosen input")).to_have_value("Indian elephant")


def test_colours_and_opacity_change_the_map_alone(page):
    before = panel_bytes(page)
    page.get_by_text("Colours", exact=True).click()
    page.get_by_label("as in the paper (jet)").check()
    expect(page.locator(".panel-row .panel img").nth(1)).not_to_have_attribute(
        "src", page.locator(".panel-row .panel img").nth(1).get_attribute("src")
    )
    after = panel_bytes(page)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def set_layer(page: Page, name: str) -> None:
    page.get_by_text("Model and layer").click()
    page.get_by_role("combobox", name="Layer").click()
    page.get_by_role("option", name=name, exact=True).click()


def test_another_layer(page):
    set_layer(page, "layer2")
    wait_for(page, "as seen in the 32 × 32 cells of layer2")


def test_download_of_everything(page):
    with page.expect_download() as download:
        page.get_by_text("Download all panels").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        details = json.loads(archive.read("details.json"))
        pictures = {name: archive.read(name) for name in archive.namelist() if name.endswith(".png")}
    assert [entry["target"] for entry in details] == ["zebra", "African elephant"]
    assert list(pictures)[:3] == ["zebra_guided_backprop.png", "zebra_gradcam.png", "zebra_guided_gradcam.png"]
    assert list(pictures.values()) == panel_bytes(page) + panel_bytes(page, 1)


def test_a_file_that_is_no_picture_is_refused_and_the_page_lives_on(page, tmp_path):
    (tmp_path / "holiday.jpg").write_text("<html><script>alert(1)</script></html>")
    upload(page, tmp_path / "holiday.jpg")
    wait_for(page, "not a picture that can be opened here: save it as JPEG or PNG")
    assert panel_bytes(page) == []
    upload(page, EXAMPLES / "coffee.jpg")
    wait_for(page, "Explaining espresso")


def test_a_picture_that_browsers_cannot_show_is_shown(page, tmp_path):
    Image.open(EXAMPLES / "coffee.jpg").save(tmp_path / "scan.tiff")
    upload(page, tmp_path / "scan.tiff")
    wait_for(page, "Explaining espresso")
    page.wait_for_function("document.querySelector('#photo img')?.naturalWidth === 600")


def test_every_request_for_a_photograph_reads_it_in_the_same_way(page, tmp_path):
    """A grey picture of 16 bits, which others clip to white: the first look and all later ones see the same."""
    grey = np.asarray(Image.open(EXAMPLES / "cat.jpg").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    upload(page, tmp_path / "deep.png")
    wait_for(page, "Explaining Egyptian cat: probability 9")
    first = page.locator(".sentence p").first.inner_text()
    set_layer(page, "layer3")
    wait_for(page, "layer3")
    assert page.locator(".sentence p").first.inner_text().split(",")[0] == first.split(",")[0]


def test_colours_chosen_while_the_network_runs_hold_for_its_result(page):
    page.get_by_text("Colours", exact=True).click()
    choose(page, "classification-chosen", "goldfish")
    page.get_by_label("as in the paper (jet)").check()
    wait_for(page, "Explaining goldfish")
    page.wait_for_timeout(1500)
    weakest = Image.open(io.BytesIO(panel_bytes(page)[1])).getpixel((5, 470))
    assert weakest[2] > weakest[1] + 20 > weakest[0] + 20  # the blue end of jet over grass


def test_opacity_out_of_range_is_brought_into_range(page):
    page.get_by_text("Colours", exact=True).click()
    box = page.get_by_label("number input for Opacity of the map over the photograph")
    for typed in ("-3", "", "0.3"):
        before = panel_bytes(page)[1]
        box.fill(typed)
        page.wait_for_timeout(800)
        assert (panel_bytes(page)[1] == before) == (typed == "")  # nothing is 0, as -3 is


def test_an_example_replaces_the_photograph(page):
    page.locator("#examples button", has=page.get_by_alt_text("coffee")).click()
    wait_for(page, "Explaining espresso")


def test_a_photograph_taken_while_the_page_still_opens(browser, server):
    page = browser.new_page()
    page.goto(server)
    page.locator("#examples button", has=page.get_by_alt_text("coffee")).click()
    wait_for(page, "Explaining espresso")
    page.wait_for_timeout(2000)
    wait_for(page, "Explaining espresso")
    expect(page.locator("#classification-chosen input")).to_have_value("espresso")
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_telephone_needs_no_sideways_scrolling(browser, server, theme):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{server}?__theme={theme}")
    wait_for(page, "Explaining zebra")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()
