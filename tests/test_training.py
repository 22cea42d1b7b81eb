"""Training goes on where it was stopped, and sees pictures as the demo does."""

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import EXAMPLES
from PIL import ExifTags, Image, ImageOps

from demo.images import open_photo
from demo.models import load
from demo.models.captioning import Decoder
from demo.models.resnet50 import encoder, pooled
from training.captioner import END, Settings, Split, rewarder, say, self_critical_epoch, train
from training.features import cached, encode
from training.loop import train_stage


def test_features_are_what_the_demo_computes_and_are_computed_once(tmp_path):
    (tmp_path / "some" / "images").mkdir(parents=True)
    records = [{"image": f"{i}.png", "captions": ["a cat"] * (i != 1)} for i in range(3)]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored turned to the left
    for record, file in zip(records, ("cat.jpg", "coffee.jpg", "rocket.jpg"), strict=True):
        open_photo(EXAMPLES / file).resize((1200, 900)).save(tmp_path / "some" / "images" / record["image"], exif=exif)
    photos = [open_photo(tmp_path / "some" / "images" / record["image"]) for record in records]
    assert photos[0].height > photos[0].width
    (tmp_path / "some" / "records.jsonl").write_text("\n".join(map(json.dumps, records)))

    for view in ("pooled", "mirrored"):
        encode(tmp_path, tmp_path / "cache", "some", view, "captions", "cpu")
        features = cached(tmp_path / "cache", "some", view)
        assert features.shape == (3, 2048)
        assert np.isnan(features[1]).all()
        photo = ImageOps.mirror(photos[2]) if view == "mirrored" else photos[2]
        with torch.inference_mode():
            expected = pooled(encoder("cpu"), load("captioning").prepare(photo))[0]
        np.testing.assert_allclose(features[2], expected, rtol=2e-3, atol=1e-3)

    encode(tmp_path, tmp_path / "cache", "some", "cells", "captions", "cpu")
    found = cached(tmp_path / "cache", "some", "cells")
    assert found.shape == (3, 64, 2048)
    assert np.isnan(found[1]).all()
    mean = found[2].astype(np.float32).mean(axis=0)
    np.testing.assert_allclose(mean, cached(tmp_path / "cache", "some", "pooled")[2], rtol=2e-3, atol=1e-3)

    Image.new("RGB", (8, 8)).save(tmp_path / "some" / "images" / "0.png")
    before = np.array(cached(tmp_path / "cache", "some", "pooled"))
    encode(tmp_path, tmp_path / "cache", "some", "pooled", None, "cpu")
    after = cached(tmp_path / "cache", "some", "pooled")
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert not np.isnan(after[1]).any()


@pytest.fixture
def data(tmp_path):
    """Two folders of pictures that were encoded as noise, with captions of three words."""
    generator = np.random.default_rng(0)
    (tmp_path / "cache").mkdir()
    flickr8k = {"train": 6, "val": 3, "test": 2}
    for folder, splits in {"flickr8k": flickr8k, "coco": {"train": 2, "test": 1}}.items():
        (tmp_path / folder).mkdir()
        lines = [
            json.dumps(
                {"captions": [f"{split} dog {word}" for word in generator.choice(["a", "b"], 2)], "split": split}
            )
            for split, count in splits.items()
            for _ in range(count)
        ]
        (tmp_path / folder / "records.jsonl").write_text("\n".join(lines))
        for file in (f"{folder}.npy", f"{folder}.mirrored.npy"):
            np.save(tmp_path / "cache" / file, generator.normal(size=(len(lines), 2048)).astype(np.float16))
    return tmp_path


SMALL = Settings(least_count=1, width=4, hidden=4, batch=4, epochs=2, critical_images=2, critical_epochs=1)


def test_only_the_pictures_for_training_are_learnt(data):
    train(data, data / "cache", data / "run", SMALL, "cpu")
    card = json.loads((data / "run" / "captioner.json").read_text())
    assert set(card["vocabulary"]) == {"train", "dog", "a", "b"}
    assert "8 pictures, 16 captions" in card["trained on"]


def test_a_run_is_not_gone_on_with_by_other_settings(data):
    train(data, data / "cache", data / "run", SMALL, "cpu")
    with pytest.raises(SystemExit, match="made with other settings: choose another folder"):
        train(data, data / "cache", data / "run", replace(SMALL, seed=7), "cpu")


def test_features_that_are_not_all_there_are_refused(data):
    np.save(data / "cache" / "coco.npy", np.full((3, 2048), np.nan, np.float16))
    with pytest.raises(SystemExit, match="not complete"):
        train(data, data / "cache", data / "run", SMALL, "cpu")


def stage(path, stop_after=99, scores=None, **others):
    """Train a linear layer on noise, stopping in the middle of an epoch; its weights, or nothing if it was stopped."""
    torch.manual_seed(5)
    model = torch.nn.Linear(3, 1)
    begun = iter(range(stop_after))

    def epoch(update):
        for _ in range(4):
            update(model(torch.randn(8, 3)).square().mean())
        if next(begun, None) is None:
            raise KeyboardInterrupt

    given = {"seed": 1, "epochs": 5, "steps": 4, "rate": 0.1, "average": 0.9, "patience": 9, "recipe": {}} | others
    sizes = iter(scores) if scores else None

    def validate(averaged):
        return {"score": next(sizes) if sizes else -averaged.weight.abs().sum().item()}

    with suppress(KeyboardInterrupt):
        train_stage(path, model, watched="score", epoch_of=epoch, validate=validate, **given)
        return torch.cat([model.weight.flatten(), model.bias])


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_a_stopped_stage_goes_on_as_if_it_had_not_been_stopped(tmp_path, stop_after):
    whole = stage(tmp_path / "whole.pt")
    assert stage(tmp_path / "parts.pt", stop_after) is None
    assert torch.equal(stage(tmp_path / "parts.pt"), whole)
    assert not torch.equal(stage(tmp_path / "other.pt", seed=2), whole)


def test_the_best_epoch_is_kept_and_a_stage_stops_when_it_gets_no_better(tmp_path):
    best = stage(tmp_path / "best.pt", epochs=5, scores=[1, 3, 0, 0, 9], patience=2)
    assert len(torch.load(tmp_path / "best.pt")["history"]) == 4
    two = stage(tmp_path / "two.pt", epochs=5, scores=[1, 3, 0, 0, 0], patience=2)
    assert torch.equal(best, two)
    assert not torch.equal(best, stage(tmp_path / "last.pt", epochs=5, scores=[1, 2, 3, 4, 5]))


def test_self_critical_training_makes_what_is_rewarded_more_probable():
    torch.manual_seed(0)
    decoder = Decoder(3, width=8, hidden=8)
    split = Split(torch.randn(8, 2, 2048).half(), [[]] * 8)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.02)

    def update(loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def reward(captions, pictures):
        return torch.tensor([float(caption.count(2)) for caption in captions])

    def share():
        torch.manual_seed(9)
        captions, _ = say(
            decoder, split.features[:, 0].float().repeat(20, 1), 4, lambda p: p.exp().multinomial(1)[:, 0]
        )
        return np.mean([caption.count(2) / len(caption) for caption in captions])

    before = share()
    for _ in range(40):
        self_critical_epoch(decoder, split, reward, Settings(critical_images=4, limit=4), update)
    assert share() > before + 0.2


def test_the_reward_prefers_a_caption_that_ends_to_one_that_breaks_off():
    references = [[[1, 2], [1, 2]], [[3, 4], [3, 4]]]
    for bleu in (0.0, 1.0):
        whole, broken, wrong = rewarder(references, bleu)([[1, 2, END], [1, 2, 1], [3, 4, END]], [0, 0, 0]).tolist()
        assert whole > broken > wrong
    assert rewarder(references, 1.0)([[1, 2, END]], [0]) > rewarder(references, 0.0)([[1, 2, END]], [0])
