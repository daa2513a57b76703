"""Shapley values of one video's frames for any video model; evaluated coalitions are remembered."""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.core.digits import significant
from pipeline.core.errors import InputError
from pipeline.core.progress import progress
from pipeline.data.decoding import DecodedVideo, decode, decode_frames
from pipeline.models import devices
from pipeline.models.videos import VideoModel, load_video_model
from pipeline.shapley.estimate import Estimate, Known
from pipeline.shapley.games import Game
from pipeline.shapley.methods import METHODS
from pipeline.store.pages import remembered
from pipeline.store.record import GameRecord
from pipeline.studies.frames import sampling
from pipeline.studies.frames.explain import Explanation
from pipeline.studies.frames.removal import Removal, check_repeatable, clip_values, segments

VERSION = 1
"""Version of the evaluation; raised when values change."""

SAMPLES_PER_SECOND = 30.0
"""Rate at which frames are chosen from."""

PAGE = 64
"""Coalitions that are written together."""

METHOD = "msr"
"""The estimator where not all coalitions are evaluated."""


@dataclass(frozen=True)
class Effort:
    """How precise an explanation has to be, and what it may cost."""

    budget: int = 4096
    """most coalitions that are evaluated; values are exact if these are all"""
    tolerance: float | None = 0.05
    """standard errors, as a part of the values' spread, at which to stop"""
    seed: int = 0


def explain_own_video(
    video: Path,
    model: str,
    *,
    n_players: int,
    removal: Removal = "freeze",
    score: str = "probability",
    weights: Path | None = None,
    effort: Effort | None = None,
    results: Path = Path("results"),
    device: str = "auto",
) -> tuple[Explanation, Estimate]:
    """Values of ``n_players`` segments of a video for every class of a model.

    A clip is spread evenly over the video: as many frames as the model wants, or one per player.
    Players are equal segments of it. Evaluated coalitions are kept in
    ``results/coalitions/own/``, if the model has a digest of its weights.

    Args:
        video: a file in any format that libav decodes.
        model: as for :func:`pipeline.models.videos.load_video_model`.
        n_players: number of segments.
        removal: what the model sees in place of absent frames.
        score: for torchvision's models, ``probability`` or ``logit``.
        weights: for torchvision's models, a file of weights.
        effort: budget and tolerance.
        results: the folder of results.
        device: auto, cpu, cuda or cuda:<number>.

    Raises:
        InputError: an undecodable video, one with fewer frames than players, a model that cannot be
            loaded or returns unusable scores.
    """
    effort = effort or Effort()
    target = devices.resolve(device)
    network = load_video_model(model, weights=weights, score=score, device=target)
    of_player = segments(network.frames or n_players, n_players)
    decoded, chosen = _spread(video, len(of_player), n_players)
    pictures = _pictures(video, decoded.indices[chosen])
    clip = network.prepare(torch.from_numpy(pictures).permute(0, 3, 1, 2)).to(target)
    evaluate = clip_values(network, clip, of_player, removal)
    check_repeatable(evaluate, n_players)
    specification = {"removal": removal, "frames": len(of_player)}
    with _game(model, network, video, clip, specification, n_players, evaluate, results) as game:
        estimate = _estimated(game, n_players, effort)
        both = np.array([0, 2**n_players - 1], dtype=np.uint64)
        empty, scores = game(both).astype(np.float64)
    middles = [int(np.flatnonzero(of_player == p).mean().round()) for p in range(n_players)]
    shown = chosen[middles]
    found = Explanation(
        classes=tuple(network.classes),
        frames=decoded.indices[shown],
        seconds=decoded.seconds[shown],
        scores=scores,
        empty=empty,
        esv=estimate.values,
        fps=SAMPLES_PER_SECOND,
        usual_fps=SAMPLES_PER_SECOND,
        available=n_players,
        shortened=decoded.shortened,
        standard_errors=estimate.standard_errors,
    )
    return found, estimate


def _spread(video: Path, n_frames: int, n_players: int) -> tuple[DecodedVideo, NDArray[np.int64]]:
    """Samples of a video as tiny pictures, and which of them make the clip."""
    decoded = decode(video, fps=SAMPLES_PER_SECOND, size=1)
    if decoded.decoded > len(decoded.frames) < n_frames:
        fps = SAMPLES_PER_SECOND * math.ceil(n_frames / len(decoded.frames))
        decoded = decode(video, fps=fps, size=1)
    different = len(np.unique(decoded.indices))
    if different < n_players:
        raise InputError(
            f"{video}: has {different} frames, fewer than the {n_players} players; give --frames "
            f"{different} or less"
        )
    return decoded, sampling.spread(np.array([len(decoded.frames)]), n_frames)[0]


def _pictures(video: Path, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Pictures (frame, height, width, 3) of a video at its own size."""
    found = decode_frames(video, numbers.tolist())
    return np.stack([found[number] for number in numbers.tolist()])


@contextmanager
def _game(
    name: str,
    network: VideoModel,
    video: Path,
    clip: torch.Tensor,
    specification: Mapping[str, object],
    n_players: int,
    evaluate: Callable[..., NDArray[np.float32]],
    results: Path,
) -> Iterator[Game]:
    """The clip's game. What is evaluated is kept if the weights can be told apart."""
    digest = getattr(network, "digest", None)
    record = GameRecord(
        study="own",
        game=re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{name}_{specification['removal']}"),
        n_players=n_players,
        player=f"one of {n_players} equal segments of a clip of {specification['frames']} frames",
        outputs=tuple(network.classes),
        value=f"score of the clip; absent frames: {specification['removal']}",
        specification=specification,
        weights_sha256=digest or "",
        evaluator_version=VERSION,
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
        n_coalitions=PAGE,
    )
    if digest is None:
        yield _Plain(n_players, record.outputs, evaluate)
        return
    sha256 = hashlib.sha256(clip.cpu().numpy().tobytes()).hexdigest()
    path = results / f"coalitions/own/{record.game}.zarr"
    with remembered(path, record) as memory:
        yield memory.game(video.name, sha256, evaluate)


@dataclass(frozen=True)
class _Plain:
    """A value function as a game."""

    n_players: int
    outputs: tuple[str, ...]
    values: Callable[..., NDArray[np.floating]]

    def __call__(self, coalitions: NDArray[np.integer], /) -> NDArray[np.floating]:
        return self.values(coalitions)


def _estimated(game: Game, n_players: int, effort: Effort) -> Estimate:
    """Exact values within the budget, sampled ones otherwise; shows progress and the error."""
    total = min(effort.budget, 2**n_players)
    note = ""
    with progress("explain", total, "coalitions") as advance:

        def in_parts(coalitions: NDArray[np.integer]) -> NDArray[np.floating]:
            # So that progress is shown, and that what is evaluated is kept now and then.
            parts = []
            for start in range(0, len(coalitions), PAGE):
                parts.append(game(coalitions[start : start + PAGE]))
                advance(len(parts[-1]), note)
            return np.concatenate(parts)

        def watch(known: Known) -> None:
            nonlocal note
            error = known.standard_errors.max(initial=0.0)
            note = "" if np.isnan(error) else f"standard error ≤ {significant(float(error), 2)}"

        exact = total == 2**n_players
        return METHODS[METHOD].estimate(
            _Plain(n_players, game.outputs, in_parts),
            budget=max(total, METHODS[METHOD].smallest(n_players)),
            tolerance=None if exact else effort.tolerance,
            seed=effort.seed,
            watch=watch,
        )
