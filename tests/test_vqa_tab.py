"""The Question answering tab, in a browser and by its endpoints."""

import re

import numpy as np
import pytest
from gradio_client import Client, handle_file
from helpers import EXAMPLES, answered, differ, drawn, name_another, says, take
from PIL import Image
from playwright.sync_api import Page, expect

DOG = handle_file(EXAMPLES / "dog.jpg")


@pytest.fixture(scope="module")
def client(server, tmp_path_factory) -> Client:
    return Client(server, verbose=False, download_files=str(tmp_path_factory.mktemp("files")))


def test_answer(client):
    label = client.predict(DOG, "What animal is this?", "", api_name="/answer")
    assert label["label"] == "dog"
    assert len(label["confidences"]) == 5


def test_the_panels_of_an_answer(client):
    *paths, details = client.predict(DOG, "What animal is this?", "Horse", "", "layer3", api_name="/explain_answer")
    assert [Image.open(path).size for path in paths] == [(640, 480)] * 3
    assert len({np.asarray(Image.open(path)).tobytes() for path in paths}) == 3
    assert (details["task"], details["target"], details["layer"]) == ("vqa", "horse", "layer3")
    assert (details["question"], details["ignored"]) == ("What animal is this?", [])
    assert 0 < details["probability"] < 0.5


def test_an_empty_answer_is_the_networks_own(client):
    details = client.predict(DOG, "What animal is this?", "", "", "", api_name="/explain_answer")[-1]
    assert (details["target"], details["layer"]) == ("dog", "layer4")


@pytest.fixture
def tab(page) -> Page:
    """As it opens: with its example, chosen again because of what another test left here."""
    with answered(page):
        page.get_by_role("tab", name="Question answering").click()
        expect(page.locator(".panel-row:visible").first).to_be_visible()
    with answered(page):
        take(page, "zebra_elephant")
    expect(page.locator("#question textarea")).to_have_value("What animal is this?")
    says(page, "elephant, ", row=1)
    return page


def ask(page: Page, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.keyboard.press("Enter")


def test_a_question_and_other_answers_to_it(tab):
    ask(tab, "Where is the elephant?")
    says(tab, "as the answer to “Where is the elephant?”")
    before = drawn(tab)
    second = tab.locator("#vqa-top .pick").nth(1).locator(".name").inner_text()
    tab.locator("#vqa-top .pick").nth(1).click()
    says(tab, f"{second}, ")
    assert all(differ(before, drawn(tab)))

    box = tab.get_by_label("Another answer")
    box.fill("beach")
    box.press("Enter")
    says(tab, "beach, ")
    box.fill("beech tree")
    box.press("Enter")
    says(tab, "has no answer “beech tree”. Did you mean")


def test_two_answers_on_one_scale(tab):
    ask(tab, "What animal is it?")
    says(tab, "“What animal is it?”")
    name_another(tab, "cow", beside=True)
    says(tab, "cow, ", row=1)
    says(tab, "Both rows share one scale", row=1)


def test_unknown_words_are_shown_as_ignored_and_harm_nothing(tab):
    ask(tab, "What is the <b>qwertz</b> elephant doing?")
    expect(tab.locator("#ignored")).to_contain_text("“qwertz”")
    says(tab, "“What is the <b>qwertz</b> elephant doing?”")
    ask(tab, "What is the elephant doing?")
    says(tab, "“What is the elephant doing?”")
    expect(tab.locator("#ignored")).to_be_hidden()


def test_injected_html_stays_text(tab):
    ask(tab, "what is <img src=x onerror=alert(1)> this")
    says(tab, "“what is <img src=x onerror=alert(1)> this”")
    ask(tab, "<script>alert()</script>")
    says(tab, "knows no word of this question")
    says(tab, "onerror=alert(1)> this”", row=1)  # what was asked before stays below


def test_a_suggested_question_by_click(tab):
    choices = tab.locator("#suggested .pick")
    question = choices.nth(1).inner_text().strip()
    choices.nth(1).click()
    says(tab, f"as the answer to “{question}”")
    says(tab, f"{tab.locator('#vqa-top .name').first.inner_text()}, ")
    expect(tab.locator(".panel-row:visible")).to_have_count(1)
    expect(tab.locator("#question textarea")).to_have_value(question)


def test_the_opening_has_a_scale_for_each_row_and_its_example_chosen_again_opens_so(new_page):
    tab = new_page
    tab.get_by_role("tab", name="Question answering").click()
    says(tab, "zebra, ")
    says(tab, "Each row has its own scale", row=1)
    own = tab.get_by_label("each row on its own scale").locator("visible=true")
    expect(own).to_be_checked()
    own.uncheck()
    says(tab, "Both rows share one scale", row=1)
    ask(tab, "Where is the elephant?")
    says(tab, "“Where is the elephant?”")
    take(tab, "zebra_elephant")
    says(tab, "elephant, ", row=1)


def test_a_typed_question_is_asked_of_the_next_photograph_and_a_suggested_one_is_not(tab):
    tab.locator("#suggested .pick").nth(0).click()
    says(tab, "as the answer to “What animal is this?”")
    take(tab, "coffee")
    expect(tab.locator("#photo img")).to_have_attribute("src", re.compile("coffee"))
    says(tab, "as the answer to “Is there a")
    expect(tab.locator("#suggested")).not_to_contain_text("animal")
    ask(tab, "What color is it?")
    says(tab, "“What color is it?”")
    take(tab, "cat")
    expect(tab.locator("#photo img")).to_have_attribute("src", re.compile("cat"))
    says(tab, "“What color is it?”")
    tab.get_by_role("tab", name="Classification").click()
    says(tab, "Egyptian cat, ")
