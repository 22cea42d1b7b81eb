"""What the methods of a query find at its layers, with a model that is open."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from demo.errors import InputError
from demo.models import Model
from demo.models.classification import Classifier
from demo.models.coattention import AttentiveAnswerer
from demo.models.network import Geometry
from demo.query import Query
from explainers import FILLS, METHODS, RULES, LayerMaps, Passes, Rule, Sight, explain_batch, layer_maps

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Look:
    """What was found at a layer.

    Attributes:
        found: the maps; an `Explanation` where a pass went on to the pixels.
        pictures: of each method, a row for each score.
        measured: the seconds that it took, as in `Row.details`.
    """

    found: LayerMaps
    pictures: dict[str, np.ndarray]
    measured: dict[str, float]


def look(
    model: Model,
    encode: Callable[[Tensor], list[Tensor]],
    scores: Callable[[Tensor], Tensor],
    images: Tensor,
    queries: list[Query],
) -> Passes[list[Look]]:
    """What is seen at each layer of queries of one kind; without targets nothing, but the images are encoded.

    With a pause after each of the many passes of a dear method.

    Args:
        model: theirs.
        encode: runs the model once, and completes the queries in the list.
        scores: does that too, and gives what is explained.
        images: (B, 3, H, W), one for each query.
        queries: several, or one with any number of targets.

    Raises:
        InputError: a method is none for this model.
    """
    first = queries[0]
    if not first.targets:
        with torch.inference_mode():
            encode(images)
        return []
    began = _now(images.device)
    layers = [model.layers[name] for name in first.layers]
    sources: list[dict[str, Any]]
    if rules := rules_of(first):
        by_rule = explain_batch(scores, images, layers[0], rules=rules, reshape=model.reshape)
        sources = [{"layer": by_rule[rules[0]]} | {str(rule): found for rule, found in by_rule.items()}]
    else:
        sources = [{"layer": found} for found in layer_maps(scores, images, layers, reshape=model.reshape)]
    shared = _now(images.device) - began
    measured: dict[str, float] = {}
    first = queries[0]  # which is completed by now
    if has_own(first):
        if not rules:
            measured, shared = {"gradcam_seconds": round(shared, 3)}, 0.0
        sources[0]["own"] = _sight(model, images, layers[0], sources[0]["layer"], first)
    pictures, seconds = yield from _timed(_all_pictures(first, sources, model.geometry), images.device)
    measured = {"seconds": round(shared + seconds, 3)} | measured
    return [Look(source["layer"], drawn, measured) for source, drawn in zip(sources, pictures, strict=True)]


def _timed(passes: Passes[T], device: torch.device) -> Passes[tuple[T, float]]:
    """What passes return, and the seconds that they took on a device, without the pauses between them."""
    seconds = 0.0
    while True:
        began = _now(device)
        try:
            done = next(passes)
        except StopIteration as stop:
            return stop.value, seconds + _now(device) - began
        seconds += _now(device) - began
        yield done


def _now(device: torch.device) -> float:
    """The seconds of a clock when a device has done all that it was asked: a GPU computes after the call returns."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def rules_of(query: Query) -> list[Rule]:
    """The ReLU rules under which passes go on to the pixels."""
    return [rule for rule in RULES if any(METHODS[key].passes == rule for key in query.methods)]


def has_own(query: Query) -> bool:
    """Whether a method has passes of its own."""
    return any(METHODS[key].passes == "own" for key in query.methods)


def _all_pictures(
    query: Query, sources: list[dict[str, Any]], geometry: Geometry
) -> Passes[list[dict[str, np.ndarray]]]:
    pictures = []
    for source in sources:
        pictures.append((yield from _pictures(query, source, geometry)))
    return pictures


def _pictures(query: Query, source: dict[str, Any], geometry: Geometry) -> Passes[dict[str, np.ndarray]]:
    """Of each method its picture, from what the passes found that it names."""
    drawn = {}
    for key in query.methods:
        method = METHODS[key]
        try:
            found = method.function(source[method.passes])
            if method.price:
                found = yield from found
        except ValueError as error:
            raise InputError(f"There is no {method.title} here: {error}.") from error
        if method.kind == "gradient":
            found = geometry.as_rgb(found)
        drawn[key] = found.cpu().numpy()
    return drawn


def _sight(model: Model, image: Tensor, layer: nn.Module, found: LayerMaps, query: Query) -> Sight:
    def score(images: Tensor) -> Tensor:
        encoded = model.encode(images, [query.text] * len(images))
        return torch.stack([model.scores(seen, query.text, query.targets) for seen in encoded])

    def weight() -> Tensor | None:
        if not isinstance(model, Classifier):
            return None
        with torch.inference_mode():
            head = model.head(model.encode(image, [""])[0], found.features)
        return None if head is None else head[[model.classes.index(name) for name in query.targets]]

    def attention() -> Tensor | None:
        return model.attention(image, query.text) if isinstance(model, AttentiveAnswerer) else None

    mean, std = (torch.tensor(values)[:, None, None].to(image) for values in (model.geometry.mean, model.geometry.std))
    fill = FILLS[query.squares.fill]
    colour = torch.zeros_like(mean) if fill is None else (fill - mean) / std
    return Sight(
        score, image, layer, model.reshape, found, weight, attention, query.squares, colour, max(model.batch, 1)
    )
