"""The address of the page: it shows what is seen, to whoever opens it."""

import re
from types import SimpleNamespace

import pytest
from helpers import answered, drawn, name_another, says, take
from playwright.sync_api import Page, expect

from demo.tabs.links import linked_task, warn


def again(page: Page) -> Page:
    """Another page, opened at the same address."""
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    return page


def test_classes_beside_each_other_in_another_layer(new_page):
    page = new_page
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


def test_a_caption_and_one_of_its_words_and_then_the_first_example(blank, server):
    page = blank
    page.goto(f"{server}?photo=dog&task=captioning&text=a+dog+on+a+bench&target=1&target=4")
    says(page, "dog, ")
    says(page, "bench, ", row=1)
    expect(page.locator("#caption textarea")).to_have_value("a dog on a bench")
    expect(page.locator("#words .pick")).to_have_count(6)
    again(page)
    says(page, "bench, ", row=1)
    take(page, "zebra_elephant")  # which no longer is what the page opens with
    expect(page).to_have_url(re.compile("photo=zebra_elephant"))
    page.get_by_role("tab", name="Classification").click()
    says(page, "zebra, ")


def test_a_question_and_two_answers_and_the_address_is_that_of_the_tab_that_is_open(page):
    page.get_by_role("tab", name="Question answering").click()
    expect(page.locator(".panel-row:visible").first).to_be_visible()
    page.locator("#question textarea").fill("Where is the zebra?")
    page.keyboard.press("Enter")
    says(page, "“Where is the zebra?”")
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    page.locator("#vqa-top .add").nth(1).click()
    expect(page.locator(".panel-row:visible")).to_have_count(2)
    says(page, "Both rows share one scale", row=1)
    sentences = page.locator(".sentence:visible").all_inner_texts()
    expect(page).to_have_url(re.compile(r"task=vqa.*text=Where.*target=.*target="))
    with answered(page):
        again(page)
        expect(page.locator(".panel-row:visible")).to_have_count(2)
    assert page.locator(".sentence:visible").all_inner_texts() == sentences
    expect(page.locator("#question textarea")).to_have_value("Where is the zebra?")
    expect(page).to_have_url(re.compile("task=vqa.*text=Where"))
    page.get_by_role("tab", name="Classification").click()
    says(page, "zebra, ")
    expect(page).to_have_url(re.compile("task=classification"))
    page.get_by_role("tab", name="Question answering").click()
    expect(page).to_have_url(re.compile("task=vqa.*text=Where"))


def test_an_address_of_nonsense_opens_the_page_with_a_sentence(blank, server):
    page = blank
    page.goto(f"{server}?photo=../../secret&task=classification&model=<b>&target=<script>alert(1)</script>")
    says(page, "has no class “<script>alert(1)</script>”")
    expect(page.get_by_text("The link refers to an image that does not exist")).to_be_visible()
    expect(page.get_by_text("The link refers to a model that is not on this server")).to_be_visible()
    page.goto(f"{server}?photo=cat&task=classification&layer=layer9&target=tabby&target=tabby&target=lynx")
    says(page, "tabby, ")
    says(page, "lynx, ", row=1)
    expect(page.locator(".panel-row:visible")).to_have_count(2)
    expect(page.get_by_text("does not have the layer that the link refers to: this is layer4")).to_have_count(1)


def test_an_address_of_a_tab_that_does_not_exist_is_said():
    asked = SimpleNamespace(query_params={"photo": "cat", "task": "nothing"})
    assert linked_task(asked) is None
    with pytest.warns(UserWarning, match="The link refers to a tab that does not exist"):
        warn(asked)
