"""The answerer that attends: the question finds places in the image, and what is found there finds words.

One level of the hierarchical co-attention of Lu et al. (NeurIPS 2016), the question as an LSTM reads it, in their
alternating order; the paper's section 7.2 explains their network, of three levels, with a ResNet below it. What is
found in the question and in the image is multiplied here, and added there.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from demo.models.resnet50 import FEATURES, cells
from demo.models.vqa import Answerer, open_shipped

WEIGHTS = Path(__file__).parents[2] / "assets" / "coattention.safetensors"
CARD = WEIGHTS.with_suffix(".json")


class Attention(nn.Module):
    """A weighted mean of vectors; what the weights depend on beside the vectors is the guide."""

    def __init__(self, width: int, hidden: int, guided: bool) -> None:
        super().__init__()
        self.vectors = nn.Linear(width, hidden)
        self.guide = nn.Linear(width, hidden, bias=False) if guided else None
        self.weight = nn.Linear(hidden, 1)

    def forward(self, vectors: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The mean (N, width) of vectors (N, T, width), under a guide (N, width) if guided, and the weights (N, T)."""
        hidden = self.vectors(vectors)
        if self.guide is not None:
            hidden = hidden + self.guide(guide)[:, None]
        weights = self.weight(hidden.tanh()).softmax(dim=1)
        return (weights * vectors).sum(dim=1), weights[..., 0]


class CoAttention(nn.Module):
    """An LSTM reads the question; a summary of its states finds places of the image, and these find states.

    The sizes: words and answers that it knows, all vectors, what attention compares, what the answers are read from.
    """

    def __init__(self, known_words: int, answers: int, width: int, hidden: int, joint: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(known_words, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.image = nn.Linear(FEATURES, width)
        self.summary = Attention(width, hidden, guided=False)
        self.places = Attention(width, hidden, guided=True)
        self.reading = Attention(width, hidden, guided=True)
        self.merge = nn.Linear(width, joint)
        self.answer = nn.Linear(joint, answers)
        self.dropout = nn.Dropout(0.0)
        self.feature_dropout = nn.Dropout1d(0.0)  # of features, each at all places

    def forward(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """Logits (N, answers) for the features (N, P, 2048) of places and questions of T words, int64 (N, T)."""
        return self.decide(seen, self.read(tokens))

    def read(self, tokens: Tensor) -> Tensor:
        """Questions of T words, int64 (N, T), as the states of the LSTM after each word, (N, T, width)."""
        states, _ = self.lstm(self.dropout(self.embedding(tokens)))
        return states

    def decide(self, seen: Tensor, read: Tensor) -> Tensor:
        """Logits (N, answers) for the features (N, P, 2048) of places and questions from `read`."""
        return self.attend(seen, read)[0]

    def attend(self, seen: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the weights (N, P) of the places, which sum to 1."""
        summary, _ = self.summary(read)
        found, weights = self.places(self.image(self.feature_dropout(seen.mT).mT), summary)
        asked, _ = self.reading(read, found)
        joint = self.merge(self.dropout(asked * found)).tanh()
        return self.answer(self.dropout(joint)), weights


class AttentiveAnswerer(Answerer):
    """The shipped encoder's cells and a `CoAttention`."""

    attends = True
    _fusion: CoAttention

    def see(self, images: Tensor) -> Tensor:
        """Prepared images (B, 3, H, W) as the features (B, h * w, 2048) of their cells."""
        return cells(self._network, images)

    @torch.inference_mode()
    def attention(self, image: Tensor, question: str) -> Tensor:
        seen = self.see(image)
        _, weights = self._fusion.attend(seen, self._fusion.read(self.read_question(question)))
        side = int(seen.shape[1] ** 0.5)
        return weights.reshape(side, side)


def shipped_attentive_answerer(name: str, device: str) -> AttentiveAnswerer:
    """The shipped answerer that attends, made by `training.vqa --attention`."""
    return open_shipped(AttentiveAnswerer, CoAttention, WEIGHTS, name, device)
