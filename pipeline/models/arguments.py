"""Checks of tensors and models given from Python: convert them, or report what is wrong."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core import arguments
from pipeline.core.errors import InputError


def tensor(name: str, values: Any, like: Tensor | None = None) -> Tensor:
    """A tensor, unchanged; arrays and lists are converted, floats to ``like``'s dtype and device.

    Raises:
        InputError: the values are none of these, or not numbers.
    """
    if isinstance(values, Tensor):
        return values
    given = arguments.array(name, values)
    # A copy: torch cannot share memory with read-only arrays or negative strides.
    found = torch.from_numpy(np.array(given))
    if like is None:
        return found
    return found.to(like) if found.is_floating_point() else found.to(like.device)


def finite(name: str, values: Tensor) -> Tensor:
    """The tensor, unchanged. Raises InputError for NaN or Inf; tensors without data always pass."""
    if values.device.type != "meta" and not torch.isfinite(values).all():
        raise InputError(f"{name} hold NaN or Inf")
    return values


def weight_of(model: Any) -> Tensor | None:
    """A weight with the model's dtype and device; None for a plain function, which has neither."""
    return next(model.parameters(), None) if isinstance(model, nn.Module) else None


def check_kind(name: str, value: Any, kind: type, more: str = "") -> None:
    """Raise InputError unless a value is an instance of ``kind``; ``more`` says what to do."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: a {type(value).__name__}; a {kind.__name__} is needed{more}")


def check_like(name: str, values: Tensor, weight: Tensor) -> None:
    """Raise InputError unless values have the network's dtype and device."""
    if (values.dtype, values.device) != (weight.dtype, weight.device):
        raise InputError(
            f"{name} are {values.dtype} on {values.device}, the network is {weight.dtype} on "
            f"{weight.device}; bring one to the other with .to(…)"
        )


def features_for(features: Any, references: Tensor) -> Tensor:
    """Features for a network of a table, checked against its references; arrays are converted.

    Raises:
        InputError: the shape is not (sample, feature), or the dtype or device differs.
    """
    given = tensor("features", features, references)
    if given.ndim != 2 or given.shape[1] != len(references):
        raise InputError(
            f"features of shape {tuple(given.shape)}: (sample, {len(references)}) are needed"
        )
    check_like("features", given, references)
    return given


def check_state(state: Any) -> None:
    """Raise InputError unless the argument can be a ``state_dict``."""
    if not isinstance(state, Mapping):
        raise InputError(
            f"a {type(state).__name__}: this is no state of a network; a state_dict is needed, as "
            "torch.load reads it from a file"
        )


def called(model: Callable[[Tensor], Any], inputs: Tensor, what: str = "inputs") -> Tensor:
    """Output of a model, of any shape.

    Raises:
        InputError: the model is not callable, rejects the inputs, or does not return a tensor.
    """
    kind = type(model).__name__
    if not callable(model):
        raise InputError(f"the model is of type {kind}; a function of tensors is needed")
    try:
        found: Any = model(inputs)
    except (InputError, torch.OutOfMemoryError):  # too little memory is not the inputs' fault
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"the model ({kind}) does not take {what} of shape {tuple(inputs.shape)}, "
            f"{inputs.dtype} on {inputs.device}: {error}"
        ) from error
    if not isinstance(found, Tensor):
        raise InputError(f"the model ({kind}) gives a {type(found).__name__}; a tensor is needed")
    return found
