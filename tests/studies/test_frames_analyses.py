"""Compares the analyses of frames with slow, obvious code, on random arrays and edge cases."""

import tracemalloc
from dataclasses import asdict
from itertools import combinations

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from pipeline.core.errors import InputError
from pipeline.core.plotting import figure_style
from pipeline.core.statistics import mean_and_error
from pipeline.core.tables import plain
from pipeline.models.sequences import Averaging, MultiScale, SingleScale
from pipeline.shapley import marginals_by_size, shapley_values
from pipeline.studies.frames import (
    confusions,
    contributions,
    patterns,
    positions,
    sampling,
    summaries,
)
from pipeline.studies.frames import discard as discarding
from pipeline.studies.frames import shift as shifts
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.figures import convergence as drawing_convergence
from pipeline.studies.frames.figures import discard as drawing_discard
from pipeline.studies.frames.figures import patterns as drawing_patterns
from pipeline.studies.frames.figures.lengths import draw_lengths
from pipeline.studies.frames.figures.shift import draw_shift
from pipeline.studies.frames.tables import scorer

RNG = np.random.default_rng


def random_tables(n_videos, n, n_outputs, seed=0):
    return RNG(seed).normal(size=(n_videos, 2**n, n_outputs))


# Summaries


def test_one_output_of_each_video():
    values = RNG(0).normal(size=(3, 2, 4, 5))
    outputs = np.array([4, 0, 2])
    expected = [values[v, ..., c] for v, c in enumerate(outputs)]
    np.testing.assert_array_equal(summaries.pick_output(values, outputs), expected)
    with pytest.raises(InputError, match="outputs 0 to 5 are requested; there are 0 to 4"):
        summaries.pick_output(values, np.array([0, 5, 1]))
    with pytest.raises(InputError, match="for 3 videos"):
        summaries.pick_output(values, np.array([0]))


def test_mean_and_its_error():
    values = RNG(0).normal(size=(7, 3))
    mean, error = mean_and_error(values)
    for column in range(3):
        m = sum(values[:, column]) / 7
        variance = sum((x - m) ** 2 for x in values[:, column]) / 6
        assert mean[column] == pytest.approx(m)
        assert error[column] == pytest.approx((variance / 7) ** 0.5)
    mean, error = mean_and_error(values[:1])
    np.testing.assert_array_equal(mean, values[0])
    assert np.isnan(error).all()
    assert np.isnan(mean_and_error(values[:0])).all()


def test_boxes():
    found = summaries.boxes([np.array([1.0, 2, 3, 4, 100]), np.array([[5.0]]), np.empty(0)])
    assert found.count.tolist() == [5, 1, 0]
    row = [getattr(found, name)[0] for name in ("lower_quartile", "median", "upper_quartile")]
    assert row == [2, 3, 4]
    assert (found.lower_whisker[0], found.upper_whisker[0]) == (1, 4)
    assert found.mean[0] == 22
    assert found.outliers[0] == pytest.approx(0.2)
    assert found.median[1] == found.upper_whisker[1] == 5
    assert np.isnan(found.median[2])


# Discarding


def slow_order(values, descending):
    left, order = list(range(len(values))), []
    while left:
        extreme = (max if descending else min)(values[i] for i in left)
        order.append(next(i for i in left if values[i] == extreme))
        left.remove(order[-1])
    return order


@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=5, max_size=5), min_size=1, max_size=4),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_attribution_order_and_its_ties(values, descending):
    found = discarding.attribution_order(np.array(values, dtype=float), descending=descending)
    assert found.tolist() == [slow_order(row, descending) for row in values]


def test_attributions_that_are_nan_are_refused():
    with pytest.raises(InputError, match="NaN"):
        discarding.attribution_order(np.array([[1.0, np.nan]]), descending=True)


def test_plain_orders():
    orders = {name: discarding.plain_order(name, 5).tolist() for name in discarding.PLAIN_ORDERS}
    assert orders == {
        "first_to_last": [0, 1, 2, 3, 4],
        "last_to_first": [4, 3, 2, 1, 0],
        "edges_inward": [0, 4, 1, 3, 2],
        "centre_outward": [2, 1, 3, 0, 4],
    }
    assert discarding.plain_order("edges_inward", 4).tolist() == [0, 3, 1, 2]
    assert discarding.plain_order("centre_outward", 4).tolist() == [1, 2, 0, 3]
    assert {tuple(discarding.plain_order(name, 1)) for name in discarding.PLAIN_ORDERS} == {(0,)}
    with pytest.raises(InputError, match="edges_inward"):
        discarding.plain_order("sideways", 3)


def test_random_orders_are_even_and_the_same_for_a_video_whatever_follows():
    few, many = (discarding.random_orders(v, 4, 3, seed=5) for v in (2, 6))
    np.testing.assert_array_equal(few, many[:2])
    assert not np.array_equal(few, discarding.random_orders(2, 4, 3, seed=6))
    orders = discarding.random_orders(2000, 3, 3, seed=0).reshape(-1, 3)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    # The expected count is 1000 each, with a standard deviation of 29.
    assert abs(counts - 1000).max() < 150


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_kept_masks(n):
    orders = discarding.random_orders(3, n, 2, seed=0)
    found = discarding.kept_masks(orders)
    for place in np.ndindex(orders.shape[:-1]):
        order = orders[place].tolist()
        assert found[place].tolist() == [oracle.mask_of(order[k:]) for k in range(n)]


def test_orders_that_are_no_permutations_are_refused():
    with pytest.raises(InputError, match="every frame 0 to 2 once"):
        discarding.kept_masks(np.array([[0, 1, 1]]))
    with pytest.raises(InputError, match="1 to 62"):
        discarding.kept_masks(np.arange(63))


@pytest.mark.parametrize(
    ("n_videos", "n", "n_classes"), [(5, 4, 3), (1, 3, 2), (4, 1, 3), (2, 3, 1)]
)
@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_curves(n_videos, n, n_classes, at_once):
    tables = random_tables(n_videos, n, n_classes)
    true = RNG(1).integers(n_classes, size=n_videos)
    orders = {
        "random": discarding.random_orders(n_videos, n, 3, seed=0),
        "one": discarding.random_orders(n_videos, n, 1, seed=1)[:, 0],
    }
    masks = {name: discarding.kept_masks(order) for name, order in orders.items()}
    found = discarding.curves(
        tables.__getitem__, masks, true, holds_all_classes=True, videos_at_once=at_once
    )
    for name, of_group in orders.items():
        assert found[name].score.shape == found[name].correct.shape == of_group.shape
        for place in np.ndindex(of_group.shape[:-1]):
            left = of_group[place].tolist()
            for k in range(n):
                scores = tables[place[0], oracle.mask_of(left)].tolist()
                c = true[place[0]]
                assert found[name].score[*place, k] == scores[c]
                assert found[name].correct[*place, k] == (scores.index(max(scores)) == c)
                left.pop(0)


def test_accuracy_is_not_known_from_some_classes():
    tables, true = random_tables(2, 3, 2), np.zeros(2, dtype=int)
    masks = {"one": discarding.kept_masks(discarding.random_orders(2, 3, 1, seed=0))}
    found = discarding.curves(tables.__getitem__, masks, true, holds_all_classes=False)["one"]
    assert found.correct is None
    np.testing.assert_array_equal(found.score[..., 0], tables[:, -1, :1])


def test_curves_of_other_tables_are_refused():
    tables, true = random_tables(2, 3, 2), np.zeros(2, dtype=int)
    masks = discarding.kept_masks(discarding.random_orders(2, 4, 1, seed=0))
    with pytest.raises(InputError, match="mask 15 is not in tables of 8"):
        discarding.curves(tables.__getitem__, {"r": masks}, true, holds_all_classes=True)
    with pytest.raises(InputError, match="masks of 1 videos"):
        discarding.curves(tables.__getitem__, {"r": masks[:1]}, true, holds_all_classes=True)


def test_area_under_a_curve():
    curve = np.array([[1.0, 0.5, 0.0], [0.2, 0.2, 0.2], [0, 1, 0]])
    np.testing.assert_allclose(discarding.area_under(curve), [0.5, 0.2, 0.5])
    assert discarding.area_under(np.array([[0.7]])).tolist() == [0.7]
    assert discarding.area_under(np.array([True, False])) == 0.5
    random = RNG(0).normal(size=(2, 3, 9))
    expected = np.trapezoid(random, np.arange(9) / 9) / (8 / 9)
    np.testing.assert_allclose(discarding.area_under(random), expected)
    np.testing.assert_allclose(discarding.over_draws(random), random.mean(axis=1))
    np.testing.assert_allclose(discarding.over_draws(random[:, 0]), random[:, 0])


# Contributions


def slow_contributions(table, n, size):
    return [
        table[oracle.mask_of((*others, i))] - table[oracle.mask_of(others)]
        for i in range(n)
        for others in combinations([j for j in range(n) if j != i], size)
    ]


@pytest.mark.parametrize(("n_videos", "n"), [(3, 5), (1, 1), (2, 2)])
def test_contributions_by_size(n_videos, n):
    tables = random_tables(n_videos, n, 3)
    outputs = RNG(1).integers(3, size=n_videos)
    found = contributions.single_contributions(
        tables.__getitem__, outputs, n, at_most=10**6, videos_at_once=2
    )
    marginals = summaries.pick_output(marginals_by_size(tables), outputs)
    of_means = contributions.mean_contributions(marginals)
    mean, error = contributions.mean_by_size(marginals)
    for size in range(n):
        singles = [slow_contributions(tables[v, :, outputs[v]], n, size) for v in range(n_videos)]
        flat = np.concatenate(singles)
        assert found.count[size] == len(flat)
        np.testing.assert_allclose(found.median[size], np.median(flat))
        np.testing.assert_allclose(found.upper_quartile[size], np.percentile(flat, 75))
        # Every frame joins equally many coalitions, so means of means are means.
        by_video = [np.mean(of_video) for of_video in singles]
        for value in (found.mean[size], of_means.mean[size], mean[size]):
            np.testing.assert_allclose(value, np.mean(by_video), atol=1e-12)
        assert of_means.count[size] == n_videos * n
        if n_videos > 1:
            expected = np.std(by_video, ddof=1) / np.sqrt(n_videos)
            np.testing.assert_allclose(error[size], expected)


def test_drawn_contributions_are_of_the_size_and_even():
    n, size = 6, 3
    without, holding = contributions._joins(n, size, 59, RNG(0))
    assert len(without) == 59  # of 60
    without, holding = contributions._joins(n, size, 60, RNG(0))
    pairs = {(int(a), int(b)) for a, b in zip(without, holding, strict=True)}
    assert len(pairs) == 60
    for a, b in pairs:
        assert (a.bit_count(), b.bit_count(), a & b) == (3, 4, a)
    # All contributions at a size are equal here, so draws cannot change them.
    table = np.array([[[mask.bit_count() ** 2] for mask in range(2**n)]], dtype=float)
    found = contributions.single_contributions(
        table.__getitem__, np.zeros(1, dtype=int), n, at_most=7
    )
    assert found.count.tolist() == [6, 7, 7, 7, 7, 6]
    assert found.mean.tolist() == [2 * s + 1 for s in range(n)]


def test_tables_of_another_number_of_frames_are_refused():
    with pytest.raises(InputError, match="8 coalitions; 4 frames have 16"):
        contributions.single_contributions(
            random_tables(1, 3, 1).__getitem__, np.zeros(1, dtype=int), 4
        )


def test_supporting_share():
    esv = np.array([[0.1, -0.1, 0.0, 2.0], [1, 1, 1, 1], [-1, 0, 0, 0]])
    share, error = contributions.supporting_share(esv)
    assert share == pytest.approx(50)
    assert error == pytest.approx(np.std([50, 100, 0], ddof=1) / 3**0.5)
    share, error = contributions.supporting_share(esv[:1, :1])
    assert share == 100
    assert np.isnan(error)
    assert np.isnan(contributions.supporting_share(esv[:0])).all()


# Shifts


def slow_shifts(frames, length, furthest, crossing):
    found = []
    for i, frame in enumerate(frames):
        for k in range(-furthest, furthest + 1):
            new = frame + k
            if k == 0 or not 0 <= new < length:
                continue
            if crossing and new in frames:
                continue
            if not crossing:
                if i > 0 and new <= frames[i - 1]:
                    continue
                if i + 1 < len(frames) and new >= frames[i + 1]:
                    continue
            others = [f for j, f in enumerate(frames) if j != i]
            found.append((i, k, sorted([*others, new]), new))
    return found


@given(
    st.lists(st.integers(1, 14), min_size=1, max_size=3),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(1, 4)),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_changed_sequences(lengths, n, furthest, crossing):
    frames = sampling.spread(np.array(lengths), n)
    found = shifts.changed_sequences(
        frames, np.array(lengths), furthest=furthest, crossing=crossing
    )
    expected = [
        (v, *row)
        for v, length in enumerate(lengths)
        for row in slow_shifts(frames[v].tolist(), length, furthest or length, crossing)
    ]
    assert len(found.video) == len(expected)
    for row, (v, i, k, sequence, new) in enumerate(expected):
        assert (found.video[row], found.position[row], found.shift[row]) == (v, i, k)
        assert found.frames[row].tolist() == sequence
        assert sequence[found.place[row]] == new
        if not crossing:
            assert found.place[row] == i


def test_frames_out_of_order_are_not_shifted():
    for frames, length in (([[2, 1]], 5), ([[0, 5]], 5), ([[-1, 2]], 5)):
        with pytest.raises(InputError, match="ascending rows"):
            shifts.changed_sequences(np.array(frames), np.array([length]))


def small_features(lengths, dim, seed=0):
    rows = RNG(seed).normal(size=(sum(lengths), dim)).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    uids = tuple(f"v{i}" for i in range(len(lengths)))
    return FeatureSet(uids, np.zeros(len(lengths), dtype=np.int64), rows, starts)


@pytest.mark.parametrize("kind", ["trn", "tsn"])
@pytest.mark.parametrize("crossing", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_shifted_values(kind, crossing, n):
    torch.manual_seed(0)
    if kind == "trn":
        model = MultiScale([SingleScale(s, 4, 5, 3) for s in (1, 2)])
    else:
        model = Averaging(4, 3)
    model = model.eval()
    features = small_features([9, 5, 8, 7], 4)
    videos, true = np.array([3, 0, 2]), np.array([0, 2, 1])
    empty = torch.tensor([0.5, 0.3, 0.2])
    features.labels[videos] = true
    lengths = features.lengths[videos]
    frames = sampling.spread(lengths, n)
    changed = shifts.changed_sequences(frames, lengths, furthest=8, crossing=crossing)
    scores = scorer(model, empty, "probability", 5)
    tables = shifts.shift_tables(features, videos, frames, changed, 8, scores, 5, [0, 1, 2])
    names = shifts.shift_outputs(n, 8)
    assert tables.shape == (3, 2**n, len(names))
    outputs = shifts.output_of(changed, 8)
    for row, output in enumerate(outputs):
        assert names[output] == f"frame {changed.position[row] + 1}, {changed.shift[row]:+d}"
    for v in range(3):
        # A sequence that does not exist counts as the unchanged video.
        others = set(range(len(names))) - set(outputs[changed.video == v].tolist())
        for output in others:
            np.testing.assert_array_equal(tables[v, :, output], tables[v, :, 0])
    found = shapley_values(tables)[changed.video, changed.place, outputs]
    play = oracle.multi_scale_game if kind == "trn" else oracle.averaging_game
    expected = []
    for v, video in enumerate(videos):
        rows = features.rows[features.starts[video] : features.starts[video + 1]]
        for _, _, sequence, new in slow_shifts(frames[v].tolist(), len(rows), 9, crossing):
            game = play(model, rows[sequence], empty.numpy(), "probability")
            values = oracle.shapley_values(game, n)[:, true[v]]
            # If the shifted frame coincides with another one, both have the same value.
            expected.append(values[sequence.index(new)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_changes_by_distance():
    frames, lengths = np.array([[1, 4], [1, 4], [1, 3]]), np.array([6, 7, 5])
    esv = RNG(0).normal(size=(3, 2))
    changed = shifts.changed_sequences(frames, lengths)
    values = RNG(1).normal(size=len(changed.video))
    found = shifts.changes_by_distance(esv, changed, values)
    groups = {}
    for row, value in enumerate(values):
        v, i, k = changed.video[row], changed.position[row], changed.shift[row]
        groups.setdefault(abs(int(k)), {}).setdefault(v, []).append(abs(value - esv[v, i]))
    assert found.distance.tolist() == sorted(groups) == [1, 2]
    spread = np.mean([abs(a - b) for a, b in esv])
    assert found.spread == pytest.approx(spread)
    for g, distance in enumerate(sorted(groups)):
        by_video = groups[distance]
        flat = np.concatenate(list(by_video.values()))
        assert found.absolute.count[g] == len(flat)
        assert found.absolute.mean[g] == pytest.approx(flat.mean())
        assert found.absolute.median[g] == pytest.approx(np.median(flat))
        assert found.relative[g] == pytest.approx(flat.mean() / spread)
        residuals = [sum(x - flat.mean() for x in values) for values in by_video.values()]
        count = len(by_video)
        variance = count / (count - 1) * sum(r**2 for r in residuals) / len(flat) ** 2
        assert found.error[g] == pytest.approx(variance**0.5)


def test_equal_clusters_have_the_plain_standard_error():
    means = RNG(0).normal(size=6)
    values, videos = np.repeat(means, 3), np.repeat(np.arange(6), 3)
    expected = means.std(ddof=1) / 6**0.5
    assert shifts._clustered_error(values, videos) == pytest.approx(expected)


def test_one_video_and_no_neighbour_at_all():
    one = shifts.changed_sequences(np.array([[1]]), np.array([3]))
    found = shifts.changes_by_distance(np.array([[0.5]]), one, np.array([0.25, 1.0]))
    assert found.absolute.mean.tolist() == [0.375]
    assert np.isnan([found.error[0], found.spread, found.relative[0]]).all()
    none = shifts.changed_sequences(np.array([[0, 1]]), np.array([2]))
    assert none.frames.shape == (0, 2)
    found = shifts.changes_by_distance(np.array([[0.5, 0.1]]), none, np.empty(0))
    assert found.distance.size == found.absolute.mean.size == found.error.size == 0


# Positions


@pytest.mark.parametrize(("n_videos", "n", "n_classes"), [(20, 4, 3), (1, 3, 1), (3, 1, 2)])
def test_position_maps(n_videos, n, n_classes):
    rng = RNG(0)
    esv = rng.integers(-2, 3, size=(n_videos, n)).astype(float)
    labels = rng.integers(n_classes, size=n_videos)
    maps, counts = positions.position_maps(esv, labels, n_classes + 1)
    for c in range(n_classes + 1):
        of_class = [esv[v] for v in range(n_videos) if labels[v] == c]
        assert counts[c] == len(of_class)
        for i in range(n):
            for j in range(n):
                if i == j or not of_class:
                    assert np.isnan(maps[c, i, j])
                else:
                    share = sum(row[i] > row[j] for row in of_class) / len(of_class)
                    assert maps[c, i, j] == pytest.approx(100 * share)
    with pytest.raises(InputError, match="there are classes 0 to 0"):
        positions.position_maps(esv, np.full(n_videos, 1), 1)


def test_likeness_is_that_of_the_maps():
    rng = RNG(0)
    first, second = rng.normal(size=(2, 30, 3))
    labels = rng.integers(2, size=30)
    found = positions.likeness(first, second, labels, 3, draws=50)
    maps = [positions.position_maps(esv, labels, 3)[0] for esv in (first, second)]
    for c in range(2):
        pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
        a, b = ([of[c, i, j] for i, j in pairs] for of in maps)
        difference = np.mean([abs(x - y) for x, y in zip(a, b, strict=True)])
        assert found.difference[c] == pytest.approx(difference)
        assert found.correlation[c] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.videos.tolist() == [*np.bincount(labels), 0]
    assert np.isnan(found.difference[2])


def test_likeness_does_not_depend_on_blocks(monkeypatch):
    first, second = RNG(2).normal(size=(2, 30, 3))
    labels = np.arange(30) % 2
    whole = positions.likeness(first, second, labels, 2, draws=50)
    monkeypatch.setattr(positions, "_BYTES", 8 * 40)
    blocks = positions.likeness(first, second, labels, 2, draws=50)
    for name in ("difference", "standard_error", "by_chance", "p_value", "correlation"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))


def test_likeness_takes_no_memory_for_all_draws_of_all_videos(monkeypatch):
    monkeypatch.setattr(positions, "_BYTES", 1 << 20)
    first, second = RNG(2).normal(size=(2, 4000, 3))
    tracemalloc.start()
    positions.likeness(first, second, np.zeros(4000, dtype=int), 1, draws=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 << 20  # of 32 MB for the weights in all draws


def exact_swaps(first, second):
    """Difference of the maps for each of the 2**videos ways to swap the models' values."""
    n_videos, labels = len(first), np.zeros(len(first), dtype=int)
    result = []
    for swaps in np.ndindex(*[2] * n_videos):
        swapped = np.array(swaps, dtype=bool)[:, None]
        maps = [
            positions.position_maps(np.where(which, second, first), labels, 1)[0]
            for which in (swapped, ~swapped)
        ]
        result.append(np.nanmean(np.abs(maps[0] - maps[1])))
    return np.array(result)


def test_chance_is_that_of_all_swaps():
    rng = RNG(3)
    first, second = rng.normal(size=(2, 6, 3)) + np.array([[[0.6, 0, 0]], [[0, 0, 0]]])
    found = positions.likeness(first, second, np.zeros(6, dtype=int), 1, draws=20000)
    all_swaps = exact_swaps(first, second)
    assert found.by_chance[0] == pytest.approx(all_swaps.mean(), rel=0.02)
    expected = (all_swaps >= all_swaps[0] - 1e-9).mean()
    assert 0.02 < expected < 0.98
    assert found.p_value[0] == pytest.approx(expected, abs=0.02)


def test_error_is_that_of_resampled_videos():
    rng = RNG(0)
    first, second = rng.normal(size=(2, 12, 3))
    labels = np.zeros(12, dtype=int)
    found = positions.likeness(first, second, labels, 1, draws=4000)
    resampled = []
    for _ in range(1000):
        drawn = rng.integers(12, size=12)
        a, b = (positions.position_maps(e[drawn], labels, 1)[0] for e in (first, second))
        resampled.append(np.nanmean(np.abs(a - b)))
    assert found.standard_error[0] == pytest.approx(np.std(resampled), rel=0.1)


def test_likeness_tells_agreement_from_disagreement():
    rng = RNG(0)
    labels = np.repeat([0, 1, 2], 30)
    rising = np.arange(4) + rng.normal(size=(90, 4)) / 2
    other = np.where(labels[:, None] == 1, rising[:, ::-1], rising)
    found = positions.likeness(rising, other, labels, 3, draws=200)
    assert found.difference[[0, 2]].tolist() == [0, 0]
    assert found.p_value[[0, 2]].tolist() == [1, 1]
    assert found.p_value[1] == pytest.approx(1 / 201)
    assert found.correlation[0] == pytest.approx(1)
    assert found.correlation[1] < -0.9
    # A class's numbers do not depend on the other classes.
    alone = positions.likeness(rising[30:60], other[30:60], labels[30:60], 2, draws=200)
    assert alone.standard_error[1] == found.standard_error[1]
    alike, unlike = positions.most_and_least_alike(found, 1)
    assert (alike.tolist(), unlike.tolist()) == ([0], [1])


def test_edges_of_likeness():
    first, second = np.array([[0.1, 0.2]]), np.array([[0.1, 0.1]])
    found = positions.likeness(first, second, np.array([0]), 1, draws=10)
    assert found.difference.tolist() == [50]
    assert np.isnan([found.standard_error[0], found.correlation[0]]).all()
    one_frame = positions.likeness(first[:, :1], second[:, :1], np.array([0]), 1)
    assert np.isnan(one_frame.difference[0])
    with pytest.raises(InputError, match="same videos"):
        positions.likeness(first, second[:, :1], np.array([0]), 1)


@pytest.mark.parametrize(
    ("count", "at_least", "alike", "unlike"),
    [
        (1, 1, [2], [4]),
        (2, 1, [2, 1], [4, 3]),
        (9, 1, [2, 1], [4, 3]),
        (2, 6, [1], [3]),
        (2, 8, [3], []),
        (2, 9, [], []),
    ],
)
def test_ranking_leaves_out_classes_of_few_videos(count, at_least, alike, unlike):
    difference = np.array([np.nan, 20.0, 10.0, 30.0, 40.0])
    videos = np.array([9, 7, 5, 8, 5])
    nothing = np.full(5, np.nan)
    chance = np.zeros(5)
    found = positions.Likeness(videos, difference, nothing, chance, nothing, nothing)
    ranked = positions.most_and_least_alike(found, count, at_least=at_least)
    assert [r.tolist() for r in ranked] == [alike, unlike]


# Confusions


def test_confusions():
    rng = RNG(0)
    n_videos, n, n_classes = 40, 5, 3
    tables = random_tables(n_videos, n, n_classes)
    true, predicted = rng.integers(n_classes, size=n_videos), tables[:, -1].argmax(axis=1)
    esv = marginals_by_size(tables).mean(axis=1)
    of_true, of_predicted = (summaries.pick_output(esv, c) for c in (true, predicted))
    found = confusions.confusions(of_true, of_predicted, true, predicted)
    summary = confusions.summarise(found)
    wrong = [v for v in range(n_videos) if true[v] != predicted[v]]
    assert found.video.tolist() == wrong
    assert summary.videos == len(wrong) > 5
    deltas = []
    for row, v in enumerate(wrong):
        difference = tables[v, :, true[v]] - tables[v, :, predicted[v]]
        expected = oracle.shapley_values(lambda players: difference[oracle.mask_of(players)], n)
        np.testing.assert_allclose(found.delta[row], expected, atol=1e-9)
        deltas.append(expected)
    deltas = np.array(deltas)
    assert summary.mean_absolute == pytest.approx(abs(deltas).mean())
    assert summary.for_true == pytest.approx(100 * (deltas > 0).mean())
    by_video = 100 * (deltas > 0).mean(axis=1)
    assert summary.for_true_error == pytest.approx(by_video.std(ddof=1) / len(wrong) ** 0.5)
    np.testing.assert_allclose(summary.by_position, deltas.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(summary.for_true_by_position, 100 * (deltas > 0).mean(axis=0))
    assert summary.some_for_true == pytest.approx(100 * (deltas > 0).any(axis=1).mean())
    ends = (
        summaries.pick_output(tables[:, row], true)
        - summaries.pick_output(tables[:, row], predicted)
        for row in (-1, 0)
    )
    whole, empty = ends
    np.testing.assert_allclose(confusions.inconsistency(found, whole, empty), 0, atol=1e-9)
    off = confusions.inconsistency(found, whole + 1, empty)
    np.testing.assert_allclose(off, 1, atol=1e-9)


def test_confused_pairs():
    true, predicted = np.array([0, 0, 1, 2, 0, 1]), np.array([1, 2, 0, 2, 1, 0])
    delta = np.array([[1.0, -2.0], [3, 4], [-1, -1], [9, 9], [-5, 2], [0, 0]])
    found = confusions.confusions(delta, np.zeros_like(delta), true, predicted)
    pairs = confusions.confused_pairs(found)
    assert pairs.true_class.tolist() == [0, 1, 0]
    assert pairs.predicted_class.tolist() == [1, 0, 2]
    assert pairs.videos.tolist() == [2, 2, 1]
    assert pairs.mean_total.tolist() == [-2, -1, 7]
    assert pairs.for_true.tolist() == [50, 0, 100]


def test_no_video_is_wrongly_classified():
    values, classes = np.ones((3, 2)), np.array([0, 1, 1])
    found = confusions.confusions(values, values, classes, classes)
    assert found.delta.shape == (0, 2)
    summary = confusions.summarise(found)
    assert summary.videos == 0
    assert np.isnan([summary.mean_absolute, summary.for_true, summary.some_for_true]).all()
    assert summary.by_position.shape == (2,)
    assert confusions.inconsistency(found, classes, classes).size == 0
    assert confusions.confused_pairs(found).videos.size == 0


def test_values_of_other_videos_are_refused():
    with pytest.raises(InputError, match="same videos"):
        confusions.confusions(np.ones((3, 2)), np.ones((3, 2)), np.zeros(3), np.zeros(2))


# Figures


@pytest.fixture
def style():
    with figure_style():
        yield
        plt.close("all")


def text_of(figure):
    return [text.get_text() for text in figure.findobj(plt.Text)]


@pytest.mark.parametrize("accuracy", [None, np.array([0.9, 0.6, 0.3])])
def test_discard_curves_are_drawn_with_accuracy_only_where_it_is_known(style, accuracy):
    line = drawing_discard.DiscardLine(
        np.array([0.8, 0.5, 0.2]), np.full(3, np.nan), accuracy, accuracy
    )
    orders = drawing_discard.DISCARD_GROUPS["attribution"]
    lines = {"trn": dict.fromkeys(orders, line), "tsn": {"random": line}}
    figure = drawing_discard.draw_discard(lines, orders, unit="probability")
    assert len(figure.axes) == (2 if accuracy is None else 4)
    assert [len(axes.lines) for axes in figure.axes[:2]] == [3, 1]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), line.score)
    if accuracy is not None:
        np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), 100 * accuracy)
    assert {"ESV, ascending", "ESV, descending", "random"} <= set(text_of(figure))


@pytest.mark.parametrize("known", [True, False])
def test_discard_curves_are_read_back_from_their_table(known):
    score, correct = RNG(0).random((5, 2, 3)), RNG(1).random((5, 2, 3)) > 0.5
    curve = discarding.Curves(score, correct if known else None)
    rows = [
        {"model": "trn", "order": "random", **{k: "" if v != v else str(v) for k, v in row.items()}}
        for row in discarding.curve_rows(curve)
    ]
    line = drawing_discard.lines_of(rows)["trn"]["random"]
    expected, error = mean_and_error(score.mean(axis=1))
    np.testing.assert_array_equal(line.score, expected)
    np.testing.assert_array_equal(line.score_error, error)
    if known:
        np.testing.assert_array_equal(line.accuracy, correct.mean(axis=1).mean(axis=0))
    else:
        assert line.accuracy is line.accuracy_error is None


def test_patterns_are_read_back_from_their_rows():
    boxes = summaries.boxes([RNG(0).random(9), np.empty(0)])
    rows = patterns.size_rows("trn", boxes, (np.zeros(2), np.zeros(2)))
    found = drawing_patterns.boxes_of(plain(rows))
    for name in ("count", "mean", *drawing_patterns.BOX_COLUMNS):
        np.testing.assert_array_equal(getattr(found, name), getattr(boxes, name))
    nothing = confusions.confusions(np.ones((2, 3)), np.ones((2, 3)), np.arange(2), np.arange(2))
    summary = confusions.summarise(nothing)
    found = drawing_patterns.summary_of(plain(asdict(summary)))
    for name, value in asdict(summary).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_every_order_of_a_group_has_a_style_of_its_own():
    for orders in drawing_discard.DISCARD_GROUPS.values():
        styles = [drawing_discard.ORDER_STYLES[order] for order in orders]
        assert len({(s["color"], s["ls"], s["marker"]) for s in styles}) == len(orders)


def test_maps_are_drawn_side_by_side(style):
    maps = {m: RNG(i).random((3, 4, 4)) * 100 for i, m in enumerate(("trn", "tsn"))}
    rows = [(2, "Moving something"), (0, "Turning something")]
    figure = drawing_patterns.draw_position_maps(maps, rows, np.array([3, 9, 1]))
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    expected = [maps[model][number] for number, _ in rows for model in maps]
    for image, of_class in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(image.get_array(), of_class)
        # White, the middle of the colours, is 50 %.
        assert (image.norm.vmin + image.norm.vmax) / 2 == 50
    assert "Moving something (1\u00a0video)" in text_of(figure)


def test_a_model_without_wrongly_classified_videos_is_not_drawn(style):
    values = np.ones((3, 2))
    none = confusions.summarise(
        confusions.confusions(values, values, np.zeros(3, dtype=int), np.zeros(3, dtype=int))
    )
    some = confusions.summarise(
        confusions.confusions(values, 2 * values, np.zeros(3, dtype=int), np.arange(3))
    )
    figure = drawing_patterns.draw_confusions({"trn": none, "tsn": some}, unit="probability")
    assert [t for t in text_of(figure) if "videos" in t and "TRN" in t] == []
    assert "TSN, 2 videos" in text_of(figure)
    figure = drawing_patterns.draw_confusions({"trn": none}, unit="probability")
    assert "no video is wrongly classified" in text_of(figure)


def test_exact_values_are_left_out_of_logarithmic_axes(style):
    line = drawing_convergence.ErrorLine(np.array([8, 16, 32]), np.array([0.1, 0.02, 0.0]))
    figure = drawing_convergence.draw_estimators({"one": line}, unit="logit", exact_at=32)
    assert figure.axes[0].lines[0].get_xdata().tolist() == [8, 16]
    assert "exact: 32" in text_of(figure)


def test_sizes_counts_and_distances_are_drawn(style):
    boxes = summaries.boxes([RNG(s).normal(size=9) for s in range(3)])
    figure = drawing_patterns.draw_contributions({"trn": boxes}, unit="logit", what="contribution")
    medians = {float(line.get_ydata()[0]) for line in figure.axes[0].lines}
    assert set(boxes.median.tolist()) <= medians
    share = np.array([90.0, 50.0])
    figure = draw_lengths(np.array([1, 2]), {"tsn": (share, share / 10)})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [90, 50]
    changed = shifts.changed_sequences(np.array([[1, 4], [2, 5]]), np.array([6, 8]))
    found = shifts.changes_by_distance(RNG(0).normal(size=(2, 2)), changed, changed.shift / 9)
    rows = plain(shifts.shift_rows("trn", found))
    figure = draw_shift({"trn": {"spread": found.spread, "by_shift": rows}}, unit="probability")
    shown = [axes.lines[0].get_ydata() for axes in figure.axes]
    np.testing.assert_allclose(shown, [found.absolute.mean, found.relative])


def test_approximation_leaves_out_missing_points(style):
    line = np.array([np.nan, 0.5, 0.9]), np.full(3, np.nan)
    measures = {name: {"m = 8": line} for name in ("pearson", "error", "rank")}
    figure = drawing_convergence.draw_approximation(
        np.array([2, 4, 8]), measures, unit="probability"
    )
    for axes in figure.axes:
        assert axes.lines[0].get_xdata().tolist() == [4, 8]
    assert "m = 8" in text_of(figure)


def test_classes_are_ranked_by_the_difference_beyond_chance():
    nothing, chance = np.full(3, np.nan), np.array([25.0, 2.0, 5.0])
    difference = np.array([30.0, 12.0, 20.0])
    found = positions.Likeness(np.array([4, 90, 30]), difference, nothing, chance, nothing, nothing)
    alike, unlike = positions.most_and_least_alike(found, 1)
    assert (alike.tolist(), unlike.tolist()) == ([0], [2])
