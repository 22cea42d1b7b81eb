"""The lines of which the answer of `POST /ask` consists; docs/ask.md lists them."""

import json
from dataclasses import asdict, dataclass
from typing import ClassVar

from demo.query import Result, to_json


@dataclass(frozen=True)
class Line:
    """What becomes known of a question.

    Attributes:
        index: of the question in the list.
    """

    kind: ClassVar[str]
    index: int

    def to_json(self) -> str:
        return json.dumps({"kind": self.kind} | asdict(self))


@dataclass(frozen=True)
class QueueLine(Line):
    """It waits.

    Attributes:
        position: how many other clients are served before.
    """

    kind = "queue"
    position: int


@dataclass(frozen=True)
class PredictionsLine(Line):
    """What the model predicts; see `PredictResult.predictions`."""

    kind = "predictions"
    predictions: dict[str, float]


@dataclass(frozen=True)
class ProgressLine(Line):
    """How many forward passes of a slow method are done, and of how many."""

    kind = "progress"
    done: int
    total: int


@dataclass(frozen=True)
class ResultLine(Line):
    """A result; of an explanation one target at one layer.

    Attributes:
        row, rows: which of how many targets and layers this is.
        summary: what the page says of it.
        result: with one row.
    """

    kind = "result"
    row: int
    rows: int
    summary: str
    result: Result

    def to_json(self) -> str:
        head = {"kind": self.kind, "index": self.index, "row": self.row, "rows": self.rows, "summary": self.summary}
        return f'{json.dumps(head)[:-1]}, "result": {to_json(self.result)}}}'


@dataclass(frozen=True)
class ErrorLine(Line):
    """The question has no answer, and no other line follows.

    Attributes:
        code: "refused": it cannot be answered; "busy": ask again later; "unknown_image": send the image with the
            question; "failed": a fault of the demo.
        message: what happened, and what to do.
    """

    kind = "error"
    code: str
    message: str


@dataclass(frozen=True)
class EndLine(Line):
    """The answer is complete."""

    kind = "end"
