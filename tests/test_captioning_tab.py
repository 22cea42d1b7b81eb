"""The Captioning tab, in a browser and by its endpoints."""

import re
import zipfile

import numpy as np
import pytest
from gradio_client import Client, handle_file
from helpers import EXAMPLES, answered, differ, drawn, says, take
from PIL import Image
from playwright.sync_api import Page, expect

ZEBRA = handle_file(EXAMPLES / "zebra_elephant.jpg")


@pytest.fixture(scope="module")
def client(server, tmp_path_factory) -> Client:
    return Client(server, verbose=False, download_files=str(tmp_path_factory.mktemp("files")))


def test_caption(client):
    said = client.predict(ZEBRA, "", api_name="/caption")
    assert set(said.split()) & {"zebra", "zebras", "elephant", "elephants"}


def test_the_scores_of_the_words_add_up_to_that_of_the_caption(client):
    caption = "a zebra standing in the grass"
    scores = [
        client.predict(ZEBRA, caption, word, "", "", api_name="/explain_caption")[-1]["score"] for word in range(-1, 6)
    ]
    assert scores[0] == pytest.approx(sum(scores[1:]), rel=1e-3)
    assert max(scores) < 0


def test_the_panels_of_a_word(client):
    *paths, details = client.predict(ZEBRA, "a zebra", 1, "", "layer3", api_name="/explain_caption")
    assert [np.asarray(Image.open(path)).shape for path in paths] == [(480, 640, 3)] * 3
    assert (details["task"], details["target"], details["layer"]) == ("captioning", "zebra", "layer3")
    assert (details["caption"], details["word"]) == ("a zebra", 1)
    assert details["probability"] == pytest.approx(np.exp(details["score"]))


def test_the_caption_is_reported_as_it_was_read(client):
    given = "  A zebra... « » " + "!" * 10_000
    details = client.predict(ZEBRA, given, -1, "", "", api_name="/explain_caption")[-1]
    assert details["target"] == details["caption"] == "a zebra"


@pytest.fixture
def tab(page) -> Page:
    """The tab with the dog, and its caption."""
    page.get_by_role("tab", name="Captioning").click()
    caption = page.locator("#caption textarea")
    take(page, "dog")
    expect(page).to_have_url(re.compile("photo=dog"))
    with answered(page):
        take(page, "dog")  # chosen again, it forgets the caption that was typed for it
    expect(caption).to_have_value(re.compile("shepherd"))
    says(page, f"{caption.input_value()}, ")
    expect(page.locator("#words .pick").first).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    return page


def test_what_the_tab_opens_with_gives_way_to_an_image_that_somebody_chose(new_page):
    page = new_page
    photo = page.locator("#photo img")
    page.get_by_role("tab", name="Captioning").click()
    says(page, "man, ")
    says(page, "tripod, ", row=1)
    expect(photo).to_have_attribute("src", re.compile("camera"))
    expect(page).to_have_url(re.compile("photo=camera"))
    page.reload()  # with an address that nobody chose
    says(page, "tripod, ", row=1)
    page.get_by_role("tab", name="Question answering").click()
    says(page, "elephant, ", row=1)
    expect(photo).to_have_attribute("src", re.compile("zebra_elephant"))
    take(page, "zebra_elephant")
    page.get_by_role("tab", name="Captioning").click()
    expect(page.locator("#caption textarea")).to_have_value(re.compile("zebra"))
    expect(photo).to_have_attribute("src", re.compile("zebra_elephant"))
    page.locator("#other-caption .pick").click()
    says(page, "a zebra and an elephant standing in a field, ")
    expect(page.locator("#caption textarea")).to_have_value("a zebra and an elephant standing in a field")


def test_an_image_that_somebody_worked_on_stays_with_what_was_picked(page):
    page.locator("#classification-top .pick").nth(2).click()
    says(page, "tusker, ")
    page.get_by_role("tab", name="Captioning").click()
    expect(page.locator("#caption textarea")).to_have_value(re.compile("zebra"))
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile("zebra_elephant"))
    page.get_by_role("tab", name="Classification").click()
    says(page, "tusker, ")


def test_words_alternatives_and_other_sentences_can_be_explained(tab):
    spoken = tab.locator("#caption textarea").input_value().split()
    expect(tab.locator("#words .pick")).to_have_count(len(spoken) + 1)
    tab.locator("#words .pick").nth(2).click()
    says(tab, f"{spoken[1]}, ")

    second = tab.locator("#beam .name").nth(1).inner_text()
    tab.locator("#beam .pick").nth(1).click()
    says(tab, f"{second}, ")
    expect(tab.locator("#caption textarea")).to_have_value(second)

    tab.locator("#caption textarea").fill("A cat!")
    tab.keyboard.press("Enter")
    says(tab, "a cat, ")
    expect(tab.locator("#words .pick")).to_have_count(3)

    tab.locator("#caption textarea").fill("a catt")
    tab.keyboard.press("Enter")
    says(tab, "does not know “catt” (nearest: cat")


def set_layer(page: Page, name: str) -> None:
    page.get_by_role("combobox", name="Layer").locator("visible=true").click()
    page.get_by_role("option", name=name, exact=True).click()


def marked(page: Page) -> list[int]:
    """The indices of the highlighted pictures of the strip."""
    buttons = page.locator("#words .pick").all()
    return [index for index, button in enumerate(buttons) if button.get_attribute("aria-pressed") == "true"]


def test_the_highlighted_word_is_the_explained_one(tab):
    expect(tab.locator("#words [aria-pressed=true]")).to_have_count(1)
    assert marked(tab) == [0]
    spoken = tab.locator("#caption textarea").input_value().split()
    tab.locator("#caption textarea").fill("a sentence that is not sent yet")
    tab.locator("#words .pick").nth(2).click()
    says(tab, f"{spoken[1]}, ")

    tab.get_by_text("Model and layer").locator("visible=true").click()
    set_layer(tab, "layer3")
    says(tab, "layer3")
    says(tab, f"{spoken[1]}, ")
    assert marked(tab) == [2]

    tab.locator("#caption textarea").fill("a dog on a bench")
    tab.keyboard.press("Enter")
    says(tab, "a dog on a bench, ")
    expect(tab.locator("#words .pick")).to_have_count(6)
    assert marked(tab) == [0]
    expect(tab.locator("#beam [aria-pressed=true]")).to_have_count(0)


def test_a_long_word_stays_on_the_page(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("tab", name="Captioning").click()
    expect(page.locator("#caption textarea")).not_to_have_value("")
    page.locator("#caption textarea").fill("x" * 300)
    page.keyboard.press("Enter")
    says(page, "does not know “xxx")
    assert page.locator(".note:visible").evaluate("said => said.scrollWidth <= said.clientWidth")


def test_each_tab_answers_for_the_photograph_when_it_is_turned_to(tab):
    before = tab.locator("#caption textarea").input_value()
    take(tab, "cat")
    expect(tab.locator("#caption textarea")).not_to_have_value(before)
    tab.get_by_role("tab", name="Classification").click()
    says(tab, "Egyptian cat, ")
    caption = tab.locator("#caption textarea").input_value()
    with answered(tab):  # and the tab that nobody sees asks nothing
        take(tab, "dog")
        says(tab, "German shepherd, ")
    assert tab.locator("#caption textarea").input_value() == caption
    tab.get_by_role("tab", name="Captioning").click()
    expect(tab.locator("#caption textarea")).to_have_value(before)
    says(tab, f"{before}, ")


def test_words_and_captions_beside_each_other(tab):
    tab.locator("#words .add").nth(3).click()
    spoken = tab.locator("#words .name").nth(3).inner_text()
    says(tab, f"{spoken}, ", row=1)
    tab.locator("#beam .add").nth(1).click()
    says(tab, f"{tab.locator('#beam .name').nth(1).inner_text()}, ", row=2)
    says(tab, "All rows share one scale")
    tab.locator("#words .add").nth(0).click()
    says(tab, f"{spoken}, ")
    expect(tab.locator(".panel-row:visible")).to_have_count(2)


def test_colours_hold_in_all_tabs(tab):
    before = drawn(tab)
    tab.get_by_role("tab", name="Classification").click()
    tab.get_by_label("Colours of the map").locator("visible=true").select_option("jet")
    tab.get_by_role("tab", name="Captioning").click()
    assert differ(before, drawn(tab)) == [False, True, False]


def test_a_word_that_is_there_twice_is_told_apart_and_saved_twice(tab):
    tab.locator("#caption textarea").fill("a zebra and a cat")
    tab.keyboard.press("Enter")
    expect(tab.locator("#words .pick")).to_have_count(6)
    tab.locator("#words .pick").nth(1).click()
    says(tab, "; word 1 of “a zebra and a cat”.")
    tab.locator("#words .add").nth(4).click()
    says(tab, "; word 4 of “a zebra and a cat”.", row=1)
    with tab.expect_download() as download:
        tab.get_by_text("Download all panels").locator("visible=true").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len({archive.read(name) for name in archive.namelist()}) == 7
