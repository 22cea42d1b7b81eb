"""Work in a thread of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_a_thread(name: str, function: Callable[[], T]) -> Future[T]:
    """What a function gives, from a thread of that name, which ends with it. Whoever waits for it cannot cancel it."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # raised where the result is awaited
            future.set_exception(error)
        except BaseException as error:  # or callers wait for ever; as no cancellation or exit of theirs
            future.set_exception(RuntimeError(repr(error)))

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
