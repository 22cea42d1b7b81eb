"""Plain words about what was found."""

import html
from collections.abc import Sequence

import torch

from demo.query import Row
from explainers import Method, Squares, normalised_difference

DIM = 0.5  # the share of the highest peak below which a map is hard to see on one scale


def sentence(row: Row, rows: Sequence[Row]) -> str:
    """Some words about a row of those that are shown together, as HTML; without its scale."""
    details = row.details
    target, layer, model = (html.escape(details[name]) for name in ("target", "layer", "model"))
    role = f" as the answer to “{html.escape(details['question'])}”" if "question" in details else ""
    text = (
        f"Explaining <b>{target}</b>{role}: "
        f"probability {percent(details['probability'])} ({details['score_is']} {details['score']:.2f}), "
        f"as seen in the {' × '.join(map(str, row.pictures['gradcam'].shape))} cells of <b>{layer}</b> of {model}."
    )
    if details.get("word", -1) >= 0:
        text += f" It is word {details['word'] + 1} of “{html.escape(details['caption'])}”."
    if details["peak"] == 0:
        text += f" <b>No positive evidence for {target} at this layer</b>: the highest value of its map is 0."
    if details["relus"] == 0:
        text += " This network has no ReLU, so Guided Backprop has nothing to guide: it is the plain gradient."
    if len({other.details["model"] for other in rows}) > 1 and "prediction" in details:
        own, probability = details["prediction"]
        text += f" Its own prediction is <b>{html.escape(own)}</b>, {percent(probability)}."
    return text


def scale(row: Row, rows: Sequence[Row], *, own: bool = False) -> str:
    """Whether rows that are shown together can be compared: those of one model share a scale, unless `own`."""
    if len({other.details["model"] for other in rows}) > 1:
        return "Each model has its own scale."
    if len(rows) == 1:
        return ""
    highest = max(other.details["peak"] for other in rows)
    share = row.details["peak"] / highest if highest > 0 else 0
    both = "Both" if len(rows) == 2 else "All"
    whose = "Each row has its own scale" if own else f"{both} rows share one scale"
    return f"{whose}; the peak of this map is {share:.0%} of the highest."


def is_dim(rows: Sequence[Row]) -> bool:
    """Whether a row would be hard to see on one scale with the others."""
    peaks = [row.details["peak"] for row in rows]
    return min(peaks) < DIM * max(peaks)


def price(method: Method, squares: Squares, rows: Sequence[Row]) -> str:
    """What a dear method will cost for rows that are shown, or nothing if it is not dear."""
    if method.price is None:
        return ""
    passes = sum(method.price(row.details["feature_maps"], squares, row.details["input_side"]) for row in rows)
    # The panels took one pass forward and twice about as much back.
    seconds = passes * sum(row.details["seconds"] for row in rows) / len(rows) / 3
    return f"{passes:,} forward passes, about {_duration(seconds)}"


def measured(row: Row, key: str) -> str:
    """What a method's picture of a row took, and of CAM how far it is from Grad-CAM."""
    seconds, gradcam = row.details["seconds"], row.details.get("gradcam_seconds", 0)
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
