"""The address of the page: it shows what is seen, to whoever opens it."""

import re

import pytest
from helpers import drawn, name_another, says, take
from playwright.sync_api import Page, expect


@pytest.fixture
def page(blank: Page) -> Page:
    """A page that is still to be opened."""
    return blank


def again(page: Page) -> Page:
    """Another page, opened at the same address."""
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    return page


def test_classes_beside_each_other(page, server):
    page.goto(server)
    says(page, "African elephant, ", row=1)
    take(page, "sea_lion_flamingo")
    says(page, "sea lion, ")
    expect(page).to_have_url(re.compile("photo=sea_lion_flamingo"))
    name_another(page, "flamingo", beside=True)
    says(page, "flamingo, ", row=1)
    page.get_by_text("Model and layer").locator("visible=true").click()
    page.get_by_role("combobox", name="Layer").locator("visible=true").click()
    page.get_by_role("option", name="layer3", exact=True).click()
    says(page, "cells of layer3", row=1)
    expect(page).to_have_url(re.compile("layer=layer3"))
    before = drawn(page) + drawn(page, 1)
    again(page)
    says(page, "flamingo, ", row=1)
    says(page, "cells of layer3")
    assert all((a == b).all() for a, b in zip(before, drawn(page) + drawn(page, 1), strict=True))


def test_a_caption_and_one_of_its_words(page, server):
    page.goto(f"{server}?photo=dog&task=captioning&text=a+dog+on+a+bench&target=1&target=4")
    says(page, "dog, ")
    says(page, "bench, ", row=1)
    expect(page.locator("#caption textarea")).to_have_value("a dog on a bench")
    expect(page.locator("#words .pick")).to_have_count(6)
    again(page)
    says(page, "bench, ", row=1)


def test_a_question_and_two_answers(page, server):
    page.goto(server)
    says(page, "African elephant, ", row=1)
    page.get_by_role("tab", name="Question answering").click()
    says(page, "as the answer to “What animal is this?”", row=1)
    page.locator("#question textarea").fill("What animal is it?")
    page.keyboard.press("Enter")
    says(page, "“What animal is it?”")
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    page.locator("#vqa-top .add").nth(1).click()
    expect(page.locator(".panel-row:visible")).to_have_count(2)
    says(page, "Both rows share one scale", row=1)
    sentences = page.locator(".sentence:visible").all_inner_texts()
    expect(page).to_have_url(re.compile(r"text=What\+animal"))
    again(page)
    expect(page.locator(".panel-row:visible")).to_have_count(2)
    assert page.locator(".sentence:visible").all_inner_texts() == sentences
    expect(page.locator("#question textarea")).to_have_value("What animal is it?")


def test_an_address_of_nonsense_opens_the_page_with_a_sentence(page, server):
    page.goto(f"{server}?photo=../../secret&task=classification&model=<b>&target=<script>alert(1)</script>")
    says(page, "has no class “<script>alert(1)</script>”")
    expect(page.get_by_text("The link refers to an image that does not exist")).to_be_visible()
    expect(page.get_by_text("The link refers to a model that is not on this server")).to_be_visible()
    page.goto(f"{server}?photo=cat&task=nothing")
    says(page, "Egyptian cat, ")
    expect(page.get_by_text("The link refers to a tab that does not exist")).to_be_visible()
    page.goto(f"{server}?photo=cat&task=classification&layer=layer9&target=tabby&target=tabby&target=lynx")
    says(page, "tabby, ")
    expect(page.get_by_text("does not have the layer that the link refers to: this is layer4")).to_be_visible()
    says(page, "lynx, ", row=1)


def test_the_address_is_that_of_the_tab_that_is_open(page, server):
    page.goto(f"{server}?photo=zebra_elephant&task=vqa&text=Where+is+the+zebra%3F")
    says(page, "“Where is the zebra?”")
    page.wait_for_timeout(1500)
    expect(page).to_have_url(re.compile("task=vqa"))
    page.get_by_role("tab", name="Classification").click()
    says(page, "zebra, ")
    expect(page).to_have_url(re.compile("task=classification"))
    page.get_by_role("tab", name="Question answering").click()
    expect(page).to_have_url(re.compile("task=vqa.*text=Where"))


def test_the_first_example_is_looked_at_wherever_the_page_was_opened(page, server):
    page.goto(f"{server}?photo=cat&task=captioning")
    says(page, "cat is looking at the camera, ")
    take(page, "zebra_elephant")
    expect(page).to_have_url(re.compile("photo=zebra_elephant"))
    page.get_by_role("tab", name="Classification").click()
    says(page, "zebra, ")
