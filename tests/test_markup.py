"""Markup is shown as text, wherever a stranger or the host can put it; see also `test_links.py`."""

from urllib.parse import quote

import pytest
import torch
from helpers import name_another, says, started
from PIL import Image
from playwright.sync_api import Page, expect
from safetensors.torch import save_file
from torchvision.models import get_model

MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
)
# As values: one that may be an address, and one with all the others, which costs one page.
VALUES = (MARKUP[3], " ".join(MARKUP[:3]))


def unhurt(page: Page) -> None:
    """Nothing of what was typed has become part of the page; `blank` sees dialogs and errors."""
    page.wait_for_timeout(300)
    assert page.locator("[onerror], [src=x], svg[onload], a[href^=javascript]").count() == 0


@pytest.mark.parametrize("markup", VALUES)
def test_typed(new_page, markup):
    page = new_page
    name_another(page, markup, beside=True)
    says(page, f"no class “{markup}”")
    page.get_by_role("tab", name="Captioning").click()
    says(page, "Grad-CAM in the")
    page.locator("#caption textarea").fill(f"a dog {markup}")
    page.keyboard.press("Enter")
    says(page, "does not know “")
    page.get_by_role("tab", name="Question answering").click()
    says(page, "as the answer to")
    name_another(page, markup)
    says(page, f"no answer “{markup}”")
    unhurt(page)


def test_in_the_address(blank, server):
    for task, field, markup in (
        ("captioning", "text", VALUES[0]),
        ("captioning", "text", VALUES[1]),
        ("vqa", "text", VALUES[1]),
        ("classification", "layer", VALUES[1]),
        ("classification", "photo", VALUES[0]),
        ("classification", "photo", VALUES[1]),
    ):
        value = quote(markup)
        blank.goto(f"{server}?photo=cat&task={task}&target={value}&{field}={value}&model={value}")
        blank.locator(".panel-row .sentence:visible, .rows .note:visible").first.wait_for()
        unhurt(blank)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The address of a demo with somebody's classifier, whose name and classes are markup."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(0)
    weights = folder / "<img src=x onerror=alert(1)>.safetensors"
    save_file(get_model("resnet18", num_classes=len(MARKUP)).state_dict(), weights)
    (folder / "labels.txt").write_text("\n".join(MARKUP))
    with started(folder, "--classifier", str(weights), "--arch", "resnet18", "--labels", "labels.txt") as address:
        yield address


def test_in_the_names_of_a_model_its_classes_and_an_upload(blank, own, tmp_path):
    blank.goto(own)
    says(blank, "Grad-CAM in the")
    for markup in MARKUP:
        expect(blank.locator("#classification-top")).to_contain_text(markup)
    blank.get_by_text("Model and layer").locator("visible=true").click()
    expect(blank.get_by_role("combobox", name="Model", exact=True).locator("visible=true")).to_have_value(
        "<img src=x onerror=alert(1)>"
    )
    file = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.new("RGB", (64, 64), "red").save(file)
    blank.get_by_label("Remove Image").click()
    says(blank, "Drop an image anywhere on this page")
    blank.locator("#photo input[type=file]").set_input_files(file)
    says(blank, "Grad-CAM in the")
    unhurt(blank)
