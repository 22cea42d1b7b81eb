"""Messages between the page's process and the one that is connected to the cluster: a line of JSON, and bytes."""

import json
from multiprocessing.connection import Connection
from typing import Any


def pack(number: int, kind: str, *values: Any, data: bytes = b"") -> bytes:
    """Encode a message about the question of a number.

    Args:
        values: anything that JSON has.
        data: an image file, or a result as JSON.
    """
    return json.dumps([number, kind, *values]).encode() + b"\n" + data


def unpack(message: bytes) -> tuple[int, str, list[Any], bytes]:
    """Decode the arguments that `pack` was given.

    Raises:
        ValueError: the message is not one of its results.
    """
    head, _, data = message.partition(b"\n")
    match json.loads(head):
        case [int(number), str(kind), *values]:
            return number, kind, values, data
    raise ValueError(f"this is no message: {head[:80]!r}")


def send(pipe: Connection, number: int, kind: str, *values: Any, data: bytes = b"") -> None:
    pipe.send_bytes(pack(number, kind, *values, data=data))
