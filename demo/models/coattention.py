"""The answerer that attends: question and image tell each other where to look, at three levels of the question.

The hierarchical question-image co-attention of Lu et al. (NeurIPS 2016), alternating, which the paper's section 7.2
explains with a ResNet below it.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from demo.models.resnet50 import FEATURES, cells
from demo.models.vqa import Answerer, open_shipped

WEIGHTS = Path(__file__).parents[2] / "assets" / "coattention.safetensors"
CARD = WEIGHTS.with_suffix(".json")

LEVELS = 3  # words, phrases, the question
GRAMS = (1, 2, 3)  # words of a phrase


class Attention(nn.Module):
    """A weighted mean of vectors; what the weights depend on beside the vectors is the guide."""

    def __init__(self, width: int, hidden: int, guided: bool) -> None:
        super().__init__()
        self.vectors = nn.Linear(width, hidden)
        self.guide = nn.Linear(width, hidden, bias=False) if guided else None
        self.weight = nn.Linear(hidden, 1)

    def forward(self, vectors: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The mean (N, width) of vectors (N, T, width) under a guide (N, width), and the weights (N, T)."""
        hidden = self.vectors(vectors)
        if self.guide is not None and guide is not None:
            hidden = hidden + self.guide(guide)[:, None]
        weights = self.weight(hidden.tanh()).softmax(dim=1)
        return (weights * vectors).sum(dim=1), weights[..., 0]


class Level(nn.Module):
    """Alternating co-attention: a summary of the question finds places in the image, and these find words."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.summary = Attention(width, hidden, guided=False)
        self.image = Attention(width, hidden, guided=True)
        self.question = Attention(width, hidden, guided=True)

    def forward(self, question: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of (N, T, width) and (N, P, width) the product (N, width) of what is found, and the weights (N, P)."""
        summary, _ = self.summary(question)
        seen, weights = self.image(image, summary)
        read, _ = self.question(question, seen)
        return read * seen, weights


class CoAttention(nn.Module):
    """Words, phrases and the question as an LSTM reads it, each with the places of the image, decide the answer.

    The sizes: words and answers that it knows, all vectors, what attention compares, what the answers are read from.
    """

    def __init__(self, known_words: int, answers: int, width: int, hidden: int, joint: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(known_words, width)
        self.phrases = nn.ModuleList([nn.Conv1d(width, width, grams, padding=grams // 2) for grams in GRAMS])
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.image = nn.Linear(FEATURES, width)
        self.levels = nn.ModuleList([Level(width, hidden) for _ in range(LEVELS)])
        self.merge = nn.ModuleList([nn.Linear(width, width), nn.Linear(2 * width, width), nn.Linear(2 * width, joint)])
        self.answer = nn.Linear(joint, answers)
        self.dropout = nn.Dropout(0.0)
        self.feature_dropout = nn.Dropout1d(0.0)  # of features, each at all places

    def forward(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, answers) for the features (N, P, 2048) of places and questions of T words, int64 (N, T)."""
        return self.decide(seen, self.read(tokens))

    def read(self, tokens: Tensor) -> Tensor:
        """Questions of T words, int64 (N, T), at the three levels: (N, 3, T, width)."""
        read = self.dropout(self.embedding(tokens))
        grams = [phrase(read.transpose(1, 2))[:, :, : tokens.shape[1]] for phrase in self.phrases]
        phrases = torch.stack(grams).amax(dim=0).tanh().transpose(1, 2)
        states, _ = self.lstm(self.dropout(phrases))
        return torch.stack([read, phrases, states], dim=1)

    def decide(self, seen: Tensor, read: Tensor) -> Tensor:
        """Logits (N, answers) for the features (N, P, 2048) of places and questions from `read`."""
        return self.attend(seen, read)[0]

    def attend(self, seen: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the weights (N, P) of the places at the level of the question, which sum to 1."""
        image = self.image(self.feature_dropout(seen.mT).mT)
        found, weights = self.levels[0](read[:, 0], image)
        found = self.merge[0](self.dropout(found)).tanh()
        for level, merge, question in zip(self.levels[1:], self.merge[1:], read[:, 1:].unbind(dim=1), strict=True):
            product, weights = level(question, image)
            found = merge(self.dropout(torch.cat([product, found], dim=1))).tanh()
        return self.answer(self.dropout(found)), weights


class AttentiveAnswerer(Answerer):
    """The shipped encoder's cells and a `CoAttention`."""

    _fusion: CoAttention

    def see(self, images: Tensor) -> Tensor:
        """Prepared images (B, 3, H, W) as the features (B, h * w, 2048) of their cells."""
        return cells(self._network, images)

    @torch.inference_mode()
    def attention(self, image: Tensor, question: str) -> Tensor:
        """The weights of an image's cells, (h, w), when it is asked a question; they sum to 1.

        Raises:
            InputError: the question cannot be read; see `read_question`.
        """
        seen = self.see(image)
        _, weights = self._fusion.attend(seen, self._fusion.read(self.read_question(question)))
        side = int(seen.shape[1] ** 0.5)
        return weights.reshape(side, side)


def shipped_attentive_answerer(name: str, device: str) -> AttentiveAnswerer:
    """The shipped answerer that attends, made by `training.vqa --attention`."""
    return open_shipped(AttentiveAnswerer, CoAttention, WEIGHTS, name, device)
