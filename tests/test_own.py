"""Somebody's own classifier, from files that fit and from files that do not."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import VisionTransformer, get_model

from demo.engine import Engine
from demo.errors import InputError
from demo.explain import answer
from demo.images import open_photo
from demo.models import Library, catalog
from demo.models.classification import Classifier, distinct
from demo.models.network import GREY, Geometry
from demo.models.own import hub_classifier, torchvision_classifier
from demo.models.state_dicts import fitted
from demo.query import Adversarial, Explain, Region, image_file
from explainers import explain, finish

PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "zebra_elephant.jpg"
CLASSES = ["cat", "dog", "zebra crossing"]
QUICK = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("files")
    (tmp_path / "labels.txt").write_text("cat\ndog\nzebra crossing\n\n", encoding="utf-8")
    (tmp_path / "four.txt").write_text("cat\ndog\ncow\nox")
    (tmp_path / "none of them.txt").write_text("\n")
    (tmp_path / "gap.txt").write_text("cat\n\ncow")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\xff")
    torch.manual_seed(0)
    state = get_model("resnet18", num_classes=3).state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    save_file(get_model(QUICK, num_classes=3).state_dict(), tmp_path / "quick.safetensors")
    torch.save(state, tmp_path / "mine.pth")
    save_file(state | {"conv1.weight": torch.zeros(64, 4, 7, 7)}, tmp_path / "depth.safetensors")
    save_file(state | {"conv1.weight": torch.zeros(64, 3, 5, 5)}, tmp_path / "small.safetensors")
    save_file({k: v for k, v in state.items() if k != "layer2.0.conv1.weight"}, tmp_path / "gap.safetensors")
    save_file(state | {"attention.weight": torch.zeros(4)}, tmp_path / "more.safetensors")
    save_file(state | {"fc.weight": torch.zeros(3, 512, dtype=torch.int8)}, tmp_path / "bytes.safetensors")
    save_file(state | {"fc.bias": torch.tensor(0.0)}, tmp_path / "scalar.safetensors")
    return tmp_path


@pytest.fixture
def folder(files, tmp_path):
    for file in files.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


@pytest.mark.parametrize(
    ("architecture", "layer", "expected"),
    [("resnet18", None, "layer4"), (QUICK, "stage3.1", "stage3.1"), ("mobilenet_v3_small", None, "features.12")],
)
def test_weights_of_any_number_of_classes(folder, architecture, layer, expected):
    torch.manual_seed(1)
    network = get_model(architecture, num_classes=3)
    save_file(network.state_dict(), folder / "net.safetensors")
    model = torchvision_classifier(
        str(folder / "net.safetensors"), architecture, str(folder / "labels.txt"), layer, "cpu"
    )
    assert (model.name, model.labels) == ("net", CLASSES)
    assert next(iter(model.layers)) == expected
    image = model.prepare(Image.open(PHOTO))
    explanation = explain(model.score("Zebra Crossing", "cat"), image, model.layers[expected], reshape=model.reshape)
    torch.testing.assert_close(explanation.scores, network.eval()(image)[0, [2, 0]].detach())


def test_googlenet_with_and_without_what_is_for_training_only(folder):
    network = get_model("googlenet", num_classes=3, init_weights=False, aux_logits=True)
    state = network.state_dict()
    without = {name: tensor for name, tensor in state.items() if not name.startswith("aux")}
    assert fitted(state, "googlenet", "net")[0].keys() == fitted(without, "googlenet", "net")[0].keys()
    save_file(state, folder / "net.safetensors")
    model = torchvision_classifier(
        str(folder / "net.safetensors"), "googlenet", str(folder / "labels.txt"), None, "cpu"
    )
    assert next(iter(model.layers)) == "inception5b"
    # torchvision's pretrained one, which people train on from, takes ImageNet's normalisation for another one.
    image = model.prepare(Image.open(PHOTO))
    network.transform_input = True
    with torch.inference_mode():
        torch.testing.assert_close(model.score("dog")(image), network.eval()(image)[0, 1:2])


@pytest.mark.parametrize(
    ("weights", "architecture", "labels", "layer", "message"),
    [
        ("none.safetensors", "resnet18", "labels.txt", None, "There is no file “.*none.safetensors”"),
        ("mine.pth", "resnet18", "labels.txt", None, "is not a safetensors file: save the state dict with"),
        pytest.param(
            "/proc/self/status",
            "resnet18",
            "labels.txt",
            None,
            "“/proc/self/status” cannot be read: No such device",
            marks=pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a file of Linux"),
        ),
        ("depth.safetensors", "resnet18", "labels.txt", None, r"takes images of 4 channels: train it on colour \(3\)"),
        (
            "small.safetensors",
            "resnet18",
            "labels.txt",
            None,
            r"its “conv1.weight” is \(64, 3, 5, 5\), not \(64, 3, 7",
        ),
        ("gap.safetensors", "resnet18", "labels.txt", None, r"it lacks “layer2.0.conv1.weight”\. Save that of torch"),
        ("more.safetensors", "resnet18", "labels.txt", None, "it has “attention.weight”, which a resnet18 has not"),
        ("bytes.safetensors", "resnet18", "labels.txt", None, "holds torch.int8 numbers in “fc.weight”: save it in"),
        ("scalar.safetensors", "resnet18", "labels.txt", None, r"its “fc.bias” is \(\), not \(3,\)"),
        (
            "mine.safetensors",
            "resnet50",
            "labels.txt",
            None,
            r"resnet50: it lacks “layer1.0.conv3.weight”, .* and \d+ more",
        ),
        ("mine.safetensors", "vgg11", "labels.txt", None, "is not a vgg11: it lacks .* Give --arch the right name"),
        ("mine.safetensors", "renset18", "labels.txt", None, "no classifier “renset18”. It has resnet18"),
        ("mine.safetensors", "resnet18", "four.txt", None, "is for 3 classes, but “.*four.txt” names 4"),
        ("mine.safetensors", "resnet18", "none of them.txt", None, "at least one line and no empty one"),
        ("mine.safetensors", "resnet18", "gap.txt", None, "at least one line and no empty one"),
        ("mine.safetensors", "resnet18", "none.txt", None, "The labels “.*none.txt” cannot be read"),
        ("mine.safetensors", "resnet18", "binary.txt", None, "The labels “.*binary.txt” cannot be read"),
        ("quick.safetensors", QUICK, "labels.txt", "stege4", "no layer “stege4”. It has stage4"),
        (
            "mine.safetensors",
            "resnet18",
            "labels.txt",
            "avgpool",
            "“avgpool” cannot be used: its maps have a single cell",
        ),
        ("quick.safetensors", QUICK, "labels.txt", "fc", r"The layer “fc” cannot be used: .*shape \(1, 3\)"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, weights, architecture, labels, layer, message):
    with pytest.raises(InputError, match=message):
        torchvision_classifier(str(folder / weights), architecture, str(folder / labels), layer, "cpu")


def test_files_as_other_programs_write_them(folder):
    """Names from DataParallel, and labels from an editor that marks its files as Unicode."""
    state = get_model("mnasnet0_5", num_classes=3).state_dict()
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, folder / "net.safetensors")
    (folder / "marked.txt").write_text("cat\ndog\ncow", encoding="utf-8-sig")
    model = torchvision_classifier(
        str(folder / "net.safetensors"), "mnasnet0_5", str(folder / "marked.txt"), None, "cpu"
    )
    assert model.labels == ["cat", "dog", "cow"]


def own(folder, state, architecture=QUICK, labels="labels.txt", metadata=None):
    save_file(state, folder / "net.safetensors", metadata=metadata)
    return torchvision_classifier(str(folder / "net.safetensors"), architecture, str(folder / labels), None, "cpu")


def fitted_head(state):
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


STATES = {
    "torch.compile": lambda state: {f"_orig_mod.{name}": each for name, each in state.items()},
    "Lightning, compiled and parallel": lambda state: (
        {f"model.module._orig_mod.{name}": each for name, each in state.items()}
        | {"loss.weight": torch.ones(3), "accuracy.total": torch.tensor(5)}
    ),
    "parts in parallel": lambda state: {name.replace("layer1.", "layer1.module."): e for name, e in state.items()},
    "averaged": lambda state: (
        {f"module.{name}": each for name, each in state.items()} | {"n_averaged": torch.tensor(7)}
    ),
    "without counters": lambda state: {name: each for name, each in state.items() if "num_batches" not in name},
    "half precision": lambda state: {
        name: each.half() if each.is_floating_point() else each for name, each in state.items()
    },
    "bfloat16": lambda state: {
        name: each.bfloat16() if each.is_floating_point() else each for name, each in state.items()
    },
    "a head behind dropout": lambda state: (
        fitted_head(state) | {"fc.1.weight": state["fc.weight"], "fc.1.bias": state["fc.bias"]}
    ),
    "a head beside the backbone": lambda state: (
        {f"backbone.{name}": each for name, each in fitted_head(state).items()}
        | {"head.weight": state["fc.weight"], "head.bias": state["fc.bias"]}
    ),
}


@pytest.mark.parametrize("kind", STATES)
def test_state_dicts_as_people_have_them(files, kind):
    state = load_file(files / "mine.safetensors")
    found, options, _ = fitted(STATES[kind](state), "resnet18", "net")
    assert options["num_classes"] == 3
    assert found.keys() == {name for name in state if not name.endswith("num_batches_tracked")}
    near = {"half precision": 2**-11, "bfloat16": 2**-8}.get(kind, 0)  # of which the rest is lost
    for name, tensor in found.items():
        torch.testing.assert_close(tensor.float(), state[name], rtol=near, atol=1e-7 if near else 0)


def test_a_network_says_the_same_from_the_file_of_another_program(folder):
    state = load_file(folder / "quick.safetensors")
    model = own(folder, STATES["bfloat16"](STATES["Lightning, compiled and parallel"](state)))
    image = model.prepare(Image.open(PHOTO))
    network = get_model(QUICK, num_classes=3).eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        expected, found = network(image)[0], model.score(*CLASSES)(image)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * expected.abs().max().item())


def test_a_vision_transformer_says_itself_how_large_its_images_are(folder):
    network = VisionTransformer(384, 16, 2, 2, 32, 64, num_classes=3)
    with pytest.raises(InputError, match=r"“encoder.ln.bias” is \(32,\), not \(768,\)|is not a vit_b_16"):
        own(folder, network.state_dict(), "vit_b_16")
    with torch.device("meta"):
        state = get_model("vit_b_16", image_size=384, num_classes=3).state_dict()
    assert fitted(state, "vit_b_16", "net")[1] == {"num_classes": 3, "channels": 3, "image_size": 384}


def test_a_network_of_one_channel_gets_the_grey_image(folder):
    network = get_model(QUICK, num_classes=3).eval()
    network.conv1[0] = nn.Conv2d(1, 24, 3, 2, 1, bias=False)
    model = own(folder, network.state_dict())
    photo = Image.open(PHOTO)
    image = model.prepare(photo)
    grey = np.asarray(photo.convert("L").resize((224, 224), Image.Resampling.BILINEAR)) / 255
    expected = (torch.from_numpy(grey) - (0.485 + 0.456 + 0.406) / 3) / ((0.229 + 0.224 + 0.225) / 3)
    torch.testing.assert_close(image[0, 0], expected.float())
    with torch.inference_mode():
        torch.testing.assert_close(model.score("dog")(image), network(image)[0, 1:2])
    library = Library()
    library.offer(lambda _device: model)
    row = (
        Engine(library)
        .answer(
            Explain(
                image_file(PHOTO.read_bytes()),
                "classification",
                model="net",
                targets=("dog",),
                methods=("guided_backprop",),
            )
        )
        .rows[0]
    )
    assert row.pictures["guided_backprop"].shape == (3, 224, 224)  # drawn in grey


def test_the_grey_of_three_equal_channels_has_one_gradient():
    geometry = Geometry(9, (0.5,) * 3, (0.5,) * 3, order=GREY)
    gradient = torch.tensor([1.0, 2.0, -5.0])[None, :, None, None].expand(1, 3, 9, 9)
    assert geometry.as_rgb(gradient)[0, :, 5, 5].tolist() == [-2, -2, -2]


def test_the_noise_of_a_grey_image_of_three_channels_is_grey():
    """So what the model then says is what it says of the image that is shown."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3)).requires_grad_(False)
    model = Classifier("net", network, CLASSES, {"": network[0]}, Geometry(8, (0.5,) * 3, (0.5,) * 3, order=GREY))
    photo = Image.new("RGB", (8, 8), "grey")
    query = Adversarial(image_file(b""), "classification", "net", target="dog")
    (result,) = finish(answer(model, [query], [photo], lambda *_: None))
    noised = np.asarray(open_photo(result.image.data)).astype(int)
    weights = network[1].weight[1].reshape(3, 8, 8).sum(dim=0) - network[1].weight[[0, 2]].mean(dim=0).reshape(
        3, 8, 8
    ).sum(dim=0)
    strong = (weights.abs() > 0.1).numpy()
    changes = noised[..., 0] - 128
    assert (np.sign(changes) == np.sign(weights.numpy()))[strong].mean() > 0.8


def test_one_logit_behind_a_relu_is_refused_for_two_classes(folder):
    (folder / "two.txt").write_text("normal\npneumonia")
    with pytest.raises(InputError, match="Name one class in"):
        own(folder, get_model("squeezenet1_1", num_classes=1).state_dict(), "squeezenet1_1", labels="two.txt")


def test_many_equal_class_names_are_numbered():
    names = distinct(["a"] * 20_000 + ["a (2)"])
    assert names[:2] == ["a", "a (3)"]
    assert names[-2:] == ["a (20001)", "a (2)"]
    assert len(set(names)) == 20_001


@pytest.mark.parametrize("labels", ["pneumonia", "normal\npneumonia"])
def test_one_logit_decides_between_two_classes(folder, labels):
    (folder / "binary labels.txt").write_text(labels)
    network = get_model(QUICK, num_classes=1).eval()
    model = own(folder, network.state_dict(), labels="binary labels.txt")
    image = model.prepare(Image.open(PHOTO))
    with torch.inference_mode():
        logit = network(image)[0]
        torch.testing.assert_close(model.score("pneumonia")(image), logit)
        said = model.predict(image)
    assert said["pneumonia"] == pytest.approx(logit.sigmoid().item(), rel=1e-4)
    if "normal" in labels:
        torch.testing.assert_close(model.score("normal")(image), -logit)
        assert sum(said.values()) == pytest.approx(1)


def test_all_that_the_page_asks_works_for_independent_classes_be_it_one(folder):
    (folder / "one.txt").write_text("pneumonia")
    state = get_model(QUICK, num_classes=1).state_dict()
    library = Library()
    library.offer(lambda _device: own(folder, state, labels="one.txt"))
    engine = Engine(library)
    query = Explain(
        image_file(PHOTO.read_bytes()), "classification", model="net", targets=("",), methods=("gradcam", "cam")
    )
    row = engine.answer(query).rows[0]
    assert row.details.target == "pneumonia"
    np.testing.assert_allclose(
        row.pictures["cam"] * row.pictures["gradcam"].max(),
        row.pictures["gradcam"] * row.pictures["cam"].max(),
        rtol=1e-3,
        atol=1e-5,
    )
    assert engine.answer(Region(query.image, "classification", "net")).evidence.keys() <= {"pneumonia"}
    noised = engine.answer(Adversarial(query.image, "classification", "net", target="pneumonia"))
    assert noised.predictions["pneumonia"] > row.details.probability


def test_a_file_says_in_its_metadata_that_several_classes_may_be_true(folder):
    state = load_file(folder / "quick.safetensors")
    for metadata, function in ((None, "softmax"), ({"problem_type": "multi_label_classification"}, "sigmoid")):
        model = own(folder, state, metadata=metadata)
        image = model.prepare(Image.open(PHOTO))
        logits = model.score(*CLASSES)(image)
        expected = logits.softmax(dim=0) if function == "softmax" else logits.sigmoid()
        assert [model.predict(image)[name] for name in CLASSES] == pytest.approx(expected.tolist(), rel=1e-4)


def test_labels_that_occur_twice_get_numbers(folder):
    (folder / "birds.txt").write_text("crane\ncrane (2)\ncrane")
    assert own(folder, load_file(folder / "quick.safetensors"), labels="birds.txt").labels == [
        *("crane", "crane (2)", "crane (3)")
    ]


def test_pictures_are_not_normalised_where_the_processor_does_not(tmp_path):
    folder = tiny.vit_classifier(tmp_path / "raw", CLASSES)
    hf.ViTImageProcessor(size={"height": 64, "width": 64}, do_normalize=False).save_pretrained(folder)
    white = Image.new("RGB", (80, 60), "white")
    assert hub_classifier(str(folder), None, "cpu").prepare(white).unique().tolist() == [1]


@pytest.mark.parametrize(
    ("processor", "exact"),
    [
        (hf.ViTImageProcessor(size={"height": 64, "width": 64}, do_rescale=False, do_normalize=False), True),
        (hf.ViTImageProcessor(size=64, rescale_factor=1 / 127.5, image_mean=[1.0] * 3, image_std=[0.5] * 3), True),
        (hf.ViTImageProcessor(size=64, resample=Image.Resampling.LANCZOS), True),
        (hf.EfficientNetImageProcessor(size={"height": 64, "width": 64}), True),
        (hf.EfficientNetImageProcessor(size=64, rescale_factor=1 / 127.5, rescale_offset=True), True),
        (hf.MobileViTImageProcessor(size={"shortest_edge": 72}, crop_size=64), False),
        (hf.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=64), True),
        (hf.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875), False),
        (hf.BitImageProcessor(size={"shortest_edge": 80}, crop_size=64), False),
        (hf.ViTImageProcessor(do_resize=False), None),
    ],
    ids=lambda value: type(value).__name__ if value not in (True, False, None) else "",
)
def test_a_network_is_given_what_its_own_image_processor_makes_of_an_image(tmp_path, processor, exact):
    """Of a square image the same numbers; where it crops, the same of an image of that size that is not cropped."""
    folder = tiny.vit_classifier(tmp_path / "net", CLASSES)
    processor.save_pretrained(folder)
    model = hub_classifier(str(folder), None, "cpu")
    photo = Image.open(PHOTO).convert("RGB").resize((150, 150) if exact else (64, 64))
    options = {} if exact else {"do_resize": False, "do_center_crop": False}
    expected = processor(images=photo, return_tensors="pt", **options)["pixel_values"].float()
    step = (expected.max() - expected.min()).item() / 255  # about one level
    torch.testing.assert_close(model.prepare(photo), expected, rtol=0, atol=(2.5 if exact else 0.01) * step)


def test_a_grey_classifier_of_transformers_gets_the_grey_image(tmp_path):
    config = hf.ViTConfig(**tiny.VISION, num_channels=1, num_labels=3)
    processor = hf.ViTImageProcessor(size={"height": 64, "width": 64})
    model = hub_classifier(
        str(tiny.save(tmp_path / "x", hf.ViTForImageClassification(config), processor)), None, "cpu"
    )
    photo = Image.open(PHOTO).convert("RGB").resize((64, 64))
    expected = torch.from_numpy(np.asarray(photo.convert("L")) / 127.5 - 1).float()
    torch.testing.assert_close(model.prepare(photo), expected[None, None])


def test_the_colours_of_a_processor_that_turns_them_round_are_drawn_as_they_are(tmp_path):
    """MobileViT's takes blue, green, red."""
    folder = tiny.vit_classifier(tmp_path / "net", CLASSES)
    hf.MobileViTImageProcessor(size={"shortest_edge": 64}, crop_size=64).save_pretrained(folder)
    geometry = hub_classifier(str(folder), None, "cpu").geometry
    red = geometry.normalised(Image.new("RGB", (9, 9), "red"))
    assert red[0, :, 5, 5].tolist() == [0, 0, 1]
    assert geometry.as_rgb(red)[0, :, 5, 5].tolist() == [1, 0, 0]
    assert geometry.image(geometry.pixels(Image.new("RGB", (9, 9), "red"))).getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize("classes", [["beach", "dog", "car"], ["nsfw"]])
def test_probabilities_are_those_of_the_pipeline_of_transformers(tmp_path, classes):
    kind = {"problem_type": "multi_label_classification"} if len(classes) > 1 else {}
    config = hf.ViTConfig(**tiny.VISION, id2label=dict(enumerate(classes)), **kind)
    processor = hf.ViTImageProcessor(size={"height": 64, "width": 64})
    folder = tiny.save(tmp_path / "net", hf.ViTForImageClassification(config), processor)
    model = hub_classifier(str(folder), None, "cpu")
    photo = Image.open(PHOTO).convert("RGB").resize((64, 64))
    expected = hf.pipeline("image-classification", model=str(folder))(photo)
    assert model.predict(model.prepare(photo)) == pytest.approx(
        {each["label"]: each["score"] for each in expected}, rel=1e-3
    )


def test_layers_whose_tokens_are_in_another_order_than_the_image_are_not_offered(tmp_path):
    """Those of Hiera are, in all stages but the last."""
    torch.manual_seed(0)
    network = hf.HieraForImageClassification(hf.HieraConfig(embed_dim=8, num_heads=[1] * 4, depths=[1, 2, 2, 1]))
    network.save_pretrained(tmp_path / "hiera")
    hf.BitImageProcessor(size={"shortest_edge": 224}, crop_size=224).save_pretrained(tmp_path / "hiera")
    assert list(hub_classifier(str(tmp_path / "hiera"), None, "cpu").layers) == ["hiera.encoder.stages.3"]
    with pytest.raises(InputError, match="cannot be used: its cells do not match positions in the image"):
        hub_classifier(str(tmp_path / "hiera"), "hiera.encoder.stages.1.layers.0", "cpu")


def test_blocks_that_return_a_tuple_are_offered(tmp_path):
    config = hf.Data2VecVisionConfig(**tiny.VISION | {"num_hidden_layers": 3})
    processor = hf.BeitImageProcessor(size={"height": 64, "width": 64}, crop_size=64)
    folder = tiny.save(tmp_path / "net", hf.Data2VecVisionForImageClassification(config), processor)
    model = hub_classifier(str(folder), None, "cpu")
    assert list(model.layers) == ["block 3", "block 2", "block 1"]
    image = model.prepare(Image.open(PHOTO))
    maps = explain(model.score("LABEL_1"), image, model.layers["block 3"], reshape=model.reshape).maps
    assert maps.shape == (1, 4, 4)


def edited(folder, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


def without(folder, pattern):
    for file in folder.glob(pattern):
        file.unlink()


FOLDERS = {
    "ids with a gap": (
        lambda f: edited(f, id2label={"0": "cat", "2": "dog"}),
        "names 0, 2 of its classes: number all",
    ),
    "more ids than logits": (
        lambda f: edited(f, id2label={str(i): str(i) for i in range(5)}),
        r"is \(3,\) in its weights, and \(5,\) by its config.json",
    ),
    "longest edge": (
        lambda f: hf.ViTImageProcessor(size={"longest_edge": 64}).save_pretrained(f),
        r"cannot resize to \{'longest_edge': 64\}: give “size” .* a “height” and a “width”",
    ),
    "no processor": (lambda f: without(f, "*processor*"), r"no preprocessor_config\.json, .* by processor\.save_pret"),
    "no config": (lambda f: without(f, "config.json"), r"no config\.json: save the model by model\.save_pretrained"),
    "no weights": (lambda f: without(f, "*.safetensors"), r"no safetensors weights: save the model by"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), r"an adapter of peft.*merge_and_unload\(\)"),
    "patches": (lambda f: hf.Siglip2ImageProcessor().save_pretrained(f), "Siglip2ImageProcessor cuts an image into"),
    "code": (
        lambda f: edited(f, model_type="mine", auto_map={"AutoConfig": "a.B"}),
        "code of its own, .*not run here",
    ),
    "unknown": (lambda f: edited(f, model_type="mine"), "knows no “model_type” “mine”, .* or install a newer"),
    "of texts": (lambda f: edited(f, model_type="bert"), "transformers has no image classifier of the type bert"),
    "measurements": (lambda f: edited(f, problem_type="regression"), "measurements, not classes: “problem_type” in"),
}


@pytest.mark.skipif(hf.utils.is_timm_available(), reason="timm is installed")
def test_a_model_of_timm_says_what_it_needs(tmp_path):
    folder = tiny.vit_classifier(tmp_path / "net", CLASSES)
    edited(folder, architecture="resnet18", pretrained_cfg={"input_size": [3, 64, 64]})
    with pytest.raises(InputError, match="a model of timm, which is not installed: pip install timm"):
        hub_classifier(str(folder), None, "cpu")


@pytest.mark.parametrize("kind", FOLDERS)
def test_folders_that_cannot_be_opened_say_what_to_do(tmp_path, kind):
    change, message = FOLDERS[kind]
    folder = tiny.vit_classifier(tmp_path / "net", CLASSES)
    change(folder)
    with pytest.raises(InputError, match=message):
        hub_classifier(str(folder), None, "cpu")


def test_a_classifier_of_transformers_from_a_folder(tmp_path):
    folder = tiny.vit_classifier(tmp_path / "my-vit", CLASSES)
    model = hub_classifier(str(folder), None, "cpu")
    assert (model.name, model.labels, list(model.layers)) == ("my-vit", CLASSES, ["block 1"])
    image = model.prepare(Image.open(PHOTO))
    assert image.shape == (1, 3, 64, 64)
    assert image.min() >= -1  # mean and deviation are those of the folder
    explanation = explain(model.score("dog"), image, model.layers["block 1"], reshape=model.reshape)
    assert (explanation.maps.shape, explanation.relus) == ((1, 4, 4), 0)
    assert next(iter(hub_classifier(str(folder), "vit.layers.0", "cpu").layers)) == "vit.layers.0"


def test_the_layers_of_a_classifier_of_transformers_are_called_as_it_calls_them(tmp_path):
    config = hf.ResNetConfig(embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, layer_type="basic", num_labels=3)
    processor = hf.ViTImageProcessor(size={"height": 64, "width": 64})
    folder = tiny.save(tmp_path / "net", hf.ResNetForImageClassification(config), processor)
    model = hub_classifier(str(folder), None, "cpu")
    assert next(iter(model.layers)) == "resnet.encoder.stages.3"
    assert (
        next(iter(hub_classifier(str(folder), "resnet.encoder.stages.2", "cpu").layers)) == "resnet.encoder.stages.2"
    )


def test_two_classes_of_one_name_in_a_model_of_somebody_elses_get_numbers(tmp_path):
    folder = tiny.vit_classifier(tmp_path / "net", ["crane", "dog", "crane"])
    assert hub_classifier(str(folder), None, "cpu").labels == ["crane", "dog", "crane (2)"]


def test_the_folder_that_one_is_in_has_a_name_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tiny.vit_classifier(tmp_path / "net", CLASSES))
    assert hub_classifier(".", None, "cpu").name == "net"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "cannot be opened as an image classifier of transformers"),
        ("mine.safetensors", "is a file: give --arch and --labels"),
        ("not/a/name/at all", "There is no folder “not/a/name/at all”"),
        ("headless", "cannot be opened as an image classifier of transformers: its weights lack classifier.bias"),
        ("broken", "cannot be opened as an image classifier of transformers: "),
        ("other size", "which says: Input image size"),
        ("wide", "it takes pictures of 64 x 32 pixels, not square ones"),
    ],
)
def test_what_is_no_classifier_of_transformers(folder, name, message):
    (folder / "empty").mkdir()
    for kind in {"headless", "broken", "other size", "wide"} & {name}:
        made = tiny.vit_classifier(folder / kind, CLASSES)
        if kind == "headless":
            state = load_file(made / "model.safetensors")
            save_file(
                {key: value for key, value in state.items() if "classifier" not in key}, made / "model.safetensors"
            )
        elif kind == "broken":
            (made / "model.safetensors").write_bytes(b"not weights")
        else:
            size = {"height": 48, "width": 48} if kind == "other size" else {"height": 32, "width": 64}
            hf.ViTImageProcessor(size=size).save_pretrained(made)
    path = str(folder / name) if (folder / name).exists() else name
    with pytest.raises(InputError, match=message):
        hub_classifier(path, None, "cpu")


def test_it_is_offered_behind_the_shipped_one_and_not_opened_twice(folder):
    library = Library()
    opened = []

    def mine(device):
        opened.append(device)
        return torchvision_classifier(
            str(folder / "quick.safetensors"), QUICK, str(folder / "labels.txt"), None, device
        )

    library.offer(mine)
    assert [entry.name for entry in library.catalog("classification")[:2]] == ["ResNet-50 (ImageNet)", "quick"]
    assert library.default("classification") == "quick"
    assert library.find("classification", "").name == "ResNet-50 (ImageNet)"  # as the API takes an empty name
    assert library.load("classification", "quick").labels == CLASSES
    assert "quick" not in [entry.name for entry in catalog("classification")]  # of another library
    assert opened == ["cpu"]
    with pytest.raises(InputError, match="a model called “quick” already"):
        library.offer(mine)
