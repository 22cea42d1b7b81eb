"""Question answering: the answers that a model gives to a question, and the evidence for any of them."""

from dataclasses import replace

from torchvision.models import ResNet50_Weights

from demo.models import Model
from demo.models.vqa import suggest
from demo.query import Details, Explain, Target
from demo.tasks.classification import Classification

# From which probability on a "no" to a premise is a doubt. On the test split the default model doubts 2.6% of the
# things that are there, and 43% of those that are not.
SURELY = 0.7
ANY = "What is in the picture?"  # can be asked of any image, and is rarely answered well: suggested last
ANIMAL = "What animal is this?"
ANIMALS = frozenset(ResNet50_Weights.IMAGENET1K_V1.meta["categories"][:398])  # ImageNet's classes begin with them
SUGGESTIONS = 5
LIKELY = 0.1  # the probability of an answer that questions are suggested about
MIN_PROBABILITY = 0.01  # of an answer that is listed
SURE_ENOUGH = 0.4  # the probability of an answer from which on an open question is suggested before a yes/no question


class QuestionAnswering(Classification):
    """A `Task` whose targets are answers to a question. An answer has a probability, as a class has."""

    def check_text(self, model: Model, text: str) -> str:
        model.check_question(text)
        return text

    def describe(
        self, details: Details, model: Model, query: Explain, target: Target, predictions: dict[str, float]
    ) -> Details:
        details = super().describe(details, model, query, target, predictions)
        return replace(details, question=query.text, ignored=tuple(model.ignored_words(query.text)))


def denial(premise: str, said: dict[str, float]) -> str:
    """That a network says no to a premise of a question, in words; nothing if it does not, or is not sure."""
    no = said.get("no", 0.0)
    return f"asked “{premise}”, it says no ({no:.0%})" if no >= SURELY else ""


def likely(answered: dict[str, float]) -> dict[str, float]:
    """Return the answers that are worth a line: the first two, and those that are not improbable."""
    items = enumerate(answered.items())
    return {answer: share for place, (answer, share) in items if place < 2 or share >= MIN_PROBABILITY}


def suggestions(classes: dict[str, float], captions: dict[str, float], answers: dict[str, float]) -> list[str]:
    """Questions about an image for which models predict this; the answers are those to ANY, which comes last."""
    probable = [answer for answer, probability in answers.items() if probability > LIKELY]
    top = next(iter(classes))
    about = suggest(top, *probable, next(iter(captions)))
    first = [ANIMAL] if top in ANIMALS or ANIMAL in about else []
    questions = dict.fromkeys([*first, *(question for question in about if question != ANY)])
    return [*list(questions)[: SUGGESTIONS - 1], ANY]


def ranked(answered: dict[str, dict[str, float]]) -> list[str]:
    """Suggested questions, best first, given the answers to each with their probabilities.

    First the open questions whose answer is probable enough, ANIMAL before the others; then the yes/no questions, then
    the other open questions, and ANY last. Of each kind the one with the most probable answer comes first.
    """

    def rank(question: str) -> tuple[bool, int, bool, float]:
        best, probability = next(iter(answered[question].items()))
        group = 1 if best in ("yes", "no") else 0 if probability >= SURE_ENOUGH else 2
        return question == ANY, group, question != ANIMAL, -probability

    return sorted(answered, key=rank)
