"""The positions of a class's frames of high value, and whether two models agree on them.

For every class and every two positions i, j: the percentage of its videos with φ_i > φ_j, as in
Play Fair's heat maps (supplement, Figs. 13 and 14). Two models' maps are compared by their mean
absolute difference over i ≠ j. Maps of few videos differ by chance, so two numbers are given with
the difference: its standard error from a bootstrap over videos, and its expected value if the
models' values were exchangeable. The latter comes from draws that swap the two models' values of
each video with probability 1/2 (a paired permutation test).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import InputError
from pipeline.studies.frames.feature_rows import ranges
from pipeline.studies.frames.summaries import Floats, Ints

_BYTES = 1 << 25
"""Approximate memory of a matrix."""


@dataclass(frozen=True)
class Likeness:
    """How alike two models' maps are, all (class,); NaN without videos or with one frame."""

    videos: Ints
    difference: Floats
    """mean absolute difference over i ≠ j, in percentage points"""
    standard_error: Floats
    """of ``difference``; NaN with one video"""
    by_chance: Floats
    """mean of ``difference`` if the models' values were exchangeable"""
    p_value: Floats
    """share of such draws that differ at least as much"""
    correlation: Floats
    """Pearson's over i ≠ j; NaN where a map is constant"""


def position_maps(
    esv: NDArray[np.floating], labels: NDArray[np.integer], n_classes: int
) -> tuple[Floats, Ints]:
    """Percentage of each class's videos with φ_i > φ_j.

    Args:
        esv: (video, n) values of the true class.
        labels: (video,) classes.
        n_classes: number of classes.

    Returns:
        (class, n, n) per cent, NaN for i = j and for classes without videos; (class,) numbers of
        videos. A video with φ_i = φ_j counts neither for (i, j) nor for (j, i).

    Raises:
        InputError: labels out of range, or not one per video.
    """
    _check(esv, labels, n_classes)
    n = esv.shape[1]
    maps = np.full((n_classes, n, n), np.nan)
    counts = np.bincount(labels, minlength=n_classes).astype(np.int64)
    for c in np.flatnonzero(counts):
        maps[c] = 100 * _greater(esv[labels == c]).mean(axis=0)
    maps[:, np.arange(n), np.arange(n)] = np.nan
    return maps, counts


def likeness(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    labels: NDArray[np.integer],
    n_classes: int,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Likeness:
    """Compare the maps of two models of the same videos.

    Args:
        first: (video, n) values of the true class by one model.
        second: (video, n) by the other, of the same videos in the same order.
        labels: (video,) classes.
        n_classes: number of classes.
        draws: of the bootstrap, and of the permutation test; the smallest p-value is
            1 / (draws + 1).
        seed: of both.

    Raises:
        InputError: values of different videos or numbers of frames; labels out of range.
    """
    if first.shape != second.shape:
        raise InputError(
            f"values of shapes {first.shape} and {second.shape}: both models must be given the "
            "same videos at the same number of frames"
        )
    _check(first, labels, n_classes)
    counts = np.bincount(labels, minlength=n_classes).astype(np.int64)
    off_diagonal = ~np.eye(first.shape[1], dtype=bool)
    rows = np.full((n_classes, 5), np.nan)
    for c in np.flatnonzero(counts) if off_diagonal.any() else ():
        of_class = labels == c
        ours = _greater(first[of_class])[:, off_diagonal]
        theirs = _greater(second[of_class])[:, off_diagonal]
        # Each class has its own generator, so its draws do not depend on the other classes.
        rng = np.random.default_rng([seed, int(c)])
        rows[c] = _compare(ours, theirs, draws, rng)
    return Likeness(counts, *rows.T)


def _compare(
    ours: NDArray[np.bool_], theirs: NDArray[np.bool_], draws: int, rng: np.random.Generator
) -> list[float]:
    """Difference, standard error, by chance, p-value, correlation; maps by video, (video, pair)."""
    n_videos = len(ours)
    apart = ours.astype(np.int8) - theirs
    difference = np.abs(_percent(apart.sum(axis=0, dtype=np.float64), n_videos)).mean()
    chances = np.full(n_videos, 1 / n_videos)
    resampled = _drawn(lambda count: rng.multinomial(n_videos, chances, size=count), apart, draws)
    swapped = _drawn(lambda count: rng.choice([-1.0, 1.0], size=(count, n_videos)), apart, draws)
    # The margin counts ties: sums in another order differ in the last digits.
    as_much = int((swapped >= difference - 1e-9).sum())
    maps = (
        _percent(ours.sum(axis=0, dtype=np.float64), n_videos),
        _percent(theirs.sum(axis=0, dtype=np.float64), n_videos),
    )
    varies = all(np.ptp(values) > 0 for values in maps)
    return [
        difference,
        resampled.std(ddof=1) if n_videos > 1 and draws > 1 else np.nan,
        swapped.mean(),
        (as_much + 1) / (draws + 1),
        np.corrcoef(*maps)[0, 1] if varies else np.nan,
    ]


def _drawn(draw: Callable[[int], NDArray[Any]], apart: NDArray[np.int8], draws: int) -> Floats:
    """Mean absolute difference of the maps in each draw of weights of the videos: (draw,).

    Args:
        draw: returns the weights of so many draws, (draw, video).
        apart: difference of the maps by video, (video, pair).
        draws: how many.
    """
    n_videos = len(apart)
    found = []
    for some in ranges(draws, max(1, _BYTES // (8 * n_videos))):
        weights = draw(len(some))
        sums = np.zeros((len(some), apart.shape[1]))
        for videos in ranges(n_videos, max(1, _BYTES // (8 * apart.shape[1]))):
            part = slice(videos.start, videos.stop)
            sums += weights[:, part] @ apart[part].astype(np.float64)
        found.append(np.abs(_percent(sums, n_videos)).mean(axis=1))
    return np.concatenate(found)


def _percent(sums: Floats, n_videos: int) -> Floats:
    return np.asarray(100 * sums / n_videos)


def most_and_least_alike(found: Likeness, count: int, *, at_least: int = 1) -> tuple[Ints, Ints]:
    """Classes whose maps differ least and most between the models, beyond chance.

    Args:
        found: the comparison.
        count: the most classes of each kind; no class is of both kinds.
        at_least: classes with fewer videos are left out.

    Returns:
        Class numbers, the most alike first; class numbers, the least alike first.
    """
    known = np.flatnonzero((found.videos >= at_least) & ~np.isnan(found.difference))
    # Maps of few videos differ more by chance alone.
    beyond_chance = found.difference - found.by_chance
    ranked = known[np.argsort(beyond_chance[known], kind="stable")]
    count = min(count, len(ranked) // 2) if len(ranked) > 1 else min(count, len(ranked))
    alike = ranked[:count]
    rest = ranked[count:]
    return alike, rest[len(rest) - min(count, len(rest)) :][::-1]


def _greater(esv: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(video, i, j) whether φ_i > φ_j."""
    return esv[:, :, None] > esv[:, None, :]


def _check(esv: NDArray[np.floating], labels: NDArray[np.integer], n_classes: int) -> None:
    if labels.shape != esv.shape[:1]:
        raise InputError(f"{labels.shape} labels for {len(esv)} videos; one of each is needed")
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        raise InputError(
            f"labels {labels.min()} to {labels.max()}; there are classes 0 to {n_classes - 1}"
        )
