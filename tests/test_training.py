"""Training goes on where it was stopped, and sees pictures as the demo does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from demo.images import open_photo
from demo.models import load
from demo.models.captioning import Decoder
from demo.models.resnet50 import encoder, pooled
from training.captioner import Settings, train
from training.features import cached, encode

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"


def test_features_are_what_the_demo_computes_and_are_computed_once(tmp_path):
    (tmp_path / "some" / "images").mkdir(parents=True)
    records = [{"image": f"{i}.png", "captions": ["a cat"] * (i != 1)} for i in range(3)]
    photos = [open_photo(EXAMPLES / file).resize((224, 224)) for file in ("cat.jpg", "coffee.jpg", "rocket.jpg")]
    for record, photo in zip(records, photos, strict=True):
        photo.save(tmp_path / "some" / "images" / record["image"])
    (tmp_path / "some" / "records.jsonl").write_text("\n".join(map(json.dumps, records)))

    for mirrored in (False, True):
        encode(tmp_path, tmp_path / "cache", "some", mirrored, "captions", "cpu")
        features = cached(tmp_path / "cache", "some", mirrored)
        assert features.shape == (3, 2048)
        assert np.isnan(features[1]).all()
        photo = ImageOps.mirror(photos[2]) if mirrored else photos[2]
        with torch.inference_mode():
            expected = pooled(encoder("cpu"), load("captioning").prepare(photo))[0]
        np.testing.assert_allclose(features[2], expected, rtol=2e-3, atol=1e-3)

    Image.new("RGB", (8, 8)).save(tmp_path / "some" / "images" / "0.png")
    before = np.array(cached(tmp_path / "cache", "some", False))
    encode(tmp_path, tmp_path / "cache", "some", False, None, "cpu")
    after = cached(tmp_path / "cache", "some", False)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert not np.isnan(after[1]).any()


@pytest.fixture
def data(tmp_path):
    """Two folders of pictures that were encoded as noise, with captions of three words."""
    generator = np.random.default_rng(0)
    (tmp_path / "cache").mkdir()
    for folder, splits in {"flickr8k": ["train"] * 6 + ["val"] * 3, "coco": [None] * 3}.items():
        (tmp_path / folder).mkdir()
        lines = [
            json.dumps(
                {"captions": [" ".join(generator.choice(["a", "dog", "cat"], 3)) for _ in "12"], "split": split}
            )
            for split in splits
        ]
        (tmp_path / folder / "records.jsonl").write_text("\n".join(lines))
        for file in (f"{folder}.npy", f"{folder}.mirrored.npy"):
            np.save(tmp_path / "cache" / file, generator.normal(size=(len(splits), 2048)).astype(np.float16))
    return tmp_path


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(data, monkeypatch):
    settings = Settings(
        least_count=1, width=4, hidden=4, batch=4, epochs=3, critical_images=2, critical_epochs=3, critical_runs=2
    )
    train(data, data / "cache", data / "whole", settings, "cpu")

    forward, calls = Decoder.forward, iter(range(12))

    def interrupted(self, features, tokens):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return forward(self, features, tokens)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Decoder, "forward", interrupted)
        train(data, data / "cache", data / "halves", settings, "cpu")
    assert (data / "halves" / "cross-entropy.pt").exists()
    assert not (data / "halves" / "captioner.safetensors").exists()
    train(data, data / "cache", data / "halves", settings, "cpu")

    for file in ("captioner.safetensors", "captioner.json"):
        assert (data / "halves" / file).read_bytes() == (data / "whole" / file).read_bytes()
