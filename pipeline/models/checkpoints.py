"""Weights on disk, with the values needed to build their network."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.core.files import array_digest, replacing

FORMAT = "coalition-pipeline checkpoint"

Network = TypeVar("Network", bound=nn.Module)


def save(path: Path, network: nn.Module, description: Mapping[str, Any]) -> None:
    """Write a network's state and its description (plain values).

    The bytes depend on nothing else.
    """
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "description": dict(description), "state": state}, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and state of a checkpoint; a plain state dict has an empty description.

    Raises:
        InputError: the file is missing, a directory, damaged, holds anything other than plain
            values and tensors, or holds no state.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a directory; give the file of a checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint") from None
    except Exception as error:  # torch.load may raise any exception for other files
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: cannot be read as a checkpoint of weights alone ({first_line}); save it with "
            "torch.save(network.state_dict(), path)"
        ) from None
    description: Any = {}
    prefix = ""
    if isinstance(content, dict) and content.get("format") == FORMAT:
        description, content = content.get("description"), content.get("state")
        if not isinstance(description, dict):
            raise InputError(f"{path}: holds no description of its network; make it again")
    else:
        prefix = "module."  # of a network that was trained on several GPUs
        if isinstance(content, dict) and "state_dict" in content:
            content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise InputError(f"{path}: holds no state dict (a mapping of names to tensors)")
    return description, {name.removeprefix(prefix): value for name, value in content.items()}


def build(path: Path, kind: Callable[..., Network], keys: Sequence[str]) -> Network:
    """Build the network of a checkpoint from its description, and load its state.

    Args:
        path: the checkpoint.
        kind: class of the network.
        keys: entries of the description that are passed to the constructor by name.

    Raises:
        InputError: as :func:`load` and :func:`fill`, and if the description belongs to another kind
            of network.
    """
    description, state = load(path)
    name = getattr(kind, "__name__", "network")
    missing = [key for key in keys if key not in description]
    if missing:
        has = f"has only {', '.join(map(str, description))}" if description else "is empty"
        raise InputError(
            f"{path}: is no checkpoint of a {name}: its description lacks {', '.join(missing)} "
            f"(it {has}); give the checkpoint that was made for this model"
        )
    try:
        network = kind(**{key: description[key] for key in keys})
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: its description does not fit a {name}: {error}; give the checkpoint that was "
            "made for this model"
        ) from None
    fill(network, state, path)
    return network


def fill(network: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Load a state into a network.

    Raises:
        InputError: parameters are missing, left over or of another shape; the message names them.
    """
    own = network.state_dict()
    missing = sorted(own.keys() - state.keys())
    surplus = sorted(state.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    problems = [
        f"{title}: {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"
        for title, names in (("missing", missing), ("unknown", surplus), ("other shape", shapes))
        if names
    ]
    if problems:
        raise InputError(
            f"{source}: does not fit a {type(network).__name__}: {'; '.join(problems)}"
        )
    network.load_state_dict(dict(state))


def state_digest(network: nn.Module) -> str:
    """sha256 over the names, dtypes, shapes and bytes of a network's state, as hex."""
    state = network.state_dict()
    names = sorted(state)
    encoded = [torch.tensor(list("\n".join(names).encode()), dtype=torch.uint8).numpy()]
    return array_digest([*encoded, *(state[name].detach().cpu().numpy() for name in names)])
