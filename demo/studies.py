"""The questions of the quiz: those of the paper's two studies with people, about the example photographs.

Section 5.1: which of two objects in a photograph does a picture explain? Section 5.2: which of two networks, that say
the same of a photograph, is more reliable, judging by what explains it?
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from demo.query import FAST_METHODS, Explain, ImageFile, Weights, image_file
from demo.rooms import Study, Vote
from explainers import METHODS

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"

DECONVOLVED = ("deconvolution", "deconvolution_gradcam")
SHOWN: dict[Study, tuple[str, ...]] = {
    "object": ("deconvolution", "guided_backprop", "deconvolution_gradcam", "guided_gradcam"),
    "trust": ("guided_backprop", "guided_gradcam"),
}

# What the paper reports of each study and method; and what somebody who guesses gets.
REPORTED = {
    ("object", "deconvolution"): 0.5333,
    ("object", "guided_backprop"): 0.4444,
    ("object", "deconvolution_gradcam"): 0.6037,
    ("object", "guided_gradcam"): 0.6123,
    ("trust", "guided_backprop"): 1.00,
    ("trust", "guided_gradcam"): 1.27,
}
CHANCE: dict[Study, float] = {"object": 0.5, "trust": 0.0}

# Things in one photograph for each of which the shipped classifier has evidence. A test holds both these tables.
OBJECTS = {
    "zebra_elephant": ("zebra", "African elephant"),
    "ram_peacock": ("ram", "peacock"),
    "sea_lion_flamingo": ("sea lion", "flamingo"),
    "airliner_fire_engine": ("airliner", "fire engine"),
    "fruit": ("custard apple", "lemon", "bell pepper"),
    "garden": ("soccer ball", "tricycle", "hen"),
    "kitten": ("tabby", "wool"),
}

# What everybody begins with: an easy question, which shows what the others are like.
EASY = ("ram_peacock", "zebra_elephant")

# What the shipped classifier says of a photograph, rightly, and with noise on its weights too.
AGREED = {
    "bison": "bison",
    "cat": "Egyptian cat",
    "coffee": "espresso",
    "dog": "German shepherd",
    "palace": "palace",
    "ram_peacock": "ram",
    "zebra_elephant": "zebra",
}

LEFT, RIGHT = 0, 1
SCALE = (
    "Left is much more reliable",
    "Left is slightly more reliable",
    "Both are equally reliable",
    "Right is slightly more reliable",
    "Right is much more reliable",
)


class Picture(NamedTuple):
    """What a method finds: a query of one target, whose row has its picture."""

    query: Explain
    method: str


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        study: which of the two.
        example: the name of the photograph.
        method: whose pictures are shown.
        classes: of the study "object" the two that can be explained, in the order in which they are offered; of the
            study "trust" the one that both networks say.
        truth: which of the two is explained; or on which side the trained network is, `LEFT` or `RIGHT`.
    """

    study: Study
    example: str
    method: str
    classes: tuple[str, ...]
    truth: int

    @property
    def answers(self) -> tuple[str, ...]:
        """What can be answered."""
        return self.classes if self.study == "object" else SCALE

    def about(self) -> str:
        """What is seen before the answer. As in section 5.1, the image itself is not."""
        if self.study == "trust":
            return f"Both networks say {self.classes[0]}, rightly; here is what explains it."
        return (
            "The image contains both objects, and the model was asked about one of them. "
            "You see the explanation alone, as in the paper’s study: the image follows after your answer."
        )

    def vote(self, answer: int) -> Vote:
        """What one of the answers is worth, which is given by its place."""
        if self.study == "object":
            return Vote("object", self.method, int(answer == self.truth))
        for_left = SCALE.index("Both are equally reliable") - answer
        return Vote("trust", self.method, for_left if self.truth == LEFT else -for_left)

    def shown(self, model: str) -> tuple[Picture, ...]:
        """The picture that is asked about; or those of the left and the right network."""
        if self.study == "object":
            return (self._picture(model, self.classes[self.truth]),)
        weights: tuple[Weights, Weights] = (None, "noisy") if self.truth == LEFT else ("noisy", None)
        return tuple(self._picture(model, self.classes[0], one) for one in weights)

    def revealed(self, model: str) -> tuple[Picture, ...]:
        """What else is shown after the answer, beside the photograph: the picture of the other object."""
        return (self._picture(model, self.classes[1 - self.truth]),) if self.study == "object" else ()

    def verdict(self, answer: int) -> str:
        """The sentence that follows an answer."""
        value = self.vote(answer).value
        if self.study == "object":
            truth, other = self.classes[self.truth], self.classes[1 - self.truth]
            title = METHODS[self.method].title
            return (
                f"{'Right' if value else 'Wrong'}: this is {title} for {truth}; here are the photograph, and "
                f"{title} for {other}."
            )
        trusted = "both alike" if value == 0 else "the better one more" if value > 0 else "the worse one more"
        better, worse = ("left", "right") if self.truth == LEFT else ("right", "left")
        return (
            f"You trust {trusted}: the network at the {better} names about 86% of 250 sample images correctly; the "
            f"one at the {worse}, the same with noise on its weights, about 54%. (The samples are easier than "
            "ImageNet's validation set, and may have been in its training set.)"
        )

    def photo(self) -> ImageFile:
        """The photograph."""
        return _photo(self.example)

    def _picture(self, model: str, name: str, weights: Weights = None) -> Picture:
        # As the tabs ask it, so that it is found once.
        methods = FAST_METHODS if self.method in FAST_METHODS else DECONVOLVED
        query = Explain(self.photo(), "classification", model, weights=weights, targets=(name,), methods=methods)
        return Picture(query, self.method)


def draw(study: Study, chance: random.Random, before: Question | None = None) -> Question:
    """A question at random, about another photograph than the one before; of "object" the first one is easy."""
    is_easy = study == "object" and before is None
    examples: Sequence[str] = EASY if is_easy else [*(OBJECTS if study == "object" else AGREED)]
    example = chance.choice([name for name in examples if before is None or name != before.example])
    classes = tuple(chance.sample(OBJECTS[example], 2)) if study == "object" else (AGREED[example],)
    method = "guided_gradcam" if is_easy else chance.choice(SHOWN[study])
    return Question(study, example, method, classes, chance.randrange(2))


@lru_cache
def _photo(example: str) -> ImageFile:
    return image_file((EXAMPLES / f"{example}.jpg").read_bytes())
