"""BLIP, GIT, ViT-GPT2 and ViLT: tiny ones with random weights, opened from the published format."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
import transformers as hf
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from samples import runs_of

from demo.engine import Engine
from demo.errors import InputError
from demo.models import Entry, Library
from demo.models.captioning import WHOLE
from demo.models.hub import spelled
from demo.models.hub_captioning import blip_captioner, git_captioner, vit_gpt2_captioner
from demo.models.hub_vqa import blip_answerer, vilt
from demo.models.layers import in_place
from demo.models.processors import UnfitError
from demo.models.words import words
from demo.query import Explain, Predict, image_file
from explainers import explain

PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "zebra_elephant.jpg"
CAPTIONERS = {"BLIP": blip_captioner, "GIT": git_captioner, "ViT-GPT2": vit_gpt2_captioner}
ANSWERERS = {"BLIP VQA": blip_answerer, "ViLT": vilt}
CAPTION = "a dog's running on grass"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hub")
    return {
        "BLIP": tiny.blip(root / "blip", hf.BlipForConditionalGeneration),
        "GIT": tiny.git(root / "git"),
        "ViT-GPT2": tiny.vit_gpt2(root / "vit_gpt2"),
        "BLIP VQA": tiny.blip(root / "blip_vqa", hf.BlipForQuestionAnswering),
        "ViLT": tiny.vilt(root / "vilt"),
    }


@pytest.fixture(scope="module")
def models(folders):
    openers = CAPTIONERS | ANSWERERS
    return {name: openers[name](name, folder, "cpu") for name, folder in folders.items()}


@pytest.fixture(scope="module")
def image(models):
    return models["BLIP"].prepare(Image.open(PHOTO))


@pytest.mark.parametrize("name", CAPTIONERS)
def test_the_score_of_a_caption_is_what_the_network_gives_its_pieces_one_by_one(models, image, name):
    model = models[name]
    tokens = model._tokenizer(CAPTION, add_special_tokens=False)["input_ids"]
    total, said = 0.0, [model._start]
    with torch.inference_mode():
        for token in tokens:
            logits = model._network(pixel_values=image, **{model._text_argument: torch.tensor([said])}).logits
            total += logits[0, -1].log_softmax(dim=0)[token].item()
            said.append(token)
        scores = model.score(CAPTION, WHOLE, *range(6))(image)
    assert scores[0].item() == pytest.approx(total, rel=1e-4)
    assert scores[1:].sum().item() == pytest.approx(total, rel=1e-4)
    assert len(tokens) > 6  # "running" has two pieces


@pytest.mark.parametrize("name", CAPTIONERS)
def test_a_word_gets_the_pieces_that_it_consists_of(models, name):
    pieces, owners = models[name]._pieces(["a", "dog", "'s", "running", "on", "grass"])
    spelled: dict[int, str] = {}
    for piece, owner in zip(pieces, owners, strict=True):
        spelled[owner] = spelled.get(owner, "") + models[name]._tokenizer.decode([piece]).strip().removeprefix("##")
    assert list(spelled.values()) == ["a", "dog", "'s", "running", "on", "grass"]


@pytest.mark.parametrize("name", CAPTIONERS)
def test_what_it_says_is_spelled_so_that_it_is_read_as_the_same_pieces(models, name):
    model = models[name]
    pieces, _ = model._pieces(["a", "dog", "'s", "t-shirt", "on", "grass"])
    (caption,) = spelled(model._tokenizer, torch.tensor([pieces]))
    assert caption == "a dog's t-shirt on grass"
    assert model._pieces(words(model.resolve_label(caption)))[0] == pieces


@pytest.mark.parametrize("name", CAPTIONERS)
def test_its_own_captions_are_those_of_its_beam_search_and_can_be_explained(models, image, name):
    model = models[name]
    captions = model.predict(image)
    assert list(captions.items()) == list(model.predict(image).items())
    caption, score = next(iter(captions.items()))
    assert model.resolve_label(caption) == caption
    assert score == pytest.approx(model.score(caption, WHOLE)(image).item(), rel=1e-4)


@pytest.mark.parametrize("name", CAPTIONERS)
def test_captions_are_explained_at_the_blocks_of_the_vision_transformer(models, image, name):
    model = models[name]
    assert list(model.layers) == ["block 2", "block 1"]
    explanation = explain(model.score(CAPTION, WHOLE, 1, 5), image, model.layers["block 2"], reshape=model.reshape)
    assert explanation.maps.shape == (3, 4, 4)
    assert explanation.relus == 0
    assert explanation.pixel_gradient.abs().amax(dim=(1, 2, 3)).gt(0).all()
    assert not torch.allclose(explanation.maps[1] / explanation.maps[1].max(), explanation.maps[2])


@pytest.mark.parametrize("name", CAPTIONERS)
@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("", "no words"),
        ("!?", "no words"),
        (" ".join(["dog"] * 51), "51 words, more than 50"),
        ("a dog", "there is no word 2"),
        (" ".join(["q" * 400] * 50), "shorten it|cannot read"),
    ],
)
def test_captions_that_cannot_be_explained(models, name, caption, message):
    with pytest.raises(InputError, match=message):
        models[name].score(caption, 2)


@pytest.mark.parametrize("name", ["BLIP", "GIT"])
def test_signs_that_are_no_pieces_are_refused_by_name(models, name):
    with pytest.raises(InputError, match=f"{name} cannot read “🦓”"):
        models[name].resolve_label("a 🦓 on grass")
    for nothing in ("\xad", "\ufffd", "\u0301", "\ufe0f"):  # of which BERT's tokenizers leave nothing
        with pytest.raises(InputError, match=f"{name} cannot read"):
            models[name].resolve_label(f"a dog {nothing} on grass")


@pytest.mark.parametrize("name", CAPTIONERS)
def test_captions_are_spelled_in_one_way(models, name):
    assert models[name].resolve_label("  A DOG’s running, on grass! ") == CAPTION


def test_the_answer_of_blip_is_what_the_network_gives_its_pieces_one_by_one(models, image):
    model = models["BLIP VQA"]
    question, answer = "what color is the zebra?", "black white"
    pieces = model._tokenizer(question, return_tensors="pt")["input_ids"]
    said = [model._network.decoder_start_token_id]
    total = 0.0
    for token in model._tokenizer(answer, add_special_tokens=False)["input_ids"]:
        generated = model._network.generate(
            input_ids=pieces,
            pixel_values=image,
            max_new_tokens=len(said),
            prefix_allowed_tokens_fn=lambda _, now, said=tuple(said), token=token: (
                [[*said, token][len(now)]] if len(now) <= len(said) else None
            ),
            output_logits=True,
            return_dict_in_generate=True,
        )
        total += generated.logits[-1][0].log_softmax(dim=0)[token].item()
        said.append(token)
    assert model.score(question, answer)(image).item() == pytest.approx(total, rel=1e-4)


def test_the_logits_of_vilt_are_those_of_the_network_however_it_shuffles_its_patches(models, image):
    model = models["ViLT"]
    question = "is the zebra on grass?"
    encoded = model._tokenizer(question, return_tensors="pt")
    with torch.inference_mode():
        expected = model._network(**encoded, pixel_values=image).logits[0]
        torch.testing.assert_close(model.score(question, *model.labels)(image), expected, rtol=1e-4, atol=1e-5)
        assert list(model.predict(image, question).values()) == pytest.approx(
            sorted(expected.sigmoid().tolist(), reverse=True), rel=1e-4
        )


def test_the_map_of_vilt_is_in_the_order_of_the_image(models, image):
    """The token grid of the first block follows the picture: covering a corner changes that corner most."""
    model = models["ViLT"]
    changed = image.clone()
    changed[..., 48:, :16] = 3
    with torch.inference_mode(), runs_of(model.layers["block 1"]) as outputs:
        for picture in (image, changed):
            model.score("is the zebra on grass?", "yes")(picture)
    before, after = (model.reshape(output) for output in outputs)
    assert before.shape[2:] == (4, 4)
    assert (after - before).abs().mean(dim=1)[0].flatten().argmax() == 12  # the lowest row's first


@pytest.mark.parametrize("name", ANSWERERS)
def test_answers_are_explained_at_the_blocks(models, image, name):
    model = models[name]
    layer = next(iter(model.layers))
    assert layer == {"BLIP VQA": "block 2", "ViLT": "block 1"}[name]
    explanation = explain(
        model.score("what is the zebra on?", "yes", "no"), image, model.layers[layer], reshape=model.reshape
    )
    assert explanation.maps.shape == (2, 4, 4)
    assert not torch.equal(explanation.maps[0], explanation.maps[1])
    assert explanation.maps.amax(dim=(1, 2)).gt(0).any()
    best = next(iter(model.predict(image, "what is the zebra on?")))
    assert model.resolve_label(best.upper()) == best


@pytest.mark.parametrize("name", ANSWERERS)
def test_an_answer_given_twice_has_one_row(models, name):
    engine = Engine(Library(entries={"vqa": [Entry(name, 0.0, lambda *_: models[name])]}))
    question = Predict(image_file(PHOTO.read_bytes()), "vqa", text="what is the zebra on?")
    best = next(iter(engine.answer(question).predictions))
    for answers in (("Grass", "grass"), (best, ""), (best.upper(), best, "")):
        assert len(engine.answer(Explain(question.image, "vqa", text=question.text, targets=answers)).rows) == 1


@pytest.mark.parametrize("name", ANSWERERS)
@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("", "There is no question"),
        ("🦓 🦓", "knows no word of this question"),
        ("is " * 51, "51 words, more than 50"),
    ],
)
def test_questions_that_cannot_be_answered(models, image, name, question, message):
    with pytest.raises(InputError, match=message):
        models[name].predict(image, question)


def test_a_question_that_is_too_long_for_vilt_is_refused(models, image):
    with pytest.raises(InputError, match="ViLT reads at most 12 word pieces, the question has 15"):
        models["ViLT"].predict(image, "is " * 13)


@pytest.mark.parametrize("name", ANSWERERS)
def test_words_in_which_nothing_can_be_read_are_ignored(models, name):
    assert models[name].ignored_words("what 🦓 color is the qqq zebra?") == ["🦓", "qqq"]


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [("ViLT", "gras", "has no answer “gras”. Did you mean Grass"), ("BLIP VQA", "🦓", "cannot say “🦓”")],
)
def test_answers_that_cannot_be_given(models, name, answer, message):
    with pytest.raises(InputError, match=message):
        models[name].score("what is it?", answer)


def test_numbers_are_answers_as_words_and_in_digits(models):
    assert [models["ViLT"].resolve_label(answer) for answer in ("2", "two", " Two ")] == ["2"] * 3
    assert models["BLIP VQA"].resolve_label("two") == "two"  # which writes any answer itself
    with pytest.raises(InputError, match=r"has no answer “twoo”\. Did you mean 2\?"):
        models["ViLT"].resolve_label("twoo")


def test_texts_of_more_word_pieces_than_blip_has_places_for_are_refused(models, image):
    model = models["BLIP VQA"]
    most = 256
    with torch.inference_mode():
        assert model.score("is it a dog?", " ".join(["dog"] * most))(image).isfinite().all()
    with pytest.raises(InputError, match="The answer has 257 word pieces, more than 256: shorten it"):
        model.score("is it a dog?", " ".join(["dog"] * (most + 1)))
    with pytest.raises(InputError, match="BLIP VQA reads at most 256 word pieces, the question has"):
        model.predict(image, " ".join(["no-no-no-no-no-no-no"] * 40))


@pytest.mark.parametrize("name", [*CAPTIONERS, "BLIP VQA"])
def test_cells_of_the_blocks_are_where_the_image_is(models, name):
    model = models[name]
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def run(image):
        vision = model._network.encoder if name == "ViT-GPT2" else None
        vision = vision or (model._network.git.image_encoder if name == "GIT" else model._network.vision_model)
        return vision(pixel_values=image)

    assert in_place(model.layers, run, images) == set(model.layers)
    # The same network is in another order, if the image is turned before it.
    assert not in_place(model.layers, lambda image: run(image.rot90(2, (2, 3))), images)


def test_a_pickle_is_not_opened(folders, tmp_path):
    shutil.copytree(folders["BLIP"], tmp_path / "blip")
    (weights,) = (tmp_path / "blip").glob("*.safetensors")
    torch.save(load_file(weights), tmp_path / "blip" / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(UnfitError, match=r"safetensors"):
        blip_captioner("", tmp_path / "blip", "cpu")


def test_weights_that_lack_what_decides_are_not_opened(folders, tmp_path):
    shutil.copytree(folders["ViLT"], tmp_path / "vilt")
    state = load_file(tmp_path / "vilt" / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if "pooler" not in name}
    save_file(kept, tmp_path / "vilt" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"its weights lack vilt\.pooler"):
        vilt("", tmp_path / "vilt", "cpu")


def told() -> list[str]:
    """Whether a model of the hub is here, how its download ends, and what it is when it is opened."""
    from demo.errors import InputError
    from demo.models.downloads import Downloads, Repository
    from demo.models.hub_captioning import blip_captioner

    source, downloads = Repository("me/tiny"), Downloads()
    said = [str(source.is_here())]
    try:
        if download := downloads.join(source):
            download.ended.wait()
            download.leave()
            download.check("Tiny")
            said.append(f"{source.is_here()} {download.done == download.total > 0}")
        downloads.fetch(source, "Tiny")
        said.append(blip_captioner("tiny", source.folder, "cpu").resolve_label("A dog."))
    except InputError as error:
        said.append(str(error))
    return said


@pytest.fixture
def with_hub(monkeypatch) -> Callable[..., list[str]]:
    """What is told with a home and a hub, in this process, where the library has read its variables already."""

    def found(home: Path, address: str, *, offline: bool = False) -> list[str]:
        for name, value in {
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_HUB_OFFLINE": offline,
            "ENDPOINT": address,
            "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        }.items():
            assert hasattr(constants, name)
            monkeypatch.setattr(constants, name, value)
        return told()

    return found


def test_the_hubs_library_reads_from_its_variables_what_is_patched_here(tmp_path):
    program = "from huggingface_hub import constants as c; print(c.HF_HUB_CACHE, c.HF_HUB_OFFLINE, c.ENDPOINT)"
    ran = subprocess.run(
        [sys.executable, "-c", f"{program}; print(c.HUGGINGFACE_CO_URL_TEMPLATE)"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"},
    )
    assert ran.stdout.splitlines() == [
        f"{tmp_path / 'hub'} True http://127.0.0.1:9",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    ]


def test_a_model_is_downloaded_from_the_hub_without_its_code_and_pickles(folders, tmp_path, with_hub):
    served = tmp_path / "served"
    shutil.copytree(folders["BLIP"], served)
    (served / "malware.py").write_text("1 / 0")
    (served / "pytorch_model.bin").write_bytes(b"pickle")
    with tiny.hub(served) as address:
        assert with_hub(tmp_path / "home", address) == ["False", "True True", "a dog"]
    (snapshot,) = (tmp_path / "home" / "hub" / "models--me--tiny" / "snapshots").iterdir()
    assert {file.name for file in snapshot.iterdir()} == {
        file.name for file in served.iterdir() if file.suffix in (".json", ".txt", ".safetensors")
    }


def test_safe_tensors_that_only_the_hubs_own_program_offers_are_used_and_nobody_elses(folders, tmp_path, with_hub):
    main, strangers, converted = (tmp_path / name for name in ("main", "strangers", "converted"))
    shutil.copytree(folders["BLIP"], converted)
    shutil.copytree(converted, strangers)
    shutil.copytree(converted, main, ignore=shutil.ignore_patterns("*.safetensors"))
    (main / "pytorch_model.bin").write_bytes(b"pickle")
    shutil.copy(folders["GIT"] / "model.safetensors", strangers)
    pull_requests = {3: ("mallory", strangers), 7: ("SFconvertbot", converted)}
    home = tmp_path / "home"
    with tiny.hub(main, pull_requests=pull_requests) as address:
        assert with_hub(home, address) == ["False", "True True", "a dog"]
    assert with_hub(home, "http://127.0.0.1:9", offline=True)[0] == "True"
    with tiny.hub(main, pull_requests={3: ("mallory", strangers)}) as address:
        assert with_hub(tmp_path / "other", address) == [
            "False",
            "Tiny cannot be downloaded (me/tiny has no config.json with a model.safetensors): try again with a "
            "network and room on the disk.",
        ]


def test_weights_without_a_configuration_are_not_a_model_that_is_here(folders, tmp_path, with_hub):
    """transformers keeps such of a pull request, after it has opened a pickle."""
    snapshot = tmp_path / "hub" / "models--me--tiny" / "snapshots" / ("2" * 40)
    snapshot.mkdir(parents=True)
    shutil.copy(folders["BLIP"] / "model.safetensors", snapshot)
    reference = tmp_path / "hub" / "models--me--tiny" / "refs" / "refs" / "pr" / "7"
    reference.parent.mkdir(parents=True)
    reference.write_text("2" * 40)
    assert with_hub(tmp_path, "http://127.0.0.1:9", offline=True)[0] == "False"


def test_without_a_network_a_model_of_the_hub_is_one_sentence(tmp_path, with_hub):
    here, said = with_hub(tmp_path, "http://127.0.0.1:9")
    assert here == "False"
    assert re.fullmatch(r"Tiny cannot be downloaded \(.+\): try again with a network and room on the disk\.", said)
    assert "offline" in with_hub(tmp_path, "http://127.0.0.1:9", offline=True)[1]
