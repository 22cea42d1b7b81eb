"""Arrays in JSON: a type for fields of values that pydantic sends and reads."""

import base64
import math
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer, PlainValidator

DTYPES = ("float32", "float16", "int64")


def to_json(array: np.ndarray) -> dict[str, object]:
    """The array as its type, shape, and numbers: little-endian, row by row, in base64."""
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": base64.b64encode(data).decode()}


def from_json(value: object) -> np.ndarray:
    """The array that `to_json` was given.

    Raises:
        ValueError: the value is none of its results.
    """
    match value:
        case {"dtype": str(dtype), "shape": [*shape], "data": str(text)} if dtype in DTYPES:
            if not all(type(side) is int and side >= 0 for side in shape):
                raise ValueError("shape must be a list of integers, at least 0")
            data = base64.b64decode(text, validate=True)
            if len(data) != math.prod(shape) * np.dtype(dtype).itemsize:
                raise ValueError(f"data has {len(data)} bytes, which is not {dtype} of shape {shape}")
            return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(shape)
    raise ValueError(f"an array needs a dtype ({', '.join(DTYPES)}), a shape and data")


Array = Annotated[np.ndarray, PlainValidator(from_json), PlainSerializer(to_json)]
