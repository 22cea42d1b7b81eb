"""Whether a model can answer a question, before any network runs."""

from dataclasses import replace

from demo.errors import InputError
from demo.models import Model
from demo.query import Adversarial, Explain, Query, Region
from demo.tasks import TASKS
from explainers import FILLS, METHODS, Box, Patches


def check(model: Model, query: Query) -> Query:
    """Return the question with its model and layers named, and the rest in the model's spelling.

    Raises:
        InputError: the model has no such layer, or cannot answer it.
    """
    task = TASKS[query.task]
    query = replace(query, model=model.name, text=task.check_text(model, query.text))
    match query:
        case Explain():
            _check_patches(query.patches)
            layers = tuple(dict.fromkeys(_check_layer(model, layer) for layer in query.layers))
            if not (query.targets and layers and query.methods):
                raise InputError("An explanation needs at least one target, one layer and one method.")
            if len(layers) > 1 and any(METHODS[key].passes != "layer" for key in query.methods):
                raise InputError("Several layers are compared only by methods whose passes end at the layer.")
            targets = dict.fromkeys(task.check_targets(model, query.text, query.targets))
            return replace(query, layers=layers, targets=tuple(targets), methods=tuple(dict.fromkeys(query.methods)))
        case Region():
            _check_box(query.box)
            return replace(query, layer=_check_layer(model, query.layer))
        case Adversarial():
            if model.score_is != "logit":
                raise InputError("Noise is made for classes and answers, not for captions.")
            if not query.target:
                raise InputError("Name the class or answer that the model should predict.")
            return replace(query, target=model.resolve_label(query.target))
    return query


def _check_layer(model: Model, layer: str) -> str:
    layer = layer or next(iter(model.layers))
    if layer not in model.layers:
        raise InputError(f"{model.name} has no layer “{layer[:80]}”. Pick one of {', '.join(model.layers)}.")
    return layer


def _check_patches(patches: Patches) -> None:
    if not (1 / 32 <= patches.size <= 1 and 1 / 64 <= patches.stride <= 1 and patches.fill in FILLS):
        raise InputError(
            "Patches have a side of 1/32 to 1 and a stride of 1/64 to 1 of the image's, and are filled with "
            f"{', '.join(FILLS)}."
        )


def _check_box(box: Box) -> None:
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InputError("A region is left, top, right and bottom in shares of the image's sides, from 0 to 1.")
