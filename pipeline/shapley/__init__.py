"""Shapley values from games or from tables of values, independent of models and files."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.shapley.exact import SizeSums as SizeSums
    from pipeline.shapley.exact import block_sums as block_sums
    from pipeline.shapley.exact import marginals_by_size as marginals_by_size
    from pipeline.shapley.exact import shapley_values as shapley_values

_EXACT = ("SizeSums", "block_sums", "marginals_by_size", "shapley_values")


def __getattr__(name: str) -> Any:
    # Imported on demand: exact values need torch, which takes a second or two to load.
    if name in _EXACT:
        return getattr(importlib.import_module("pipeline.shapley.exact"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
