"""The one error that people see, and what it can offer them."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

TOO_MUCH = "The server is busy. Please try again in a moment."
ADDRESS = "An address is not fetched. Send the image itself."
FAILED = "Something went wrong here: try again, or ask something else."
UNFIT = "The request does not fit what is asked for here: see “Use via API” at the foot of the page."


class InputError(ValueError):
    """What somebody gave cannot be used. The message is one sentence for them: what is wrong and what to do.

    It is one line that can be sent, whatever it quotes: without halves of characters.

    Attributes:
        code: what a program can do about it; see docs/ask.md.
    """

    code = "refused"

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"[\0-\x1f\x7f-\x9f\u2028\u2029]+", " ", message.encode(errors="replace").decode()))


class BusyError(InputError):
    """Too much waits at the moment."""

    code = "busy"

    def __init__(self, message: str = TOO_MUCH) -> None:
        super().__init__(message)


class UnknownImageError(InputError):
    """The image is not on the server, or not any more."""

    code = "unknown_image"


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that are spelled much like `name`, the nearest first."""
    return difflib.get_close_matches(name, known, n=3, cutoff=0.5)


def unknown(name: str, model: str, kind: str, known: Sequence[str], also: Mapping[str, str] | None = None) -> str:
    """The sentence that a model has no class or answer (`kind`) of that name, with the nearest that it has.

    Args:
        known: the names of all.
        also: what else people write for some of them, in lower case.
    """
    spellings = {**(also or {}), **{spelling.casefold(): spelling for spelling in known}}
    close = " or ".join(dict.fromkeys(spellings[spelling] for spelling in nearest(name.casefold(), spellings)))
    hint = f"Did you mean {close}?" if close else f"It knows {len(known)}, such as {known[0]}."
    return f"{model} has no {kind} “{name[:80]}”. {hint}"


def first_line(error: Exception) -> str:
    """What an error of a library says first, shortened, without its number and a stop."""
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    said = re.sub(r"\[Errno -?\d+\] ?", "", said)
    return said.rstrip(".:") if len(said) <= 200 else f"{said[:200]}…"
