"""Messages between the page's process and the one that is connected to the cluster: a line of JSON, and bytes."""

import json
from multiprocessing.connection import Connection
from typing import Any, NamedTuple


class Message(NamedTuple):
    """A message about the question of a number.

    Attributes:
        kind: what it asks or tells.
        values: by name, of what JSON has.
        data: an image file, or a result as JSON.
    """

    number: int
    kind: str
    values: dict[str, Any]
    data: bytes = b""


def pack(message: Message) -> bytes:
    return json.dumps([message.number, message.kind, message.values]).encode() + b"\n" + message.data


def unpack(packed: bytes) -> Message:
    """The message that `pack` was given.

    Raises:
        ValueError: there is none.
    """
    head, _, data = packed.partition(b"\n")
    match json.loads(head):
        case [int(number), str(kind), dict(values)]:
            return Message(number, kind, values, data)
    raise ValueError(f"this is no message: {head[:80]!r}")


def send(pipe: Connection, number: int, kind: str, *, data: bytes = b"", **values: Any) -> None:
    pipe.send_bytes(pack(Message(number, kind, values, data)))
