"""Captioning: what a network says about a photograph, and the evidence for a sentence or for a word of it."""

from dataclasses import replace
from typing import Any

from demo.errors import InputError
from demo.models import AnyCaptioner
from demo.models.captioning import WHOLE, check_positions
from demo.models.words import words
from demo.query import Query


def check(model: AnyCaptioner, query: Query) -> Query:
    """The query with its caption in the model's spelling, and positions as numbers; the caption may be empty.

    Raises:
        InputError: the caption cannot be scored, or it has no word at a position.
    """
    text = query.text and model.known(query.text)
    targets = tuple(map(_position, query.targets))
    if text:
        check_positions(targets, len(words(text)))
    return replace(query, text=text, targets=targets)


def _position(target: str | int) -> int:
    try:
        return WHOLE if target == "" else int(target)
    except ValueError:
        said = str(target)[:80]
        raise InputError(f"“{said}” is not the index of a word: give 0 for the first, -1 for all.") from None


def complete(query: Query, said: dict[str, float]) -> Query:
    """The query with the best caption for an empty one.

    Raises:
        InputError: it has no word at a position.
    """
    text = query.text or next(iter(said))
    check_positions(query.targets, len(words(text)))
    return replace(query, text=text)


def describe(_model: AnyCaptioner, query: Query, target: int, _said: dict[str, float]) -> tuple[str, dict[str, Any]]:
    return name(query, target), {"caption": query.text, "word": target}


def key(query: Query) -> str:
    """What tells the only target of a query from others about the same photograph: its position, and the caption."""
    return f"{query.targets[0]} {query.text}"


def candidates(query: Query, said: dict[str, float], _most: int) -> tuple[Query, tuple[int, ...]]:
    """What a region may speak for: the query with its caption, and all the words of that."""
    text = query.text or next(iter(said))
    return replace(query, text=text), tuple(range(len(words(text))))


def name(query: Query, target: Any) -> str:
    """What people call a target."""
    return query.text if int(target) == WHOLE else words(query.text)[int(target)]
