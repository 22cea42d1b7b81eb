"""Classification: the classes that a model predicts, and the evidence for any that it knows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from demo.models import Model
from demo.query import Details, Explain, Target


class Classification:
    """A `Task` whose targets are the model's labels."""

    def check_text(self, _model: Model, _text: str) -> str:
        return ""

    def check_targets(self, model: Model, _text: str, targets: Iterable[Target]) -> tuple[Target, ...]:
        return tuple(target and model.resolve_label(str(target)) for target in targets)

    def complete(self, query: Explain, predictions: dict[str, float]) -> Explain:
        best = next(iter(predictions), "")
        return replace(query, targets=tuple(dict.fromkeys(target or best for target in query.targets)))

    def candidates(self, text: str, predictions: dict[str, float], count: int) -> tuple[str, Sequence[Target]]:
        return text, tuple(predictions)[:count]

    def describe(
        self, details: Details, _model: Model, _query: Explain, _target: Target, predictions: dict[str, float]
    ) -> Details:
        return replace(details, prediction=next(iter(predictions.items()), None))

    def name(self, _query: Explain, target: Target) -> str:
        return str(target)

    def key(self, query: Explain) -> str:
        return str(query.targets[0])
