"""Markup in anything that a user types or links to is shown as text; `test_model_choice.py` has the host's names."""

from urllib.parse import quote

import pytest
from helpers import MARKUP, answered, assert_unhurt, name_another, says, take

ALL = " ".join(MARKUP[1:])  # no more than the page shows of a name


def test_typed(page):
    for markup in (MARKUP[0], ALL):
        name_another(page, markup, beside=True)
        says(page, f"no class “{markup}”")
    page.get_by_role("tab", name="Question answering").click()
    says(page, "as the answer to")
    for markup in (MARKUP[0], ALL):
        name_another(page, markup)
        says(page, f"no answer “{markup}”")
    take(page, "cow")  # for which alone the caption is kept
    page.get_by_role("tab", name="Captioning").click()
    says(page, "Grad-CAM in the")
    page.locator("#caption textarea").fill(f"a cow {MARKUP[0]} {ALL}")
    page.keyboard.press("Enter")
    says(page, "does not know “")
    assert_unhurt(page)


@pytest.mark.parametrize(
    ("task", "broken"),
    [
        ("classification", ("target",)),
        ("captioning", ("text", "target")),
        ("vqa", ("text", "target")),
        ("classification", ("photo", "model", "layer", "target")),
    ],
)
def test_in_the_address(blank, server, task, broken):
    page, value = blank, quote(" ".join(MARKUP))
    fields = {"photo": "cat", "task": task} | dict.fromkeys(broken, value)
    with answered(page):
        page.goto(f"{server}?{'&'.join(f'{name}={value}' for name, value in fields.items())}")
        page.locator(".panel-row .sentence:visible, .rows .note:visible").first.wait_for()
    assert_unhurt(page)
