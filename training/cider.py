"""CIDEr-D, fast enough to be a reward: n-grams of references are weighted once (Vedantam et al., CVPR 2015)."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0

Caption = Sequence[Hashable]


@dataclass(frozen=True)
class Weighted:
    """A caption's n-grams weighted by tf-idf, and the Euclidean norm of the weights, for each order n."""

    weights: list[dict[tuple, float]]
    norms: list[float]
    length: int


def inverse_frequencies(references: Iterable[Sequence[Caption]]) -> tuple[dict[tuple, float], float]:
    """Return log(images / images whose references have the n-gram), by n-gram, and the value of unseen ones."""
    counts: Counter[tuple] = Counter()
    images = 0
    for captions in references:
        images += 1
        counts.update({gram for caption in captions for n in ORDERS for gram in _grams(caption, n)})
    return {gram: log(images / count) for gram, count in counts.items()}, log(images)


def weigh(caption: Caption, idf: tuple[dict[tuple, float], float]) -> Weighted:
    """Return a caption as `cider_d` takes it, with the frequencies from `inverse_frequencies`."""
    known, unseen = idf
    weights = [
        {gram: count * known.get(gram, unseen) for gram, count in Counter(_grams(caption, n)).items()} for n in ORDERS
    ]
    return Weighted(weights, [sqrt(sum(w * w for w in grams.values())) for grams in weights], len(caption))


def cider_d(candidate: Weighted, references: Sequence[Weighted]) -> float:
    """Return the mean over references and orders of the clipped cosine, with a penalty for another length; 0 to 10."""
    total = 0.0
    for reference in references:
        likeness = 0.0
        for mine, theirs, norm, other in zip(
            candidate.weights, reference.weights, candidate.norms, reference.norms, strict=True
        ):
            shared = sum(min(w, theirs[gram]) * theirs[gram] for gram, w in mine.items() if gram in theirs)
            if shared:
                likeness += shared / (norm * other)
        total += likeness * exp(-((candidate.length - reference.length) ** 2) / (2 * SIGMA**2))
    return 10 * total / (len(ORDERS) * len(references))


def _grams(caption: Caption, n: int) -> list[tuple]:
    return [tuple(caption[i : i + n]) for i in range(len(caption) - n + 1)]
