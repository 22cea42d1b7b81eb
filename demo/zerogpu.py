"""Hugging Face's ZeroGPU: the GPU of a Space is lent for a piece of work, to a process that is forked for that.

Elsewhere nothing of this has an effect.
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image

from demo.answers import Answers, Say, answers
from demo.errors import InputError
from demo.models import Library, Model
from demo.query import Query, Result
from explainers import Passes

IS_HERE = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # as `spaces` reads it
if IS_HERE:  # before anything asks PyTorch for its devices
    import spaces  # noqa: F401


class _News(NamedTuple):
    """What there is to tell of a piece of work: what was said at a place, how many passes are done, and the end."""

    said: list[tuple[int, dict[str, float]]]
    done: tuple[int, int] | None = None
    results: list[Result] | None = None
    refused: str = ""


def lent(library: Library) -> Answers:
    """`answers` by a GPU that is lent; what the model says is told with the next pass, or at the end.

    What travels to the other process and back is pickled, and errors lose their texts, so that a model goes by its
    name and a refusal as a sentence.
    """
    from spaces import GPU

    @GPU
    def work(queries: list[Query], photos: list[Image.Image]) -> Iterator[_News]:
        asked = queries[0].task, queries[0].model, queries[0].weights
        said: list[tuple[int, dict[str, float]]] = []
        try:
            # The process has a copy of the library, which may be older than the model.
            model = library.opened(*asked) or library.load(*asked)
            passes = answers(model, queries, photos, lambda *saying: said.append(saying))
            while True:
                done = next(passes)
                yield _News(said, done)
                said = []
        except StopIteration as ended:
            yield _News(said, results=ended.value)
        except InputError as error:
            yield _News(said, refused=str(error))

    def from_work(
        _model: Model, queries: Sequence[Query], photos: Sequence[Image.Image], say: Say
    ) -> Passes[list[Result]]:
        for news in work(list(queries), list(photos)):
            for place, said in news.said:
                say(place, said)
            if news.refused:
                raise InputError(news.refused)
            if news.results is not None:
                return news.results
            if news.done is not None:
                yield news.done
        raise RuntimeError("The GPU was taken away in the middle of the work.")

    return from_work
