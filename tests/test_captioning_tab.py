"""The Captioning tab, in a browser and by its endpoints."""

import re
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Page, expect

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
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


@pytest.mark.parametrize(
    ("caption", "word", "message"),
    [
        ("a zebra on the mooon", -1, "does not know “mooon” (nearest:"),
        ("ein Hund läuft", -1, "does not know “ein”"),
        ("🦓", -1, "does not know “🦓”"),
        ("?!", -1, "The caption has no words"),
        ("a dog " * 100, -1, "200 words, more than 50: shorten it"),
        ("a zebra", 2, "The caption has 2 words, counted from 0: there is no word 2"),
        ("a zebra", "first", "“first” is not the index of a word"),
    ],
)
def test_what_cannot_be_explained_gets_a_sentence(client, caption, word, message):
    with pytest.raises(AppError, match=re.escape(message)):
        client.predict(ZEBRA, caption, word, "", "", api_name="/explain_caption")


@pytest.fixture
def tab(browser, server) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(server)
    expect(page.locator(".sentence p").first).to_contain_text("Explaining zebra")
    page.get_by_role("tab", name="Captioning").click()
    expect(page.locator("#caption textarea")).not_to_have_value("")
    says(page, f"Explaining {page.locator('#caption textarea').input_value()}: ")
    yield page
    page.close()


def says(page: Page, sentence: str) -> None:
    expect(page.locator(".sentence p:visible").first).to_contain_text(sentence)


def test_words_alternatives_and_other_sentences_can_be_explained(tab):
    spoken = tab.locator("#caption textarea").input_value().split()
    expect(tab.locator("#words button")).to_have_count(len(spoken) + 1)
    tab.locator("#words button").nth(2).click()
    says(tab, f"Explaining {spoken[1]}: ")

    tab.locator("#beam input").nth(1).check()
    second = tab.locator("#beam label").nth(1).inner_text().rsplit(" (", 1)[0].strip()
    says(tab, f"Explaining {second}: ")
    expect(tab.locator("#caption textarea")).to_have_value(second)

    tab.locator("#caption textarea").fill("A cat!")
    tab.keyboard.press("Enter")
    says(tab, "Explaining a cat: ")
    expect(tab.locator("#words button")).to_have_count(3)

    tab.locator("#caption textarea").fill("a catt")
    tab.keyboard.press("Enter")
    says(tab, "does not know “catt” (nearest: cat")


def marked(page: Page) -> list[int]:
    """The indices of the highlighted pictures of the strip."""
    buttons = page.locator("#words button").all()
    return [index for index, button in enumerate(buttons) if "selected" in button.get_attribute("class")]


def test_of_quick_clicks_the_last_one_stays(tab):
    spoken = tab.locator("#caption textarea").input_value().split()
    for index in (1, 3, 2):
        tab.locator("#words button").nth(index).click()
        tab.wait_for_timeout(250)
    says(tab, f"Explaining {spoken[1]}: ")
    tab.wait_for_timeout(2000)
    says(tab, f"Explaining {spoken[1]}: ")
    assert marked(tab) == [2]


def test_the_highlighted_word_is_the_explained_one(tab):
    assert marked(tab) == [0]
    spoken = tab.locator("#caption textarea").input_value().split()
    tab.locator("#caption textarea").fill("a sentence that is not sent yet")
    tab.locator("#words button").nth(2).click()
    says(tab, f"Explaining {spoken[1]}: ")

    tab.get_by_text("Model and layer").locator("visible=true").click()
    tab.get_by_role("combobox", name="Layer").locator("visible=true").click()
    tab.get_by_role("option", name="layer3", exact=True).click()
    says(tab, "layer3")
    says(tab, f"Explaining {spoken[1]}: ")
    assert marked(tab) == [2]

    tab.locator("#caption textarea").fill("a dog on a bench")
    tab.keyboard.press("Enter")
    says(tab, "Explaining a dog on a bench: ")
    expect(tab.locator("#words button")).to_have_count(6)
    assert marked(tab) == [0]
    assert not any(choice.is_checked() for choice in tab.locator("#beam input").all())


def test_a_long_word_stays_on_the_page(browser, server):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(server)
    page.get_by_role("tab", name="Captioning").click()
    expect(page.locator("#caption textarea")).not_to_have_value("")
    page.locator("#caption textarea").fill("x" * 300)
    page.keyboard.press("Enter")
    says(page, "does not know “xxx")
    assert page.locator(".sentence p:visible").evaluate("said => said.scrollWidth <= said.clientWidth")
    page.close()


def test_the_photograph_stays_and_each_tab_answers_for_it(tab):
    before = tab.locator("#caption textarea").input_value()
    tab.locator("#examples button", has=tab.get_by_alt_text("cat", exact=True)).click()
    expect(tab.locator("#caption textarea")).not_to_have_value(before)
    tab.get_by_role("tab", name="Classification").click()
    says(tab, "Explaining Egyptian cat")
    caption = tab.locator("#caption textarea").input_value()
    tab.get_by_role("tab", name="Captioning").click()
    says(tab, f"Explaining {caption}: ")


def test_a_hidden_tab_is_drawn_when_it_is_turned_to(tab):
    def maps(inside: str):
        panel = tab.locator("[role=tabpanel]", has=tab.locator(inside))
        return panel.locator(".panel img[alt^='Grad-CAM for']").first

    tab.get_by_role("tab", name="Classification").click()
    expect(maps("#classification-top")).to_be_visible()
    sources = {inside: maps(inside).get_attribute("src") for inside in ("#classification-top", "#caption")}
    tab.get_by_text("Colours", exact=True).click()
    tab.get_by_label("as in the paper (jet)").check()
    expect(maps("#classification-top")).not_to_have_attribute("src", sources["#classification-top"])
    tab.wait_for_timeout(1500)
    expect(maps("#caption")).to_have_attribute("src", sources["#caption"])
    tab.get_by_role("tab", name="Captioning").click()
    expect(maps("#caption")).not_to_have_attribute("src", sources["#caption"])
