"""Which attributions are alike, and proposal 1 with coalitions of other areas."""

from itertools import product

import numpy as np
import pytest
import torch

from pipeline.models.pictures import PictureClassifier
from pipeline.studies.baselines.areas import square_areas
from pipeline.studies.baselines.attribution_files import Attributions, Method, Sampled
from pipeline.studies.baselines.effective import MOST_PLAYERS
from pipeline.studies.baselines.explained import Shown
from pipeline.studies.baselines.likeness import likeness
from pipeline.studies.baselines.params import AttributionsParams
from pipeline.studies.baselines.sizes import other_areas, with_areas

AREAS = square_areas(4, 6, 2)
REPEATS = {"sig_baselines": 2, "ig_zero": 1, "ig_mean": 1, "ig_random": 2}


def attributions(seed=0, pictures=3):
    rng = np.random.default_rng(seed)
    none = np.zeros((1, 1), np.int64)
    methods = {
        name: Method(rng.normal(size=(n, pictures, 1, 4, 6)), none, none, none.astype(float))
        for name, n in REPEATS.items()
    }
    zeros = np.zeros(pictures, np.int64)
    return Attributions(
        model="distance",
        unit="",
        source="digits",
        identity="",
        instances=tuple(map(str, range(pictures))),
        classes=("a",),
        labels=zeros,
        targets=zeros,
        pictures=rng.random((pictures, 1, 4, 6)).astype(np.float32),
        seconds=None,
        areas=AREAS,
        methods=methods,
        sampled=Sampled(np.zeros((1, 1, 1, 0), np.uint64), np.zeros((1, 1, 1), np.int64)),
    )


def area_values(pixels):
    return np.array([pixels[:, area == AREAS].sum() for area in range(6)])


def mean_of(table):
    return np.nanmean(np.array(table, dtype=float), axis=0)


def test_likeness_of_baselines():
    found, row = attributions(), likeness(attributions())
    of = {
        name: [
            [area_values(found.methods[name].values[r % n, i]) for i in range(3)] for r in (0, 1)
        ]
        for name, n in REPEATS.items()
    }
    each = {
        kind: mean_of(
            [
                [
                    np.corrcoef(of["sig_baselines"][r][i], of[f"ig_{kind}"][r][i])[0, 1]
                    for i in range(3)
                ]
                for r in (0, 1)
            ]
        )
        for kind in ("zero", "mean", "random")
    }
    for kind, values in each.items():
        assert row[kind] == pytest.approx(values.mean())
        assert row[f"{kind}_se"] == pytest.approx(values.std(ddof=1) / 3**0.5)
    gap = each["random"] - each["mean"]
    assert row["random_less_mean"] == pytest.approx(gap.mean())
    assert row["random_less_mean_se"] == pytest.approx(gap.std(ddof=1) / 3**0.5)


def test_areas_that_random_baselines_ignore():
    found, row = attributions(1), likeness(attributions(1))

    def upper(name, r, i):
        values = np.abs(area_values(found.methods[name].values[r % REPEATS[name], i]))
        return set(np.argsort(-values)[:3])

    focus, even = [], []
    for i in range(3):
        shares, sizes = [], []
        for r in (0, 1):
            chosen = upper("ig_zero", 0, i) & upper("ig_mean", 0, i) - upper("ig_random", r, i)
            own = np.abs(area_values(found.methods["sig_baselines"].values[r, i]))
            if chosen:
                shares.append(own[list(chosen)].sum() / own.sum())
                sizes.append(len(chosen) / 6)
        focus.append(np.mean(shares) if shares else np.nan)
        even.append(np.mean(sizes) if sizes else np.nan)
    known = ~np.isnan(focus)
    assert 0 < known.sum() == row["focus_pictures"]
    assert row["focus"] == pytest.approx(np.nanmean(focus))
    assert row["focus_even"] == pytest.approx(np.nanmean(even))
    assert row["focus_gain"] == pytest.approx(np.nanmean(focus) - np.nanmean(even))


def test_where_values_of_both_signs_are():
    found, row = attributions(2), likeness(attributions(2))
    values = found.methods["sig_baselines"].values
    own, others = np.zeros((2, 3)), np.zeros((2, 3))
    for r, i in product(range(2), range(3)):
        positive = area_values(np.maximum(values[r, i], 0))
        each = [
            np.corrcoef(positive, area_values(np.maximum(-values[r, j], 0)))[0, 1] for j in range(3)
        ]
        own[r, i] = each[i]
        others[r, i] = np.mean([each[j] for j in range(3) if j != i])
    assert row["signs"] == pytest.approx(own.mean())
    assert row["signs_others"] == pytest.approx(others.mean())
    gain = (own - others).mean(axis=0)
    assert row["signs_gain"] == pytest.approx(gain.mean())
    assert row["signs_gain_se"] == pytest.approx(gain.std(ddof=1) / 3**0.5)


def test_one_picture_is_not_compared_with_others():
    row = likeness(attributions(pictures=1))
    assert np.isnan(row["signs_others"])
    assert np.isnan(row["signs_gain_se"])
    assert row["zero"] == pytest.approx(row["zero"])


@pytest.mark.parametrize(
    ("shape", "side", "larger", "smaller"),
    [
        ((8, 8), 2, 4, 64),
        ((8, 8), 1, 16, None),
        ((8, 8), 4, None, 16),
        ((28, 28), 7, 4, 49),
        ((224, 224), 56, 4, 64),
        ((3, 100), 20, 3, 10),
    ],
)
def test_sizes_of_areas(shape, side, larger, smaller):
    found = other_areas(*shape, side)
    counts = {name: int(areas.max()) + 1 for name, areas in found.items()}
    assert counts.get("larger") == larger
    assert counts.get("smaller") == smaller
    assert all(count <= MOST_PLAYERS for count in counts.values())


def test_small_areas_give_the_mean_over_all_coalitions_of_pixels():
    """If every coalition is drawn and kept, proposal 1 is a known mean over coalitions."""
    torch.manual_seed(0)
    network = PictureClassifier(1, 3, 4, 4).double().eval()
    picture, absent = torch.rand(1, 4, 4).double(), torch.zeros(1, 4, 4).double()

    def scores(pictures):
        return network(pictures)[:, :1]

    params = AttributionsParams.model_validate(
        {"repeats": 2, "per_size": 99, "kept": 24, "tolerance": 0.0, "bins": None}
        | {"counted": "all", "quadrature": "gauss-legendre", "steps": 24, "plain_steps": 4}
        | {"random_baselines": 1, "seed": 0}
    )
    areas = square_areas(4, 4, 2)
    shown = Shown(scores, picture, square_areas(4, 4, 4), absent)
    seed = np.random.SeedSequence(0)
    found, evaluations = with_areas(shown, areas, params, seed, evaluated_at_once=5, batch_size=7)
    assert evaluations == 2**4
    # Each attribution sums to the score's gain from its coalition. Sizes occur in proportion to
    # their weights in the Shapley value.
    gains = []
    for members in product((0, 1), repeat=4):
        size = sum(members)
        if size == 4:
            continue
        kept = torch.tensor(members)[torch.from_numpy(areas)].bool()
        start = torch.where(kept, picture, absent)
        whole, part = scores(torch.stack([picture, start]))[:, 0].tolist()
        gains += [whole - part] * (4 - size) * {0: 6, 1: 2, 2: 2, 3: 6}[size]
    expected = np.mean(gains)
    assert found.largest_gap < 0.1 * abs(expected)
    assert float(found.values.sum()) == pytest.approx(expected, abs=found.largest_gap)
