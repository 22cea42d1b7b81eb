"""A question about a photograph, and its answer, as values: compared, kept, and sent to another machine."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from explainers import METHODS, Box, Squares, Steps

PANELS = ("guided_backprop", "gradcam", "guided_gradcam")  # the paper's three pictures, from left to right

SQUARES = Squares()  # where nobody has chosen them

# What costs next to nothing beside the panels.
AT_ONCE = tuple(key for key, method in METHODS.items() if method.passes in ("layer", METHODS[PANELS[0]].passes))


@dataclass(frozen=True)
class Photo:
    """A photograph by its content.

    Attributes:
        digest: of the data. Photographs with the same one are equal.
        data: the file, as it was uploaded.
    """

    digest: str
    data: bytes = field(compare=False, repr=False)


def photo_of(data: bytes) -> Photo:
    """The photograph in a file."""
    return Photo(hashlib.sha256(data).hexdigest(), data)


@dataclass(frozen=True)
class Query:
    """What somebody asks. What is left empty is the default one, or what the model itself says.

    Attributes:
        photo: what it is about.
        task: a key of `demo.tasks.TASKS`.
        model: its name in the catalogue.
        text: the question, or the caption; nothing for a class.
        targets: what is explained: classes, answers, or positions of words in the caption, -1 for all of it. Without
            any, nothing is, and the result is what the model says.
        layers: where Grad-CAM looks. Several only with methods whose passes end at the layer.
        methods: keys of `explainers.METHODS`.
        squares: how the photograph is covered for an occlusion map.
        steps: whether how Grad-CAM's map comes about is told.
        weights: of the network: "" as they were trained, "worse", or "randomised 2" from the top to its second block.
        noise: what the network is to say of the photograph with noise that nobody sees; then there is no target, and
            what is asked is that photograph.
        region: a part of the photograph, left, top, right and bottom in shares of its sides; then there is no target,
            and what is asked is what this region speaks for.
    """

    photo: Photo
    task: str
    model: str = ""
    text: str = ""
    targets: tuple[Any, ...] = ()
    layers: tuple[str, ...] = ("",)
    methods: tuple[str, ...] = AT_ONCE
    squares: Squares = SQUARES
    steps: bool = False
    weights: str = ""
    noise: str = ""
    region: Box | None = None


@dataclass(frozen=True, eq=False)
class Row:
    """One explained target at one layer.

    Attributes:
        pictures: float32 arrays by method, (h, w) cells of a map, at least 0 or signed, or (3, H, W) of a gradient;
            none is normalised.
        details: task, model, layer, target, score, probability, peak, relus, seconds, image_size, as in the API; then
            score_is ("logit" or "log-probability"), box (from Grad-CAM's map), feature_maps (how many), input_side (in
            pixels), gradcam_seconds (where all methods have passes of their own, whose time is `seconds`), and what
            else belongs to the task.
        steps: how Grad-CAM's map comes about, if that was asked.
    """

    pictures: dict[str, np.ndarray]
    details: dict[str, Any]
    steps: Steps | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """The answer to a query.

    Attributes:
        query: the query with all that was left empty filled in, in the model's spelling.
        said: what the model says of itself, the best first: classes or answers with their probabilities, of which
            these are the first ten, or captions with their scores; or of a region the targets that it speaks for,
            with their evidence there. Empty where a score is a log-probability
            and the text and the targets were given.
        rows: one for each target, and for each layer of it.
        noised: the photograph with noise, as the network takes it, if that was asked.
        shares: of each target that a region supports, the share of its evidence in the image that lies there.
    """

    query: Query
    said: dict[str, float]
    rows: tuple[Row, ...]
    noised: Photo | None = None
    shares: dict[str, float] = field(default_factory=dict)
