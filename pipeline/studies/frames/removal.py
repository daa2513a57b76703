"""Removal: what a model sees in place of frames that are absent from a coalition.

* ``delete``: nothing. The clip is shorter, so the model must take clips of any length.
* ``freeze``: the nearest present frame, the earlier of two, as if the video stood still.
* ``mean``: the mean of all frames of the clip.
* ``blank``: zeros after the preprocessing, which is the mean colour for most models.

The TRN and TSN that are trained here get features instead of pictures, so for them ``mean`` is the
mean of the frames' features and ``blank`` are features of zero.

With ``delete`` and ``freeze`` no frame is left for the empty coalition: it is a blank clip, unless
the model has scores of no frames.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.models.own import VideoModel
from pipeline.shapley.estimate import Estimate
from pipeline.store.explanations import Effort, estimated, explained_game, explained_record

VERSION = 1
"""Version of the evaluation; raised when values change."""

Removal = Literal["delete", "freeze", "mean", "blank"]

MOST_PLAYERS = 64

BYTES_AT_ONCE = {"cpu": 1 << 26, "cuda": 1 << 30}
"""Memory of the clips in a batch."""


def segments(n_frames: int, n_players: int) -> NDArray[np.int64]:
    """The player of each frame: consecutive frames, as equally shared as possible.

    Raises InputError if there are fewer frames than players, or more than 64 players.
    """
    if n_players > MOST_PLAYERS:
        raise InputError(f"frames: {n_players} players; at most {MOST_PLAYERS} can be explained")
    if not 1 <= n_players <= n_frames:
        raise InputError(
            f"frames: {n_players} players cannot share a clip of {n_frames} frames; give 1 to "
            f"{n_frames}"
        )
    return np.arange(n_frames, dtype=np.int64) * n_players // n_frames


def nearest_present(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every frame the nearest present one, the earlier of two equally near ones.

    Args:
        present: (coalition, frame), with at least one present frame each.

    Returns:
        (coalition, frame) int64
    """
    n = present.shape[1]
    distance = np.abs(np.arange(n)[:, None] - np.arange(n))
    # argmin takes the first, which is the earlier frame.
    found = np.where(present[:, None, :], distance, n).argmin(axis=2)
    return found.astype(np.int64)


def removed(
    clip: Tensor, of_player: NDArray[np.int64], membership: NDArray[np.bool_], removal: Removal
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Clips of coalitions, in groups of equally long ones.

    Args:
        clip: (frame, ...), preprocessed pictures, or features.
        of_player: (frame,) the player of each frame.
        membership: (coalition, player).
        removal: what is shown in place of absent frames.

    Yields:
        Numbers of coalitions, and their clips (coalition, frame, ...).
    """
    present = membership[:, of_player]
    some = present.any(axis=1)
    if removal in ("delete", "freeze") and not some.all():
        nobody = np.flatnonzero(~some)
        yield nobody, torch.zeros_like(clip).expand(len(nobody), *clip.shape)
    if removal == "delete":
        lengths = present.sum(axis=1)
        for length in np.unique(lengths[some]):
            rows = np.flatnonzero(lengths == length)
            frames = np.nonzero(present[rows])[1].reshape(len(rows), length)
            yield rows, clip[torch.from_numpy(frames)]
        return
    if removal == "freeze":
        rows = np.flatnonzero(some)
        if len(rows):
            yield rows, clip[torch.from_numpy(nearest_present(present[rows]))]
        return
    instead = clip.mean(dim=0) if removal == "mean" else torch.zeros_like(clip[0])
    shown = (
        torch.from_numpy(present).to(clip.device).reshape(*present.shape, *[1] * (clip.dim() - 1))
    )
    yield np.arange(len(present)), torch.where(shown, clip, instead)


def clip_values(
    model: VideoModel,
    clip: Tensor,
    of_player: NDArray[np.int64],
    removal: Removal,
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The value function of a clip's players: the scores of the clip without the absent frames.

    Args:
        model: any.
        clip: (frame, ...), preprocessed, on the model's device.
        of_player: (frame,) the player of each frame.
        removal: what is shown in place of absent frames.

    Returns:
        A function from masks (coalition,) to scores (coalition, class).

    Raises:
        InputError: ``delete`` and a model of fixed length; from the function: scores of another
            shape, or NaN or Inf.
    """
    n_players = int(of_player.max()) + 1
    if removal == "delete" and model.frames is not None:
        raise InputError(
            f"removal: delete makes clips shorter, but the model takes clips of {model.frames} "
            "frames; choose freeze, mean or blank"
        )
    at_once = max(1, BYTES_AT_ONCE.get(clip.device.type, 1 << 26) // (4 * clip.numel()))
    empty = getattr(model, "empty", None) if removal in ("delete", "freeze") else None

    def values(masks: NDArray[Any]) -> NDArray[np.float32]:
        membership = masks[:, None] >> np.arange(n_players, dtype=masks.dtype) & 1 != 0
        found = np.empty((len(masks), len(model.classes)), dtype=np.float32)
        for start in range(0, len(masks), at_once):
            part = membership[start : start + at_once]
            for rows, clips in removed(clip, of_player, part, removal):
                found[start + rows] = _scores(model, clips)
        if empty is not None:
            found[~membership.any(axis=1)] = empty.cpu().numpy()
        return found

    return values


def explained_clip(
    model: VideoModel,
    name: str,
    video: Path,
    clip: Tensor,
    of_player: NDArray[np.int64],
    removal: Removal,
    effort: Effort,
    results: Path,
) -> tuple[Estimate, NDArray[np.float64], NDArray[np.float64]]:
    """Values of a clip's players, and the scores of no and of all players.

    Evaluated coalitions are kept in ``results/coalitions/own/``, if the model has a digest of its
    weights.

    Args:
        model: any.
        name: of the model, for the store.
        video: whose clip it is.
        clip: (frame, ...), preprocessed, on the model's device.
        of_player: (frame,) the player of each frame.
        removal: what is shown in place of absent frames.
        effort: budget and tolerance.
        results: the folder of results.

    Returns:
        The estimate (player, class), v(∅) and v(N) (class,).

    Raises:
        InputError: as :func:`clip_values`; scores that differ from call to call.
    """
    n = int(of_player.max()) + 1
    evaluate = clip_values(model, clip, of_player, removal)
    check_repeatable(evaluate, n)
    record = explained_record(
        f"{name}_{removal}",
        n,
        model.classes,
        player=f"one of {n} equal segments of a clip of {len(of_player)} frames",
        value=f"score of the clip; absent frames: {removal}",
        specification={"removal": removal, "frames": len(of_player)},
        digest=getattr(model, "digest", None),
        version=VERSION,
    )
    sha256 = hashlib.sha256(clip.cpu().numpy().tobytes()).hexdigest()
    with explained_game(record, video.name, sha256, evaluate, results) as game:
        estimate = estimated(game, effort)
        empty, whole = game(np.array([0, 2**n - 1], dtype=np.uint64)).astype(np.float64)
    return estimate, empty, whole


@torch.no_grad()
def _scores(model: VideoModel, clips: Tensor) -> NDArray[np.float32]:
    scores = model(clips)
    expected = (len(clips), len(model.classes))
    if not isinstance(scores, Tensor) or tuple(scores.shape) != expected:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(
            f"the model returns {shape} for clips of shape {tuple(clips.shape)}; scores of shape "
            f"{expected} (clip, class) are needed"
        )
    if not torch.isfinite(scores).all():
        raise InputError("the model returns NaN or Inf; check its weights and its preprocessing")
    return scores.float().cpu().numpy()


def check_repeatable(values: Callable[[NDArray[Any]], NDArray[np.float32]], n_players: int) -> None:
    """Evaluate the grand coalition twice. Raises InputError if the scores differ."""
    everyone = np.array([2**n_players - 1], dtype=np.uint64)
    first, second = values(everyone), values(everyone)
    difference = float(np.abs(first - second).max())
    if difference > 1e-4 * max(1.0, float(np.abs(first).max())):
        raise InputError(
            f"the model's scores change from call to call (by {difference:.2g} for the same clip): "
            "switch off dropout and other randomness, for example with model.eval()"
        )
