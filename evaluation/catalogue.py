"""Print a table of all models of the catalogue: sizes, layers, ReLUs, and seconds for one explanation on the CPU.

    python -m evaluation.catalogue

Models that are downloaded have random weights here, in the published sizes: nothing that is printed depends on the
weights. An explanation is that of one class, of the caption "a dog", or of the answer "dog" to a question of four
words; the median of three after one to warm up.
"""

import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from PIL import Image
from torch import Tensor, nn
from torchvision import models

from demo.models import Model, catalog, imagenet, load
from demo.models.captioning import WHOLE
from demo.models.hub_captioning import HubCaptioner
from demo.models.hub_vqa import BlipAnswerer, Vilt
from demo.models.network import Geometry
from explainers import explain

PHOTO = Path(__file__).parents[1] / "assets" / "examples" / "zebra_elephant.jpg"
QUESTION = "what is the dog"

Score = Callable[[Tensor], Tensor]


def tokenizer(size: int) -> Any:
    """Return a tokenizer of BERT's kind with as many word pieces as the model has places for."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *QUESTION.split(), "a", *map(str, range(size - len(special) - 5))]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vocab.txt")
        file.write_text("\n".join(pieces))
        return hf.BertTokenizer(vocab=str(file))


def blip(large: bool) -> hf.BlipConfig:
    vision = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    return hf.BlipConfig(
        vision_config=vision if large else {}, text_config={"encoder_hidden_size": 1024 if large else 768}
    )


def random_weights() -> Iterator[tuple[str, nn.Module, Callable[[], Model]]]:
    """Yield all models that are downloaded: name, network, and what makes a model of it."""
    for name, architecture in imagenet.ARCHITECTURES.items():
        options = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
        options |= {"aux_logits": False} if architecture == "googlenet" else {}  # as torchvision loads it
        network = models.get_model(architecture, **options)
        if architecture == "vit_b_16":
            nn.init.normal_(network.heads.head.weight, std=0.02)  # zero in a new one
        classes = imagenet.weights(architecture).meta["categories"]
        yield name, network, partial(imagenet.classifier, name, architecture, network, classes)

    normal = [0.5] * 3
    wide, narrow = Geometry(384, normal, normal), Geometry(224, normal, normal)
    words, blip_words = tokenizer(hf.BertConfig().vocab_size), tokenizer(hf.BlipTextConfig().vocab_size)
    for name, large in (("BLIP base", False), ("BLIP large", True)):
        network = hf.BlipForConditionalGeneration(blip(large))
        blocks = list(network.vision_model.encoder.layers)
        yield name, network, partial(HubCaptioner, name, network, blip_words, wide, blocks, "input_ids", 1)
    network = hf.GitForCausalLM(hf.GitConfig())
    blocks = list(network.git.image_encoder.vision_model.encoder.layers)
    yield "GIT base", network, partial(HubCaptioner, "GIT base", network, words, narrow, blocks, "input_ids", 1)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(hf.ViTConfig(), hf.GPT2Config())
    network = hf.VisionEncoderDecoderModel(config)
    blocks = list(network.get_submodule("encoder.layers").children())
    yield (
        "ViT-GPT2",
        network,
        partial(HubCaptioner, "ViT-GPT2", network, words, narrow, blocks, "decoder_input_ids", 1),
    )
    network = hf.BlipForQuestionAnswering(blip(False))
    yield "BLIP VQA", network, partial(BlipAnswerer, "BLIP VQA", network, blip_words, wide)
    answers = dict(enumerate(["dog", *map(str, range(3128))]))
    network = hf.ViltForQuestionAnswering(hf.ViltConfig(id2label=answers))
    yield "ViLT", network, partial(Vilt, "ViLT", network, words, wide)


def score(task: str, model: Any) -> Score:
    match task:
        case "classification":
            return model.score(model.classes[281])
        case "captioning":
            return model.score("a dog", WHOLE)
    return model.score(QUESTION, "dog")


def row(task: str, name: str, parameters: int, size: str, model: Any) -> str:
    image = model.prepare(Image.open(PHOTO))
    layer = next(iter(model.layers))
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        explanation = explain(score(task, model), image, model.layers[layer], reshape=model.reshape)
        seconds.append(time.perf_counter() - started)
    cells = " × ".join(map(str, explanation.maps.shape[1:]))
    return (
        f"| {name} | {task} | {parameters / 1e6:.1f} M | {size} | {image.shape[-1]} | {explanation.relus or 'none'} | "
        f"`{layer}`, {cells} | {statistics.median(seconds[1:]):.2f} |"
    )


def main() -> None:
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}"
    )
    print("| model | task | parameters | download | pixels | ReLUs guided | default layer | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    sizes = {entry.name: (task, entry) for task in ("classification", "captioning", "vqa") for entry in catalog(task)}
    for name, (task, entry) in sizes.items():
        if entry.shipped:
            model = load(task, name)
            parts = {
                parameter
                for part in vars(model).values()
                if isinstance(part, nn.Module)
                for parameter in part.parameters()
            }
            print(row(task, name, sum(parameter.numel() for parameter in parts), "shipped", model), flush=True)
    for name, network, make in random_weights():
        task, entry = sizes[name]
        network.eval().requires_grad_(False)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        print(row(task, name, parameters, f"{entry.megabytes:.0f} MB", make()), flush=True)


if __name__ == "__main__":
    main()
