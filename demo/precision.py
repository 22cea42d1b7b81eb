"""The precision of a network's passes: bfloat16 on processors with instructions for it, where that is enough."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from demo.query import Precision


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in a precision inside the block, where the device has instructions for it."""
    if precision == "float32" or not has_bfloat16(device):
        yield
        return
    with torch.autocast("cpu", torch.bfloat16), LinearInFloat32():
        yield


class LinearInFloat32(TorchFunctionMode):
    """Makes autocast leave linear layers alone: a logit in bfloat16 has 8 bits, too few for differences."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is not F.linear:
            return function(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.float, (args, kwargs or {}))
            return function(*args, **kwargs)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a processor multiplies bfloat16 numbers by itself, which takes about half the time of float32."""
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
