"""Classification: which classes a network sees, and the evidence for any of those that it knows."""

from dataclasses import replace
from typing import Any

from demo.models.classification import Classifier
from demo.query import Query


def check(model: Classifier, query: Query) -> Query:
    """The query with its classes in the model's spelling; one may be empty.

    Raises:
        InputError: a class is not known.
    """
    return replace(query, text="", targets=tuple(name and model.known(str(name)) for name in query.targets))


def complete(query: Query, said: dict[str, float]) -> Query:
    """The query with the top class for an empty one."""
    return replace(query, targets=tuple(name or next(iter(said)) for name in query.targets))


def describe(_model: Classifier, _query: Query, target: str, said: dict[str, float]) -> tuple[str, dict[str, Any]]:
    return target, {"prediction": list(next(iter(said.items())))}


def clause(_details: dict[str, Any]) -> str:
    return ""
