"""How alike two explanations are, in numbers and in words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from demo.query import Row
from explainers import METHODS

WINDOW = 7  # pixels, the side of the squares in which structural similarity is measured
ALIKE = 0.5  # a rank correlation from which on two explanations are called alike


class Likeness(NamedTuple):
    """How alike two pictures are.

    Attributes:
        ranks: Spearman's rank correlation, -1 to 1; none if one of them is the same everywhere.
        structure: the structural similarity, -1 to 1, of the two, each divided by its own highest value.
    """

    ranks: float | None
    structure: float


def likenesses(row: Row, trained: Row) -> dict[str, Likeness]:
    """Of each method how alike its pictures in two rows of one network's architecture are.

    Of a gradient the absolute values, summed over the colours, are compared, as Adebayo et al. do (NeurIPS 2018): so a
    change of sign alone counts for nothing. Of a map its cells' ranks, and its structure where it is stretched to the
    pixels. For the structure, the highest value of a gradient is its 99.5th percentile: all above is drawn alike.
    """
    sides = next(array.shape[1:] for key, array in trained.pictures.items() if METHODS[key].kind == "gradient")
    found = {}
    for key in trained.pictures:
        one, other = (strengths(which.pictures[key]) for which in (row, trained))
        ranks = rank_correlation(one, other)
        found[key] = Likeness(ranks, structural_similarity(_drawn(one, sides), _drawn(other, sides)))
    return found


def strengths(array: np.ndarray) -> np.ndarray:
    """A map (h, w) as it is, and of a gradient (3, H, W) the absolute values summed over the colours, (H, W)."""
    return array if array.ndim == 2 else np.abs(array).sum(axis=0)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's, of two arrays of one shape; none if one of them is the same everywhere."""
    if one.min() == one.max() or other.min() == other.max():
        return None
    from scipy.stats import spearmanr  # takes 43 MiB, and most who start the demo make no experiment

    return float(spearmanr(one, other, axis=None).statistic)


def structural_similarity(one: np.ndarray, other: np.ndarray) -> float:
    """The mean structural similarity of two arrays of values from 0 to 1, each at least 7 x 7 (Wang et al. 2004)."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    sample = WINDOW**2 / (WINDOW**2 - 1)  # variances of a sample

    def mean(array: np.ndarray) -> np.ndarray:
        inside = WINDOW // 2
        return uniform_filter(array, WINDOW)[inside:-inside, inside:-inside]

    means = mean(one), mean(other)
    variances = [sample * (mean(array**2) - middle**2) for array, middle in zip((one, other), means, strict=True)]
    covariance = sample * (mean(one * other) - means[0] * means[1])
    small, smaller = 0.01**2, 0.03**2  # where both are nearly flat
    above = (2 * means[0] * means[1] + small) * (2 * covariance + smaller)
    below = (means[0] ** 2 + means[1] ** 2 + small) * (sum(variances) + smaller)
    return float((above / below).mean())


def _drawn(values: np.ndarray, sides: Sequence[int]) -> np.ndarray:
    """Strengths at the pixels, from 0 to 1 as they are drawn."""
    if values.shape == tuple(sides):
        highest = float(np.percentile(values, 99.5))
    else:
        height, width = sides
        stretched = Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        values, highest = np.asarray(stretched), float(values.max())
    return (values / highest).clip(0, 1) if highest > 0 else np.zeros(values.shape)


def verdict(steps: Sequence[Mapping[str, Likeness]]) -> str:
    """What the numbers of a sanity check say: whose picture notices that the last block, and that all, are random.

    Args:
        steps: for 0, 1, 2, ... random blocks the likenesses to the trained network's pictures, by method.
    """
    titles = {key: METHODS[key].title for key in steps[0]}
    ranks: dict[str, list[float]] = {}
    said = []
    for key, title in titles.items():
        if steps[0][key].ranks is None:
            said.append(f"{title}: the trained network's picture is empty, so there is nothing to compare.")
        else:
            ranks[title] = [step[key].ranks or 0.0 for step in steps[1:]]  # an empty picture is like no other
    if ranks:
        first = ", ".join(f"{found[0]:.2f} for {title}" for title, found in ranks.items())
        said.append(f"With the last block alone random, the rank correlation to the trained one's picture is {first}.")
    if len(ranks) > 1:
        means = {title: sum(found) / len(found) for title, found in ranks.items()}
        most, least = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        last = {title: found[-1] for title, found in ranks.items()}
        lowest = min(last, key=last.__getitem__)
        conclusion = f": of these pictures, that of {most} depends most on what the network has learnt."
        if last[most] > last[lowest]:
            conclusion = (
                f". With all layers random {lowest} changes most ({last[lowest]:.2f}, and {last[most]:.2f} for {most})"
                ": one draw of random weights does not tell which depends most on what the network has learnt."
            )
        changes = f"{most} changes most ({means[most]:.2f} on average) and {least} least ({means[least]:.2f})"
        said.append(f"Over all steps {changes}{conclusion}")
    return " ".join(said)
