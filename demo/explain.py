"""From questions on an open model to their results."""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demo.errors import InputError
from demo.models import Model
from demo.noise import add_noise
from demo.precision import computing_in, has_bfloat16
from demo.query import (
    Adversarial,
    Details,
    Explain,
    ExplainResult,
    Precision,
    Predict,
    PredictResult,
    Query,
    Region,
    Result,
    Row,
    best,
)
from demo.regions import find_evidence
from demo.tasks import TASKS
from explainers import (
    FILLS,
    METHODS,
    RULES,
    Explanation,
    ForwardPass,
    LayerMaps,
    Method,
    MethodInputs,
    Rule,
    Slow,
    box_from_map,
    forward_pass,
    steps,
)

T = TypeVar("T")

# Called with the index of a question and its predictions, before anything is explained.
OnPredictions = Callable[[int, dict[str, float]], None]


def batch_key(query: Query) -> Hashable:
    """Return what questions that can be computed together have in common; None for one that is computed alone."""
    common = query.task, query.model, query.weights
    if isinstance(query, Predict):
        return common
    if isinstance(query, Explain) and len(query.targets) == 1 and rules_of(query) and not _has_own_passes(query):
        return *common, query.layers, query.methods, query.steps, query.precision
    return None


def is_slow(query: Query) -> bool:
    """Whether a question takes so many passes that others are answered between them."""
    slow_method = isinstance(query, Explain) and any(METHODS[key].cost for key in query.methods)
    return slow_method or isinstance(query, Adversarial)


def rules_of(query: Explain) -> list[Rule]:
    """Return the ReLU rules under which passes go on to the pixels."""
    return [rule for rule in RULES if any(METHODS[key].passes == rule for key in query.methods)]


def _has_own_passes(query: Explain) -> bool:
    return any(METHODS[key].passes == "own" for key in query.methods)


def answer(
    model: Model, queries: Sequence[Query], images: Sequence[Image.Image], on_predictions: OnPredictions
) -> Slow[list[Result]]:
    """Answer questions of one `batch_key`, or a single one; only a slow one pauses between its passes.

    Args:
        queries: as `demo.check.check` returns them.
        images: theirs, opened.

    Raises:
        InputError: the model predicts nothing, or less than is asked about; or it has no such method.
    """
    match queries:
        case [Region() as query]:
            return [find_evidence(model, query, images[0])]
        case [Adversarial() as query]:
            return [(yield from add_noise(model, query, images[0]))]
        case [Explain(), *_]:
            return (yield from _explain(model, cast("Sequence[Explain]", queries), images, on_predictions))
    return _predict(model, cast("Sequence[Predict]", queries), images, on_predictions)


# ---- Predictions ----------------------------------------------------------------------------------------------------


@torch.inference_mode()
def _predict(
    model: Model, queries: Sequence[Predict], images: Sequence[Image.Image], on_predictions: OnPredictions
) -> list[Result]:
    batch = torch.cat([model.prepare(image) for image in images])
    results: list[Result] = []
    for encoded, query in zip(model.encode(batch, [query.text for query in queries]), queries, strict=True):
        predictions = best(model.predictions(encoded, query.text))
        on_predictions(len(results), predictions)
        results.append(PredictResult(query, predictions))
    return results


# ---- Explanations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SharedPasses:
    """One forward pass for questions of one kind, and the backward passes that their methods share.

    Attributes:
        queries: with empty fields filled in.
        predictions: of each question: all of them, or none where they are not needed.
        images: (B, C, H, W).
        encoded: of each image; see `Model.encode`.
        sources: the inputs of methods at each layer, by `Method.passes`.
    """

    queries: list[Explain]
    predictions: list[dict[str, float]]
    images: Tensor
    encoded: list[Tensor]
    sources: Sequence[Mapping[str, LayerMaps]]

    @property
    def maps(self) -> list[LayerMaps]:
        """Grad-CAM's maps at each layer of the questions."""
        return [source["layer"] for source in self.sources]


class Stopwatch:
    """Adds up the seconds of the blocks that it is entered for, until a device has finished their work."""

    def __init__(self, device: torch.device) -> None:
        self.seconds = 0.0
        self._device = device

    def __enter__(self) -> None:
        self._started = self._now()

    def __exit__(self, *_: object) -> None:
        self.seconds += self._now() - self._started

    def steps(self, passes: Slow[T]) -> Slow[T]:
        """The same passes, each of which is added."""
        while True:
            with self:
                try:
                    progress = next(passes)
                except StopIteration as stop:
                    return stop.value
            yield progress

    def _now(self) -> float:
        if self._device.type != "cpu":  # a GPU computes after the call returns
            torch.accelerator.synchronize(self._device)
        return time.perf_counter()


def _explain(
    model: Model, queries: Sequence[Explain], images: Sequence[Image.Image], on_predictions: OnPredictions
) -> Slow[list[Result]]:
    batch = torch.cat([model.prepare(image) for image in images])
    watch, own_watch = Stopwatch(batch.device), Stopwatch(batch.device)
    with watch:
        shared = _shared_passes(model, queries, batch, on_predictions)
    arrays: list[dict[str, np.ndarray]] = []
    for sources in shared.sources:
        of_layer = {}
        for key in queries[0].methods:
            of_layer[key] = yield from _array(model, shared, sources, key, own_watch)
        arrays.append(of_layer)
    return _results(model, shared, arrays, images, _seconds(queries[0], watch, own_watch))


def _shared_passes(
    model: Model, queries: Sequence[Explain], images: Tensor, on_predictions: OnPredictions
) -> SharedPasses:
    first = queries[0]
    layers = [model.layers[name] for name in first.layers]
    with forward_pass(images, layers) as passed, computing_in(_asked_precision(first, slow=False), images.device):
        encoded = model.encode(passed.images, [query.text for query in queries])
        predictions = [_predictions_for(model, one, query) for one, query in zip(encoded, queries, strict=True)]
        for index, of_query in enumerate(predictions):
            on_predictions(index, best(of_query))
        completed = [_complete(query, of_query) for query, of_query in zip(queries, predictions, strict=True)]
        pairs = zip(encoded, completed, strict=True)
        scores = torch.cat([model.scores(one, query.text, query.targets) for one, query in pairs])
    sources = _sources(model, passed, scores, rules_of(first))
    return SharedPasses(completed, predictions, images, [one.detach() for one in encoded], sources)


@torch.no_grad()
def _predictions_for(model: Model, encoded: Tensor, query: Explain) -> dict[str, float]:
    """The model's predictions, if a field of the question is empty or a probability needs them."""
    needed = "" in (query.text, *query.targets) or model.score_is == "logit"
    return model.predictions(encoded.detach(), query.text) if needed else {}


def _complete(query: Explain, predictions: dict[str, float]) -> Explain:
    return TASKS[query.task].complete(query, predictions) if predictions else query


def _sources(
    model: Model, passed: ForwardPass, scores: Tensor, rules: Sequence[Rule]
) -> Sequence[Mapping[str, LayerMaps]]:
    """The inputs of methods at each layer, by `Method.passes`. With rules there is one layer."""
    if not rules:
        return [{"layer": maps} for maps in passed.layer_maps(scores, reshape=model.reshape)]
    explanations = passed.explanations(scores, rules=rules, reshape=model.reshape)
    return [{"layer": explanations[rules[0]]} | {str(rule): found for rule, found in explanations.items()}]


def _array(
    model: Model, shared: SharedPasses, sources: Mapping[str, LayerMaps], key: str, watch: Stopwatch
) -> Slow[np.ndarray]:
    """What a method computes at a layer; a row for each target."""
    method = METHODS[key]
    inputs = _method_inputs(model, shared, method) if method.passes == "own" else sources[method.passes]
    try:
        if method.cost:
            values = yield from watch.steps(method.function(inputs))
        else:
            with watch:
                values = method.function(inputs)
    except ValueError as error:
        raise InputError(f"There is no {method.title} here: {error}.") from error
    return (model.geometry.as_rgb(values) if method.kind == "gradient" else values).cpu().numpy()


def _method_inputs(model: Model, shared: SharedPasses, method: Method) -> MethodInputs:
    """The inputs of a method with passes of its own, for the only question at its first layer."""
    query, image = shared.queries[0], shared.images
    precision = _asked_precision(query, slow=True) if method.cost else "float32"

    def score(images: Tensor) -> Tensor:
        with computing_in(precision, images.device):
            encoded = model.encode(images, [query.text] * len(images))
            return torch.stack([model.scores(one, query.text, query.targets) for one in encoded]).float()

    return MethodInputs(
        score=score,
        image=image,
        layer=model.layers[query.layers[0]],
        reshape=model.reshape,
        layer_maps=shared.maps[0],
        linear_weights=partial(_linear_weights, model, shared),
        attention=partial(model.attention, image, query.text),
        patches=query.patches,
        fill=_fill(model, query).to(image),
        batch=max(model.batch, 1),
    )


def _linear_weights(model: Model, shared: SharedPasses) -> Tensor | None:
    """`MethodInputs.linear_weights`, of the only question at its first layer."""
    query, encoded, features = shared.queries[0], shared.encoded[0], shared.maps[0].features
    if query.precision == "bfloat16":  # it is too coarse to tell whether the scores are linear
        with forward_pass(shared.images, [model.layers[query.layers[0]]]) as passed:
            encoded = model.encode(passed.images, [query.text])[0].detach()
        (features,) = passed.feature_maps(reshape=model.reshape)
    weights = model.linear_weights(encoded, features)
    return None if weights is None else weights[[model.labels.index(str(target)) for target in query.targets]]


def _fill(model: Model, query: Explain) -> Tensor:
    """The colour of patches as the network takes it, (C, 1, 1)."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (model.geometry.mean, model.geometry.std))
    fill = FILLS[query.patches.fill]
    return torch.zeros_like(mean) if fill is None else (fill - mean) / std


def _seconds(query: Explain, watch: Stopwatch, own_watch: Stopwatch) -> tuple[float, float | None]:
    """`Details.seconds` and `Details.gradcam_seconds`."""
    if _has_own_passes(query) and not rules_of(query):
        return round(own_watch.seconds, 3), round(watch.seconds, 3)
    return round(watch.seconds + own_watch.seconds, 3), None


def _results(
    model: Model,
    shared: SharedPasses,
    arrays: Sequence[dict[str, np.ndarray]],
    images: Sequence[Image.Image],
    seconds: tuple[float, float | None],
) -> list[Result]:
    results: list[Result] = []
    index = 0  # of the score
    for query, predictions, image in zip(shared.queries, shared.predictions, images, strict=True):
        rows = []
        for target in query.targets:
            for layer, maps, of_layer in zip(query.layers, shared.maps, arrays, strict=True):
                score = maps.scores[index].item()
                name = TASKS[query.task].name(query, target)
                likely = math.exp(score) if model.score_is == "log-probability" else predictions[name]
                details = Details(
                    task=query.task,
                    model=query.model,
                    layer=layer,
                    target=name,
                    score=score,
                    probability=likely,
                    peak=maps.maps[index].max().item(),
                    relus=maps.relus if isinstance(maps, Explanation) else None,
                    seconds=seconds[0],
                    image_size=image.size,
                    score_is=model.score_is,
                    box=box_from_map(maps.maps[index], (shared.images.shape[2], shared.images.shape[3])),
                    feature_maps=maps.weights.shape[1],
                    input_side=shared.images.shape[3],
                    gradcam_seconds=seconds[1],
                    precision=_reduced_precision(query, shared.images.device),
                )
                details = TASKS[query.task].describe(details, model, query, target, predictions)
                # Copies, because what is cached should not keep the arrays of a whole batch.
                pictures = {key: array[index].copy() for key, array in of_layer.items()}
                rows.append(Row(pictures, details, _steps(maps, index) if query.steps else None))
            index += 1
        results.append(ExplainResult(query, best(predictions), tuple(rows)))
    return results


def _asked_precision(query: Explain, *, slow: bool) -> Precision:
    return query.precision or ("bfloat16" if slow else "float32")


def _reduced_precision(query: Explain, device: torch.device) -> Precision | None:
    """`Details.precision`."""
    asked = _asked_precision(query, slow=is_slow(query))
    return asked if asked == "bfloat16" and has_bfloat16(device) else None


def _steps(maps: LayerMaps, index: int) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in vars(steps(maps, index)).items()}
