"""The demo in a browser, used as its users would."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import EXAMPLES, differ, drawn, name_another, says, started, take
from PIL import ExifTags, Image
from playwright.sync_api import Page, Route, expect

from demo.tabs.uploads import GONE
from evaluation.processes import free_port

PANELS = ["Guided Backprop", "Grad-CAM", "Guided Grad-CAM"]


def upload(page: Page, path: Path) -> None:
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").click()
        says(page, "Drop an image anywhere on this page")
    page.locator("#photo input[type=file]").set_input_files(path)


def test_the_first_visitor_sees_a_finished_example(page):
    says(page, "African elephant, ", row=1)
    says(page, "Both rows share one scale")
    for row, target in enumerate(["zebra", "African elephant"]):
        pictures = page.locator(".panel-row:visible").nth(row).get_by_role("img")
        assert [picture.get_attribute("aria-label") for picture in pictures.all()] == [
            f"{p} for {target}" for p in PANELS
        ]
        assert {picture.shape for picture in drawn(page, row)} == {(480, 640, 3)}
    assert page.locator("#examples img").count() == len(list(EXAMPLES.glob("*.jpg"))) >= 8


def test_ones_own_photograph_is_there_when_the_page_is_opened_again(page):
    upload(page, EXAMPLES.parent / "recording.webp")
    expect(page).not_to_have_url(re.compile("photo="))
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    own = drawn(page)
    page.reload()
    page.locator(".panel-row:visible").first.wait_for()
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    assert not any(differ(own, drawn(page)))


def test_an_image_that_the_server_has_lost_is_said_so_once_and_the_first_example_takes_its_place(blank, tmp_path):
    own_port = ("--port", str(free_port()))
    with started(tmp_path, *own_port) as address:
        blank.goto(address)
        says(blank, "African elephant, ", row=1)
        upload(blank, EXAMPLES.parent / "recording.webp")
        expect(blank.locator(".panel-row:visible")).to_have_count(1)
        expect(blank).not_to_have_url(re.compile("photo="))
    with started(tmp_path, *own_port):
        blank.locator(".choices.bars .pick:visible").nth(1).click()
        expect(blank.locator(".intake > .note")).to_have_text(GONE)
        says(blank, "zebra, ")
        expect(blank.locator(".toast-body", has_text="does not fit")).to_have_count(0)
        blank.reload()
        says(blank, "zebra, ")
        expect(blank.locator(".toast-body")).to_have_count(0)


def test_a_lost_image_is_not_there_when_the_page_is_opened_again(blank, tmp_path):
    with started(tmp_path, GRADIO_TEMP_DIR=str(tmp_path / "uploads")) as address:
        blank.goto(address)
        says(blank, "African elephant, ", row=1)
        upload(blank, EXAMPLES.parent / "recording.webp")
        expect(blank.locator(".panel-row:visible")).to_have_count(1)
        expect(blank).not_to_have_url(re.compile("photo="))
        for file in (tmp_path / "uploads").rglob("recording*"):
            file.unlink()
        blank.reload()
        says(blank, "African elephant, ", row=1)
        expect(blank.locator(".toast-body")).to_have_count(0)


def test_what_cannot_be_the_photograph_leaves_the_one_that_is_there(page, tmp_path):
    note = page.locator(".intake > .note")
    (tmp_path / "large.png").write_bytes(bytes(11 * 2**20))
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "large.png")
    expect(note).to_have_text("“large.png” is larger than 10 MB: make it smaller.")
    page.evaluate("""() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["text"], "notes.txt", { type: "text/plain" }));
      document.querySelector("#photo img").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
    }""")
    expect(note).to_have_text("“notes.txt” is not an image: choose another file.")
    says(page, "African elephant, ", row=1)
    take(page, "dog")
    says(page, "German shepherd, ")
    expect(note).to_be_hidden()


def test_a_photograph_of_ones_own(page, tmp_path):
    """Without a click its classes and its panels are there; a telephone's photograph stands upright."""
    photo = Image.open(EXAMPLES / "cat.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored turned to the left
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "telephone.jpg", exif=exif)
    upload(page, tmp_path / "telephone.jpg")
    says(page, "Egyptian cat, 8")
    expect(page.locator("#classification-top")).to_contain_text("tabby")
    expect(page.locator("#classification-top [aria-pressed=true] .name")).to_have_text("Egyptian cat")
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    assert {picture.shape for picture in drawn(page)} == {(photo.height, photo.width, 3)}


def test_other_classes_by_click_by_keyboard_and_by_search(page):
    zebra = drawn(page)
    page.locator("#classification-top .pick").nth(2).click()
    says(page, "tusker, ")
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    expect(page.locator("#classification-top [aria-pressed=true] .name")).to_have_text("tusker")
    assert all(differ(zebra, drawn(page)))

    page.locator("#classification-top .pick").nth(3).focus()
    page.keyboard.press("Enter")
    says(page, "Indian elephant, ")

    name_another(page, "GOLDFIS")  # half a name is enough
    says(page, "goldfish, under 0.1%")
    name_another(page, "zebra", beside=True)
    says(page, "zebra, ", row=1)
    expect(page.get_by_label("Another class")).to_have_value("")
    page.get_by_label("Another class").press_sequentially("shepherd")
    page.keyboard.press("Enter")
    says(page, "German shepherd, ")
    name_another(page, "zebrra")
    says(page, "Did you mean")
    says(page, "German shepherd, ", row=1)  # below that
    expect(page.get_by_label("Another class")).to_have_value("zebrra")
    page.locator(".names").get_by_role("button", name="zebra", exact=True).click()  # what was meant
    says(page, "zebra, ")
    expect(page.locator(".names .close:visible")).to_have_count(0)


def test_up_to_four_classes_beside_each_other_each_by_one_click(page):
    add = page.locator("#classification-top .add")
    add.nth(2).click()
    says(page, "tusker, ", row=2)
    add.nth(3).click()
    says(page, "Indian elephant, ", row=3)
    says(page, "All rows share one scale")
    add.nth(4).click()
    says(page, "At most 4 rows are compared: take one away first.")  # above the rows
    add.nth(0).click()
    says(page, "African elephant, ")
    page.get_by_role("button", name="Take away tusker").last.click()
    says(page, "Indian elephant, ", row=1)
    expect(page.locator(".panel-row:visible")).to_have_count(2)
    pressed = page.locator("#classification-top .pick[aria-pressed=true]")
    expect(pressed.locator(".name")).to_have_text(["African elephant", "Indian elephant"])


def test_of_quick_clicks_the_last_one_stays(page):
    for place in (2, 4, 3):
        page.locator("#classification-top .pick").nth(place).click()
        page.wait_for_timeout(250)
    says(page, "Indian elephant, ")
    page.wait_for_timeout(2000)
    says(page, "Indian elephant, ")
    expect(page.locator("#classification-top [aria-pressed=true] .name")).to_have_text("Indian elephant")


def test_colours_and_opacity_change_the_map_alone_and_ask_nobody(page):
    before, asked = drawn(page), []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Colours of the map").locator("visible=true").select_option("jet")
    assert differ(before, jet := drawn(page)) == [False, True, False]
    page.get_by_label("Opacity of the map").locator("visible=true").fill("0")
    assert differ(jet, drawn(page)) == [False, True, False]
    photo = np.asarray(Image.open(EXAMPLES / "zebra_elephant.jpg")).astype(int)
    assert np.abs(drawn(page)[1] - photo).mean() < 1.5  # the bare photograph
    assert not asked


def set_layer(page: Page, name: str) -> None:
    page.get_by_text("Model and layer").locator("visible=true").click()
    page.get_by_role("combobox", name="Layer").locator("visible=true").click()
    page.get_by_role("option", name=name, exact=True).click()


def test_another_layer(page):
    set_layer(page, "layer2")
    says(page, "Grad-CAM in the 32 × 32 cells of layer2")


def test_download_of_everything(page):
    page.get_by_label("Colours of the map").locator("visible=true").select_option("jet")
    with page.expect_download() as download:
        page.get_by_text("Download all panels").locator("visible=true").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        details = json.loads(archive.read("details.json"))
        pictures = {name: archive.read(name) for name in archive.namelist() if name.endswith(".png")}
    assert [entry["target"] for entry in details] == ["zebra", "African elephant"]
    assert list(pictures)[:3] == ["zebra_guided_backprop.png", "zebra_gradcam.png", "zebra_guided_gradcam.png"]
    for (name, data), seen in zip(pictures.items(), drawn(page) + drawn(page, 1), strict=True):
        difference = np.abs(np.asarray(Image.open(io.BytesIO(data))).astype(int) - seen)
        # The browser draws heatmaps over a JPEG file of the image, which is seen where there is no evidence.
        assert (difference <= (4 if name.endswith("_gradcam.png") and "guided" not in name else 2)).mean() > 0.99


def test_a_file_that_is_no_picture_is_refused_and_the_page_lives_on(page, tmp_path):
    (tmp_path / "holiday.jpg").write_text("<html><script>alert(1)</script></html>")
    upload(page, tmp_path / "holiday.jpg")
    says(page, "not an image that can be opened here. Save it as JPEG or PNG")
    assert drawn(page) == []
    expect(page.locator("#photo img")).to_be_hidden()  # its text would lie under the label
    upload(page, EXAMPLES / "coffee.jpg")
    says(page, "espresso, ")


def test_a_picture_that_browsers_cannot_show_is_shown(page, tmp_path):
    Image.open(EXAMPLES / "coffee.jpg").save(tmp_path / "scan.tiff")
    upload(page, tmp_path / "scan.tiff")
    says(page, "espresso, ")
    page.wait_for_function("document.querySelector('#photo img')?.naturalWidth === 600")
    expect(page.locator("#photo img")).to_be_visible()


def test_every_request_for_a_photograph_reads_it_in_the_same_way(page, tmp_path):
    """A grey picture of 16 bits, which others clip to white: the first look and all later ones see the same."""
    grey = np.asarray(Image.open(EXAMPLES / "cat.jpg").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    upload(page, tmp_path / "deep.png")
    says(page, "Egyptian cat, 9")
    first = page.locator(".sentence:visible").first.inner_text()
    set_layer(page, "layer3")
    says(page, "layer3")
    assert page.locator(".sentence:visible").first.inner_text().split(",")[0] == first.split(",")[0]


def test_an_example_replaces_the_photograph(page):
    take(page, "coffee")
    says(page, "espresso, ")


def test_a_photograph_taken_while_the_page_still_opens(browser, server):
    page = browser.new_page()
    page.goto(server)
    take(page, "coffee")
    says(page, "espresso, ")
    page.wait_for_timeout(2000)
    says(page, "espresso, ")
    expect(page.locator("#classification-top [aria-pressed=true] .name")).to_have_text("espresso")
    page.close()


def test_a_request_that_was_overtaken_changes_nothing(browser, server):
    page = browser.new_page()
    overtaken: list[Route] = []

    def hold(route: Route) -> None:
        if not overtaken and "zebra_elephant.jpg" in (route.request.post_data or ""):
            overtaken.append(route)
        else:
            route.continue_()

    page.route("**/queue/join*", hold)
    page.goto(server)
    take(page, "coffee")
    says(page, "espresso, ")
    with page.expect_response("**/queue/join*"):
        overtaken[0].continue_()
    page.wait_for_timeout(2000)
    says(page, "espresso, ")
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_telephone_needs_no_sideways_scrolling(browser, server, theme):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{server}?__theme={theme}")
    says(page, "zebra, ")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()
