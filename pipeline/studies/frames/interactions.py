"""Interactions between two frames of a video, from complete tables of values.

The value of a pair tells what two frames are worth together beyond what each is worth alone: it is
positive where they complement each other, negative where one makes the other superfluous
(:mod:`pipeline.shapley.interactions`). Two games are looked at:

* ``class``: the score of the true class;
* ``order``: the score of the true class less that of its counterpart, which differs from it only in
  the order of the frames. A model that ignores the order gives both the same score.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.statistics import known_mean_and_error
from pipeline.shapley.interactions import interactions, subsets
from pipeline.store import CoalitionStore
from pipeline.studies.frames.values import FrameValues, table_blocks

Floats = NDArray[np.float64]

GAMES = ("class", "order")
COLUMNS = ("model", "game", "distance", "videos", "mean", "standard_error", "mean_size", "error")


def pair_values(
    store: CoalitionStore,
    true_output: NDArray[np.int64],
    counterpart: NDArray[np.int64],
    index: str,
) -> dict[str, Floats]:
    """Values of all pairs of frames, for both games.

    Args:
        store: of complete tables.
        true_output: (video,) number of the output that is the true class.
        counterpart: (video,) number of the output that is its counterpart, or −1.
        index: of :data:`pipeline.shapley.interactions.INDICES`.

    Returns:
        For each game (video, frame, frame) float64, symmetric, with the values of single frames on
        the diagonal. NaN in the game ``order`` for videos without a counterpart.
    """
    n = store.record.n_players
    found = {game: np.empty((len(store), n, n)) for game in GAMES}
    for some, matrices in pair_blocks(store, true_output, counterpart, index):
        for game in GAMES:
            found[game][some] = matrices[game]
    return found


def pair_blocks(
    store: CoalitionStore,
    true_output: NDArray[np.int64],
    counterpart: NDArray[np.int64],
    index: str,
) -> Iterator[tuple[slice, dict[str, Floats]]]:
    """:func:`pair_values` of some videos at a time, and which videos."""
    n = store.record.n_players
    for some, tables in table_blocks(store):
        videos, other = np.arange(len(tables)), counterpart[some]
        of_class = tables[videos, :, true_output[some]].astype(np.float64)
        of_order = of_class - tables[videos, :, other]
        both = interactions(np.stack([of_class, of_order], axis=-1), index, min(2, n))
        paired = np.flatnonzero(other >= 0)
        found = {
            "class": as_matrices(both[..., 0], n),
            "order": np.full((len(tables), n, n), np.nan),
        }
        found["order"][paired] = as_matrices(both[paired, :, 1], n)
        yield some, found


def as_matrices(values: Floats, n: int) -> Floats:
    """Values (video, group) of single players and pairs as matrices (video, n, n)."""
    matrices = np.full((len(values), n, n), np.nan)
    for row, group in enumerate(subsets(n, 2)):
        if group:
            i, j = group[0], group[-1]
            matrices[:, i, j] = matrices[:, j, i] = values[:, row]
    return matrices


def by_distance(matrices: Floats) -> dict[str, Any]:
    """:func:`distance_means` of the mean value of pairs, by the distance of their positions.

    Args:
        matrices: (video, n, n); videos of NaN do not count.
    """
    return distance_means(*means_of_videos(matrices))


def means_of_videos(matrices: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Each video's mean value of pairs and mean size of it, by distance 1 … n − 1.

    Args:
        matrices: (video, n, n).

    Returns:
        (video, n − 1) each; (video,) whether the video counts.
    """
    n = matrices.shape[1]
    signed = np.empty((len(matrices), n - 1))
    sizes = np.empty_like(signed)
    for distance in range(1, n):
        pairs = np.diagonal(matrices, distance, axis1=1, axis2=2)
        signed[:, distance - 1] = pairs.mean(axis=1)
        sizes[:, distance - 1] = np.abs(pairs).mean(axis=1)
    return signed, sizes, ~np.isnan(matrices[:, 0, 0])


def distance_means(signed: Floats, sizes: Floats, known: NDArray[np.bool_]) -> dict[str, Any]:
    """Means over videos of :func:`means_of_videos`.

    Returns:
        ``videos`` that count; ``mean`` and its ``standard_error`` over videos, ``mean_size`` of
        values without their sign and its ``error``: a number for each distance 1 … n − 1.
    """
    mean, standard_error = known_mean_and_error(signed)
    mean_size, error = known_mean_and_error(sizes)
    return {
        "videos": int(known.sum()),
        "mean": mean,
        "standard_error": standard_error,
        "mean_size": mean_size,
        "error": error,
    }


def means_and_chosen(
    blocks: Iterable[tuple[slice, dict[str, Floats]]], chosen: Sequence[int]
) -> tuple[dict[str, Any], Floats]:
    """:func:`by_distance` of each game of :func:`pair_blocks`, and matrices of chosen videos.

    Returns:
        For each game :func:`distance_means`; (len(chosen), n, n) of the game ``class``.
    """
    parts: dict[str, list[tuple[NDArray[Any], ...]]] = {game: [] for game in GAMES}
    kept: dict[int, Floats] = {}
    for some, matrices in blocks:
        for game in GAMES:
            parts[game].append(means_of_videos(matrices[game]))
        kept |= {
            i: matrices["class"][i - some.start] for i in chosen if some.start <= i < some.stop
        }
    means = {
        game: distance_means(*(np.concatenate(part) for part in zip(*parts[game], strict=True)))
        for game in GAMES
    }
    return means, np.stack([kept[i] for i in chosen])


def videos_to_draw(values: Sequence[FrameValues], most: int) -> dict[str, int]:
    """The ids and classes of videos that all models have, as many as ``most``.

    Videos that all models classify correctly come first, and among them one of each class.
    """
    first = values[0]
    predicted = [dict(zip(v.uids, v.predicted_class, strict=True)) for v in values]
    ranked, seen = [], set[int]()
    for place, uid in enumerate(first.uids):
        if all(uid in of_model for of_model in predicted):
            true = int(first.true_class[place])
            right = all(of_model[uid] == true for of_model in predicted)
            ranked.append((not right, true in seen, place))
            seen |= {true} if right else set()
    places = [place for *_, place in sorted(ranked)[:most]]
    return {first.uids[place]: int(first.true_class[place]) for place in places}


def distance_rows(model: str, game: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Results of :func:`by_distance`, one row per distance."""
    columns = COLUMNS[4:]
    return [
        {"model": model, "game": game, "distance": d + 1, "videos": found["videos"]}
        | {name: float(found[name][d]) for name in columns}
        for d in range(len(found["mean"]))
    ]
