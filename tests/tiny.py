"""Tiny models of the hub's architectures with random weights, saved in the format that the hub's are published in."""

import functools
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers as hf
from tokenizers import ByteLevelBPETokenizer

WORDS = (
    "a the dog cat zebra elephant is in on grass two run ##ning stand what color of photo ? . yes no ' s black white "
    "t - shirt"
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]

TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VISION = {**TEXT, "image_size": 64, "patch_size": 16}


def bert_tokenizer(folder: Path) -> hf.BertTokenizerFast:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *WORDS.split()]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = hf.BertTokenizerFast(vocab=str(folder / "vocab.txt"), bos_token="[DEC]")
    tokenizer.save_pretrained(folder)
    return tokenizer


def save(folder: Path, model: hf.PreTrainedModel, processor: hf.BaseImageProcessor) -> Path:
    """Weights large enough that words and places make a difference."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def blip(folder: Path, model_class: type) -> Path:
    tokenizer = bert_tokenizer(folder)
    text = {
        **TEXT,
        "vocab_size": len(tokenizer),
        "encoder_hidden_size": 32,
        "projection_dim": 32,
        "bos_token_id": tokenizer.convert_tokens_to_ids("[DEC]"),
        "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "is_decoder": True,
        "max_position_embeddings": 256,
    }
    torch.manual_seed(0)
    config = hf.BlipConfig(text_config=text, vision_config=VISION, projection_dim=32, image_text_hidden_size=32)
    return save(folder, model_class(config), hf.BlipImageProcessor(size={"height": 64, "width": 64}))


def git(folder: Path) -> Path:
    tokenizer = bert_tokenizer(folder)
    torch.manual_seed(0)
    config = hf.GitConfig(
        vision_config=VISION,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=256,
        **TEXT,
    )
    processor = hf.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    return save(folder, hf.GitForCausalLM(config), processor)


def vit_gpt2(folder: Path) -> Path:
    folder.mkdir(parents=True)
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        ["a dog is running on grass", "two cats stand in a photo"] * 9, 300, special_tokens=["<|endoftext|>"]
    )
    trained.save_model(str(folder))
    tokenizer = hf.GPT2TokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    end = tokenizer.eos_token_id
    torch.manual_seed(0)
    decoder = hf.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=256,
        bos_token_id=end,
        eos_token_id=end,
    )
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        hf.ViTConfig(**VISION), decoder, decoder_start_token_id=end, pad_token_id=end, eos_token_id=end
    )
    model = hf.VisionEncoderDecoderModel(config)
    processor = hf.ViTImageProcessor(size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return save(folder, model, processor)


def vilt(folder: Path) -> Path:
    tokenizer = bert_tokenizer(folder)
    answers = ["yes", "no", "2", "Grass", "black and white"]
    torch.manual_seed(0)
    config = hf.ViltConfig(
        **VISION,
        vocab_size=len(tokenizer),
        max_position_embeddings=12,
        max_image_length=-1,
        id2label=dict(enumerate(answers)),
    )
    processor = hf.ViltImageProcessor(size={"shortest_edge": 64}, size_divisor=16)
    return save(folder, hf.ViltForQuestionAnswering(config), processor)


def vit_classifier(folder: Path, classes: list[str]) -> Path:
    torch.manual_seed(0)
    config = hf.ViTConfig(**VISION, id2label=dict(enumerate(classes)))
    processor = hf.ViTImageProcessor(size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return save(folder, hf.ViTForImageClassification(config), processor)


def publish(home: Path, repository: str, folder: Path) -> None:
    """Move a saved model to where the hub's cache in `home` keeps what was downloaded."""
    cached = home / "hub" / f"models--{repository.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots").mkdir()
    folder.rename(cached / "snapshots" / ("0" * 40))


class Hub(http.server.SimpleHTTPRequestHandler):
    """What the hub answers about any model. Weights wait half-way until they may go on.

    Its files are those of one folder, and of one more for the author of each pull request, by number.
    """

    def __init__(
        self, *given: object, go_on: threading.Event, pull_requests: dict[int, tuple[str, Path]], **named: object
    ) -> None:
        self.go_on = go_on
        self.pull_requests = pull_requests
        self.commit = "1" * 40
        super().__init__(*given, **named)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/discussions"):
            asked = dict(urllib.parse.parse_qsl(query))
            offers = [n for n, (author, _) in self.pull_requests.items() if author == asked.get("author", author)]
            self.send_json({"discussions": [self.discussion(n) for n in offers], "count": len(offers), "start": 0})
        elif path.startswith("/api/models/"):
            self.find()
            files = [file for file in Path(self.directory).iterdir() if file.is_file()]
            siblings = [{"rfilename": file.name, "size": file.stat().st_size} for file in files]
            self.send_json({"id": "me/tiny", "sha": self.commit, "siblings": siblings})
        else:
            self.find()
            super().do_GET()

    def do_HEAD(self) -> None:
        self.find()
        super().do_HEAD()

    def find(self) -> None:
        """Turn to the folder of the revision, and to its file."""
        path = urllib.parse.unquote(self.path.partition("?")[0])
        self.path = "/" + path.rpartition("/")[2]
        for number, (_, folder) in self.pull_requests.items():
            if f"/refs/pr/{number}/" in f"{path}/":
                self.directory, self.commit = str(folder), f"{number:040}"

    def discussion(self, number: int) -> dict:
        return {
            "title": "Weights",
            "num": number,
            "author": {"name": self.pull_requests[number][0]},
            "createdAt": "2024-01-01T00:00:00.000Z",
            "status": "open",
            "repo": {"name": "me/tiny", "type": "model"},
            "isPullRequest": True,
        }

    def send_json(self, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def copyfile(self, source: object, outputfile: object) -> None:
        data = source.read()
        outputfile.write(data[: len(data) // 2])
        if self.path.endswith(".safetensors"):
            self.go_on.wait(60)
        outputfile.write(data[len(data) // 2 :])

    def end_headers(self) -> None:
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{self.path.strip("/").replace("/", "-")}"')
        if self.path.endswith(".safetensors"):  # as the hub does, which would rather send them in another way
            self.send_header("X-Xet-Hash", "0" * 64)
            self.send_header("X-Xet-Refresh-Route", "http://127.0.0.1:9/xet-token")
        super().end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def hub(
    folder: Path, go_on: threading.Event | None = None, pull_requests: dict[int, tuple[str, Path]] | None = None
) -> Iterator[str]:
    """The address of a hub whose every model is the one in a folder; its weights arrive when `go_on` is set."""
    if go_on is None:
        go_on = threading.Event()
        go_on.set()
    handler = functools.partial(Hub, directory=str(folder), go_on=go_on, pull_requests=pull_requests or {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        go_on.set()
        server.shutdown()
