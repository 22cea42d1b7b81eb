"""Somebody's own classifier, from files that fit and from files that do not."""

from pathlib import Path

import pytest
import tiny
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.models import get_model

from demo.errors import InputError
from demo.models import Library, catalog
from demo.models.own import hub_classifier, torchvision_classifier
from explainers import explain

PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "zebra_elephant.jpg"
CLASSES = ["cat", "dog", "zebra crossing"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\nzebra crossing\n\n", encoding="utf-8")
    (tmp_path / "four.txt").write_text("cat\ndog\ncow\nox")
    (tmp_path / "twice.txt").write_text("cat\ncat\ncow")
    (tmp_path / "gap.txt").write_text("cat\n\ncow")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\xff")
    torch.manual_seed(0)
    state = get_model("resnet18", num_classes=3).state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    torch.save(state, tmp_path / "mine.pth")
    save_file(state | {"bn1.num_batches_tracked": torch.zeros(1)}, tmp_path / "counted.safetensors")
    save_file(state | {"fc.bias": torch.tensor(0.0)}, tmp_path / "scalar.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("architecture", "layer", "expected"),
    [("resnet18", None, "layer4"), ("resnet18", "layer3.1", "layer3.1"), ("mobilenet_v3_small", None, "features.12")],
)
def test_weights_of_any_number_of_classes(folder, architecture, layer, expected):
    torch.manual_seed(1)
    network = get_model(architecture, num_classes=3)
    save_file(network.state_dict(), folder / "net.safetensors")
    model = torchvision_classifier(
        str(folder / "net.safetensors"), architecture, str(folder / "labels.txt"), layer, "cpu"
    )
    assert (model.name, model.classes) == ("net", CLASSES)
    assert next(iter(model.layers)) == expected
    image = model.prepare(Image.open(PHOTO))
    explanation = explain(model.score("Zebra Crossing", "cat"), image, model.layers[expected], reshape=model.reshape)
    torch.testing.assert_close(explanation.scores, network.eval()(image)[0, [2, 0]].detach())


@pytest.mark.parametrize("auxiliary", [True, False])
def test_googlenet_with_and_without_what_is_for_training_only(folder, auxiliary):
    network = get_model("googlenet", num_classes=3, init_weights=False, aux_logits=auxiliary)
    save_file(network.state_dict(), folder / "net.safetensors")
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
        ("counted.safetensors", "resnet18", "labels.txt", None, r"its “bn1.num_batches_tracked” is \(1,\), not \(\)"),
        ("scalar.safetensors", "resnet18", "labels.txt", None, r"its “fc.bias” is \(\), not \(3,\)"),
        ("mine.safetensors", "resnet50", "labels.txt", None, "is not a resnet50: it lacks “layer1.0.bn3.bias”"),
        ("mine.safetensors", "vgg11", "labels.txt", None, "is not a vgg11"),
        ("mine.safetensors", "renset18", "labels.txt", None, "no classifier “renset18”. It has resnet18"),
        ("mine.safetensors", "resnet18", "four.txt", None, "is for 3 classes, but “.*four.txt” names 4"),
        ("mine.safetensors", "resnet18", "twice.txt", None, "Two classes of “.*twice.txt” are called “cat”"),
        ("mine.safetensors", "resnet18", "gap.txt", None, "at least two lines and no empty one"),
        ("mine.safetensors", "resnet18", "none.txt", None, "The labels “.*none.txt” cannot be read"),
        ("mine.safetensors", "resnet18", "binary.txt", None, "The labels “.*binary.txt” cannot be read"),
        ("mine.safetensors", "resnet18", "labels.txt", "leyer4", "no layer “leyer4”. It has layer4"),
        (
            "mine.safetensors",
            "resnet18",
            "labels.txt",
            "avgpool",
            "“avgpool” cannot be used: its maps have a single cell",
        ),
        ("mine.safetensors", "resnet18", "labels.txt", "fc", r"The layer “fc” cannot be used: .*shape \(1, 3\)"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, weights, architecture, labels, layer, message):
    with pytest.raises(InputError, match=message):
        torchvision_classifier(str(folder / weights), architecture, str(folder / labels), layer, "cpu")


@pytest.mark.parametrize("architecture", ["resnet18", "mnasnet0_5"])
def test_files_as_other_programs_write_them(folder, architecture):
    """Names from DataParallel, and labels from an editor that marks its files as Unicode."""
    state = get_model(architecture, num_classes=3).state_dict()
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, folder / "net.safetensors")
    (folder / "marked.txt").write_text("cat\ndog\ncow", encoding="utf-8-sig")
    model = torchvision_classifier(
        str(folder / "net.safetensors"), architecture, str(folder / "marked.txt"), None, "cpu"
    )
    assert model.classes == ["cat", "dog", "cow"]


def test_pictures_are_not_normalised_where_the_processor_does_not(tmp_path):
    folder = tiny.vit_classifier(tmp_path / "raw", CLASSES)
    hf.ViTImageProcessor(size={"height": 64, "width": 64}, do_normalize=False).save_pretrained(folder)
    white = Image.new("RGB", (80, 60), "white")
    assert hub_classifier(str(folder), None, "cpu").prepare(white).unique().tolist() == [1]


def test_a_classifier_of_transformers_from_a_folder(tmp_path):
    folder = tiny.vit_classifier(tmp_path / "my-vit", CLASSES)
    model = hub_classifier(str(folder), None, "cpu")
    assert (model.name, model.classes, list(model.layers)) == ("my-vit", CLASSES, ["block 1"])
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
    assert hub_classifier(str(folder), None, "cpu").classes == ["crane", "dog", "crane (2)"]


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
        ("other size", "cannot be opened as an image classifier of transformers: Input image size"),
        ("wide", "it takes pictures of 64 x 32 pixels, not square ones"),
    ],
)
def test_what_is_no_classifier_of_transformers(folder, name, message):
    (folder / "empty").mkdir()
    for kind in ("headless", "broken", "other size", "wide"):
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
            str(folder / "mine.safetensors"), "resnet18", str(folder / "labels.txt"), None, device
        )

    library.offer(mine)
    assert [entry.name for entry in library.catalog("classification")[:2]] == ["ResNet-50 (ImageNet)", "mine"]
    assert library.default("classification") == "mine"
    assert library.find("classification", "").name == "ResNet-50 (ImageNet)"  # as the API takes an empty name
    assert library.load("classification", "mine").classes == CLASSES
    assert "mine" not in [entry.name for entry in catalog("classification")]  # of another library
    assert opened == ["cpu"]
    with pytest.raises(InputError, match="a model called “mine” already"):
        library.offer(mine)
