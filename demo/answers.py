"""From queries to results, with a model that is open."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from demo.errors import InputError
from demo.images import png
from demo.looks import Look, has_own, look, rules_of
from demo.models import Model
from demo.models.classification import Classifier
from demo.models.network import GREY, LogitNetwork
from demo.query import Query, Result, Row, photo_of
from demo.tasks import TASKS
from explainers import (
    FILLS,
    METHODS,
    Box,
    Passes,
    Squares,
    box_from_map,
    feature_maps,
    layer_maps,
    linear_maps,
    noise_passes,
    region_evidence,
    steps,
)

MOST_NOISE = 8  # levels of 256 by which the noise changes a value
NOISE_PASSES = 20
SURE = 0.99  # the probability at which there is noise enough
MOST_SAID = 10  # of what a model says the first are kept
CANDIDATES = 20  # of what a model says the first are asked for their evidence in a region, each by a gradient

Say = Callable[[int, dict[str, float]], None]
Answers = Callable[[Model, Sequence[Query], Sequence[Image.Image], Say], Passes[list[Result]]]


def kind(query: Query) -> tuple[Any, ...] | None:
    """Queries of one kind can be answered together; none if this one is answered alone."""
    alone = len(query.targets) > 1 or not rules_of(query) or has_own(query)
    if query.region or query.noise or (query.targets and alone):
        return None
    return query.task, query.model, query.weights, query.layers, query.methods, query.steps, len(query.targets)


def is_dear(query: Query) -> bool:
    """Whether a query takes so long that others should go between."""
    return bool(query.noise or (query.targets and any(METHODS[key].price for key in query.methods)))


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
    if not _fit(query.squares):
        raise InputError(
            "Squares have a side of 1/32 to 1 and a stride of 1/64 to 1 of the photograph's, and are filled with "
            f"{', '.join(FILLS)}."
        )
    if query.noise:
        if model.score_is != "logit":
            raise InputError("Noise is made for classes and answers, not for captions.")
        query = replace(query, noise=model.known(query.noise))
    return TASKS[query.task].check(model, replace(query, model=model.name, layers=layers))


def _is_box(region: Box) -> bool:
    left, top, right, bottom = region
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def _fit(squares: Squares) -> bool:
    return 1 / 32 <= squares.patch <= 1 and 1 / 64 <= squares.stride <= 1 and squares.fill in FILLS


def answers(
    model: Model,
    queries: Sequence[Query],
    photos: Sequence[Image.Image],
    say: Say,
) -> Passes[list[Result]]:
    """The results of queries of one kind, from one forward pass; of a dear one from many, with pauses between them.

    Args:
        queries: as `checked` returns them.
        photos: theirs, opened.
        say: is told what the model says for the query at a place, before anything is explained.

    Raises:
        InputError: the model says nothing, or less than is asked about; or a method is none for this model.
    """
    task = TASKS[queries[0].task]
    if queries[0].noise:
        return [(yield from _with_noise(model, queries[0], photos[0]))]
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

    images = torch.cat([model.prepare(photo) for photo in photos])
    looks = yield from look(model, encode, scores, images, asked)
    results, place = [], 0
    for query, said, photo in zip(asked, sayings, photos, strict=True):
        rows = []
        for target in query.targets:
            for layer, seen in zip(query.layers, looks, strict=True):
                # Copies, because what is kept should not keep the pictures of a whole batch.
                copies = {key: array[place].copy() for key, array in seen.pictures.items()}
                measured = seen.measured | {"image_size": list(photo.size)}
                details = _details(model, query, said, target, layer, seen, place, measured)
                box = box_from_map(seen.found.maps[place], (images.shape[2], images.shape[3]))
                details |= {"box": box, "feature_maps": seen.found.weights.shape[1], "input_side": images.shape[-1]}
                rows.append(Row(copies, details, steps(seen.found, place) if query.steps else None))
            place += 1
        results.append(Result(query, dict(islice(said.items(), MOST_SAID)), tuple(rows)))
    return results


def _with_noise(model: Model, query: Query, photo: Image.Image) -> Passes[Result]:
    """The photograph with noise that makes the model say something, as the model takes it; and what it says then."""
    assert isinstance(model, LogitNetwork)  # see `checked`
    geometry, std = model.geometry, torch.tensor(model.geometry.std)[:, None, None]
    wanted: list[Any] = [query.noise]
    pixels = geometry.pixels(photo)
    whole = torch.from_numpy(pixels.copy()).permute(2, 0, 1).long()

    def log_probability(levels: Tensor) -> Tensor:
        encoded = model.encode(image + levels * step, [query.text])[0]
        return model.scores(model.log_probabilities(encoded), query.text, wanted)

    image = model.prepare(geometry.image(pixels))
    step = (1 / (255 * std)).to(image)
    varied = whole[None, :1] if geometry.order == GREY else whole[None]  # what the channels of a grey image share
    room = [(bound - varied).clamp(-MOST_NOISE, MOST_NOISE).to(image) for bound in (0, 255)]
    none, one = torch.zeros_like(room[0]), image.new_ones(())
    levels = yield from noise_passes(
        log_probability, none, one, room=(room[0], room[1]), passes=NOISE_PASSES, enough=math.log(SURE)
    )
    noised = geometry.image((whole + levels[0].cpu()).byte().permute(1, 2, 0).numpy())
    said = model.predict(model.prepare(noised), query.text)
    return Result(query, dict(islice(said.items(), MOST_SAID)), (), photo_of(png(noised)))


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
        if (head := model.head(logits[None], features)) is not None:
            targets, maps = model.classes, linear_maps(features, head)
    if maps is None:
        maps = layer_maps(scores, image, [layer], reshape=model.reshape)[0].maps
    evidence, order = region_evidence(maps, region).sort(descending=True)
    whole = maps.sum(dim=(1, 2))[order]
    found = zip(order.tolist(), evidence.tolist(), whole.tolist(), strict=True)
    supported = [
        (str(targets[place]), value, value / total) for place, value, total in islice(found, MOST_SAID) if value > 0
    ]
    said = {target: value for target, value, _ in supported}
    return Result(query, said, (), shares={target: share for target, _, share in supported})


def _details(
    model: Model,
    query: Query,
    said: dict[str, float],
    target: Any,
    layer: str,
    seen: Look,
    place: int,
    measured: dict[str, Any],
) -> dict[str, Any]:
    """`Row.details` of a target, whose score and map at a layer have that place."""
    name, context = TASKS[query.task].describe(model, query, target, said)
    score = seen.found.scores[place].item()
    return {
        "task": query.task,
        "model": query.model,
        "layer": layer,
        "target": name,
        "score": score,
        "probability": math.exp(score) if model.score_is == "log-probability" else said[name],
        "peak": seen.found.maps[place].max().item(),
        "relus": getattr(seen.found, "relus", None),
        **measured,
        "score_is": model.score_is,
        **context,
    }


def _asks_the_model(model: Model, query: Query) -> bool:
    """Whether what the model says is asked for, or needed for what was left empty or for a probability."""
    return not query.targets or "" in (query.text, *query.targets) or model.score_is == "logit"
