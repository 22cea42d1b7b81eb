"""The panels and the choices in a browser: what is drawn, pointed at, enlarged and saved, and who can use it."""

import base64
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import EXAMPLES, drawn, says, take
from PIL import Image
from playwright.sync_api import Page, expect
from samples import DETAILS

from demo.engine import Engine
from demo.models import Library
from demo.query import Explain, Row, image_file
from demo.tasks.sentence import is_dim
from demo.viewer import data

TABS = ["Classification", "Captioning", "Question answering"]


def turn_to(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()
    expect(page.locator(".panel-row:visible").first).to_be_visible()


def frame(page: Page, method: str, row: int = 0):
    return page.locator(f"[data-panel={method}][data-row='{row}'] .frame:visible")


def compare(page: Page, *methods: str) -> None:
    """Choose methods beside the panels."""
    page.get_by_text("Compare methods").locator("visible=true").click()
    for method in methods:
        page.get_by_role("checkbox", name=method, exact=True).locator("visible=true").check()


def zipped(page: Page) -> list[np.ndarray]:
    """The pictures of the download, which the server draws."""
    with page.expect_download() as download:
        page.get_by_text("Download all panels").locator("visible=true").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        pictures = [archive.read(name) for name in archive.namelist() if name.endswith(".png")]
    return [np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in pictures]


def coarseness(page: Page, photo: Path) -> np.ndarray:
    """How far the pixels of the photograph are from the JPEG file of it that the browser draws over."""
    sent = page.request.get(page.locator(".panel:visible img").first.evaluate("image => image.src")).body()
    arrays = [np.asarray(Image.open(file).convert("RGB")).astype(int) for file in (io.BytesIO(sent), photo)]
    return np.abs(arrays[0] - arrays[1])


def test_the_browser_draws_what_the_server_draws_of_photographs_of_all_shapes(page, tmp_path):
    """And in the smallest with every setting, as they are the same for all shapes."""
    compare(page, "Counterfactual")
    page.get_by_label("Colours of the map").locator("visible=true").select_option("jet")
    plain, *others = [(own, uniform) for uniform in (False, True) for own in (False, True)]
    for size, settings in {(640, 480): [plain], (301, 640): [plain], (90, 70): [plain, *others]}.items():
        with Image.open(EXAMPLES / "ram_peacock.jpg") as photo:
            photo.resize(size).save(tmp_path / "photograph.png")
        page.get_by_label("Remove Image").click()
        says(page, "Drop an image anywhere on this page")
        page.locator("#photo input[type=file]").set_input_files(tmp_path / "photograph.png")
        expect(page.locator(".panel-row:visible")).to_have_count(1)
        page.locator("#classification-top .add").nth(1).click()
        says(page, "Both rows share one scale", row=1)
        expect(page.locator("[data-panel=counterfactual] canvas[role=img]:visible")).to_have_count(2)
        coarse = coarseness(page, tmp_path / "photograph.png")
        for own, uniform in settings:
            page.get_by_label("each row on its own scale").locator("visible=true").set_checked(own)
            page.get_by_label("uniform, as in the paper").locator("visible=true").set_checked(uniform)
            page.get_by_label("Opacity of the map").locator("visible=true").fill("0.7")
            for seen, sent in zip(drawn(page) + drawn(page, 1), zipped(page), strict=True):
                assert seen.shape == sent.shape == (size[1], size[0], 3)
                # Where opacity follows the value the photograph itself is seen.
                assert (np.abs(seen - sent) <= 2 + coarse).mean() > 0.99, (size, own, uniform)


def test_a_row_has_its_own_scale_and_the_shared_one_and_is_dim_where_that_is_twice_as_high():
    def rows(*peaks: float) -> list[Row]:
        return [Row({"gradcam": np.full((2, 2), peak)}, replace(DETAILS, peak=peak)) for peak in peaks]

    found = [row["gradcam"] for row in data.pictures(rows(1, 4), ["gradcam"])]
    assert [(picture["limit"], picture["shared"]) for picture in found] == [(1, 4), (4, 4)]
    assert [is_dim(rows(*peaks)) for peaks in ((1, 4), (2, 4), (4,))] == [True, False, False]


@pytest.fixture(scope="module")
def grid() -> np.ndarray:
    """Grad-CAM for the zebra of the page's first example."""
    photo = image_file((EXAMPLES / "zebra_elephant.jpg").read_bytes())
    query = Explain(photo, "classification", targets=("zebra",), methods=("gradcam",))
    (row,) = Engine(Library()).answer(query).rows
    return row.pictures["gradcam"]


def test_one_point_in_all_panels_of_all_rows_with_the_value_there(page, grid):
    at = frame(page, "gradcam")
    at.focus()
    page.keyboard.press("ArrowRight")  # the first key puts the point into the middle
    expect(page.locator(".mark:visible")).to_have_count(6)
    expect(page.locator(".lens:visible")).to_have_count(6)

    def value() -> float:
        said = page.locator("[data-panel=gradcam][data-row='0'] .value:visible").inner_text()
        return float(said.split("(")[1].rstrip(")"))

    assert value() == pytest.approx(grid[3:5, 3:5].mean(), rel=0.01)
    for _ in range(4):  # of 64 steps: half a cell, to the middle between two columns
        page.keyboard.press("ArrowRight")
    assert value() == pytest.approx(grid[3:5, 4].mean(), rel=0.01)
    box = at.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] * 3 / 4)
    assert value() == pytest.approx(grid[5:7, 1:3].mean(), rel=0.05)
    page.mouse.move(5, 5)
    expect(page.locator(".mark:visible")).to_have_count(0)


def test_all_panels_zoom_together(page):
    def shown() -> set[str]:
        return {stage.evaluate("stage => stage.style.transform") for stage in page.locator(".stage:visible").all()}

    at = frame(page, "guided_backprop", 1)
    at.scroll_into_view_if_needed()
    at.hover()
    page.mouse.wheel(0, -300)
    expect(page.locator(".stage:visible").first).not_to_have_attribute(
        "style", "transform: translate(0%, 0%) scale(1);"
    )
    assert len(shown()) == 1
    assert "scale(1)" not in shown().pop()
    at.focus()
    page.keyboard.press("-")
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert shown() == {"translate(0%, 0%) scale(1)"}


def test_a_click_enlarges_a_panel_and_a_slider_lays_it_over_the_photograph(page):
    frame(page, "gradcam").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Grad-CAM for zebra")
    canvas = dialog.locator("canvas[role=img]")
    assert canvas.bounding_box()["height"] > 550
    dialog.get_by_label("How much of the pictures").fill("0.25")
    assert canvas.evaluate("canvas => canvas.style.clipPath") == "inset(0px 75% 0px 0px)"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(frame(page, "gradcam")).to_be_focused()
    assert page.locator(".panel:visible").count() == 6


def test_the_browsers_way_back_closes_the_enlarged_panel(page):
    page.wait_for_url("**target=zebra**")
    shown = page.url
    page.evaluate("window.wentBack = 0; addEventListener('popstate', () => window.wentBack++)")
    leaving = (page.go_back, lambda: page.keyboard.press("Escape"), page.go_back)
    for number, leave in enumerate(leaving, start=1):
        frame(page, "gradcam").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        leave()
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page).to_have_url(shown)
        page.wait_for_function("number => window.wentBack === number", arg=number)  # the dialog's entry is left
    page.go_forward()
    frame(page, "gradcam").click()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.url == shown
    says(page, "zebra, ")


def test_a_row_that_comes_while_a_panel_is_enlarged(page):
    frame(page, "gradcam").click()
    page.evaluate("document.querySelectorAll('#classification-top .pick')[2].click()")
    says(page, "tusker, ")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(re.compile("target=tusker"))
    frame(page, "gradcam").click()
    expect(page.get_by_role("dialog")).to_contain_text("Grad-CAM for tusker")


def test_pictures_that_could_not_be_drawn_are_drawn_when_they_come_again(page):
    page.route("**/photograph.jpg", lambda route: route.abort())
    take(page, "dog")
    says(page, "The pictures could not be drawn")
    page.unroute("**/photograph.jpg")
    page.locator("#classification-top .pick").first.click()
    says(page, "German shepherd, ")


def test_a_name_from_the_list_is_explained_at_once_and_a_corrected_word_is_not(page):
    box = page.get_by_label("Another class")
    replace = "(box, text) => { box.value = text; box.dispatchEvent(new InputEvent('input', { inputType })); }"
    replace = replace.replace("inputType", "inputType: 'insertReplacementText'")
    box.evaluate(replace, "German")
    expect(box).to_have_value("German")
    box.evaluate(replace, "German shepherd")
    says(page, "German shepherd, ")
    expect(box).to_have_value("")


def test_a_panel_and_a_row_are_saved(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Save Guided Grad-CAM for zebra").click()
    assert download.value.suggested_filename == "zebra_guided_gradcam.png"
    assert np.array_equal(np.asarray(Image.open(download.value.path()).convert("RGB")), drawn(page)[2])
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this row as one picture").nth(1).click()
    assert download.value.suggested_filename == "African_elephant.png"
    row = np.asarray(Image.open(download.value.path()).convert("RGB"))
    assert row.shape[1] == 3 * 640 + 4 * 16
    assert np.array_equal(row[50:530, 16:656], drawn(page, 1)[0])


def test_the_examples_are_one_stop_for_the_keyboard_and_another_one_takes_the_comparison_away(page):
    page.locator("#examples .pick").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    says(page, "German shepherd, ")
    expect(page.locator(".panel-row:visible")).to_have_count(1)  # the comparison is taken away
    expect(page.locator("#examples [data-key=dog]")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("!document.querySelector('#examples').contains(document.activeElement)")


def test_the_image_stays_itself_where_there_is_no_evidence_unless_opacity_is_uniform(page, grid):
    photo = np.asarray(Image.open(EXAMPLES / "zebra_elephant.jpg")).astype(int)
    heat = Image.fromarray(grid.astype(np.float32)).resize(photo.shape[1::-1])
    empty, full = (np.asarray(heat) < 0.01 * heat.getextrema()[1]), (np.asarray(heat) > 0.9 * heat.getextrema()[1])
    assert empty.mean() > 0.2
    by_value = np.abs(drawn(page)[1] - photo).mean(2)
    page.get_by_label("uniform, as in the paper").locator("visible=true").check()
    expect(page.get_by_label("Opacity of the map").locator("visible=true")).to_have_value("0.5")
    uniform = np.abs(drawn(page)[1] - photo).mean(2)
    assert by_value[empty].mean() < 3  # what JPEG makes of the photograph
    assert min(by_value[full].mean(), uniform[empty].mean(), uniform[full].mean()) > 20


def test_live_ends_with_the_network_and_by_the_browsers_way_back(page):
    page.get_by_role("button", name="Camera (live)").click()
    dialog = page.get_by_role("dialog", name="Live")
    expect(dialog.locator(".pick")).to_have_count(5)
    page.context.set_offline(True)
    expect(dialog.get_by_role("alert")).to_contain_text("There is no network")
    page.context.set_offline(False)
    page.go_back()
    expect(dialog).to_be_hidden()
    says(page, "zebra, ")


def test_without_a_camera_nothing_can_be_kept(page):
    page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error("Requested device not found"));
    }""")
    page.get_by_role("button", name="Camera (live)").click()
    dialog = page.get_by_role("dialog", name="Live")
    expect(dialog.get_by_role("alert")).to_contain_text("There is no camera")
    expect(dialog.locator("canvas")).to_be_hidden()
    expect(dialog.get_by_role("button")).to_have_text(["Close"])
    assert dialog.bounding_box()["height"] < 200
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    page.evaluate("delete navigator.mediaDevices.getUserMedia")


def test_live_the_camera_shows_where_its_classes_are_seen(page):
    """The film is the zebra and the elephant: the map of the chosen one lies over it."""
    page.get_by_role("button", name="Camera (live)").click()
    live = page.get_by_role("dialog", name="Live")
    expect(live.locator(".pick")).to_have_count(5)
    expect(live).to_contain_text("African elephant")

    # The column of the strongest colour, in percent, lies there: yellow is green and little blue.
    brightest_between = """([near, far]) => {
      const canvas = document.querySelector("dialog.live canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let best = [-1000, 0];
      for (let at = 0; at < data.length; at += 4) {
        const strength = data[at] + data[at + 1] - 2 * data[at + 2];
        if (strength > best[0]) best = [strength, (at / 4) % canvas.width];
      }
      const column = (100 * best[1]) / canvas.width;
      return near <= column && column <= far;
    }"""
    for name, near, far in (("zebra", 0, 50), ("African elephant", 50, 100)):
        live.locator(".pick", has_text=name).click()
        expect(live.locator("[aria-pressed=true]")).to_contain_text(name)
        page.wait_for_function(brightest_between, arg=[near, far])
    page.get_by_role("button", name="Keep this one").click()
    expect(live).to_be_hidden()
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile("camera"))
    says(page, "Grad-CAM in the")


def test_a_photograph_is_pasted_or_dropped_anywhere(page):
    give = """async ([kind, url]) => {
      const transfer = new DataTransfer();
      const blob = await (await fetch(url)).blob();
      transfer.items.add(new File([blob], "mine.jpg", { type: "image/jpeg" }));
      const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
        : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
      document.querySelector("h1").dispatchEvent(event);
    }"""
    for kind, example, said in (("paste", "coffee", "espresso"), ("drop", "cat", "Egyptian cat")):
        data = base64.b64encode((EXAMPLES / f"{example}.jpg").read_bytes()).decode()
        page.evaluate(give, [kind, f"data:image/jpeg;base64,{data}"])
        says(page, f"{said}, ")


def test_a_marked_region_says_what_it_speaks_for(page):
    page.get_by_role("button", name="Select a region: which classes").locator("visible=true").click()
    frame(page, "gradcam").scroll_into_view_if_needed()
    box = frame(page, "gradcam").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.02, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.95, steps=4)
    page.mouse.up()
    expect(page.locator(".hint:visible")).to_contain_text("Drag over a panel to select a region.")
    said = page.get_by_role("group", name="Supported by the selected region").locator("visible=true")
    expect(said.locator(".name").first).to_have_text("zebra")
    expect(page.locator(".edge:visible")).to_have_count(6)
    expect(page.get_by_role("dialog")).to_have_count(0)

    # By keyboard: from the middle to the right and down.
    frame(page, "gradcam").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".edge:visible")).to_have_count(0)
    expect(said.locator(".pick")).to_have_count(0)
    page.keyboard.press(" ")
    for key in ("ArrowRight",) * 7 + ("ArrowDown",) * 4:
        page.keyboard.press(f"Shift+{key}")
    page.keyboard.press(" ")
    expect(said.locator(".name").first).to_have_text(re.compile("elephant|tusker"))
    said.locator(".pick").first.click()
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    expect(said.locator(".pick").first).to_have_attribute("aria-pressed", "true")
    said.locator(".add").nth(1).click()
    expect(page.locator(".panel-row:visible")).to_have_count(2)
    share = said.locator(".detail").first.inner_text()
    assert 0 < int(share.removesuffix("% of its evidence")) <= 100
    page.get_by_role("button", name="Select a region: which classes").locator("visible=true").click()
    expect(page.locator(".edge:visible")).to_have_count(0)  # the region goes with the mode
    expect(said.locator(".pick")).to_have_count(0)
    expect(page.locator(".hint:visible")).to_have_count(0)


def test_methods_are_offered_above_the_panels_and_the_page_moves_to_what_is_chosen(page):
    compare(page)
    fold = page.locator(".compare:visible")
    assert fold.bounding_box()["y"] < frame(page, "gradcam").bounding_box()["y"]
    assert [
        group.get_attribute("aria-label")
        for group in fold.get_by_role("group").all()
        if group.get_attribute("aria-label")
    ] == ["In the paper", "Newer", "Slow"]
    expect(fold.get_by_text("Score-CAM")).to_have_attribute("title", re.compile("a forward pass for each map"))
    expect(fold.get_by_text("Attention")).to_be_hidden()
    box = fold.get_by_role("checkbox", name="Grad-CAM++", exact=True)
    box.focus()
    page.keyboard.press(" ")
    expect(frame(page, "gradcam_plus_plus")).to_be_in_viewport(ratio=0.9)
    expect(box).to_be_focused()
    box.uncheck()
    expect(page.locator("[data-panel=gradcam_plus_plus]:visible")).to_have_count(0)


def test_arrows_pass_what_cannot_be_taken_away(page):
    page.locator("#classification-top .pick").first.click()
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    page.locator("#classification-top .pick").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Put beside the others: African elephant")).to_be_focused()


def test_a_dear_column_says_its_price_can_be_stopped_and_holds_up_no_other(page):
    page.locator("#classification-top .pick").first.click()
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    compare(page, "Occlusion", "Contrastive excitation (c-MWP)", "Grad-CAM without ReLU")
    occlusion = page.locator("[data-panel=occlusion]:visible")
    expect(occlusion.first).to_contain_text("49 forward passes, about")
    expect(page.locator("[data-panel=c_mwp] canvas[role=img]:visible")).to_have_count(1)
    expect(page.locator("[data-panel=c_mwp]:visible").first).to_contain_text("times as long as Grad-CAM")
    occlusion.first.get_by_role("button", name="Start").click()
    expect(occlusion.first).to_contain_text(re.compile(r"\d+ of 49 forward passes"))
    occlusion.first.get_by_role("button", name="Stop").click()
    expect(occlusion.first.get_by_role("button", name="Start")).to_be_visible()
    occlusion.first.get_by_role("button", name="Start").click()
    frame(page, "c_mwp").focus()
    page.keyboard.press("ArrowRight")  # what is there can be used meanwhile
    expect(page.locator("[data-panel=c_mwp] .mark:visible")).to_have_count(1)
    expect(occlusion.locator("canvas[role=img]")).to_have_count(1, timeout=120_000)
    # A signed map is drawn in two colours, as the server does it.
    coarse = coarseness(page, EXAMPLES / "zebra_elephant.jpg")
    pictures = zipped(page)
    assert len(pictures) == 6
    for seen, sent in zip(drawn(page), pictures, strict=True):
        assert (np.abs(seen - sent) <= 2 + coarse).mean() > 0.99


def test_methods_that_are_ticked_one_after_another_are_all_shown(page):
    page.locator("#classification-top .pick").first.click()
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    compare(page)
    boxes = page.get_by_role("checkbox").locator("visible=true").locator("xpath=self::*[ancestor::details]")
    for box in boxes.all()[:11]:  # all but the slow ones
        box.evaluate("box => box.click()")
        page.wait_for_timeout(100)  # as fast as somebody ticks, while what was ticked before is on its way
    expect(page.locator(".panel:visible")).to_have_count(14)
    expect(page.locator(".panel.late:visible")).to_have_count(0)


def test_a_column_is_there_again_when_the_tab_is_opened_again(page):
    compare(page, "CAM")
    expect(page.locator("[data-panel=cam] canvas[role=img]:visible")).to_have_count(2)
    turn_to(page, "Captioning")
    turn_to(page, "Classification")
    expect(page.locator("[data-panel=cam] canvas[role=img]:visible")).to_have_count(2)
    page.get_by_text("All layers, settings").locator("visible=true").click()
    page.get_by_label("Show Grad-CAM at all layers of the network").locator("visible=true").check()
    expect(page.locator(".choices.pictures .pick:visible")).not_to_have_count(0)
    expect(page.locator("[data-panel=cam] canvas[role=img]:visible")).to_have_count(2)


def test_something_else_ends_what_is_computed(page):
    compare(page, "Score-CAM")
    column = page.locator("[data-panel=score_cam]:visible")
    expect(column.first).to_contain_text("4,096 forward passes")
    column.first.get_by_role("button", name="Start").click()
    expect(column.first).to_contain_text("of 4,096 forward passes")
    page.locator("#classification-top .pick").nth(2).click()
    says(page, "tusker, ")
    expect(column.first).to_contain_text("2,048 forward passes, about")
    page.get_by_role("checkbox", name="CAM", exact=True).locator("visible=true").check()
    expect(page.locator("[data-panel=cam]:visible")).to_contain_text(
        "It is the same as Grad-CAM, each divided by its maximum"
    )
    turn_to(page, "Question answering")
    compare(page, "CAM")
    expect(page.locator("[data-panel=cam]:visible").first).to_contain_text("There is no CAM here")


def test_the_box_around_the_evidence(page):
    box = frame(page, "gradcam").locator(".box")
    expect(box).to_be_hidden()
    page.get_by_role("button", name="Box around the evidence").locator("visible=true").click()
    expect(box).to_be_visible()
    says(page, "x 0 to 345, y 216 to 433 of 640 × 480 pixels")
    stage = frame(page, "gradcam").locator(".stage").bounding_box()
    drawn_box = box.bounding_box()
    assert drawn_box["width"] / stage["width"] == pytest.approx(345 / 640, abs=0.02)
    assert (drawn_box["y"] - stage["y"]) / stage["height"] == pytest.approx(216 / 480, abs=0.02)
