"""The page in this process, where what it keeps can be seen."""

import io
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import ExifTags, Image, ImageChops

from demo import images
from demo.engine import Engine
from demo.errors import TOO_MUCH, InputError
from demo.images import MAX_BYTES, open_photo, png
from demo.models import Library
from demo.page import LAUNCH, build
from demo.server.uploads import LARGE, MAX_WAITING, displayable, save, uploaded

CAT = Path(__file__).parents[1] / "assets" / "examples" / "cat.jpg"


@pytest.fixture(scope="module")
def page():
    page = build(Engine(Library()))
    page.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    yield page
    page.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")
def test_no_session_is_kept_of_a_plain_request_and_one_of_a_client(page):
    sessions = page.app.state_holder
    with httpx.Client(base_url=f"{page.local_url}gradio_api/", timeout=60) as http:
        for _ in range(3):
            (path,) = http.post("upload", files={"files": CAT.read_bytes()}).json()
            event = http.post("call/classify", json={"data": [{"path": path}, ""]}).json()["event_id"]
            assert "tabby" in http.get(f"call/classify/{event}").text
    assert (len(sessions.session_data), len(sessions.time_last_used)) == (0, 0)
    client = Client(page.local_url, verbose=False)
    for _ in range(2):
        client.predict(handle_file(CAT), "", api_name="/classify")
    assert len(sessions.session_data) == 1


def test_a_large_photograph_is_kept_small_and_once_with_the_same_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(noise).save(file := io.BytesIO(), "PNG", exif=exif)
    path = save(file.getvalue(), "noise.png")
    photo = uploaded({"path": path})
    assert len(file.getvalue()) > 5 * 2**20 > 4 * len(photo.data)
    first, kept = open_photo(path), open_photo(photo.data)
    assert first.size == kept.size == (480, 640)
    assert ImageChops.difference(first, kept).getbbox() is None
    assert uploaded({"path": path, "orig_name": "again.png"}).data is photo.data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The file is empty"),
        (bytes(MAX_BYTES), "not an image that can be opened here"),
        (bytes(MAX_BYTES + 1), "larger than 10 MB"),
    ],
)
def test_a_file_that_cannot_be_kept_gets_a_sentence_each_time(data, message):
    path = save(data, "photograph.png")
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            uploaded({"path": path})


def test_what_a_browser_cannot_show_is_replaced_if_it_is_a_picture_that_was_uploaded():
    Image.open(CAT).save(file := io.BytesIO(), "TIFF")
    shown = displayable({"path": save(file.getvalue(), "scan.TIFF")})
    assert Image.open(shown).format == "PNG"
    for upload in (
        {"path": save(b"no picture", "scan.tiff")},
        {"path": str(CAT)},  # was not uploaded
        None,
    ):
        assert displayable(upload) == gr.skip()


def test_a_deep_grey_png_is_shown_as_it_is_opened():
    dark = Image.fromarray(np.full((9, 9), 4095, np.uint16))
    dark.save(file := io.BytesIO(), "PNG")
    path = save(file.getvalue(), "scan.png")
    assert Image.open(displayable({"path": path})).getpixel((0, 0)) == open_photo(path).getpixel((0, 0)) == (255,) * 3
    assert displayable({"path": save(png(Image.new("L", (9, 9))), "grey.png")}) == gr.skip()


def posted(page: gr.Blocks, name: str, task: str, told: object, **given: object) -> object:
    """What a handler of the page returns to somebody who makes up the event."""
    (function,) = [
        function
        for function in page.fns.values()
        if function.targets
        and function.targets[0][1] == name
        and task in str(page.blocks[function.targets[0][0]].elem_id)
    ]
    with httpx.Client(base_url=f"{page.local_url}gradio_api/", timeout=60) as http:
        data = [given.get(type(one).__name__) for one in function.inputs]
        body = {"data": data, "event_data": told, "fn_index": function._id, "session_hash": "stranger"}
        assert http.post("queue/join", json=body).status_code == 200
        with http.stream("GET", "queue/data", params={"session_hash": "stranger"}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    return message["output"]
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    "told",
    [
        {"number": {"a": 1}},
        {"number": 1, "data": "ä"},
        {"number": 1, "data": "A" * 500_000},
        {"number": 1, "data": [1], "target": {"a": 1}},
        {"number": 1, "data": "AAAA"},
        [],
        None,
    ],
)
def test_a_made_up_frame_of_the_camera_gets_a_sentence_and_no_file(page, told):
    (found,) = posted(page, "frame", "camera", told)["data"]
    assert found["number"] in (0, 1)
    assert found["note"].endswith(".") or "JPEG" in found["note"]


@pytest.mark.parametrize("path", [5, ["a"], None, ""])
def test_a_made_up_upload_changes_nothing(page, path):
    (found,) = posted(page, "taken", "camera", {"path": path})["data"]
    assert found == {"__type__": "update"}


@pytest.mark.parametrize("name", ["frame", "taken"])
@pytest.mark.parametrize("key", ["number", "path"])
def test_a_file_that_was_not_uploaded_is_not_handed_out(page, name, key):
    file = {"path": str(Path(__file__)), "meta": {"_type": "gradio.FileData"}}
    for told in ({key: file}, {key: file["path"]}):
        assert "test_page" not in str(posted(page, name, "camera", told).get("data"))


def test_few_wait_for_one_upload_and_share_what_becomes_of_it():
    """Others find threads that open images."""
    Image.effect_noise((1100, 1100), 90).save(file := io.BytesIO(), "TIFF")
    path = save(file.getvalue(), "scan.tiff")
    refused, damaged = 40 - 1 - MAX_WAITING, save(file.getvalue()[: LARGE + 1], "scan.tiff")
    with ThreadPoolExecutor(40) as pool:
        for each, opens in ((path, True), (damaged, False)):
            with images._SMALL, images._SMALL:
                asked = [pool.submit(uploaded, {"path": each}) for _ in range(40)]
                ended = as_completed(asked)
                told = [next(ended).exception() for _ in range(refused)]
            assert {str(error) for error in told} == {TOO_MUCH}
            others = [one for one in asked if str(one.exception()) != TOO_MUCH]
            assert len(others) == 1 + MAX_WAITING
            assert len({one.result().sha256 if opens else id(one.exception()) for one in others}) == 1
