"""Element Shapley Values of one video file, with the trained models."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.core.errors import InputError
from pipeline.data.decoding import DecodedVideo, decode
from pipeline.models import checkpoints, devices
from pipeline.models.own import Wrapped
from pipeline.store.explanations import Effort
from pipeline.studies.frames import sampling
from pipeline.studies.frames.approximation import approximate_element_shapley_values
from pipeline.studies.frames.backbone import load_backbone
from pipeline.studies.frames.coalition_scores import Model, Score, whole_scores
from pipeline.studies.frames.element_shapley import element_shapley_values
from pipeline.studies.frames.features import picture_features
from pipeline.studies.frames.params import DecodingParams
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.removal import Removal, explained_clip
from pipeline.studies.frames.trained import load_model


@dataclass(frozen=True)
class Explanation:
    """Scores of a video and the Shapley values that explain them."""

    classes: tuple[str, ...]
    frames: NDArray[np.int64]
    """(frame,) numbers in the video file"""
    seconds: NDArray[np.float64]
    """(frame,) times in the video"""
    scores: NDArray[np.float64]
    """(class,) v(all frames)"""
    empty: NDArray[np.float64]
    """(class,) v(∅)"""
    esv: NDArray[np.float64]
    """(frame, class)"""
    fps: float
    """sampling rate, per second, at which the frames were chosen"""
    usual_fps: float
    """sampling rate of the training videos"""
    available: int
    """number of distinct frames among the samples; if fewer than players, some are repeated"""
    shortened: str | None = None
    """what is missing from the file"""
    sampled: bool = False
    """whether values and scores are approximate"""
    standard_errors: NDArray[np.float64] | None = None
    """(frame, class) of the values, if they are estimated with errors"""
    evaluations: int | None = None
    """coalitions that were evaluated one by one"""

    @property
    def is_exact(self) -> bool:
        """Whether all coalitions were evaluated."""
        return not self.sampled and (self.standard_errors is None or not self.standard_errors.any())


@dataclass(frozen=True)
class Sampling:
    """Parameters of Algorithm 1."""

    m: int
    """the most subsequences per scale"""
    iterations: int = 1
    seed: int = 0


def explain_video(
    video: Path,
    model: str,
    *,
    n_frames: int,
    n_max: int,
    score: Score = "probability",
    approximate: Sampling | None = None,
    removal: Removal = "delete",
    effort: Effort | None = None,
    results: Path = Path("results"),
    device: str = "auto",
) -> Explanation:
    """ESVs of ``n_frames`` frames spread evenly over a video, for every class.

    Args:
        video: a file in any format that libav decodes.
        model: ``trn`` or ``tsn``.
        n_frames: players.
        n_max: number of the TRN's single-scale models.
        score: what v is; with ``logit`` more than 26 frames can be exact.
        approximate: sample by Algorithm 1, for up to 64 frames; None: exact values.
        removal: what the model sees in place of absent frames. ``delete``: the shorter sequence.
            Otherwise features are replaced, and evaluated coalitions are kept below ``results``.
        effort: budget and tolerance where features are replaced.
        results: where the trained models are.
        device: as the parameter.

    Raises:
        InputError: an undecodable video; models that are not trained yet, or were trained on
            features of another backbone; too many frames; Algorithm 1 with replaced features.
    """
    folder, target = results / "frames", devices.resolve(device)
    weights = _weights(model, folder, n_max)
    backbone, decoding = _backbone_of(weights, folder / "backbone" / f"{model}.pt")
    decoded, fps = _sampled(video, decoding, n_frames)
    chosen = sampling.spread(np.array([len(decoded.frames)]), n_frames)[0]
    classes, counts = read_priors(folder / "priors.json")
    network, empty = load_model(model, weights).to(target), empty_score(counts, score)
    backbone, nobody, estimate = backbone.to(target), empty.double().numpy(), None
    # A frame that is several players passes through the backbone once.
    kept, inverse = np.unique(chosen, return_inverse=True)
    rows = picture_features(backbone, [decoded.frames[kept]], target)[0][inverse]
    features = torch.from_numpy(rows).to(target)
    if removal == "delete":
        esv, scores = _values(network, features[None], empty, score, approximate)
    else:
        if approximate is not None:
            raise InputError("--subsequences: Algorithm 1 deletes frames; leave --removal out")
        of_features = _of_features(network, classes, empty, score)
        players = np.arange(n_frames)
        estimate, nobody, scores = explained_clip(
            of_features, model, video, features, players, removal, effort or Effort(), results
        )
        esv = estimate.values
    return Explanation(
        classes=classes,
        frames=decoded.indices[chosen],
        seconds=decoded.seconds[chosen],
        scores=scores,
        empty=nobody,
        esv=esv,
        fps=fps,
        usual_fps=decoding.fps,
        available=len(np.unique(decoded.indices)),
        shortened=decoded.shortened,
        sampled=approximate is not None,
        standard_errors=None if estimate is None else estimate.standard_errors,
        evaluations=None if estimate is None else estimate.evaluations,
    )


def _of_features(
    network: Model, classes: tuple[str, ...], empty: torch.Tensor, score: Score
) -> Wrapped:
    """A trained model as a model of clips of features (clip, frame, feature_dim)."""
    known = f"features {checkpoints.state_digest(network)} {score}"
    return Wrapped(
        classes=classes,
        prepare=lambda features: features,
        scores=lambda clips: whole_scores(network, clips, score),
        digest=hashlib.sha256(known.encode()).hexdigest(),
        empty=empty,
    )


def _sampled(video: Path, decoding: DecodingParams, n_frames: int) -> tuple[DecodedVideo, float]:
    """Decode a video at the rate of the training videos, or at a multiple with enough frames."""
    decoded = decode(video, fps=decoding.fps, size=decoding.size)
    length = len(decoded.frames)
    if length >= n_frames or decoded.decoded <= length:
        return decoded, decoding.fps
    # Above the video's own rate, the samples include all of its frames.
    fps = decoding.fps * math.ceil(min(n_frames, decoded.decoded) / length)
    return decode(video, fps=fps, size=decoding.size), fps


def _values(
    network: Model,
    features: torch.Tensor,
    empty: torch.Tensor,
    score: Score,
    approximate: Sampling | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values (frame, class) and scores (class,) of one sequence (1, frame, feature_dim)."""
    if approximate is None:
        # Exact values come first: they refuse what would take too long.
        esv = element_shapley_values(network, features, empty, score)[0].cpu().numpy()
        return esv, whole_scores(network, features, score)[0].cpu().double().numpy()
    found = approximate_element_shapley_values(
        network,
        features,
        empty,
        score,
        m=approximate.m,
        iterations=approximate.iterations,
        seed=approximate.seed,
    )
    return found.values[0].cpu().numpy(), found.whole[0].cpu().numpy()


def _weights(model: str, folder: Path, n_max: int) -> list[Path]:
    """Checkpoints of a model. Raises InputError if they or the classes are missing."""
    weights = [folder / "tsn.pt"]
    if model == "trn":
        weights = [folder / "scales" / f"{s}.pt" for s in range(1, n_max + 1)]
    _require([*weights, folder / "priors.json"])
    return weights


def _require(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise InputError(
                f"there is no {path}: the models are not trained yet; run "
                "`uv run snakemake --cores all` first"
            )


def _backbone_of(weights: Sequence[Path], path: Path) -> tuple[nn.Module, DecodingParams]:
    """The backbone on whose features the models were trained."""
    digests = {checkpoints.load(each)[0].get("backbone_sha256") for each in weights}
    if digests == {None}:
        raise InputError(
            f"{weights[0]}: was trained on features made elsewhere; the network that maps frames "
            "to such features is missing, so videos cannot be explained"
        )
    _require([path])
    backbone, decoding = load_backbone(path)
    if digests != {checkpoints.state_digest(backbone)}:
        raise InputError(
            f"{path}: is not the backbone on whose features {weights[0]} was trained; run "
            "`uv run snakemake --cores all` to bring them up to date"
        )
    return backbone, decoding
