"""Question answering: what a network answers to a question, and the evidence for any of its answers."""

from dataclasses import replace
from typing import Any

from demo.models import AnyAnswerer
from demo.models.vqa import suggest
from demo.query import Query
from demo.tasks import classification

# From which probability on a "no" to a premise is a doubt: on the val split it is that for 4% of the things that are
# there, and for 58% of those that are not.
SURELY = 0.7
ANY = "What is in the picture?"  # can be asked of any photograph, and is the first question suggested
SUGGESTIONS = 5
LIKELY = 0.1  # the probability of an answer that questions are suggested about


def check(model: AnyAnswerer, query: Query) -> Query:
    """The query with its answers in the model's spelling, each once; one may be empty.

    Raises:
        InputError: the question cannot be read, or an answer cannot be given.
    """
    model.read_question(query.text)
    return replace(query, targets=classification.spelled(model.known, query.targets))


# An answer has a name and a probability, as a class has.
complete = classification.complete
key = classification.key
candidates = classification.candidates
name = classification.name


def describe(model: AnyAnswerer, query: Query, target: str, said: dict[str, float]) -> tuple[str, dict[str, Any]]:
    own = {"prediction": [*next(iter(said.items()))]} if said else {}
    return target, {"question": query.text, "ignored": model.ignored(query.text), **own}


def denial(premise: str, said: dict[str, float]) -> str:
    """That a network says no to a premise of a question, in words; nothing if it does not, or is not sure."""
    no = said.get("no", 0.0)
    return f"asked “{premise}”, it says no ({no:.0%})" if no >= SURELY else ""


def suggestions(classes: dict[str, float], captions: dict[str, float], answers: dict[str, float]) -> list[str]:
    """Questions about a photograph of which models say this; the answers are those to ANY."""
    likely = [answer for answer, probability in answers.items() if probability > LIKELY]
    return suggest(next(iter(classes)), *likely, next(iter(captions)))[:SUGGESTIONS]
