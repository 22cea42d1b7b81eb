"""Plain words about what was found."""

import html
import math
from collections.abc import Sequence

import torch

from demo.models.captioning import WHOLE
from demo.models.words import words
from demo.query import Row
from explainers import Method, Patches, normalised_difference

UNLIKELY = 0.01  # a lower probability is called very low
WEAK = 0.25  # of the highest map that it shares its scale with: a map that stays below is called weak
DIM = 0.5  # the share of the highest peak below which a map is hard to see on one scale


def sentence(row: Row, rows: Sequence[Row]) -> str:
    """The plain part of the summary line of a row among those that are shown together, as HTML."""
    by = f" by {html.escape(row.details.model)}" if _has_rivals(rows) else ""
    text = f"{named(row, by)}: {_finding(row, rows)}."
    if by and row.details.prediction is not None:
        own, probability = row.details.prediction
        text += f" It predicts <b>{html.escape(own)}</b>, {rounded(probability)}."
    return text


def named(row: Row, by: str = "") -> str:
    """What a row explains with its probability, as HTML; that of a caption is for each word."""
    details = row.details
    role = f", as the answer to “{html.escape(details.question)}”" if details.question is not None else ""
    unit = " per word" if details.word == WHOLE else ""
    return f"<b>{html.escape(details.target)}</b>{by}, {rounded(_likelihood(row))}{unit}{role}"


def _finding(row: Row, rows: Sequence[Row]) -> str:
    details = row.details
    kind = "answer" if details.question is not None else "" if details.word is None else "word"
    kind = "caption" if details.word == WHOLE else kind
    if details.peak == 0:
        return f"<b>no positive evidence for {html.escape(details.target)} at this layer</b>"
    if _likelihood(row) < UNLIKELY:
        return "the model gives this a very low probability; its evidence for it is here"
    if details.peak < WEAK * _highest(row, rows):
        return "the model finds only weak evidence here"
    return f"the model finds the evidence for this {kind} here" if kind else "the model finds it here"


def numbers(row: Row) -> str:
    """The numbers behind the summary line of a row, as HTML; without its scale."""
    details = row.details
    score, cells = f"{details.score_is} {details.score:.2f}", row.pictures["gradcam"].shape
    probability = percent(details.probability)
    text = f"Probability {probability} ({score})"
    if details.word == WHOLE:
        count = len(words(details.target))
        mean = percent(_likelihood(row))
        text = f"{mean} is the geometric mean of {count} words; their product is {probability} ({score})"
    elif details.word is not None:
        text += f" after the words before it; word {details.word + 1} of “{html.escape(details.caption or '')}”"
    layer, model = html.escape(details.layer), html.escape(details.model)
    text += f". Grad-CAM in the {' × '.join(map(str, cells))} cells of <b>{layer}</b> of {model}."
    if details.peak == 0:
        text += " The highest value of the heatmap is 0."
    if details.relus == 0:
        text += " This model has no ReLU, so Guided Backprop has nothing to guide: it is the plain gradient."
    return text


def per_word(score: float, caption: str) -> float:
    """The geometric mean of the probabilities of a caption's words, whose logarithms add up to the score."""
    return math.exp(score / len(words(caption)))


def _likelihood(row: Row) -> float:
    """The probability of what a row explains; of a caption that of its words, of which any product is tiny."""
    details = row.details
    return per_word(details.score, details.target) if details.word == WHOLE else details.probability


def _has_rivals(rows: Sequence[Row]) -> bool:
    return len({row.details.model for row in rows}) > 1


def _highest(row: Row, rows: Sequence[Row]) -> float:
    """The highest value of the maps that a row shares its scale with."""
    return max(other.details.peak for other in rows if other.details.model == row.details.model)


def scale(row: Row, rows: Sequence[Row]) -> str:
    """Whether rows that are shown together can be compared: those of one model share a scale."""
    if _has_rivals(rows):
        return "Each model has its own scale."
    if len(rows) == 1:
        return ""
    highest = _highest(row, rows)
    share = row.details.peak / highest if highest > 0 else 0
    both = "Both" if len(rows) == 2 else "All"
    return f"{both} rows share one scale; the peak of this map is {share:.0%} of the highest."


def is_dim(rows: Sequence[Row]) -> bool:
    """Whether a row would be hard to see on one scale with the others."""
    peaks = [row.details.peak for row in rows]
    return min(peaks) < DIM * max(peaks)


def rounded(probability: float) -> str:
    """A probability in as few digits as tell it from none and from all."""
    return f"{probability:.0%}" if UNLIKELY <= probability < 0.995 else percent(probability)


def passes(method: Method, patches: Patches, row: Row) -> int:
    """How many forward passes a slow method takes for a row, or 0 if it is not slow."""
    return method.cost(row.details.feature_maps, patches, row.details.input_side) if method.cost else 0


def price(count: int, rows: Sequence[Row]) -> str:
    """What so many forward passes for rows that are shown will cost, or nothing for none."""
    # The panels took one pass forward and twice about as much back.
    seconds = count * sum(row.details.seconds for row in rows) / len(rows) / 3
    return f"{count:,} forward passes, about {_duration(seconds)}" if count else ""


def measured(row: Row, key: str) -> str:
    """What a method's picture of a row took, and of CAM how far it is from Grad-CAM."""
    seconds, gradcam = row.details.seconds, row.details.gradcam_seconds or 0
    text = f"Took {_duration(seconds)}, {seconds / gradcam:.1f} times as long as Grad-CAM." if gradcam else ""
    if key == "cam":
        maps = (torch.from_numpy(row.pictures[name])[None] for name in (key, "gradcam"))
        difference = normalised_difference(*maps).item()
        how = f"differs from Grad-CAM by at most {difference:.1e}" if difference else "is the same as Grad-CAM"
        text += f" It {how}, each divided by its maximum."
    return text


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def percent(probability: float) -> str:
    """A probability for people: 38.0%, or that it is under the last digit."""
    return "under 0.1%" if probability < 0.001 else f"{probability:.1%}"
