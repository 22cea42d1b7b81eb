"""The page in this process, where what it keeps can be seen."""

from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from demo.engine import Engine
from demo.models import Library
from demo.page import LAUNCH, build

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
