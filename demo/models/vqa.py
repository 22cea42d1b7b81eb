"""The answerer: an LSTM reads the question, and its vector times that of the image decides the answer.

The "deeper LSTM + normalised CNN" of Lu et al. (2015), which the paper's section 7.2 explains.
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet

from demo.errors import InputError, unknown
from demo.models.network import LogitModel
from demo.models.resnet50 import BATCH, FEATURES, GEOMETRY, encoder, pooled, stages
from demo.models.words import read, words

WEIGHTS = Path(__file__).parents[2] / "assets" / "vqa.safetensors"
CARD = WEIGHTS.with_suffix(".json")

# Answers that are the same, however a list of answers writes them.
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

MOST_PREMISES = 2  # of a question: each takes a forward pass
IMAGE = ("image", "photo", "photograph", "picture", "background", "foreground")  # which is always there


def suggest(*texts: str) -> list[str]:
    """Questions that suit a picture of which these texts are true: first one about each word, then others.

    The shipped answerer understands them.
    """
    questions = read_card(WEIGHTS)["questions"]
    about = [questions.get(word, []) for word in ["", *dict.fromkeys(words(" ".join(texts)))]]
    return [question for question in dict.fromkeys(chain.from_iterable(zip_longest(*about))) if question]


def things(question: str) -> list[str]:
    """Return the words for what a question takes for granted: those after "the" and "how many", but for the image."""
    asked = words(question)
    after = [word for i, word in enumerate(asked) if asked[i - 1 : i] == ["the"] or asked[:i] == ["how", "many"]]
    return [word for word in after if word not in IMAGE]


def premises(question: str) -> list[str]:
    """Questions whether the things are there that a question takes for granted.

    "What color is the horse?" has "Is there a horse in the picture?". The shipped answerer understands them.
    """
    about = read_card(WEIGHTS)["questions"]
    whether = [
        premise
        for thing in things(question)
        for singular in (thing, thing.removesuffix("s"))
        for premise in about.get(singular, [])
        if premise.startswith("Is there ")
    ]
    return list(dict.fromkeys(whether))[:MOST_PREMISES]


def whether_there(thing: str) -> str:
    """Return a question whether a thing is there, or "" for a word that the included models do not know."""
    if known := premises(f"the {thing}"):
        return known[0]
    return f"Is there a {thing} in the picture?" if thing in read_card(WEIGHTS)["vocabulary"] else ""


@cache
def read_card(weights: Path) -> dict[str, Any]:
    """What stands beside the weights of a shipped answerer: its words, answers, settings, and questions to suggest."""
    return json.loads(weights.with_suffix(".json").read_text())


class Fusion(nn.Module):
    """A question read by an LSTM of two layers, multiplied number by number with an image, decides the answer.

    The sizes: words and answers that it knows, the vector of a word, a state of the LSTM, the product.
    """

    def __init__(self, known_words: int, answers: int, width: int, hidden: int, joint: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(known_words, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)
        self.question = nn.Linear(4 * hidden, joint)
        self.image = nn.Linear(FEATURES, joint)
        self.answer = nn.Linear(joint, answers)
        self.dropout = nn.Dropout(0.0)
        self.feature_dropout = nn.Dropout(0.0)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, answers) for pooled features (N, 2048) and questions of T words, int64 (N, T)."""
        return self.decide(features, self.read(tokens))

    def read(self, tokens: Tensor) -> Tensor:
        """Questions of T words, int64 (N, T), as the last states of the LSTM, (N, 4 * hidden)."""
        _, (hidden, cells) = self.lstm(self.dropout(self.embedding(tokens)))
        return torch.cat([*hidden, *cells], dim=1)

    def decide(self, features: Tensor, read: Tensor) -> Tensor:
        """Logits (N, answers) for pooled features (N, 2048) and questions from `read`."""
        # Times the square root of its length, so that the numbers are about 1 and the usual initial weights fit.
        seen = nn.functional.normalize(features) * FEATURES**0.5
        joint = self.question(self.dropout(read)).tanh() * self.image(self.feature_dropout(seen)).tanh()
        return self.answer(self.dropout(joint))


class ListAnswerer(LogitModel):
    """A network that gives a logit to each of its answers, its labels, to a question about an image."""

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """The answers by what people write for them: a number as a word or in digits."""
        own = {answer.casefold(): answer for answer in self.labels}
        pairs = [(word, str(number)) for number, word in enumerate(NUMBERS)]
        also = {new: own[known] for pair in pairs for new, known in (pair, pair[::-1]) if known in own}
        return also | own

    @abstractmethod
    def read_question(self, question: str) -> Tensor:
        """The question as the network takes it, int64 (1, L).

        Raises:
            InputError: it has no word that the network can read, or too many.
        """

    def resolve_label(self, answer: str) -> str:
        """The answer in the network's spelling: "2" for "two", if that is how it writes it.

        Raises:
            InputError: it cannot give that answer; the message offers the nearest ones.
        """
        spelled = " ".join(answer.casefold().split())
        if spelled not in self._spellings:
            raise InputError(unknown(answer, self.name, "answer", self.labels, self._spellings))
        return self._spellings[spelled]

    def check_question(self, question: str) -> None:
        self.read_question(question)


class Answerer(ListAnswerer):
    """The shipped encoder's features and a `Fusion`."""

    batch = BATCH
    above = ("_fusion",)
    _network: ResNet

    def __init__(
        self,
        name: str,
        network: ResNet,
        fusion: nn.Module,
        vocabulary: Sequence[str],
        answers: Sequence[str],
    ) -> None:
        super().__init__(name, network, stages(network), GEOMETRY)
        self.labels = list(answers)
        self._fusion = fusion
        self._tokens = {word: token for token, word in enumerate(vocabulary)}

    def encode(self, images: Tensor, questions: Sequence[str]) -> list[Tensor]:
        """The logits of all answers to a question about each of the images (B, 3, H, W): B times (1, A).

        Raises:
            InputError: a question cannot be read; see `read_question`.
        """
        tokens = [self.read_question(question) for question in questions]
        return list(map(self._fusion, self.see(images).split(1), tokens))

    def see(self, images: Tensor) -> Tensor:
        """Prepared images (B, 3, H, W) as the fusion takes them: pooled features (B, 2048)."""
        return pooled(self._network, images)

    def ignored_words(self, question: str) -> list[str]:
        return [word for word in dict.fromkeys(words(question)) if word not in self._tokens]

    def read_question(self, question: str) -> Tensor:
        """The words of the question that the network knows, int64 (1, L).

        Raises:
            InputError: there is none, or the question has more than 50 words.
        """
        if not (tokens := [self._tokens[word] for word in read("question", question) if word in self._tokens]):
            raise InputError(f"{self.name} knows no word of this question: ask in plain English.")
        return torch.tensor([tokens], device=next(self._fusion.parameters()).device)


ShippedAnswerer = TypeVar("ShippedAnswerer", bound=Answerer)


def open_shipped(
    kind: type[ShippedAnswerer], fusion_kind: Callable[..., nn.Module], weights: Path, name: str, device: str
) -> ShippedAnswerer:
    """The shipped encoder, and on top of it a fusion of that kind with the weights that `training.vqa` made."""
    card = read_card(weights)
    vocabulary, answers, settings = card["vocabulary"], card["answers"], card["settings"]
    fusion = fusion_kind(len(vocabulary), len(answers), settings["width"], settings["hidden"], settings["joint"])
    fusion.load_state_dict(load_file(weights), strict=True)
    fusion.to(device).float().eval().requires_grad_(False)
    return kind(name, encoder(device), fusion, vocabulary, answers)


def shipped_answerer(name: str, device: str) -> Answerer:
    """The first shipped answerer."""
    return open_shipped(Answerer, Fusion, WEIGHTS, name, device)
