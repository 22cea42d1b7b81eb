"""The words of captions and questions."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from demo.errors import InputError

MOST_WORDS = 50  # of a caption or a question

# Words that an English sentence may well say twice.
FUNCTION_WORDS = {
    *("a", "an", "the", "and", "or", "but", "as", "that", "while", "is", "are", "be", "being", "'s"),
    *("of", "in", "on", "at", "to", "into", "onto", "with", "by", "for", "from", "next", "near"),
    *("up", "down", "over", "under", "through", "it", "its", "his", "her", "their", "he", "she", "they"),
    *("one", "two", "other", "another", "some", "there"),
}

_WITHOUT = {
    "caption": "The caption has no words: write what might be in the picture, in English.",
    "question": "There is no question: ask something about the photograph, in English.",
}

# Between spaces and punctuation: letters and digits, joined by hyphens and inner apostrophes; a possessive 's, which
# is a word of its own in the field's tokenizer; and runs of anything else (emoji), which no vocabulary has.
_WORD = re.compile(r"[^\W_]+(?:(?:-|'(?!s\b))[^\W_]+)*|'s\b|[^\w\s\0-\x9f\u2000-\u206f]+")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation: "A dog's T-shirt!" is a, dog, 's, t-shirt."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'").lower())
    return [word for word in found if not all(unicodedata.category(sign).startswith("P") for sign in word)]


def joined(said: Sequence[str]) -> str:
    """The caption that consists of these words."""
    return " ".join(said).replace(" 's", "'s")


def read(kind: Literal["caption", "question"], text: str) -> list[str]:
    """The words of a caption that is to be scored, or of a question.

    Raises:
        InputError: it has none, or more than 50.
    """
    found = words(text)
    if not found:
        raise InputError(_WITHOUT[kind])
    if len(found) > MOST_WORDS:
        raise InputError(f"The {kind} has {len(found)} words, more than {MOST_WORDS}: shorten it.")
    return found
