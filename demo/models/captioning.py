"""The captioner: a ResNet-50 whose pooled feature starts an LSTM language model, without attention.

Vinyals et al., "Show and Tell", CVPR 2015; the kind of model that the paper's section 7.1 explains.
"""

import json
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet

from demo.errors import InputError, nearest
from demo.models.network import Model
from demo.models.resnet50 import BATCH, FEATURES, GEOMETRY, encoder, pooled, stages
from demo.models.words import FUNCTION_WORDS, joined, read, words
from demo.query import ScoreKind

WEIGHTS = Path(__file__).parents[2] / "assets" / "captioner.safetensors"
CARD = WEIGHTS.with_suffix(".json")

END = 0
UNKNOWN = -1
WHOLE = -1
NAMED = 3  # unknown words in an error


def check_positions(targets: Iterable[int], count: int) -> None:
    """That each target is `WHOLE` or the position of one of so many words.

    Raises:
        InputError: one is not.
    """
    for target in targets:
        if not (target == WHOLE or 0 <= target < count):
            raise InputError(f"The caption has {count} words, counted from 0: there is no word {target}.")


class Decoder(nn.Module):
    """An LSTM that says a caption word by word; token 0 ends it, tokens 1..V are the words.

    The image is the LSTM's first input, in place of a word, and the words follow (Vinyals et al.). The image is also
    added to what the LSTM wants to say, in a share that the LSTM chooses anew for each word and each dimension: so
    the LSTM need not remember the image (the "merge" of Tanti et al., "Where to put the image in an image caption
    generator", 2018, with a gate). The vectors of the words are also the rows of the output layer.
    """

    def __init__(self, vocabulary: int, width: int, hidden: int) -> None:
        super().__init__()
        self.look = nn.Linear(FEATURES, width)
        self.embedding = nn.Embedding(vocabulary + 1, width)
        self.cell = nn.LSTMCell(width, hidden)
        self.speak = nn.Linear(hidden, width)
        self.gate = nn.Linear(hidden, width)
        self.bias = nn.Parameter(torch.zeros(vocabulary + 1))
        self.feature_dropout, self.dropout = nn.Dropout(0.0), nn.Dropout(0.0)
        # The vectors serve twice: small as rows of the output layer, scaled up to unit variance as inputs.
        self.scale = width**0.5
        nn.init.normal_(self.embedding.weight, std=1 / self.scale)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """What the decoder expects at each place of given captions.

        Args:
            features: (N, 2048), pooled.
            tokens: int64 (N, T), where `UNKNOWN` stands for words that are not in the vocabulary.

        Returns:
            Logits (N, T + 1, V + 1): at place t those of the word after the image and t words.
        """
        seen = self.see(features)[:, None]
        hidden, state = [], None
        for inputs in torch.cat([seen, self.read(tokens)], dim=1).unbind(dim=1):
            state = self.cell(inputs, state)
            hidden.append(state[0])
        return self.logits(torch.stack(hidden, dim=1), seen)

    def see(self, features: Tensor) -> Tensor:
        """Pooled features (N, 2048) as a vector like those of words, (N, width)."""
        return self.look(self.feature_dropout(nn.functional.layer_norm(features, (FEATURES,))))

    def read(self, tokens: Tensor) -> Tensor:
        """Words, int64 of any shape, as inputs of the LSTM, (..., width); an unknown word is a zero vector."""
        vectors = self.embedding(tokens.clamp(min=0)) * self.scale * (tokens != UNKNOWN)[..., None]
        return self.dropout(vectors)

    def logits(self, hidden: Tensor, seen: Tensor) -> Tensor:
        """Hidden states (..., hidden) and the images from `see`, (..., width), to logits (..., V + 1)."""
        hidden = self.dropout(hidden)
        vectors = self.speak(hidden) + self.gate(hidden).sigmoid() * seen
        return nn.functional.linear(vectors, self.embedding.weight, self.bias)


@torch.inference_mode()
def beam_search(
    decoder: Decoder, features: Tensor, beam: int, limit: int, once: Set[int] = frozenset()
) -> list[tuple[list[int], float]]:
    """The most probable captions of one image that a beam search finds, without a trigram said twice.

    A caption's rank is the mean log-probability of its words and its end, so that long captions are not at a
    disadvantage. One that does not end within the limit is cut there.

    Args:
        features: (1, 2048), pooled.
        beam: how many captions are followed at a time, and at most returned; 1 is greedy decoding.
        limit: the most words of a caption, at least 1.
        once: tokens that are not said twice.

    Returns:
        Captions with at least one word, as (tokens without the end, sum of the log-probabilities of the words),
        best first.
    """
    seen = decoder.see(features)
    state = decoder.cell(seen)
    live = [_Beam([], 0.0)]
    ended: list[tuple[float, _Beam]] = []  # with their ranks
    for length in range(limit):
        totals = decoder.logits(state[0], seen).log_softmax(dim=1)
        for row, beam_of_row in enumerate(live):
            totals[row] += beam_of_row.total
            totals[row, _banned(beam_of_row.tokens, once)] = -torch.inf
        parents, following = [], []
        for row, token, total in _best_steps(totals, beam - len(ended)):
            if token == END:
                ended.append((total / (length + 1), live[row]))
            else:
                parents.append(row)
                following.append(_Beam([*live[row].tokens, token], total))
        live = following
        if not live:
            break
        last = torch.tensor([one.tokens[-1] for one in live], device=features.device)
        state = decoder.cell(decoder.read(last), (state[0][parents], state[1][parents]))
    ended += [(one.total / len(one.tokens), one) for one in live]
    return [(one.tokens, one.total) for _, one in sorted(ended, key=lambda ranked: -ranked[0])]


class _Beam(NamedTuple):
    """The beginning of a caption: its tokens, and the sum of their log-probabilities."""

    tokens: list[int]
    total: float


def _best_steps(totals: Tensor, count: int) -> list[tuple[int, int, float]]:
    """The rows and tokens with the highest of the totals (B, V + 1) that are finite, the highest first."""
    best = totals.flatten().topk(min(count, int(totals.isfinite().sum())))
    places = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(*divmod(index, totals.shape[1]), total) for index, total in places]


def _banned(tokens: list[int], once: Set[int]) -> list[int]:
    """The tokens that a caption may not go on with: its end at the beginning, a third of a trigram, one said once."""
    if not tokens:
        return [END]
    trigrams = zip(tokens, tokens[1:], tokens[2:], strict=False)
    return [c for a, b, c in trigrams if [a, b] == tokens[-2:]] + [token for token in tokens if token in once]


def content_words(vocabulary: Sequence[str]) -> set[int]:
    """The tokens of words that a sentence seldom says twice."""
    return {token for token, word in enumerate(vocabulary, start=END + 1) if word not in FUNCTION_WORDS}


class CaptionModel(Model):
    """A network that gives a log-probability to each word of a caption of 1 to 50 words.

    The score of a word is log p(word | the words before it, image). That of the caption is the sum over its words, the
    end token left out. Targets are positions in `words(caption)`, or `WHOLE` for the caption.
    """

    score_is: ScoreKind = "log-probability"

    def resolve_targets(self, caption: str, targets: Sequence[int]) -> Sequence[int]:
        check_positions(targets, len(words(self.resolve_label(caption))))
        return targets


class Captioner(CaptionModel):
    """A caption model for the words of its vocabulary.

    Attributes:
        vocabulary: the V words it knows.
    """

    batch = BATCH
    above = ("_decoder",)
    _network: ResNet

    def __init__(
        self, name: str, network: ResNet, decoder: Decoder, vocabulary: Sequence[str], beam: int, limit: int
    ) -> None:
        super().__init__(name, network, stages(network), GEOMETRY)
        self.vocabulary = list(vocabulary)
        self._decoder = decoder
        self._beam, self._limit, self._once = beam, limit, content_words(self.vocabulary)
        self._tokens = {word: token for token, word in enumerate(self.vocabulary, start=END + 1)}

    def encode(self, images: Tensor, _texts: Sequence[str]) -> list[Tensor]:
        """The pooled features of each of the images (B, 3, H, W): B times (1, 2048)."""
        return list(pooled(self._network, images).split(1))

    def predictions(self, features: Tensor, _text: str) -> dict[str, float]:
        """The captions of the beam for pooled features (1, 2048), best first, each with its score.

        The best has the highest mean log-probability per word, so a shorter one below it may have a higher score.
        """
        captions = beam_search(self._decoder, features, self._beam, self._limit, self._once)
        return {self.spell(tokens): total for tokens, total in captions}

    def scores(self, features: Tensor, caption: str, targets: Sequence[int]) -> Tensor:
        """The scores (T,) of parts of a caption for pooled features (1, 2048)."""
        given = torch.tensor(self._read(caption), device=features.device)
        logits = self._decoder(features, given[None, :-1])[0]
        each = logits.log_softmax(dim=1).gather(1, given[:, None])[:, 0]
        return torch.stack([each.sum() if target == WHOLE else each[target] for target in targets])

    def resolve_label(self, caption: str) -> str:
        """The caption in the network's spelling: its words alone, in lower case.

        Raises:
            InputError: it has no word, too many, or one that is not in the vocabulary, which the message names, with
                the nearest ones.
        """
        return self.spell(self._read(caption))

    def spell(self, tokens: Sequence[int]) -> str:
        """The caption that consists of these tokens."""
        return joined([self.vocabulary[token - END - 1] for token in tokens])

    def _read(self, caption: str) -> list[int]:
        said = read("caption", caption)
        if unknown := [word for word in dict.fromkeys(said) if word not in self._tokens]:
            others = f" and {len(unknown) - NAMED} more words" if len(unknown) > NAMED else ""
            raise InputError(
                f"{self.name} does not know {', '.join(map(self._with_nearest, unknown[:NAMED]))}{others}."
            )
        return [self._tokens[word] for word in said]

    def _with_nearest(self, word: str) -> str:
        close = nearest(word, self.vocabulary)
        return f"“{word[:80]}”" + (f" (nearest: {', '.join(close)})" if close else "")


def shipped_captioner(name: str, device: str) -> Captioner:
    """The shipped encoder and the decoder that `training.captioner` made on top of it."""
    card = json.loads(CARD.read_text())
    vocabulary, settings = card["vocabulary"], card["settings"]
    decoder = Decoder(len(vocabulary), settings["width"], settings["hidden"])
    decoder.load_state_dict(load_file(WEIGHTS), strict=True)
    decoder.to(device).float().eval().requires_grad_(False)
    return Captioner(name, encoder(device), decoder, vocabulary, settings["beam"], settings["limit"])
