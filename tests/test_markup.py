"""Markup is shown as text, wherever a stranger can put it; see `test_model_choice.py` for what the host can name."""

from urllib.parse import quote

import pytest
from helpers import MARKUP, assert_unhurt, name_another, says, take

ALL = " ".join(MARKUP[1:])  # no more than the page shows of a name


def test_typed(page):
    name_another(page, ALL, beside=True)
    says(page, f"no class “{ALL}”")
    page.get_by_role("tab", name="Question answering").click()
    says(page, "as the answer to")
    name_another(page, ALL)
    says(page, f"no answer “{ALL}”")
    take(page, "cow")  # for which alone the caption is kept
    page.get_by_role("tab", name="Captioning").click()
    says(page, "Grad-CAM in the")
    page.locator("#caption textarea").fill(f"a cow {ALL}")
    page.keyboard.press("Enter")
    says(page, "does not know “")
    assert_unhurt(page)


@pytest.mark.parametrize("value", [ALL, MARKUP[-1]], ids=["markup", "address"])
def test_in_the_address(blank, server, value):
    value = quote(value)
    task = "captioning" if value == quote(ALL) else "vqa"
    fields = "&".join(f"{name}={value}" for name in ("photo", "model", "layer", "text", "target"))
    blank.goto(f"{server}?task={task}&{fields}")
    blank.locator(".panel-row .sentence:visible, .rows .note:visible").first.wait_for()
    assert_unhurt(blank)
