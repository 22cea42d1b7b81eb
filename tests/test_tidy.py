"""How long uploads and results stay, and how much of the disk they take."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from helpers import metrics

from demo.engine import Engine
from demo.models import Library
from demo.page import build
from demo.server import uploads
from demo.server.uploads import FORGET, TIDY_SECONDS, path_of, save, tidy
from evaluation.load import functions_of, join_http, make_query, outputs_in, session


@pytest.fixture
def page(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return build(Engine(Library()))


def put(page, number: int, size: int, seconds: float) -> Path:
    """An upload that was last used so many seconds ago."""
    path = Path(save(number.to_bytes(4) * (size // 4), "photograph.jpg"))
    page.upload_file_set.add(str(path))
    aged(path, seconds)
    return path


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_an_upload_is_gone_an_hour_after_its_last_use(page, tmp_path):
    examples = {path for path in tmp_path.rglob("*") if path.is_file()}
    kept, old, young = put(page, 1, 100, 3600), put(page, 2, 100, 3600), put(page, 3, 100, 600)
    broken_off = tmp_path / "tmpweo9y6fq"
    broken_off.write_bytes(b"half a photograph")
    aged(broken_off, 3600)
    path_of({"path": str(kept)})
    tidy(page)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == examples | {kept, young}
    assert page.upload_file_set == {str(kept), str(young)}
    assert FORGET + TIDY_SECONDS < 3600
    aged(old.parent, 3600)
    tidy(page)
    assert not old.parent.exists()


def test_a_flood_takes_no_more_than_its_share_of_the_disk_and_the_oldest_go_first(page, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 10 * 2**20)
    flood = [put(page, number, 2**20, seconds=100 - number) for number in range(15)]
    path_of({"path": str(flood[0])})
    tidy(page)
    assert [path.exists() for path in flood] == [True, *[False] * 5, *[True] * 9]


def test_uploads_that_come_while_others_are_deleted_stay(page):
    """Gradio's own deletion ends with an error there, and is not begun again."""
    young = [put(page, number, 4, 0) for number in range(300)]
    with ThreadPoolExecutor(1) as pool:
        tidying = pool.submit(lambda: [tidy(page) for _ in range(10)])
        while not tidying.done():
            young.append(put(page, len(young), 4, 0))
    tidying.result()
    assert all(path.exists() for path in young)
    assert page.upload_file_set == set(map(str, young))


def test_a_query_that_waits_is_answered_without_its_file(quiet_demo, tmp_path):
    query = make_query(tmp_path, "explain_method", 8000, (500, 380))
    with httpx.Client(base_url=f"{quiet_demo.address}/gradio_api/", timeout=120) as http:
        join_http(http, functions_of(http.get(f"{quiet_demo.address}/config").json()), query)
        while metrics(quiet_demo.address)["demo_waiting"] == 0:
            time.sleep(0.01)
        (file,) = quiet_demo.uploads.glob(f"*/{query.photo.name}")
        file.unlink()
        with http.stream("GET", "queue/data", params={"session_hash": session()}) as events:
            assert outputs_in(events.iter_lines())[1]["method"] == "occlusion"
