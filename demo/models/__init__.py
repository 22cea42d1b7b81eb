"""The models behind the tabs: `catalog(task)` lists them, `load(task)` gives one ready to use."""

from demo.models.entries import AnyAnswerer, AnyCaptioner, Entry, Model
from demo.models.library import MAX_MODELS, Library, available_device

__all__ = [
    "MAX_MODELS",
    "AnyAnswerer",
    "AnyCaptioner",
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
