"""Captioning: the captions that a model gives, and the evidence for a caption or a word of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from demo.errors import InputError
from demo.models import Model
from demo.models.captioning import WHOLE, check_positions
from demo.models.words import words
from demo.query import Details, Explain, Target


class Captioning:
    """A `Task` whose targets are positions of words in a caption, or the whole caption."""

    def check_text(self, model: Model, text: str) -> str:
        return text and model.resolve_label(text)

    def check_targets(self, _model: Model, text: str, targets: Iterable[Target]) -> tuple[Target, ...]:
        positions = tuple(map(_position, targets))
        if text:
            check_positions(positions, len(words(text)))
        return positions

    def complete(self, query: Explain, predictions: dict[str, float]) -> Explain:
        text = query.text or next(iter(predictions))
        check_positions(map(int, query.targets), len(words(text)))
        return replace(query, text=text)

    def candidates(self, text: str, predictions: dict[str, float], _count: int) -> tuple[str, Sequence[Target]]:
        caption = text or next(iter(predictions))
        return caption, range(len(words(caption)))

    def describe(
        self, details: Details, _model: Model, query: Explain, target: Target, _predictions: dict[str, float]
    ) -> Details:
        return replace(details, caption=query.text, word=int(target))

    def name(self, query: Explain, target: Target) -> str:
        return query.text if int(target) == WHOLE else words(query.text)[int(target)]

    def key(self, query: Explain) -> str:
        return f"{query.targets[0]} {query.text}"


def _position(target: Target) -> int:
    try:
        return WHOLE if target == "" else int(target)
    except ValueError:
        shown = str(target)[:80]
        raise InputError(f"“{shown}” is not the index of a word: give 0 for the first, -1 for all.") from None
