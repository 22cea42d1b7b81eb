"""Classification: which classes a network sees, and the evidence for any of those that it knows."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from demo.models.classification import Classifier
from demo.query import Query


def check(model: Classifier, query: Query) -> Query:
    """The query with its classes in the model's spelling, each once; one may be empty.

    Raises:
        InputError: a class is not known.
    """
    return replace(query, text="", targets=spelled(model.known, query.targets))


def spelled(known: Callable[[str], str], names: Iterable[Any]) -> tuple[str, ...]:
    """Names as a model's `known` spells them, each once; one may be empty."""
    return tuple(dict.fromkeys(name and known(str(name)) for name in names))


def complete(query: Query, said: dict[str, float]) -> Query:
    """The query with what is most probable for an empty name; each once."""
    return replace(query, targets=tuple(dict.fromkeys(name or next(iter(said)) for name in query.targets)))


def describe(_model: Classifier, _query: Query, target: str, said: dict[str, float]) -> tuple[str, dict[str, Any]]:
    return target, {"prediction": list(next(iter(said.items())))}


def key(query: Query) -> str:
    """What tells the only target of a query from others about the same photograph: the class."""
    return str(query.targets[0])


def candidates(query: Query, said: dict[str, float], most: int) -> tuple[Query, tuple[str, ...]]:
    """What a region may speak for: the query, and the first of what is said."""
    return query, tuple(said)[:most]


def name(_query: Query, target: Any) -> str:
    """What people call a target."""
    return str(target)
