"""What the page's process and the one that is connected to the cluster tell each other."""

import pickle
from multiprocessing.connection import Connection
from typing import Any


def packed(*message: Any) -> bytes:
    """A message as it is written. `Connection.send` would share the memory of tensors instead of sending them."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def send(pipe: Connection, *message: Any) -> None:
    """Write a message."""
    pipe.send_bytes(packed(*message))


def received(pipe: Connection) -> Any:
    """The next message, as a tuple.

    Raises:
        EOFError, OSError: the other process has ended.
    """
    return pickle.loads(pipe.recv_bytes())
