"""What is sent to break the demo or to get at what is not one's own: each gets a sentence, and nobody else notices."""

import asyncio
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from helpers import ROOT, in_a_loop, metrics
from hostile_files import FILES

from demo.errors import ADDRESS, TOO_MUCH, UNFIT
from demo.images import MAX_BYTES, TOO_LARGE
from demo.server.guard import MAX_PARTS, MOST_BODY, TOO_MANY_PARTS
from demo.server.uploads import GONE, NO_PHOTO
from evaluation.fuzz import ANSWERED, FAULT, REFUSED, SECRET, UNREAD, hammered, table

PHOTO = ROOT / "assets" / "examples" / "cat.jpg"
WORDS = ("dog", "man", "woman", "ball", "boy", "girl", "horse", "car", "beach", "street")
FORM = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'


# The data of a request: what comes after the image, and the sentence that it gets.
ASKED = {
    "explain_class": [
        (("zebr", "", ""), "no class “zebr”. Did you mean zebra"),
        (("<img src=x onerror=alert(1)>", "", ""), "no class “<img src=x onerror=alert(1)>”"),
        (("zebra", "GPT", ""), "No model “GPT”"),
        (("zebra", "", "layer9"), "no layer “layer9”. Pick one of layer4, layer3, layer2, layer1."),
        (("😀" * 5000, "", ""), "no class “😀"),
        (("😀" * 20_001, "", ""), "longer than 20000 characters: shorten it"),
        ((7, "", ""), "no class “7”"),
    ],
    "explain_caption": [
        (("a zebra on the mooon", -1, "", ""), "does not know “mooon” (nearest:"),
        (("ein Hund läuft", -1, "", ""), "does not know “ein”"),
        (("🦓", -1, "", ""), "does not know “🦓”"),
        (("?!", -1, "", ""), "The caption has no words"),
        (("a dog " * 100, -1, "", ""), "200 words, more than 50: shorten it"),
        (("a zebra", 2, "", ""), "The caption has 2 words, counted from 0: there is no word 2"),
        (("a zebra", "first", "", ""), "“first” is not the index of a word"),
    ],
    "explain_answer": [
        (("", "", "", ""), "There is no question: ask something"),
        (("is it " * 250, "", "", ""), "The question has 500 words, more than 50: shorten it"),
        (("Что это?", "", "", ""), "knows no word of this question"),
        (("<script>alert()</script>", "", "", ""), "knows no word of this question"),
        (("What animal is this?", "zebbra", "", ""), "has no answer “zebbra”. Did you mean zebra"),
    ],
    "explain_method": [
        (("classification", "", "zebra", "gradcat", "", ""), "No method “gradcat”. Methods: guided_backprop, gradcam"),
        (("classification", "", "zebra", "", "", ""), "No method “”. Methods: guided_backprop"),
        (("haiku", "", "zebra", "gradcam", "", ""), "No task “haiku”. Tasks: classification"),
        (("vqa", "", "", "gradcam", "", ""), "There is no question"),
        (("captioning", "a dog", "2", "gradcam", "", ""), "there is no word 2"),
        (("captioning", "", "400", "gradcam", "", ""), "there is no word 400"),
    ],
}
META = {"meta": {"_type": "gradio.FileData"}}
NOT_UPLOADED = 'The image is not an uploaded file: send {"path": ...} as the upload returned it.'
# What stands where the image should be, and the sentence that it gets; it never tells what a file of the server is.
IMAGES = [
    (None, NO_PHOTO),
    ({"url": None}, GONE),
    *((image, NOT_UPLOADED) for image in (5, "cat.jpg", ["cat.jpg"], {"path": 5}, True)),
    ({"path": 2000 * "a"} | META, UNFIT),
    *(
        ({"path": path} | more, GONE)
        for path in (str(PHOTO), "/etc/hosts", "/etc/nothing", "/dev/zero", "../app.py", "\0", "")
        for more in ({}, META)
    ),
]

MEBIBYTES = 450  # more than opening may add to what the process holds: a WebP of 25 million pixels takes 396
MEASURE = """
import json, multiprocessing, sys
from pathlib import Path
from demo.errors import InputError
from demo.images import open_photo

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

def measure(path):
    before = peak()
    try:
        said = list(open_photo(path).size)
    except InputError as error:
        said = str(error)
    return said, peak() - before

with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
    measured = [pool.apply_async(measure, [path]) for path in sys.argv[1:]]
    print(json.dumps([one.get(60) for one in measured]))
"""


def send(address: str, name: str, *data: object) -> str:
    """What a script is told, as the stream of events says it."""
    with httpx.Client(base_url=f"{address}/gradio_api/call/{name}", timeout=120) as client:
        joined = client.post("", json={"data": data}).raise_for_status()
        return client.get(f"/{joined.json()['event_id']}").text


def refusal(address: str, name: str, *data: object) -> str:
    """The sentence that a script gets instead of an answer."""
    event, _, told = send(address, name, *data).partition("\ndata: ")
    assert event == "event: error"
    return json.loads(told)["error"]


def upload(address: str, name: str, content: bytes) -> httpx.Response:
    return httpx.post(f"{address}/gradio_api/upload", files={"files": (name, content)}, timeout=120)


@pytest.fixture(scope="module")
def cat(quiet_demo) -> dict[str, str]:
    return {"path": upload(quiet_demo.address, "cat.jpg", PHOTO.read_bytes()).json()[0]}


@pytest.mark.parametrize("endpoint", ASKED)
def test_what_cannot_be_answered_gets_a_sentence(quiet_demo, cat, endpoint):
    for data, sentence in ASKED[endpoint]:
        assert sentence in refusal(quiet_demo.address, endpoint, cat, *data)


def test_what_is_no_uploaded_image_gets_a_sentence(quiet_demo):
    for image, sentence in IMAGES:
        assert (image, refusal(quiet_demo.address, "classify", image, "")) == (image, sentence)
    for data in ((), (None,)):
        assert refusal(quiet_demo.address, "classify", *data) == UNFIT


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, tuple[Path, str | list[int], float]]:
    """Of each of `FILES` its place, what opening it says or the sides of the image, and the memory it took, in MB."""
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / name for name in FILES]
    for path in paths:
        path.write_bytes(FILES[path.name][1]())
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, *paths]
    measured = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return {path.name: (path, *told) for path, told in zip(paths, measured, strict=True)}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports the peak of the memory")
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_refused_or_opened_in_little_memory(server, files, name):
    expected, (path, said, grown) = FILES[name][0], files[name]
    sent = {"path": upload(server, name, path.read_bytes()).json()[0]}
    assert grown < MEBIBYTES
    if isinstance(expected, str):
        assert expected in said
        assert refusal(server, "classify", sent, "") == said
    else:
        assert said == expected
        assert "event: complete" in send(server, "classify", sent, "")


@pytest.mark.parametrize("cases", [2, pytest.param(200, marks=pytest.mark.long)])
def test_whatever_is_sent_gets_an_answer_or_a_sentence(quiet_demo, capsys, cases):
    """Of the log `quiet_demo` sees at its end that nothing has failed."""
    found = dict(hammered(quiet_demo.address, cases, 1))
    assert len(found) == 2 * 7 + 4
    assert "fault" not in capsys.readouterr().out
    total = sum(found.values(), start=type(found["`/upload`"])())
    assert not total[FAULT]
    assert min(total[ANSWERED], total[REFUSED], total[UNREAD]) > cases
    assert len(list(table(found.items()))) == 2 + len(found)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("call/nonsense", {"data": []}),
        ("call/v2/nonsense", {}),
        ("run/nonsense", {"data": []}),
        ("queue/join", {"data": [], "fn_index": 9999, "session_hash": "x"}),
        ("component_server", {"data": 1, "component_id": 9999, "session_hash": "x", "fn_name": "y"}),
    ],
)
def test_a_route_that_fails_says_a_sentence_under_the_headers(quiet_demo, path, asked):
    response = httpx.post(f"{quiet_demo.address}/gradio_api/{path}", json=asked)
    assert (response.status_code, response.json()) == (400, {"detail": UNFIT})
    assert "object-src 'none'" in response.headers["content-security-policy"]


def test_a_stream_of_nobody_ends(quiet_demo):
    for path in ("queue/data?session_hash=nobody", "call/classify/nobody"):
        assert "404: Not Found" in httpx.get(f"{quiet_demo.address}/gradio_api/{path}").text


@pytest.mark.parametrize(
    "path", ["process_recording", "deep_link", "runs", "run-history/buckets", "file=https://example.org/a.png"]
)
def test_what_the_page_does_not_use_is_closed(quiet_demo, path):
    """Gradio's run history would use the token of whoever hosts the demo, for callers on the same computer."""
    assert httpx.get(f"{quiet_demo.address}/gradio_api/{path}").status_code == 404
    assert httpx.post(f"{quiet_demo.address}/gradio_api/process_recording", files={"video": b"x"}).status_code == 404


def test_a_file_over_the_cap_is_refused_and_leaves_nothing(quiet_demo):
    before = quiet_demo.files()
    assert upload(quiet_demo.address, "a.png", bytes(MAX_BYTES + 1)).status_code == 413
    too_large = httpx.post(f"{quiet_demo.address}/gradio_api/call/classify", content=b" " * (MOST_BODY + 1))
    assert (too_large.status_code, too_large.json()) == (413, {"detail": TOO_LARGE})
    assert quiet_demo.files() == before


def test_a_file_over_the_cap_that_does_not_say_so_is_refused_and_leaves_nothing(quiet_demo):
    """In files that are each small enough."""
    before = quiet_demo.files()

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            yield (FORM if number in (0, 8) else b"") + bytes(2**20) + (b"\r\n" if number == 7 else b"")

    try:
        refused = httpx.post(
            f"{quiet_demo.address}/gradio_api/upload",
            content=chunks(),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
            timeout=60,
        )
        assert refused.status_code == 400
        assert refused.text == TOO_LARGE
    except httpx.WriteError:  # it was hung up on
        pass
    assert quiet_demo.files() == before


def test_an_upload_of_many_parts_is_refused_before_each_is_an_open_file(quiet_demo):
    before = quiet_demo.files()
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for parts, status in ((2, 200), (MAX_PARTS + 1, 400), (999, 400)):
        body = b"\r\n".join([FORM] * parts) + b"\r\n--x--"
        answer = httpx.post(f"{quiet_demo.address}/gradio_api/upload", content=body, headers=form)
        assert answer.status_code == status
        assert (answer.text == TOO_MANY_PARTS) == (status == 400)
    assert len(quiet_demo.files() - before) <= 1  # of the two equal ones


@pytest.fixture
def slow(quiet_demo) -> Iterator[socket.socket]:
    """Half an upload, whose client does not go on."""
    host, port = quiet_demo.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + FORM + bytes(1000)
        )
        yield client


def test_a_slow_upload_holds_up_nobody_and_one_that_is_broken_off_leaves_nothing(quiet_demo, slow):
    path = upload(quiet_demo.address, "cat.jpg", PHOTO.read_bytes()).json()[0]
    before = quiet_demo.files()
    assert "tabby" in send(quiet_demo.address, "classify", {"path": path}, "")
    assert [file for file in quiet_demo.files() if file.parent == quiet_demo.uploads]
    slow.sendall(bytes(1000))
    slow.close()
    while unfinished := [file for file in quiet_demo.files() if file.parent == quiet_demo.uploads]:
        assert len(unfinished) == 1
        time.sleep(0.05)
    assert quiet_demo.files() == {file for file in before if file.parent != quiet_demo.uploads}


class Seen(http.server.BaseHTTPRequestHandler):
    """Notes that it was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None: ...


def test_no_address_is_fetched(quiet_demo):
    handler = type("Handler", (Seen,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        mine = f"http://127.0.0.1:{listener.server_port}/a.png"
        meta = {"meta": {"_type": "gradio.FileData"}}
        for address in (mine, mine.replace("127.0.0.1", "localhost"), "http://169.254.169.254/latest/meta-data/"):
            for image in ({"url": address}, {"path": None, "url": address}, {"path": address}):
                assert "event: error" in send(quiet_demo.address, "classify", image | meta, "")
                send(quiet_demo.address, "take", image | meta)
            for image in ({"path": address}, {"url": address}, {"path": None, "url": address}):
                assert ADDRESS in send(quiet_demo.address, "classify", image | meta, "")
            for route in ("file=", "file/", "proxy="):
                assert httpx.get(f"{quiet_demo.address}/gradio_api/{route}{address}").status_code in (400, 403, 404)
        httpx.get(mine)
        listener.shutdown()
    assert handler.asked == ["/a.png"]  # by this test


def test_what_is_not_handed_out(quiet_demo):
    (path,) = upload(quiet_demo.address, "mine.txt", b"a stranger's own").json()
    assert httpx.get(f"{quiet_demo.address}/gradio_api/file={path}").text == "a stranger's own"
    upload_folder = quiet_demo.uploads
    for guess in (
        "/etc/passwd", "/proc/self/environ", "../../../../etc/passwd", "app.py", str(ROOT / "app.py"),
        str(ROOT / "assets/resnet50.safetensors"), f"{ROOT}/assets/examples/../resnet50.safetensors",
        str(upload_folder), str(upload_folder / "mine.txt"), f"{upload_folder}/{'0' * 64}/mine.txt",
        f"{upload_folder}/*/mine.txt", f"{Path(path).parent}/../../log", str(upload_folder.parent / "log"),
    ):  # fmt: skip
        for spelled in (guess, guess.replace("/", "%2f").replace(".", "%2e")):
            answer = httpx.get(f"{quiet_demo.address}/gradio_api/file={spelled}")
            assert answer.status_code in (403, 404), guess
            assert SECRET not in answer.text
    for own in ("static", "assets", "svelte"):
        assert httpx.get(f"{quiet_demo.address}/{own}/..%2f..%2froutes.py").status_code in (403, 404)


def test_of_many_requests_of_one_address_most_are_refused_at_once_and_another_visitor_is_answered(quiet_demo):
    (path,) = upload(quiet_demo.address, "cat.jpg", PHOTO.read_bytes() + b"another").json()
    photo, classify = {"path": path}, fn_index(quiet_demo.address, "classify")

    async def crowd() -> tuple[list[str], str]:
        api = f"{quiet_demo.address}/gradio_api/"
        async with httpx.AsyncClient(base_url=api, timeout=120, limits=httpx.Limits(max_connections=120)) as client:

            async def ask(number: int) -> str:
                data = [photo, f"a {WORDS[number % 10]} and a {WORDS[number // 10]}", -1, "", "layer3"]
                event = (await client.post("call/explain_caption", json={"data": data})).json()["event_id"]
                return (await client.get(f"call/explain_caption/{event}")).text

            asked, told = [asyncio.create_task(ask(number)) for number in range(100)], []
            for said in asyncio.as_completed(asked):
                told.append(await said)
                if sum(TOO_MUCH in text for text in told) == 25:
                    break
            page = {"data": [photo, ""], "fn_index": classify, "session_hash": "a-page"}
            await client.post("queue/join", json=page)
            answered = (await client.get("queue/data?session_hash=a-page")).text
            assert not all(task.done() for task in asked)
            for task in asked:
                task.cancel()
            return told, answered

    told, answered = in_a_loop(crowd())
    while metrics(quiet_demo.address)["demo_waiting"] > 0:
        time.sleep(0.1)
    assert '"success":true' in answered
    assert all(TOO_MUCH in text or "event: complete" in text for text in told)


def fn_index(address: str, name: str) -> int:
    events = httpx.get(f"{address}/config").json()["dependencies"]
    return next(event["id"] for event in events if event["api_name"] == name)


def test_the_clock_of_the_wall_counts_nothing():
    """So it may be set back; uploads then live so much longer, as their age is that of their files."""
    assert [path.name for path in (ROOT / "demo").rglob("*.py") if "time.time(" in path.read_text()] == ["uploads.py"]
    dated = [path.name for path in (ROOT / "demo").rglob("*.py") if "datetime" in path.read_text()]
    assert dated == ["records.py"]  # which writes it into the log
