"""Hugging Face's ZeroGPU: the GPU of a Space is lent for a piece of work, to a process that is forked for that.

Elsewhere nothing of this has an effect. See `demo/__init__.py` for when `spaces` has to be imported.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from PIL import Image

from demo.answers import Answers, Say, answers
from demo.errors import InputError
from demo.models import Library, Model
from demo.query import Query, Result
from explainers import Passes


class _News(NamedTuple):
    """What there is to tell of a piece of work: what was said at a place, how many passes are done, and the end."""

    said: list[tuple[int, dict[str, float]]]
    done: tuple[int, int] | None = None
    results: list[Result] | None = None
    error: Exception | None = None


@cache
def _library() -> Library:
    """The models of the other process, on the GPU that is lent to it: of its parent's a lock may have been held."""
    return Library("auto")


def _work(queries: list[Query], photos: list[Image.Image]) -> Iterator[_News]:
    """What the other process does: what is given and yielded is pickled, and of what is raised only the name told."""
    said: list[tuple[int, dict[str, float]]] = []
    try:
        model = _library().load(queries[0].task, queries[0].model, queries[0].weights)
        passes = answers(model, queries, photos, lambda *saying: said.append(saying))
        while True:
            done = next(passes)
            yield _News(said, done)
            said = []
    except StopIteration as ended:
        yield _News(said, results=ended.value)
    except InputError as error:
        yield _News(said, error=error)
    except Exception as error:  # whoever waits is told
        yield _News(said, error=RuntimeError(repr(error)))


def lent() -> Answers:
    """`answers` by a GPU that is lent; what the model says is told with the next pass, or at the end."""
    from gradio import Error
    from spaces import GPU

    work = GPU(_work)

    def from_work(
        _model: Model, queries: Sequence[Query], photos: Sequence[Image.Image], say: Say
    ) -> Passes[list[Result]]:
        try:
            for news in work(list(queries), list(photos)):
                for place, said in news.said:
                    say(place, said)
                if news.error is not None:
                    raise news.error
                if news.results is not None:
                    return news.results
                if news.done is not None:
                    yield news.done
        except Error as error:  # none is free
            raise InputError(f"No GPU is lent for this ({error.message}): try again later.") from error
        raise RuntimeError("The GPU was taken away in the middle of the work.")

    return from_work
