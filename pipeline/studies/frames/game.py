"""The games of frames: the players, the value of a coalition, and its evaluation.

A player is one of n frames spread over a video; an instance is a video. Each game has its own
store:

* ``trn``, ``tsn``: every validation video, scored for all classes, or for two of them.
* ``<a user's model>``: every validation video, or every video of a folder
  (:mod:`pipeline.studies.frames.own_game`).
* ``<model>_lengths``: some videos with 1 … max_frames frames each, in games of max_frames players.
  With fewer frames, the remaining players are null players. They do not change other players'
  values, and the rows that they repeat in a table compress to almost nothing.
* ``<model>_shift``: some videos unchanged, and with each frame replaced by a neighbour in turn.
* ``<model>_removal``: every validation video, with absent frames deleted, frozen, and replaced by
  the mean features or by zeros.
* ``<model>_convergence``: a few videos of more frames; estimates are compared with their exact
  values.
* ``tsn_sampled``: the same videos for the TSN; only the coalitions that estimators request are
  evaluated.

All except the first three are scored for the true class alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.core.files import array_digest
from pipeline.models import checkpoints, devices
from pipeline.models.sequences import Averaging
from pipeline.store.opening import Classes, OpenGame
from pipeline.store.record import JSON, GameRecord
from pipeline.studies.frames import sampling
from pipeline.studies.frames.averaging import averaging_game
from pipeline.studies.frames.coalition_scores import sequences_at_once
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.lengths import frames_of, padded_tables
from pipeline.studies.frames.own_game import open_own_game
from pipeline.studies.frames.params import (
    CoalitionsParams,
    ConvergenceGameParams,
    LengthsParams,
    OwnModelParams,
    RemovalParams,
    ScoreName,
    ShiftParams,
    ShortVideos,
)
from pipeline.studies.frames.paths import MODELS
from pipeline.studies.frames.players import (
    Players,
    Setting,
    long_enough,
    predict,
    read_setting,
    sample_players,
)
from pipeline.studies.frames.removals import REMOVALS, removal_tables
from pipeline.studies.frames.replaced_scores import sequences_at_once as replaced_at_once
from pipeline.studies.frames.shift import changed_sequences, shift_outputs, shift_tables
from pipeline.studies.frames.tables import Batches, scorer
from pipeline.studies.frames.values import IN_FEATURES, IN_VIDEO, TRUE_AND_PREDICTED, TRUE_CLASS

VERSION = 1
"""Version of the evaluators; raised when their values change. Part of the games' identities."""

MOST_AT_ONCE = {"cpu": 64, "cuda": 128}
"""Videos in a batch, which is filled up; results are saved batch by batch."""
LENGTHS_AT_ONCE = 16
LENGTHS_BYTES = 1 << 26
SHIFT_BYTES = 1 << 27
REMOVAL_BYTES = 1 << 28
"""Approximate memory for the tables of the sequences in one batch."""
PAGE = 1 << 14
"""The most coalitions in a page of the store of sampled ones."""

KINDS = ("", "lengths", "shift", "removal", "convergence", "sampled")

MEANINGS = {
    "probability": "softmax of the mean of the evaluations' logits",
    "logit": "mean of the evaluations' logits",
    "mean_of_softmax": "mean of the evaluations' softmaxes",
}

Given = TypeVar("Given")


def open_game(
    name: str,
    *,
    device: str,
    features: Path | None = None,
    weights: list[Path] | None = None,
    priors: Path | None = None,
    clips: Path | None = None,
    model: str | None = None,
    own_model: OwnModelParams | None = None,
    label: str | None = None,
    coalitions: CoalitionsParams | None = None,
    lengths: LengthsParams | None = None,
    shift: ShiftParams | None = None,
    removal: RemovalParams | None = None,
    convergence: ConvergenceGameParams | None = None,
    n: int | None = None,
    score: ScoreName | None = None,
    short_videos: ShortVideos | None = None,
) -> OpenGame:
    """Open a game by its name.

    Args:
        name: one of those above.
        device: auto, cpu, cuda or cuda:<number>.
        features: feature file of the validation videos, for the TRN and TSN.
        weights: checkpoints of the model, for these.
        priors: classes and how many training clips each has (JSON), for these.
        clips: videos for a model of the user's (JSON); see
            :func:`pipeline.studies.frames.own_game.open_own_game`.
        model: needed with ``clips``.
        own_model: needed with ``clips``.
        label: which class numbers of the feature file to use; by default the only ones there.
        coalitions: all that ``trn`` and ``tsn`` need.
        lengths: needed by ``<model>_lengths``, together with ``score``.
        shift: needed by ``<model>_shift``, together with ``n`` and ``score``.
        removal: needed by ``<model>_removal``, together with ``score`` and ``short_videos``.
        convergence: needed by the others, together with ``score`` and ``short_videos``.
        n: players.
        score: what v is.
        short_videos: how to treat videos with too few frames.

    Raises:
        InputError: no such game; a file that cannot be used; no video that is long enough; an
            argument that the game needs is left out.
    """

    def needed(argument: str, value: Given | None) -> Given:
        if value is None:
            raise InputError(f"game frames/{name}: {argument} is needed to open it")
        return value

    if clips is not None:
        return open_own_game(
            name,
            device=device,
            clips=clips,
            model=needed("model", model),
            own_model=needed("own_model", own_model),
            coalitions=needed("coalitions", coalitions),
        )
    trained, kind = _model_and_kind(name)
    of_class: ScoreName = needed("score", score) if kind else needed("coalitions", coalitions).score
    setting = read_setting(
        trained,
        needed("features", features),
        needed("weights", weights),
        needed("priors", priors),
        of_class,
        label=label,
        device=devices.resolve(device),
    )
    if kind == "":
        return _of_clips(setting, needed("coalitions", coalitions))
    if kind == "lengths":
        return _of_lengths(setting, needed("lengths", lengths))
    if kind == "shift":
        return _of_shifts(setting, needed("shift", shift), needed("n", n))
    if kind == "removal":
        return _of_removals(
            setting, needed("removal", removal), needed("short_videos", short_videos)
        )
    tried = needed("convergence", convergence)
    players = convergence_players(setting, tried, needed("short_videos", short_videos))
    return _sampled(setting, players) if kind == "sampled" else _of_convergence(setting, players)


def _model_and_kind(name: str) -> tuple[str, str]:
    model, _, kind = name.partition("_")
    if model not in MODELS or kind not in KINDS:
        raise InputError(f"game frames/{name}: there is no such game")
    return model, kind


def convergence_players(
    setting: Setting, params: ConvergenceGameParams, short_videos: ShortVideos
) -> Players:
    """The videos whose values are estimated, spread over the whole file."""
    n, parameter = params.frames(setting.model), f"frames.convergence.{setting.model}_frames"
    videos = long_enough(setting.features, n, short_videos, parameter)
    return sample_players(setting.features, videos[sampling.evenly(len(videos), params.clips)], n)


def _of_clips(setting: Setting, params: CoalitionsParams) -> OpenGame:
    videos = long_enough(setting.features, params.n, params.short_videos, "frames.coalitions.n")
    players = sample_players(setting.features, videos[: params.clips], params.n)
    at_once = sequences_at_once(setting.network, params.n, devices.working_memory(setting.device))
    at_once = min(at_once, MOST_AT_ONCE.get(setting.device.type, 64))
    scores = scorer(setting.network, setting.empty, setting.score, at_once)

    def digest(i: int, classes: Classes) -> str:
        kept = [] if classes is None else [classes.astype(np.int64)]
        return array_digest([players.inputs[i], *kept])

    def true_and_predicted() -> NDArray[np.int64]:
        predicted = predict(setting.network, players.inputs, setting.score, setting.device)
        return np.stack([players.labels, predicted], axis=1)

    all_classes = params.outputs == "all"
    return _opened(
        setting,
        _record(setting, "", params.n, setting.classes if all_classes else TRUE_AND_PREDICTED),
        players.instances,
        digest,
        lambda indices, classes: scores(players.inputs[list(indices)], classes),
        batch_size=at_once,
        output_classes=None if all_classes else true_and_predicted,
        coordinates=_coordinates(setting.features, players.videos, players.frames),
    )


def _of_lengths(setting: Setting, params: LengthsParams) -> OpenGame:
    features, longest = setting.features, params.max_frames
    videos = sampling.evenly(len(features), params.clips)
    asked = [(n, int(video)) for n in range(1, longest + 1) for video in videos]
    at_once = min(LENGTHS_AT_ONCE, sequences_at_once(setting.network, longest, LENGTHS_BYTES))
    scores = scorer(setting.network, setting.empty, setting.score, at_once)
    record = _record(
        setting, "lengths", longest, TRUE_CLASS, {"frames": "as many as the instance says"}
    )

    def digest(i: int, _: Classes) -> str:
        n, video = asked[i]
        return array_digest([frames_of(features, [video], n), features.labels[[video]]])

    return _opened(
        setting,
        replace(
            record,
            player=f"{record.player}; with fewer frames than players, those beyond are null "
            "players",
        ),
        tuple(f"{features.uids[video]} at {n}" for n, video in asked),
        digest,
        lambda indices, _: padded_tables([asked[i] for i in indices], features, scores, longest),
        batch_size=at_once,
        coordinates={
            "true_class": features.labels[[video for _, video in asked]],
            "n_frames": np.array([n for n, _ in asked], dtype=np.int64),
        },
        evaluations=lambda i: 2 ** asked[i][0],
    )


def _of_shifts(setting: Setting, params: ShiftParams, n: int) -> OpenGame:
    features = setting.features
    # With repeated frames, a neighbour may be the frame itself, which shifts nothing.
    whole = np.flatnonzero(features.lengths >= n)
    candidates = whole if len(whole) else np.arange(len(features))
    videos = candidates[sampling.evenly(len(candidates), params.clips)]
    frames, lengths = sampling.spread(features.lengths[videos], n), features.lengths[videos]
    kept = len(videos) if len(whole) else 0
    shifts = changed_sequences(
        frames[:kept], lengths[:kept], furthest=params.furthest, crossing=params.crossing
    )
    outputs = shift_outputs(n, params.furthest)
    at_once = min(len(outputs), sequences_at_once(setting.network, n, SHIFT_BYTES))
    scores = scorer(setting.network, setting.empty, setting.score, at_once)
    record = _record(setting, "shift", n, outputs, {"crossing": params.crossing})

    def digest(i: int, _: Classes) -> str:
        own = shifts.video == i
        sequences = np.concatenate([frames[[i]], shifts.frames[own]])
        inputs = features.gather(np.full(len(sequences), videos[i]), sequences)
        label = features.labels[[videos[i]]]
        return array_digest([inputs, label, shifts.position[own], shifts.shift[own]])

    def tables(indices: Sequence[int], _: Classes) -> NDArray[np.float32]:
        return shift_tables(
            features, videos, frames, shifts, params.furthest, scores, at_once, indices
        )

    return _opened(
        setting,
        replace(
            record,
            player=f"{record.player}; where a shifted frame has passed others, in their new order",
            value=f"{record.value}; in output 'frame i, k' frame i is replaced by that k rows "
            "later, or stays if the video ends before or that row is a sampled frame already",
        ),
        tuple(features.uids[video] for video in videos),
        digest,
        tables,
        coordinates={
            **_coordinates(features, videos, frames),
            IN_FEATURES: frames,
            "rows": lengths,
        },
    )


def _of_removals(setting: Setting, params: RemovalParams, short_videos: ShortVideos) -> OpenGame:
    videos = long_enough(setting.features, params.n, short_videos, "frames.removal.n")
    videos = videos[sampling.evenly(len(videos), params.clips)]
    players = sample_players(setting.features, videos, params.n)
    at_once = replaced_at_once(setting.network, params.n, REMOVAL_BYTES)
    at_once = min(at_once, MOST_AT_ONCE.get(setting.device.type, 64))
    batches = Batches(at_once)

    def tables(indices: Sequence[int], _: Classes) -> NDArray[np.float32]:
        some = list(indices)
        return removal_tables(
            setting.network,
            players.inputs[some],
            players.labels[some],
            setting.empty,
            setting.score,
            batches,
        )

    record = _record(setting, "removal", params.n, REMOVALS, {"removal": list(REMOVALS)})
    return _opened(
        setting,
        replace(
            record,
            value=f"{record.value} (output delete); in the other outputs, absent frames have the "
            "features of the nearest present frame, the earlier of two (freeze), the mean features "
            "of all frames of the coalition's video (mean), or zeros (blank)",
        ),
        players.instances,
        _digests_of_true_class(players),
        tables,
        batch_size=at_once,
        coordinates=_coordinates(setting.features, players.videos, players.frames),
    )


def _of_convergence(setting: Setting, players: Players) -> OpenGame:
    scores = scorer(setting.network, setting.empty, setting.score, 1)

    def tables(indices: Sequence[int], _: Classes) -> NDArray[np.float32]:
        some = list(indices)
        return scores(players.inputs[some], players.labels[some][:, None])

    return _opened(
        setting,
        _record(setting, "convergence", players.frames.shape[1], TRUE_CLASS),
        players.instances,
        _digests_of_true_class(players),
        tables,
        coordinates=_coordinates(setting.features, players.videos, players.frames),
    )


def _sampled(setting: Setting, players: Players) -> OpenGame:
    network, n = setting.network, players.frames.shape[1]
    if not isinstance(network, Averaging):
        raise InputError(
            f"game frames/{setting.model}_sampled: this model evaluates a coalition from all "
            f"those one smaller; open {setting.model}_convergence, which evaluates all coalitions"
        )

    def of_instance(i: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
        inputs, label = torch.from_numpy(players.inputs[i]), int(players.labels[i])
        return averaging_game(network, inputs, setting.empty, label, setting.score)

    record = _record(setting, "sampled", n, TRUE_CLASS)
    return OpenGame(
        record=replace(record, n_coalitions=min(PAGE, 2**n)),
        instances=players.instances,
        digest=_digests_of_true_class(players),
        coalitions=of_instance,
        device=devices.describe(setting.device),
    )


def _digests_of_true_class(players: Players) -> Callable[[int, Classes], str]:
    return lambda i, _: array_digest([players.inputs[i], players.labels[[i]]])


def _opened(
    setting: Setting,
    record: GameRecord,
    instances: tuple[str, ...],
    digest: Callable[[int, Classes], str],
    tables: Callable[[Sequence[int], Classes], NDArray[np.float32]],
    **more: Any,
) -> OpenGame:
    device = devices.describe(setting.device)
    return OpenGame(record, instances, digest, tables, device=device, **more)


def _coordinates(
    features: FeatureSet, videos: NDArray[np.int64], frames: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Coordinates of the videos in a store: their classes, and the frame of each player.

    Args:
        features: of all videos.
        videos: (instance,) numbers of the videos in the game.
        frames: (instance, player) rows of each.
    """
    named = {"true_class": features.labels[videos]}
    if features.frame_indices is None:
        return {**named, IN_FEATURES: frames}
    numbers = features.frame_indices[features.starts[videos][:, None] + frames]
    return {**named, IN_VIDEO: numbers.astype(np.int64)}


def _record(
    setting: Setting,
    kind: str,
    n: int,
    outputs: tuple[str, ...],
    specification: Mapping[str, JSON] | None = None,
) -> GameRecord:
    """The record that identifies a game of ``n`` frames with these outputs."""
    nobody = "the training set's class distribution"
    if setting.score == "logit":
        nobody = f"the logarithm of {nobody}"
    return GameRecord(
        study="frames",
        game=f"{setting.model}_{kind}" if kind else setting.model,
        n_players=n,
        player="a frame of the video, in order of time",
        outputs=outputs,
        value=f"class score of the video cut down to the coalition's frames: the "
        f"{MEANINGS[setting.score]}; the empty coalition gets {nobody}",
        specification={
            "model": {"trn": "multi-scale", "tsn": "averaging"}[setting.model],
            "score": setting.score,
            "removal": "delete",
            "empty": array_digest([setting.empty.cpu().numpy()]),
            "sampling": "middles of n equal segments",
            "classes": array_digest([np.array(setting.classes)]),
            **(specification or {}),
        },
        weights_sha256=checkpoints.state_digest(setting.network),
        evaluator_version=VERSION,
        versions={"torch": torch.__version__, "numpy": np.__version__, "zarr": zarr.__version__},
    )
