"""From queries to results, with a model that is open."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from demo.errors import InputError
from demo.models import Model
from demo.models.classification import Classifier
from demo.query import Query, Result, Row
from demo.tasks import TASKS
from explainers import METHODS, Box, LayerMaps, explain, explain_batch, feature_maps, layer_maps, region_evidence

MOST_SAID = 10  # of what a model says the first are kept
CANDIDATES = 20  # of what a model says the first are asked for their evidence in a region, each by a gradient


def kind(query: Query) -> tuple[Any, ...] | None:
    """Queries of one kind can be answered together; none if this one is answered alone."""
    if query.region or (query.targets and (len(query.targets) > 1 or not _to_pixels(query))):
        return None
    return query.task, query.model, query.layers, query.methods, len(query.targets)


def checked(model: Model, query: Query) -> Query:
    """The query with its model and layers named, and the rest in the model's spelling.

    Raises:
        InputError: the model has no such layer, or cannot answer it.
    """
    default = next(iter(model.layers))
    layers = tuple(layer or default for layer in query.layers)
    for layer in layers:
        if layer not in model.layers:
            raise InputError(f"{model.name} has no layer “{layer[:80]}”. Pick one of {', '.join(model.layers)}.")
    if query.region and not _is_box(query.region):
        raise InputError("A region is left, top, right and bottom in shares of the photograph's sides, from 0 to 1.")
    return TASKS[query.task].check(model, replace(query, model=model.name, layers=layers))


def _is_box(region: Box) -> bool:
    left, top, right, bottom = region
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def answers(
    model: Model,
    queries: Sequence[Query],
    photos: Sequence[Image.Image],
    say: Callable[[int, dict[str, float]], None],
) -> list[Result]:
    """The results of queries of one kind, from one forward pass.

    Args:
        queries: as `checked` returns them.
        photos: theirs, opened.
        say: is told what the model says for the query at a place, before anything is explained.

    Raises:
        InputError: the model says nothing, or less than is asked about.
    """
    task = TASKS[queries[0].task]
    if (region := queries[0].region) is not None:
        return [_speaking_for(model, query, region, photo) for query, photo in zip(queries, photos, strict=True)]
    asked = list(queries)
    sayings: list[dict[str, float]] = [{}] * len(asked)

    def encode(images: Tensor) -> list[Tensor]:
        encoded = model.encode(images, [query.text for query in asked])
        for place, seen in enumerate(encoded):
            if _asks_the_model(model, asked[place]):
                with torch.no_grad():
                    sayings[place] = model.say(seen.detach(), asked[place].text)
                asked[place] = task.complete(asked[place], sayings[place])
            say(place, dict(islice(sayings[place].items(), MOST_SAID)))
        return encoded

    def scores(images: Tensor) -> Tensor:
        encoded = encode(images)
        return torch.cat([model.scores(seen, q.text, q.targets) for seen, q in zip(encoded, asked, strict=True)])

    started = time.perf_counter()
    images = torch.cat([model.prepare(photo) for photo in photos])
    found = _look(model, encode, scores, images, queries[0])
    pictures = [{key: METHODS[key].function(maps).cpu().numpy() for key in queries[0].methods} for maps in found]
    seconds = round(time.perf_counter() - started, 3)

    results, place = [], 0
    for query, said, photo in zip(asked, sayings, photos, strict=True):
        rows = []
        for target in query.targets:
            for layer, maps, drawn in zip(query.layers, found, pictures, strict=True):
                # Copies, because what is kept should not keep the pictures of a whole batch.
                copies = {key: array[place].copy() for key, array in drawn.items()}
                measured = {"seconds": seconds, "image_size": list(photo.size)}
                rows.append(Row(copies, _details(model, query, said, target, layer, maps, place, measured)))
            place += 1
        results.append(Result(query, dict(islice(said.items(), MOST_SAID)), tuple(rows)))
    return results


def _speaking_for(model: Model, query: Query, region: Box, photo: Image.Image) -> Result:
    """What a region speaks for, the most first: of all classes where that needs no gradient, else of the likely."""
    task, image, layer = TASKS[query.task], model.prepare(photo), model.layers[query.layers[0]]
    targets: Sequence[Any] = ()

    def encoded(images: Tensor) -> Tensor:
        return model.encode(images, [query.text])[0]

    def scores(images: Tensor) -> Tensor:
        nonlocal query, targets
        seen = encoded(images)
        with torch.no_grad():
            query, targets = task.candidates(query, model.say(seen.detach(), query.text), CANDIDATES)
        return model.scores(seen, query.text, targets)

    maps = None
    if isinstance(model, Classifier):
        logits, features = feature_maps(lambda images: encoded(images)[0], image, layer, reshape=model.reshape)
        targets, maps = model.classes, model.all_maps(logits[None], features)
    if maps is None:
        maps = layer_maps(scores, image, [layer], reshape=model.reshape)[0].maps
    evidence, order = region_evidence(maps, region).sort(descending=True)
    found = zip(order.tolist(), evidence.tolist(), strict=True)
    said = {str(targets[place]): value for place, value in islice(found, MOST_SAID) if value > 0}
    return Result(query, said, ())


def _details(
    model: Model,
    query: Query,
    said: dict[str, float],
    target: Any,
    layer: str,
    maps: LayerMaps,
    place: int,
    measured: dict[str, Any],
) -> dict[str, Any]:
    """`Row.details` of a target, whose score and map at a layer have that place."""
    name, context = TASKS[query.task].describe(model, query, target, said)
    score = maps.scores[place].item()
    return {
        "task": query.task,
        "model": query.model,
        "layer": layer,
        "target": name,
        "score": score,
        "probability": math.exp(score) if model.score_is == "log-probability" else said[name],
        "peak": maps.maps[place].max().item(),
        "relus": getattr(maps, "relus", None),
        **measured,
        "score_is": model.score_is,
        **context,
    }


def _look(
    model: Model,
    encode: Callable[[Tensor], Any],
    scores: Callable[[Tensor], Tensor],
    images: Tensor,
    query: Query,
) -> list[LayerMaps]:
    """What the query's layers show; without targets nothing, but the images are encoded."""
    if not query.targets:
        with torch.inference_mode():
            encode(images)
        return []
    layers = [model.layers[name] for name in query.layers]
    if not _to_pixels(query):
        return layer_maps(scores, images, layers, reshape=model.reshape)
    (layer,) = layers
    if len(images) == 1:
        return [explain(scores, images, layer, reshape=model.reshape)]
    return [explain_batch(scores, images, layer, reshape=model.reshape)]


def _to_pixels(query: Query) -> bool:
    return any(METHODS[key].passes == "pixels" for key in query.methods)


def _asks_the_model(model: Model, query: Query) -> bool:
    """Whether what the model says is asked for, or needed for what was left empty or for a probability."""
    return not query.targets or "" in (query.text, *query.targets) or model.score_is == "logit"
