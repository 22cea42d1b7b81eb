"""What the page's process and the one that is connected to the cluster tell each other."""

import pickle
from multiprocessing.connection import Connection
from typing import Any


def send(pipe: Connection, *message: Any) -> None:
    """Write a message. `Connection.send` would share the memory of tensors instead of sending them."""
    pipe.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def received(pipe: Connection) -> Any:
    """The next message, as a tuple.

    Raises:
        EOFError, OSError: the other process has ended.
    """
    return pickle.loads(pipe.recv_bytes())
