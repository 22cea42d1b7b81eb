"""The models behind the tabs: `catalog(task)` lists them, `load(task)` gives one ready to use."""

from demo.models.entries import Entry
from demo.models.library import MAX_MODELS, Library, available_device
from demo.models.network import Model

__all__ = [
    "MAX_MODELS",
    "Entry",
    "Library",
    "Model",
    "available_device",
    "catalog",
    "load",
]

# For scripts, on the CPU. The demo makes a library of its own.
_library = Library()
catalog, load = _library.catalog, _library.load
