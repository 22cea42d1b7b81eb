"""Question answering: what a network answers to a question, and the evidence for any of its answers."""

import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from demo.models import AnyAnswerer
from demo.models.vqa import suggest
from demo.query import Photo, Query, Result

ANY = "What is in the picture?"  # can be asked of any photograph, and is the first question suggested
SUGGESTIONS = 5
LIKELY = 0.1  # the probability of an answer that questions are suggested about


def check(model: AnyAnswerer, query: Query) -> Query:
    """The query with its answers in the model's spelling; one may be empty.

    Raises:
        InputError: the question cannot be read, or an answer cannot be given.
    """
    model.read_question(query.text)
    return replace(query, targets=tuple(answer and model.known(str(answer)) for answer in query.targets))


def complete(query: Query, said: dict[str, float]) -> Query:
    """The query with the model's own answer for an empty one."""
    return replace(query, targets=tuple(answer or next(iter(said)) for answer in query.targets))


def describe(model: AnyAnswerer, query: Query, target: str, _said: dict[str, float]) -> tuple[str, dict[str, Any]]:
    return target, {"question": query.text, "ignored": model.ignored(query.text)}


def clause(details: dict[str, Any]) -> str:
    return f" as the answer to “{html.escape(details['question'])}”"


def suggestions(answer: Callable[[Query], Result], photo: Photo) -> list[str]:
    """Questions about what the default classifier, captioner and answerer see in a photograph."""
    named, captions = (answer(Query(photo, task)).said for task in ("classification", "captioning"))
    shown = answer(Query(photo, "vqa", text=ANY)).said
    answers = [said for said, probability in shown.items() if probability > LIKELY]
    return suggest(next(iter(named)), *answers, next(iter(captions)))[:SUGGESTIONS]
