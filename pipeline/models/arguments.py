"""Tensors and models that people give from Python: they are taken, or it is said what is."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core import arguments
from pipeline.core.errors import InputError


def tensor(name: str, values: Any, like: Tensor | None = None) -> Tensor:
    """A tensor as it is; arrays and lists as tensors, floats of the dtype and device of ``like``.

    Raises:
        InputError: what is none of these, or holds no numbers.
    """
    if isinstance(values, Tensor):
        return values
    given = arguments.array(name, values)
    # A copy: of arrays that cannot be written to, or run backwards, torch makes none.
    found = torch.from_numpy(np.array(given))
    if like is None:
        return found
    return found.to(like) if found.is_floating_point() else found.to(like.device)


def finite(name: str, values: Tensor) -> Tensor:
    """A tensor as it is. Raises InputError if it holds NaN or Inf; one of no data holds none."""
    if values.device.type != "meta" and not torch.isfinite(values).all():
        raise InputError(f"{name} hold NaN or Inf")
    return values


def weight_of(model: Any) -> Tensor | None:
    """A weight that tells a model's dtype and device; None of a function, which tells neither."""
    return next(model.parameters(), None) if isinstance(model, nn.Module) else None


def check_kind(name: str, value: Any, kind: type, more: str = "") -> None:
    """Raise InputError unless a value is of a kind, a network say; ``more`` says what to do."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: a {type(value).__name__}; a {kind.__name__} is needed{more}")


def check_like(name: str, values: Tensor, weight: Tensor) -> None:
    """Raise InputError unless values have a network's dtype and device."""
    if (values.dtype, values.device) != (weight.dtype, weight.device):
        raise InputError(
            f"{name} are {values.dtype} on {values.device}, the network is {weight.dtype} on "
            f"{weight.device}; bring one to the other with .to(…)"
        )


def features_for(features: Any, references: Tensor) -> Tensor:
    """Features for a network of a table, which has such references; arrays are taken, too.

    Raises:
        InputError: another shape than (sample, feature), another dtype or device.
    """
    given = tensor("features", features, references)
    if given.ndim != 2 or given.shape[1] != len(references):
        raise InputError(
            f"features of shape {tuple(given.shape)}: (sample, {len(references)}) are needed"
        )
    check_like("features", given, references)
    return given


def check_state(state: Any) -> None:
    """Raise InputError unless what is said to be a ``state_dict`` can be one."""
    if not isinstance(state, Mapping):
        raise InputError(
            f"a {type(state).__name__}: this is no state of a network; a state_dict is needed, as "
            "torch.load reads it from a file"
        )


def called(model: Callable[[Tensor], Any], inputs: Tensor, what: str = "inputs") -> Tensor:
    """What a model gives, of any shape.

    Raises:
        InputError: what is no model, a model that does not take the inputs, no tensor.
    """
    kind = type(model).__name__
    if not callable(model):
        raise InputError(f"the model is of type {kind}; a function of tensors is needed")
    try:
        found: Any = model(inputs)
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"the model ({kind}) does not take {what} of shape {tuple(inputs.shape)}, "
            f"{inputs.dtype} on {inputs.device}: {error}"
        ) from error
    if not isinstance(found, Tensor):
        raise InputError(f"the model ({kind}) gives a {type(found).__name__}; a tensor is needed")
    return found
