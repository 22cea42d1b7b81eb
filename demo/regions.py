"""Which targets a region of an image supports."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import torch
from PIL import Image
from torch import Tensor

from demo.models import Model
from demo.query import MAX_PREDICTIONS, Region, RegionResult, Target
from demo.tasks import TASKS
from explainers import forward_pass, linear_maps, region_evidence

MAX_CANDIDATES = 20  # targets whose evidence in a region is computed, each by a gradient


def find_evidence(model: Model, query: Region, image: Image.Image) -> RegionResult:
    text, targets, maps = _maps_of_candidates(model, query, model.prepare(image))
    evidence, order = region_evidence(maps, query.box).sort(descending=True)
    totals = maps.sum(dim=(1, 2))[order]
    best = list(islice(zip(order.tolist(), evidence.tolist(), totals.tolist(), strict=True), MAX_PREDICTIONS))
    supported = {str(targets[index]): (value, value / total) for index, value, total in best if value > 0}
    return RegionResult(
        replace(query, text=text),
        evidence={target: value for target, (value, _) in supported.items()},
        shares={target: share for target, (_, share) in supported.items()},
    )


def _maps_of_candidates(model: Model, query: Region, image: Tensor) -> tuple[str, Sequence[Target], Tensor]:
    """The completed text, the targets that a region may support, and Grad-CAM's map of each, (T, h, w).

    The targets are all labels where that needs no gradient, else the likely ones.
    """
    text = query.text
    with forward_pass(image, [model.layers[query.layer]]) as passed:
        (encoded,) = model.encode(passed.images, [text])
        (features,) = passed.feature_maps(reshape=model.reshape)
        with torch.no_grad():
            if (weights := model.linear_weights(encoded.detach(), features)) is not None:
                return text, model.labels, linear_maps(features, weights)
            predictions = model.predictions(encoded.detach(), text)
        text, targets = TASKS[query.task].candidates(text, predictions, MAX_CANDIDATES)
        scores = model.scores(encoded, text, targets)
    return text, targets, passed.layer_maps(scores, reshape=model.reshape)[0].maps
