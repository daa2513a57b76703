"""Models of the user's own, and torchvision's, for videos and pictures, behind small protocols."""

import hashlib
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.models import checkpoints

CLIP_FRAMES = 16
"""Frames of the clips that torchvision's video classifiers were trained on."""


@runtime_checkable
class VideoModel(Protocol):
    """What a video model must have to be explained.

    Two further attributes are optional. ``digest`` (str) identifies the weights; values are kept
    from run to run only if it is there. ``empty`` (class,) has the scores of no frames.
    """

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""

    @property
    def frames(self) -> int | None:
        """The number of frames that a clip must have; None: any number."""

    def prepare(self, pictures: Tensor, /) -> Tensor:
        """Preprocess pictures of a video.

        From (frame, 3, height, width) uint8 to (frame, channel, height, width) floats.
        """

    def __call__(self, clips: Tensor, /) -> Tensor:
        """Scores of preprocessed clips.

        From (clip, frame, channel, height, width) to (clip, class).
        """


@runtime_checkable
class PictureModel(Protocol):
    """What a picture model must have to be explained.

    One further attribute is optional: ``digest`` (str) identifies the weights; values are kept from
    run to run only if it is there.
    """

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""

    def prepare(self, picture: Tensor, /) -> Tensor:
        """Preprocess a picture.

        From (3, height, width) uint8 to (channel, height, width) floats.
        """

    def __call__(self, pictures: Tensor, /) -> Tensor:
        """Scores of preprocessed pictures, differentiable.

        From (picture, channel, height, width) to (picture, class).
        """


@dataclass(frozen=True, eq=False)
class Wrapped:
    """A network with its preprocessing, as a model of videos or pictures."""

    classes: tuple[str, ...]
    prepare: Callable[[Tensor], Tensor]
    scores: Callable[[Tensor], Tensor]
    digest: str
    frames: int | None = None
    empty: Tensor | None = None

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Scores of preprocessed clips or pictures: (input, class)."""
        return self.scores(inputs)


def load_video_model(
    name: str,
    *,
    weights: Path | None = None,
    score: str = "probability",
    device: torch.device | str = "cpu",
) -> VideoModel:
    """Load a model by its name.

    Args:
        name: ``torchvision:<network>``, such as ``torchvision:r3d_18``, or
            ``<module>:<function>``, a function without arguments that returns a
            :class:`VideoModel`. Modules are also looked for in the working directory.
        weights: for torchvision: a file of its state; by default its pretrained weights, from
            torchvision's cache or its server.
        score: for torchvision: ``probability`` or ``logit``.
        device: for torchvision: where the network is.

    Raises:
        InputError: there is no such network, module or function, the weights do not fit or cannot
            be had, or what the function returns is no video model.
    """
    model: VideoModel = _loaded(name, "video", weights, score, torch.device(device))
    return model


def load_picture_model(
    name: str,
    *,
    weights: Path | None = None,
    score: str = "probability",
    device: torch.device | str = "cpu",
) -> PictureModel:
    """As :func:`load_video_model`, for pictures: ``torchvision:resnet50``, or a function."""
    model: PictureModel = _loaded(name, "picture", weights, score, torch.device(device))
    return model


REQUIRED = {"video": ("classes", "frames", "prepare"), "picture": ("classes", "prepare")}
"""Attributes that a model of the user's must have."""


def _loaded(name: str, kind: str, weights: Path | None, score: str, device: torch.device) -> Any:
    source, _, rest = name.partition(":")
    if not source or not rest:
        trained = "trn, tsn, " if kind == "video" else ""
        raise InputError(
            f"model {name!r}: give {trained}torchvision:<network> or <module>:<function>"
        )
    if source == "torchvision":
        return _torchvision(rest, kind, weights, score, device)
    if weights is not None:
        raise InputError(f"weights: {name} loads its own weights; leave the option out")
    return _own(source, rest, kind)


def _torchvision(
    name: str, kind: str, weights: Path | None, score: str, device: torch.device
) -> Wrapped:
    from torchvision import models  # noqa: PLC0415  slow to load

    known = models.list_models(module=models.video if kind == "video" else models)
    if name not in known:
        close = ", ".join(known if kind == "video" else get_close_matches(name, known, 5, 0))
        raise InputError(f"torchvision has no {kind} classifier {name!r}; choose {close}")
    described = models.get_model_weights(name).DEFAULT
    network = models.get_model(name, weights=None)
    load_state(network, weights if weights is not None else _published(described), name)
    network = network.to(device).eval()
    transform = described.transforms()

    def prepare(pictures: Tensor) -> Tensor:
        prepared: Tensor = transform(pictures)
        # The transform of videos puts channels before frames.
        return prepared.transpose(0, 1).contiguous() if kind == "video" else prepared

    def scores(inputs: Tensor) -> Tensor:
        found: Tensor = network(inputs.transpose(1, 2) if kind == "video" else inputs)
        return found.softmax(dim=1) if score == "probability" else found

    return Wrapped(
        classes=tuple(described.meta["categories"]),
        frames=CLIP_FRAMES if kind == "video" else None,
        prepare=prepare,
        scores=scores,
        digest=hashlib.sha256(f"{checkpoints.state_digest(network)} {score}".encode()).hexdigest(),
    )


def _published(described: Any) -> dict[str, Tensor]:
    """The state that torchvision publishes, from its cache or its server."""
    try:
        state: dict[str, Tensor] = described.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the weights cannot be fetched from {described.url}: {error}. Without a network, "
            "fetch that file elsewhere and give it with --weights"
        ) from None
    return state


def load_state(network: nn.Module, source: Path | dict[str, Tensor], name: str) -> None:
    """Load a state into a network.

    Args:
        network: to load it into.
        source: the state, or a file of it (read with ``weights_only``).
        name: of the network, for the message.

    Raises:
        InputError: the file cannot be read as a state, or the state does not fit.
    """
    state: Any = source
    if isinstance(source, Path):
        try:
            state = torch.load(source, map_location="cpu", weights_only=True)
        except Exception as error:
            first = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(f"{source}: cannot be read as a file of weights: {first[0]}") from None
        if isinstance(state, dict) and "state_dict" in state:
            state = state["state_dict"]
    if not isinstance(state, dict):
        raise InputError(f"{source}: holds a {type(state).__name__}, not the state of a network")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        shown = "; ".join(line if len(line) <= 160 else f"{line[:160]}…" for line in lines[:3])
        where = source if isinstance(source, Path) else "its weights"
        raise InputError(f"{where}: does not fit {name}: {shown}") from None


def _own(module: str, function: str, kind: str) -> Any:
    """Call a function of the user's. The working directory is searched as well."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        make = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise InputError(
            f"model {module}:{function}: {error}; the module must be installed, or lie in the "
            "working directory"
        ) from None
    except AttributeError as error:
        raise InputError(f"model {module}:{function}: {error}") from None
    made = make()
    missing = [name for name in REQUIRED[kind] if not hasattr(made, name)]
    if missing or not callable(made):
        raise InputError(
            f"model {module}:{function}: returns a {type(made).__name__} without "
            f"{', '.join(missing) or 'a call'}; docs/own-models.md has what is needed"
        )
    return made
