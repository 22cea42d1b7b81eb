"""The endpoints, called as a script would call them."""

import io
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gradio_client import Client, handle_file
from helpers import EXAMPLES
from PIL import Image

from demo.engine import Engine
from demo.files import row_files
from demo.models import Library
from demo.query import PANELS, Explain, image_file
from demo.rendering import scales

ZEBRA = handle_file(EXAMPLES / "zebra_elephant.jpg")


@pytest.fixture(scope="module")
def client(server, tmp_path_factory) -> Client:
    return Client(server, verbose=False, download_files=str(tmp_path_factory.mktemp("files")))


def pixels(path: str) -> np.ndarray:
    picture = Image.open(path)
    assert picture.format == "PNG"
    return np.asarray(picture)


def test_classify(client):
    label = client.predict(ZEBRA, "", api_name="/classify")
    assert label["label"] == "zebra"
    assert [entry["label"] for entry in label["confidences"]][:2] == ["zebra", "African elephant"]
    assert len(label["confidences"]) == 5
    assert 0.2 < label["confidences"][0]["confidence"] < 0.4


def test_explain_class(client):
    *paths, details = client.predict(
        ZEBRA, "African elephant", "ResNet-50 (ImageNet)", "layer3", api_name="/explain_class"
    )
    assert [pixels(path).shape for path in paths] == [(480, 640, 3)] * 3
    assert list(details) == [
        "task", "model", "layer", "target", "score", "probability", "peak", "relus", "seconds", "image_size",
        "score_is", "prediction", "box", "feature_maps", "input_side"
    ]  # fmt: skip
    assert (details["task"], details["layer"], details["target"]) == ("classification", "layer3", "African elephant")
    assert (details["relus"], details["image_size"], details["score_is"]) == (49, [640, 480], "logit")
    assert details["prediction"][0] == "zebra"
    assert details["peak"] > 0


def test_empty_texts_mean_the_top_prediction_and_the_defaults(client):
    *_, details = client.predict(ZEBRA, "", "", "", api_name="/explain_class")
    assert (details["target"], details["layer"], details["model"]) == ("zebra", "layer4", "ResNet-50 (ImageNet)")


def test_pictures_of_two_classes_differ_where_they_should(client):
    zebra = client.predict(ZEBRA, "zebra", "", "", api_name="/explain_class")
    elephant = client.predict(ZEBRA, "African elephant", "", "", api_name="/explain_class")
    guided, gradcam, both = (
        np.abs(pixels(a).astype(int) - pixels(b)).mean() for a, b in zip(zebra[:3], elephant[:3], strict=True)
    )
    assert gradcam > 10
    assert both > 0
    assert guided < gradcam


def test_the_page_of_the_api_proposes_a_file_of_ones_own(server):
    """Of an address, which nothing fetches, neither the example nor the schema says anything."""
    endpoints = json.load(urllib.request.urlopen(f"{server}/gradio_api/info"))["named_endpoints"]
    images = [given for one in endpoints.values() for given in one["parameters"] if given["parameter_name"] == "image"]
    assert len(images) == 7
    for image in images:
        assert image["example_input"] == {"path": "photo.jpg", "meta": {"_type": "gradio.FileData"}}
        assert "url" not in json.dumps(image["type"]).lower()


def test_overlapping_requests_do_not_disturb_each_other(client):
    """Eight at once get what each gets alone in a process of its own: this one."""
    asked = [(file, name) for file in ("garden", "fruit", "cat", "rocket") for name in ("hen", "lemon")]

    def ask(file_and_name: tuple[str, str]):
        file, name = file_and_name
        return client.predict(handle_file(EXAMPLES / f"{file}.jpg"), name, "", "layer3", api_name="/explain_class")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, asked))
    engine = Engine(Library())
    for (file, name), (*paths, details) in zip(asked, answers, strict=True):
        photo = image_file((EXAMPLES / f"{file}.jpg").read_bytes())
        alone = engine.answer(Explain(photo, "classification", targets=(name,), layers=("layer3",)))
        assert details["target"] == name
        assert details["score"] == pytest.approx(alone.rows[0].details.score, rel=1e-4)
        files = row_files(engine.open(photo), alone.rows[0], scales(alone.rows, PANELS))
        for path, data in zip(paths, files.values(), strict=True):
            difference = pixels(path).astype(int) - np.asarray(Image.open(io.BytesIO(data)))
            assert np.abs(difference).mean() < 0.5


@pytest.mark.parametrize(
    ("task", "query", "target", "endpoint", "arguments"),
    [
        ("classification", "", "zebra", "/explain_class", ("zebra",)),
        ("captioning", "a zebra on grass", "1", "/explain_caption", ("a zebra on grass", 1)),
        ("vqa", "What animal is this?", "", "/explain_answer", ("What animal is this?", "")),
    ],
)
def test_one_method_gives_the_picture_of_its_panel(client, task, query, target, endpoint, arguments):
    *paths, details = client.predict(ZEBRA, *arguments, "", "layer3", api_name=endpoint)
    for method, path in zip(("guided_backprop", "gradcam", "guided_gradcam"), paths, strict=True):
        picture, told = client.predict(ZEBRA, task, query, target, method, "", "layer3", api_name="/explain_method")
        assert np.array_equal(pixels(picture), pixels(path))
        assert told == details | {"method": method, "peak": told["peak"]}
    assert told["peak"] > 0


def test_what_speaks_against_the_zebra_lies_on_the_side_of_the_elephant(client):
    (zebra, _), (against, details) = (
        client.predict(ZEBRA, "classification", "", "zebra", method, "", "", api_name="/explain_method")
        for method in ("gradcam", "counterfactual")
    )
    assert (details["method"], details["target"]) == ("counterfactual", "zebra")

    def right(path: str) -> float:
        """How much more of the map lies in the right half: viridis gets greener with the map."""
        green = pixels(path)[..., 1].astype(float)
        return green[:, 320:].mean() - green[:, :320].mean()

    assert right(zebra) < 0 < right(against)
