"""The one error that people see, and what it can offer them."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What somebody gave cannot be used. The message is one sentence for them: what is wrong and what to do."""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that are spelled much like `name`, the nearest first."""
    return difflib.get_close_matches(name, known, n=3, cutoff=0.5)
