"""Hugging Face's ZeroGPU: a Space is lent a GPU for a piece of work, in a process that is forked for it.

`spaces` must be imported before PyTorch: see `demo.process`.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from PIL import Image

from demo.errors import InputError
from demo.explain import OnPredictions, answer
from demo.models import Library, Model
from demo.query import Query, Result
from demo.worker import Compute
from explainers import Slow


class _News(NamedTuple):
    """The predictions of questions by their index, the progress, and at the end the results or an error."""

    predictions: list[tuple[int, dict[str, float]]]
    progress: tuple[int, int] | None = None
    results: list[Result] | None = None
    error: Exception | None = None


@cache
def _library() -> Library:
    """The models of the forked process, on its GPU. A lock of its parent's library may have been held."""
    return Library("auto")


def _work(queries: list[Query], images: list[Image.Image]) -> Iterator[_News]:
    """Answer questions in the forked process. Of its exceptions `spaces` tells only the name."""
    predictions: list[tuple[int, dict[str, float]]] = []
    try:
        model = _library().load(queries[0].task, queries[0].model, queries[0].weights)
        passes = answer(model, queries, images, lambda *predicted: predictions.append(predicted))
        while True:
            progress = next(passes)
            yield _News(predictions, progress)
            predictions = []
    except StopIteration as stop:
        yield _News(predictions, results=stop.value)
    except InputError as error:
        yield _News(predictions, error=error)
    except Exception as error:  # raised where the result is awaited
        yield _News(predictions, error=RuntimeError(repr(error)))


def compute_on_lent_gpu() -> Compute:
    """Return what a `LocalWorker` computes with. Predictions are told after the next pass, or at the end."""
    from gradio import Error
    from spaces import GPU

    work = GPU(_work)

    def compute_there(
        _model: Model, queries: Sequence[Query], images: Sequence[Image.Image], on_predictions: OnPredictions
    ) -> Slow[list[Result]]:
        try:
            for news in work(list(queries), list(images)):
                for index, predictions in news.predictions:
                    on_predictions(index, predictions)
                if news.error is not None:
                    raise news.error
                if news.results is not None:
                    return news.results
                if news.progress is not None:
                    yield news.progress
        except Error as error:  # none is free
            raise InputError(f"No GPU is lent for this ({error.message}): try again later.") from error
        raise RuntimeError("The GPU was taken away in the middle of the work.")

    return compute_there
