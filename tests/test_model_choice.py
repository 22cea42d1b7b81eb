"""The choice of models and layers, as somebody with a mouse gets it; tiny models stand where downloads would be."""

import base64
import io
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import tiny
import torch
import transformers as hf
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers import (
    EXAMPLES,
    MARKUP,
    assert_unhurt,
    in_a_loop,
    new_page_of,
    says,
    started,
    take,
    upload,
    without_complaints,
)
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from playwright.sync_api import Page, TimeoutError, expect
from safetensors.torch import save_file
from torchvision import models

from demo.errors import ADDRESS
from demo.models import Library
from demo.server.mcp_tools import GAP

pytestmark = pytest.mark.demo

PHOTO = EXAMPLES / "dog.jpg"
MINE = "mine <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def go_on() -> threading.Event:
    """What the hub's weights wait for."""
    return threading.Event()


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, go_on):
    """A demo with some models here already, and somebody's own classifier, whose name and classes are markup."""
    folder = tmp_path_factory.mktemp("stocked")
    served = tiny.blip(folder / "4", hf.BlipForConditionalGeneration)
    broken = tiny.git(folder / "broken")
    (broken / "model.safetensors").write_bytes(b"not weights")
    tiny.publish(folder / "hf", "microsoft/git-base-coco", broken)
    for repository, made in (
        ("Salesforce/blip-image-captioning-base", tiny.blip(folder / "1", hf.BlipForConditionalGeneration)),
        ("Salesforce/blip-vqa-base", tiny.blip(folder / "2", hf.BlipForQuestionAnswering)),
        ("dandelin/vilt-b32-finetuned-vqa", tiny.vilt(folder / "3")),
    ):
        tiny.publish(folder / "hf", repository, made)
    checkpoints = folder / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    for name, architecture in (("SqueezeNet 1.1", "squeezenet1_1"), ("Swin-T", "swin_t")):
        network = models.get_model(architecture)
        torch.save(network.state_dict(), checkpoints / Library().find("classification", name).source.name)
    save_file(models.resnet18(num_classes=5).state_dict(), folder / f"{MINE}.safetensors")
    (folder / "labels.txt").write_text("\n".join(("zebra", *MARKUP)))
    own = ("--classifier", f"{MINE}.safetensors", "--arch", "resnet18", "--labels", "labels.txt", "--layer", "layer3")
    with (
        tiny.hub(served, go_on) as hub,
        started(folder, *own, "--max-models", "1", "--mcp", HF_ENDPOINT=hub) as address,
    ):
        yield address
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def page(browser, stocked) -> Iterator[Page]:
    """A page that the tests share: each picks what it needs."""
    page = new_page_of(browser)
    page.goto(stocked)
    says(page, "Grad-CAM in the")
    with without_complaints(page):
        yield page
    page.close()


def pick(page: Page, label: str, name: str) -> None:
    box = page.locator(f"input[role=combobox][aria-label='{label}']:visible")
    box.click()
    box.press_sequentially(name)
    page.get_by_role("option").filter(has_text=name).first.click()


def opened(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()
    says(page, "Grad-CAM in the")
    fold = page.locator("button:has-text('Model and layer'):visible")
    if "open" not in fold.get_attribute("class"):
        fold.click()


def test_the_page_opens_with_somebodys_own_classifier_and_markup_in_its_names_is_text(page, tmp_path):
    says(page, f"cells of layer3 of {MINE}")
    for name in ("zebra", *MARKUP):
        expect(page.locator("#classification-top")).to_contain_text(name)
    expect(page.locator("#classification-top .pick")).to_have_count(5)
    opened(page, "Classification")
    expect(page.locator("input[aria-label='Model']:visible")).to_have_value(MINE)
    file = tmp_path / "<img src=x onerror=alert(1)>.png"
    Image.new("RGB", (64, 64), "red").save(file)
    upload(page, file)
    says(page, "Grad-CAM in the")
    assert_unhurt(page)
    take(page, "zebra_elephant")


def test_the_list_says_what_is_here_and_how_large_it_is(page):
    opened(page, "Classification")
    page.locator("input[role=combobox][aria-label='Model']:visible").click()
    offered = page.get_by_role("option")
    expect(offered.filter(has_text="SqueezeNet")).to_have_text(re.compile(r"SqueezeNet 1\.1 \(is here, 5 MB\)"))
    expect(offered.filter(has_text="VGG-16")).to_have_text(re.compile(r"VGG-16 \(to download, 553 MB\)"))
    expect(offered.filter(has_text="ResNet-50 (ImageNet)")).not_to_contain_text("MB")
    page.keyboard.press("Tab")
    expect(offered.first).to_be_hidden()
    pick(page, "Model", "ResNet-50 (ImageNet)")
    says(page, "cells of layer4 of ResNet-50 (ImageNet)")


def test_a_model_that_cannot_be_had_changes_nothing(page):
    opened(page, "Classification")
    pick(page, "Model", "SqueezeNet")
    says(page, "of SqueezeNet 1.1")
    page.locator("#classification-top .pick").nth(1).click()
    label = page.locator("#classification-top .pick").nth(1).locator(".name").inner_text()
    says(page, f"{label}, ")
    pick(page, "Model", "VGG-19")
    alert = page.locator(".download [role=alert]:visible")
    expect(alert).to_have_text(
        re.compile(r"VGG-19 cannot be downloaded \(.+\): try again .* The demo goes on with SqueezeNet 1\.1\.")
    )
    expect(page.locator("input[aria-label='Model']:visible")).to_have_value(re.compile("SqueezeNet"))
    says(page, f"{label}, ")
    page.locator("#classification-top .pick").nth(2).click()
    says(page, "of SqueezeNet 1.1")


def test_two_models_on_one_photograph_and_class(page):
    opened(page, "Classification")
    pick(page, "Model", "ResNet-50 (ImageNet)")
    says(page, "of ResNet-50 (ImageNet)")
    page.locator("#classification-top .pick").nth(0).click()  # which both know
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    pick(page, "Compare it with the model", "mine")
    says(page, "zebra by ResNet-50 (ImageNet), ")
    says(page, "It predicts zebra, ")
    says(page, f"zebra by {MINE}, ", row=1)
    says(page, "It predicts ", row=1)
    says(page, f"cells of layer3 of {MINE}.", row=1)
    says(page, "Each model has its own scale", row=1)
    with page.expect_download() as download:
        page.locator("button:has-text('Download all panels'):visible").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len(set(archive.namelist())) == 7
        assert any(re.fullmatch(r"zebra_by_mine_\w+_gradcam\.png", name) for name in archive.namelist())
    # A class that only one of them knows.
    page.locator("#classification-top .pick").nth(1).click()
    says(page, f"{MINE} has no class “African elephant”. It knows 5")
    says(page, "African elephant, ", row=1)
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    page.locator("#classification-top .pick").nth(0).click()
    says(page, f"zebra by {MINE}, ", row=1)
    page.get_by_role("button", name=f"Take away zebra by {MINE}").click()
    expect(page.locator("input[aria-label='Compare it with the model']:visible")).to_have_value("nothing")
    expect(page.locator(".panel-row:visible")).to_have_count(1)


def test_all_layers_in_a_strip_and_a_click_on_one(page):
    opened(page, "Classification")
    pick(page, "Model", "Swin-T")
    says(page, "of norm of Swin-T. This model has no ReLU, so Guided Backprop has nothing to guide")
    page.get_by_text("All layers, settings").locator("visible=true").click()
    page.get_by_text("Show Grad-CAM at all layers").locator("visible=true").click()
    strip = page.get_by_role("group", name="From shallow to deep").locator("visible=true")
    expect(strip.locator(".name")).to_have_text(["features.1", "features.3", "features.5", "norm"])
    strip.locator("button", has_text="features.3").click()
    says(page, "cells of features.3 of Swin-T")
    expect(page.locator("input[aria-label='Layer']:visible")).to_have_value("features.3")
    # A click on the strip of the model before is none.
    pick(page, "Model", "SqueezeNet")
    strip.locator("button", has_text="features.5").click(no_wait_after=True)
    says(page, "of SqueezeNet 1.1")
    expect(strip.locator(".name")).to_have_text(["features.1", "features.4", "features.7", "features.12"])
    says(page, "cells of features.12 of SqueezeNet 1.1")
    page.get_by_text("Show Grad-CAM at all layers").locator("visible=true").click()
    expect(strip.locator(".pick")).to_have_count(0)


def test_a_model_that_cannot_be_opened_changes_nothing(page):
    opened(page, "Captioning")
    pick(page, "Model", "GIT base")
    expect(page.locator(".download [role=alert]:visible")).to_contain_text(
        re.compile(r"GIT base cannot be opened \(.+\)\. Delete .*models--microsoft--git-base-coco and pick it again")
    )
    expect(page.locator("input[aria-label='Model']:visible")).to_have_value("ResNet-50 + LSTM (Flickr8k)")
    says(page, "of ResNet-50 + LSTM (Flickr8k)")


def test_a_captioner_of_the_hub(page):
    opened(page, "Captioning")
    pick(page, "Model", "BLIP base")
    says(page, "4 × 4 cells of block 2 of BLIP base")
    box = page.locator("#caption textarea")
    box.fill("A dog's running on grass")
    box.press("Enter")
    says(page, "a dog's running on grass, ")
    words = page.locator("#words .name")
    expect(words).to_have_text(["(all)", "a", "dog", "'s", "running", "on", "grass"])
    page.locator("#words .pick", has_text="running").click()
    says(page, "running, ")
    box.fill("a 🦓")
    box.press("Enter")
    says(page, "BLIP base cannot read “🦓”")
    box.fill("a dog")
    box.press("Enter")
    says(page, "a dog, ")


def test_answerers_of_the_hub(page):
    opened(page, "Question answering")
    page.locator("#suggested .pick", has_text="What animal is this?").click()
    says(page, "as the answer to “What animal is this?”")
    pick(page, "Model", "ViLT")  # which is asked the same
    says(page, "as the answer to “What animal is this?”: ")
    says(page, "4 × 4 cells of block 1 of ViLT")
    expect(page.locator("#vqa-top .pick")).to_have_count(5)
    box = page.get_by_label("Another answer")
    expect(box).to_have_attribute("placeholder", "e.g. red")
    pick(page, "Model", "BLIP VQA")
    says(page, "cells of block 2 of BLIP VQA")
    expect(box).to_have_attribute("placeholder", "Type anything: this network has no list")
    box.fill("black white dog")
    box.press("Enter")
    says(page, "black white dog, ")
    says(page, "(log-probability -")


def test_the_endpoints_take_models_that_are_here_and_do_not_wait_for_others(stocked):
    client = Client(stocked, verbose=False)
    photo = handle_file(PHOTO)
    *_, details = client.predict(photo, "", "Swin-T", "features.3", api_name="/explain_class")
    assert (details["model"], details["layer"], details["relus"]) == ("Swin-T", "features.3", 0)
    *_, details = client.predict(photo, "a dog", "1", "BLIP base", "", api_name="/explain_caption")
    assert (details["target"], details["score_is"], details["layer"]) == ("dog", "log-probability", "block 2")
    *_, details = client.predict(photo, "is the dog on grass?", "yes", "ViLT", "", api_name="/explain_answer")
    assert (details["target"], details["score_is"]) == ("yes", "logit")
    started_at = time.monotonic()
    with pytest.raises(AppError, match=r"ConvNeXt-Tiny is being downloaded \(114 MB\)\. Try again in a few minutes"):
        client.predict(photo, "ConvNeXt-Tiny", api_name="/classify")
    assert time.monotonic() - started_at < 20
    client.close()


def test_assistants_have_the_endpoints_as_tools(stocked):
    sent = f"data:image/jpeg;base64,{base64.b64encode(PHOTO.read_bytes()).decode()}"

    async def asked() -> tuple[list[Any], Any, Any, Any]:
        async with (
            streamable_http_client(f"{stocked}/gradio_api/mcp/") as (reads, writes, _),
            ClientSession(reads, writes) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            given = {"image": sent, "class_name": "German shepherd"}
            explained = await session.call_tool("explain_class", given)
            refused = await session.call_tool("answer", {"image": sent, "question": " "})
            fetched = await session.call_tool("classify", {"image": "https://example.org/dog.jpg"})
            return tools, explained, refused, fetched

    tools, explained, refused, fetched = in_a_loop(asked())
    explaining = {"explain_answer", "explain_caption", "explain_class", "explain_method"}
    assert {tool.name for tool in tools} == {"answer", "caption", "classify"} | explaining
    assert all(given["description"] for tool in tools for given in tool.inputSchema["properties"].values())
    files = [base64.b64decode(content.data) for content in explained.content if content.type == "image"]
    pictures = [Image.open(io.BytesIO(file)) for file in files]
    assert [picture.size for picture in pictures] == [(3 * 640 + 2 * GAP, 480)]
    panels = {pictures[0].crop((left, 0, left + 640, 480)).tobytes() for left in range(0, 1944, 640 + GAP)}
    assert len(panels) == 3
    assert all("data URL" in tool.inputSchema["properties"]["image"]["description"] for tool in tools)
    assert not any("http or https" in str(tool.inputSchema) for tool in tools)
    assert "'target': 'German shepherd'" in explained.content[-1].text
    assert refused.isError
    assert fetched.isError and ADDRESS in fetched.content[0].text
    assert "There is no question" in refused.content[0].text


def word_is_explained(page, number):
    """Click on a word of the caption until it is explained: a click in the instant of the tab's look is lost."""
    row = page.locator(".panel-row .sentence:visible").filter(has_text=f"word {number} of")
    for _ in range(6):
        page.locator("#words .pick").nth(number).click()
        with suppress(TimeoutError):
            return row.first.wait_for(timeout=10_000)
    raise AssertionError(f"Word {number} was not explained.")


def test_a_download_shows_itself_can_be_stopped_and_is_shared(page, blank, stocked, go_on):
    first, second, shipped = page, blank, "ResNet-50 + LSTM (Flickr8k)"
    second.goto(stocked)
    says(second, "Grad-CAM in the")
    opened(first, "Captioning")
    pick(first, "Model", shipped)
    says(first, f"of {shipped}")
    listed, told = first.locator("input[aria-label='Model']:visible"), first.locator(".download p:visible")
    for one in (first, second):
        opened(one, "Captioning")
        pick(one, "Model", "BLIP large")
        expect(one.locator(".download [role=status]:visible")).to_have_text(
            re.compile(r"Downloading BLIP large: \d+ of \d+ MB")
        )
    first.get_by_role("button", name="Stop the download").click()
    expect(first.locator(".download [role=alert]:visible")).to_have_text(
        f"The download was stopped. The demo goes on with {shipped}."
    )
    expect(listed).to_have_value(shipped)
    # Another choice replaces the download, and everything else works.
    pick(first, "Model", "BLIP large")
    expect(told).to_contain_text("Downloading BLIP large")
    pick(first, "Model", "ViT-GPT2")
    expect(told).to_contain_text("Downloading ViT-GPT2")
    word_is_explained(first, 1)
    expect(listed).to_have_value(re.compile("ViT-GPT2 .to download"))
    pick(first, "Model", shipped)
    expect(told).to_have_count(0)
    word_is_explained(first, 2)
    says(first, f"of {shipped}")
    expect(told).to_have_count(0)
    expect(listed).to_have_value(shipped)
    # The other one still waits.
    expect(second.get_by_role("button", name="Stop the download")).to_be_visible()
    go_on.set()
    says(second, "of block 2 of BLIP large")
    expect(second.locator(".download p:visible")).to_have_count(0)
    expect(second.locator("input[aria-label='Model']:visible")).to_have_value(re.compile("BLIP large .is here"))
