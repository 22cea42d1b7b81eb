"""The tasks: which targets can be explained, and what is said about them. No file here has a widget."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from demo.models import Model
from demo.query import Details, Explain, Target
from demo.tasks.captioning import Captioning
from demo.tasks.classification import Classification
from demo.tasks.vqa import QuestionAnswering


class Task(Protocol):
    """What differs between the tasks."""

    def check_text(self, model: Model, text: str) -> str:
        """Return a question or caption in the model's spelling; an empty one stays.

        Raises:
            InputError: the model cannot read it.
        """

    def check_targets(self, model: Model, text: str, targets: Iterable[Target]) -> tuple[Target, ...]:
        """Return targets in the model's spelling. Empty ones stay.

        Raises:
            InputError: the model cannot score one.
        """

    def complete(self, query: Explain, predictions: dict[str, float]) -> Explain:
        """Return the question with the best prediction in its empty fields.

        Raises:
            InputError: a target does not fit the prediction.
        """

    def candidates(self, text: str, predictions: dict[str, float], count: int) -> tuple[str, Sequence[Target]]:
        """Return the completed text, and up to `count` targets that a region may support."""

    def describe(
        self, details: Details, model: Model, query: Explain, target: Target, predictions: dict[str, float]
    ) -> Details:
        """Return the details of a target with the fields of this task."""

    def name(self, query: Explain, target: Target) -> str:
        """Return what people call a target."""

    def key(self, query: Explain) -> str:
        """Return what tells the only target of a question from others about the same image."""


TASKS: dict[str, Task] = {
    "classification": Classification(),
    "captioning": Captioning(),
    "vqa": QuestionAnswering(),
}
