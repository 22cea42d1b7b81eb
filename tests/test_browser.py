"""The demo in a browser, used as its users would."""

import io
import json
import zipfile

import numpy as np
import pytest
from helpers import EXAMPLES, answered, differ, drawn, name_another, own_photograph, says, take, upload, violations
from PIL import ExifTags, Image
from playwright.sync_api import Page, Route, expect

TABS = ["Classification", "Captioning", "Question answering"]
SCREEN, TELEPHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LINES = dict(zip(TABS, ("Predictions: click one", "Click a word", "Answers: click one"), strict=True))
PANELS = ["Guided Backprop", "Grad-CAM", "Guided Grad-CAM"]


def turn_to(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()
    expect(page.locator(".panel-row:visible").first).to_be_visible()


# ---- What one sees first ----


def test_the_first_visitor_sees_a_finished_example_and_the_first_stop_leads_to_it(new_page):
    page = new_page
    says(page, "Both rows share one scale")
    for row, target in enumerate(["zebra", "African elephant"]):
        pictures = page.locator(".panel-row:visible").nth(row).get_by_role("img")
        assert [picture.get_attribute("aria-label") for picture in pictures.all()] == [
            f"{p} for {target}" for p in PANELS
        ]
        assert {picture.shape for picture in drawn(page, row)} == {(480, 640, 3)}
    assert page.locator("#examples img").count() == len(list(EXAMPLES.glob("*.jpg"))) >= 8
    page.keyboard.press("Tab")
    skip = page.get_by_text("Skip to the result")
    expect(skip).to_be_focused()
    assert skip.bounding_box()["x"] > 0  # at once
    page.keyboard.press("Enter")
    expect(page.locator("#classification-top .pick").first).to_be_focused()
    turn_to(page, "Captioning")
    expect(page.locator("#words .pick").first).to_be_visible()
    skip.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#words .pick").first).to_be_focused()
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#lesson h3")).to_have_text("1. What did the layer find, and where?")
    page.locator("#lesson").get_by_role("button", name="3 Sum").click()
    expect(page.get_by_label("How many maps are added up")).to_have_value("0")


def see_the_first_screen(page: Page, tab: str) -> None:
    """Of a tab: nothing is cut off or has moved, and a line says what to click."""
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    assert page.evaluate("[scrollX, scrollY, document.documentElement.scrollWidth]") == [0, 0, width]
    panels = 3 if width > 1000 else 1
    expect(page.locator(".panel .frame:visible").nth(panels - 1)).to_be_visible()
    boxes = [one.bounding_box() for one in page.locator(".panel .frame:visible").all()[:panels]]
    assert all(box["y"] < height - 60 for box in boxes)  # so much that one sees what it is
    if panels == 3:
        assert all(box["y"] + box["height"] <= height and box["x"] + box["width"] <= width for box in boxes)
    expect(page.locator(".heading:visible", has_text=LINES[tab])).to_have_count(1)
    expect(page.locator(".heading:visible", has_text="+ compares")).to_have_count(1)


FIRST_SCREENS = [
    ("?__theme=light", SCREEN, ("zebra, ", "man, ", "zebra, ")),
    (
        "?__theme=dark&task=classification&photo=airliner_fire_engine",
        TELEPHONE,
        ("airliner, ", "per word: ", "as the answer"),
    ),
]


@pytest.mark.parametrize(("address", "size", "opening"), FIRST_SCREENS, ids=["screen", "telephone"])
def test_panels_are_in_the_first_screen_and_a_line_says_what_to_click(blank, server, address, size, opening):
    blank.set_viewport_size(size)
    blank.goto(f"{server}{address}")
    for tab, text in zip(TABS, opening, strict=True):
        with answered(blank):
            turn_to(blank, tab)
            says(blank, text)
        see_the_first_screen(blank, tab)
    expect(blank.get_by_label("Another answer")).to_have_attribute("placeholder", "e.g. red")
    blank.set_viewport_size(SCREEN if size is TELEPHONE else TELEPHONE)
    for tab in reversed(TABS):
        turn_to(blank, tab)
        see_the_first_screen(blank, tab)


@pytest.mark.parametrize(("address", "size", "opening"), FIRST_SCREENS, ids=["telephone", "screen"])
def test_the_first_screen_of_the_same_addresses_at_the_other_size(blank, server, address, size, opening):
    blank.set_viewport_size(SCREEN if size is TELEPHONE else TELEPHONE)
    blank.goto(f"{server}{address}")
    says(blank, opening[0])
    see_the_first_screen(blank, TABS[0])


def test_nothing_that_axe_finds_outside_of_gradios_footer(page):
    for tab in TABS:
        turn_to(page, tab)
        page.get_by_text("Compare methods").locator("visible=true").click()
        page.get_by_text("All layers, settings").locator("visible=true").click()
        page.get_by_text("Model and layer").locator("visible=true").click()
        page.get_by_role("button", name="Select a region").locator("visible=true").click()
        for theme in ("light", "dark"):  # as `?__theme=` sets it
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
            found = violations(page, {"exclude": ["footer"]})
            assert [(theme, tab, one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    page.evaluate("document.body.classList.remove('dark')")


# ---- What is there when the page is opened again ----


def test_ones_own_photograph_and_the_settings_are_there_when_the_page_is_opened_again(page):
    own_photograph(page)
    colours = page.get_by_label("Colours of the map").locator("visible=true")
    colours.select_option("jet")
    own = drawn(page)
    # Opacity that was kept when all was uniform is left to the value.
    for kept in ("", """localStorage.setItem("panels", '{"colours":"jet","opacity":0.3}')"""):
        page.evaluate(kept)
        page.reload()
        page.locator(".panel-row:visible").first.wait_for()
        expect(page.locator(".panel-row:visible")).to_have_count(1)
        assert not any(differ(own, drawn(page)))
        expect(colours).to_have_value("jet")
        expect(page.get_by_label("Opacity of the map").locator("visible=true")).to_have_value("0.8")
        expect(page.get_by_label("uniform, as in the paper").locator("visible=true")).not_to_be_checked()


# ---- The photograph and its classes ----


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


def test_colours_and_opacity_change_the_map_alone_and_ask_nobody(page):
    before, asked = drawn(page), []
    page.once("request", lambda request: asked.append(request.url))
    page.get_by_label("Colours of the map").locator("visible=true").select_option("jet")
    assert differ(before, jet := drawn(page)) == [False, True, False]
    page.get_by_label("Opacity of the map").locator("visible=true").fill("0")
    assert differ(jet, drawn(page)) == [False, True, False]
    photo = np.asarray(Image.open(EXAMPLES / "zebra_elephant.jpg")).astype(int)
    assert np.abs(drawn(page)[1] - photo).mean() < 1.5  # the bare photograph
    assert not asked


def set_layer(page: Page, name: str) -> None:
    combobox = page.get_by_role("combobox", name="Layer").locator("visible=true")
    if not combobox.count():
        page.get_by_text("Model and layer").locator("visible=true").click()
    combobox.click()
    page.get_by_role("option", name=name, exact=True).click()


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


def test_every_request_for_a_photograph_reads_it_in_the_same_way_as_that_of_another_layer(page, tmp_path):
    """A grey picture of 16 bits, which others clip to white: the first look and all later ones see the same."""
    grey = np.asarray(Image.open(EXAMPLES / "cat.jpg").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    upload(page, tmp_path / "deep.png")
    says(page, "Egyptian cat, 9")
    first = page.locator(".sentence:visible").first.inner_text()
    set_layer(page, "layer2")
    says(page, "Grad-CAM in the 32 × 32 cells of layer2")
    assert page.locator(".sentence:visible").first.inner_text().split(",")[0] == first.split(",")[0]
    set_layer(page, "layer4")
    says(page, "cells of layer4")


# ---- Of quick clicks the last one stays ----


@pytest.mark.parametrize(
    ("tab", "choices", "places"),
    [(TABS[0], "#classification-top", (2, 4, 3)), (TABS[1], "#words", (1, 3, 2)), (TABS[2], "#vqa-top", (1, 3, 2))],
    ids=TABS,
)
def test_of_quick_clicks_the_last_one_stays(page, tab, choices, places):
    with answered(page):
        turn_to(page, tab)
    picks = page.locator(f"{choices} .pick")
    name = picks.nth(places[-1]).locator(".name").inner_text()
    with answered(page):
        for place in places:
            with page.expect_request("**/queue/join*"):  # each is on its way when the next one comes
                picks.nth(place).click()
    says(page, f"{name}, ")
    expect(page.locator(f"{choices} [aria-pressed=true] .name")).to_have_text(name)
    pressed = [pick.get_attribute("aria-pressed") == "true" for pick in picks.all()]
    assert [place for place, one in enumerate(pressed) if one] == [places[-1]]


def test_a_click_that_a_later_one_overtakes_changes_nothing(page):
    picks, held = page.locator("#classification-top .pick"), []
    names = [pick.locator(".name").inner_text() for pick in picks.all()]

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/queue/join*", hold_the_first)
    with page.expect_request("**/queue/join*"):
        picks.nth(2).click()
    picks.nth(3).click()
    says(page, f"{names[3]}, ")
    with page.expect_event("requestfinished", lambda request: request == held[0].request):
        held[0].continue_()
    page.unroute("**/queue/join*")
    page.locator("#classification-top .add").nth(4).click()
    says(page, f"{names[4]}, ", row=1)
    says(page, f"{names[3]}, ", row=0)


def test_a_click_on_what_stood_there_before_and_leaving_the_box_of_names_change_nothing(page):
    """The classes of the photograph before, clicked while the new ones are on their way."""
    with answered(page):
        page.get_by_label("Another class").focus()
        page.wait_for_timeout(300)  # the list of names closes a moment after the box is left
        for _ in range(3):
            page.keyboard.press("Tab")
        page.wait_for_timeout(300)
    expect(page.locator(".panel-row:visible")).to_have_count(2)
    says(page, "zebra, ")
    with answered(page):
        page.evaluate("""() => {
          document.querySelector("#examples [data-key=cat]").click();
          document.querySelectorAll("#classification-top .pick")[2].click();
        }""")
        says(page, "Egyptian cat, ")
    says(page, "Egyptian cat, ")
    expect(page.locator(".panel-row:visible")).to_have_count(1)


def test_a_photograph_taken_while_the_page_opens_stays_and_a_request_that_was_overtaken_changes_nothing(blank, server):
    overtaken: list[Route] = []

    def hold(route: Route) -> None:
        if not overtaken and "zebra_elephant.jpg" in (route.request.post_data or ""):
            overtaken.append(route)
        else:
            route.continue_()

    blank.route("**/queue/join*", hold)
    blank.goto(server)
    take(blank, "coffee")
    says(blank, "espresso, ")
    with answered(blank), blank.expect_response("**/queue/join*"):
        overtaken[0].continue_()
    says(blank, "espresso, ")
    expect(blank.locator("#classification-top [aria-pressed=true] .name")).to_have_text("espresso")
