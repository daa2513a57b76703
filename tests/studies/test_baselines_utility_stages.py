"""The stages of human-defined utility functions, and the functions behind them."""

import csv
import dataclasses
import itertools
import json
from math import comb

import numpy as np
import oracle
import pytest
import stages
import torch
from scipy import stats
from tiny import tiny_params
from torch import nn

from pipeline.core.errors import InputError
from pipeline.core.statistics import interval
from pipeline.models import checkpoints
from pipeline.shapley import shapley_values
from pipeline.shapley.games import table_game
from pipeline.shapley.methods import METHODS
from pipeline.store import open_store
from pipeline.studies.baselines import (
    connections,
    estimates,
    game,
    proportional,
    replace,
    surrogates,
    tables,
)
from pipeline.studies.baselines.quality import normalised
from pipeline.studies.baselines.surrogate import train_surrogate
from pipeline.studies.baselines.theorems import proportional_probability
from pipeline.studies.baselines.utilities import UTILITIES, Rule, Utility, complete_table

RNG = np.random.default_rng
GAMES = ("rules_12", "synergies_12")
PARAMS = tiny_params().baselines


def of(section, **changes):
    return getattr(PARAMS, section).model_copy(update=changes)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Networks, stores and receipts of two games."""
    folder = tmp_path_factory.mktemp("utilities")
    for name in GAMES:
        train(name, networks(folder, name))
        evaluate(folder, name, networks(folder, name))
    return folder


def train(name, paths, **changes):
    params = of("surrogates", **changes)
    stages.run("baselines_surrogates", utility=name, params=params, out=paths)


def evaluate(folder, name, paths):
    """Plan the store of a game and of its networks, and evaluate what it lacks."""
    stages.plan(folder, "baselines", name, weights=paths)
    return stages.evaluate(folder, "baselines", name, weights=paths)


def store_of(folder, name):
    return open_store(stages.stored(folder, "baselines", name))


def networks(folder, name, count=PARAMS.surrogates.repeats):
    return [folder / name / f"{i}.pt" for i in range(count)]


def inputs(folder):
    return {
        "receipts": [folder / f"receipt_{name}.json" for name in GAMES],
        "checkpoints": [path for name in GAMES for path in networks(folder, name)],
    }


def read_csv(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def no_evaluation(self, masks):
    raise AssertionError("a utility function is evaluated")


# Networks


def test_checkpoints_are_the_networks_that_were_trained(study):
    game = "rules_12"
    found = [surrogates.read_surrogate(path) for path in networks(study, game)]
    assert [name for name, _ in found] == [game, game]
    params = PARAMS.surrogates
    again = train_surrogate(
        UTILITIES[game],
        share=0.5,
        seed=surrogates.network_seed(params.seed, game, 1),
        hidden=params.hidden,
        layers=params.layers,
        steps=params.steps,
        batch_size=params.batch,
        learning_rate=params.learning_rate,
    )
    masks = np.arange(2**12, dtype=np.uint64)
    np.testing.assert_allclose(found[1][1](masks), again(masks), atol=1e-5)
    np.testing.assert_array_equal(found[1][1].trained_on, again.trained_on)
    assert not np.array_equal(found[0][1].trained_on, found[1][1].trained_on)
    assert np.abs(found[0][1](masks) - found[1][1](masks)).max() > 1e-3
    assert not any(p.requires_grad for p in found[0][1].network.parameters())


def test_weights_do_not_depend_on_threads_nor_on_how_many_networks_there_are(study, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        paths = [tmp_path / "only.pt"]
        train("rules_12", paths, repeats=1)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert paths[0].read_bytes() == networks(study, "rules_12")[0].read_bytes()


def test_the_share_is_that_of_the_number_of_players(tmp_path):
    train("rules_20", [tmp_path / "one.pt"], repeats=1, share_of_20=0.01, steps=2)
    _, found = surrogates.read_surrogate(tmp_path / "one.pt")
    assert (found.n_players, len(found.trained_on)) == (20, round(0.01 * 2**20))


def test_what_cannot_be_trained_or_read_is_refused(study, tmp_path):
    with pytest.raises(InputError, match="'rules_13': must be one of synergies_12"):
        train("rules_13", [tmp_path / "1.pt"] * 2)
    with pytest.raises(InputError, match=r"1 checkpoints are requested.*repeats is 2"):
        train("rules_12", [tmp_path / "1.pt"])
    path = networks(study, "rules_12")[0]
    description, _ = checkpoints.load(path)
    network = surrogates.read_surrogate(path)[1].network
    for change, message in (
        ({"game": "rules_20"}, "12 players for the game 'rules_20'"),
        ({"trained_on": None}, "lacks the coalitions that it was trained on"),
    ):
        checkpoints.save(tmp_path / "other.pt", network, description | change)
        with pytest.raises(InputError, match=message):
            surrogates.read_surrogate(tmp_path / "other.pt")
    checkpoints.save(tmp_path / "other.pt", nn.Linear(2, 1), {"kind": "linear"})
    with pytest.raises(InputError, match="lacks n_players"):
        surrogates.read_surrogate(tmp_path / "other.pt")


# Tables


def test_stored_values_are_those_of_the_rules_and_of_the_networks(study):
    store = store_of(study, "rules_12")
    assert store.instances == ("utility", "network 1", "network 2")
    masks = np.arange(2**12, dtype=np.uint64)
    np.testing.assert_array_equal(store.read("utility"), UTILITIES["rules_12"](masks))
    for i, path in enumerate(networks(study, "rules_12"), start=1):
        values = surrogates.read_surrogate(path)[1](masks)
        np.testing.assert_allclose(store.read(f"network {i}"), values, atol=1e-5)
    assert len(set(store.input_sha256)) == 3
    assert (store.record.study, store.record.outputs) == ("baselines", ("utility",))


def test_only_what_is_new_is_evaluated(study, tmp_path):
    name, paths = "synergies_12", networks(study, "synergies_12")

    def evaluated(chosen):
        made = evaluate(tmp_path, name, chosen)
        return made.instances_evaluated, made.instances_reused, made.identity

    train(name, [tmp_path / "other.pt"], repeats=1, seed=5)
    counts = [
        evaluated(chosen)
        for chosen in (paths[:1], paths[:1], paths, [], paths, [tmp_path / "other.pt", paths[1]])
    ]
    assert [c[:2] for c in counts] == [(2, 0), (0, 2), (1, 2), (0, 1), (0, 3), (1, 2)]
    assert len({identity for *_, identity in counts}) == 1


def test_networks_of_another_game_are_refused(study, tmp_path):
    with pytest.raises(InputError, match="is a network for synergies_12; networks for rules_12"):
        evaluate(tmp_path, "rules_12", networks(study, "synergies_12"))
    known = tables.read_networks(networks(study, "rules_12")[:1])
    with pytest.raises(
        InputError, match="no checkpoint holds the weights behind the values of 'network 2'"
    ):
        tables.networks_of(store_of(study, "rules_12"), known)


def test_digests_tell_rules_apart():
    rules = UTILITIES["rules_12"].rules
    digests = {
        game.rules_digest(Utility(n, some)) for n in (12, 13) for some in (rules, rules[:-1])
    }
    assert len(digests) == 4


# Estimates


def random_game(n, seed=0):
    return table_game(RNG(seed).normal(size=2**n))


def order_gains(game, order):
    """Each player's marginal contribution in this order."""
    gains, mask = np.zeros(game.n_players), 0
    for player in order:
        gains[player] = game.values[mask | 1 << player, 0] - game.values[mask, 0]
        mask |= 1 << player
    return gains


def test_the_smallest_budget_buys_one_order():
    game = random_game(4)
    found = estimates.permutation_values(game, budget=5, seed=3)
    assert (found.evaluations, found.samples) == (5, 1)
    gains = [order_gains(game, order) for order in itertools.permutations(range(4))]
    assert sum(np.allclose(found.values[:, 0], some) for some in gains) == 1


def test_permutation_sampling_is_unbiased_and_exact_at_full_budget():
    game = random_game(4)
    exact = oracle.shapley_values(lambda s: game.values[oracle.mask_of(s)], 4)
    drawn = np.stack(
        [estimates.permutation_values(game, budget=9, seed=s).values for s in range(400)]
    )
    error = drawn.std(axis=0, ddof=1) / 20
    assert (np.abs(drawn.mean(axis=0) - exact) < 4 * error).all()
    np.testing.assert_allclose(estimates.permutation_values(game, budget=16).values, exact)
    with pytest.raises(InputError, match="budget of 4"):
        estimates.permutation_values(game, budget=4)


def drawn_estimates(game, per_size=2, seed=0, **arguments):
    given = {"n_kept": 50, "tolerance": 1e-9, "bins": 20} | arguments
    sequence = np.random.SeedSequence(seed)
    sampled = estimates.sampled_both_ways(game, per_size=per_size, seed=sequence, **given)
    return estimates.estimates(game, sampled, seed=sequence)


def test_no_estimator_evaluates_more_than_effective_shapley_values():
    found = drawn_estimates(random_game(10))
    budget = found["effective"].evaluations
    assert set(found) == {*estimates.EFFECTIVE, *estimates.PLAIN}
    for name in estimates.EFFECTIVE:
        assert found[name].evaluations == budget
    for name in estimates.PLAIN:
        assert found[name].evaluations <= budget
    # The budget allows no further order of up to 9 new coalitions.
    assert found["permutation"].evaluations > budget - 9


def test_estimators_beyond_the_budget_are_left_out(monkeypatch):
    game = random_game(10)
    budget = drawn_estimates(game)["effective"].evaluations
    for needed, names in ((budget, {"stratified"}), (budget + 1, set())):
        dear = dataclasses.replace(METHODS["stratified"], needs=lambda n, needed=needed: needed)
        monkeypatch.setitem(METHODS, "stratified", dear)
        assert set(drawn_estimates(game)) & {"stratified"} == names


def test_additive_games_are_estimated_exactly():
    worths = np.array([3.0, -1.0, 2.0, 0.0, 0.5, 1.0])
    membership = np.arange(64)[:, None] >> np.arange(6) & 1
    found = drawn_estimates(table_game(membership @ worths), per_size=3)
    for name in ("effective", "effective_printed", "effective_unsampled", "permutation"):
        np.testing.assert_allclose(found[name].values, worths, atol=1e-9, err_msg=name)


def test_gradients_of_a_linear_network_are_its_weights_where_the_baseline_is_absent():
    network = nn.Linear(5, 1).requires_grad_(False)
    weights = network.weight[0].numpy()
    seed = np.random.SeedSequence(4)
    kept = [np.array([0b10, 0b10, 0b110] if player == 0 else [0b1]) for player in range(5)]
    found = estimates.gradient_estimates(network, 5, random_baselines=7, effective=kept, seed=seed)
    absent = 1 - np.random.default_rng(seed).integers(2, size=(7, 5)).mean(axis=0)
    assert 0 < absent.mean() < 1
    for name, factor in (
        ("gradients_zero", 1),
        ("gradients_mean", 0.5),
        ("gradients_random", absent),
        # Of seven coalitions, four hold player 0, three player 1, and one player 2.
        ("gradients_effective", 1 - np.array([4, 3, 1, 0, 0]) / 7),
    ):
        np.testing.assert_allclose(found[name].values, factor * weights, atol=1e-6)
    assert found["gradients_random"].evaluations == 7 * found["gradients_zero"].evaluations


def test_errors_agree_with_loops():
    rng = RNG(1)
    exact = np.array([[3.0, 1, 2, 0], [1, 2, 4, 0.1]])
    found = exact[:, None] + rng.normal(scale=0.5, size=(2, 3, 4))
    is_null = np.array([False, False, False, True])
    result = estimates.errors(found, exact, is_null)
    distance, pearson, kendall, null = np.zeros((4, 2, 3))
    for g in range(2):
        truth = exact[g] / np.abs(exact[g]).sum()
        for r in range(3):
            ratio = found[g, r] / np.abs(found[g, r]).sum()
            distance[g, r] = np.abs(ratio - truth).sum()
            pearson[g, r] = stats.pearsonr(found[g, r], exact[g])[0]
            kendall[g, r] = stats.kendalltau(found[g, r], exact[g])[0]
            null[g, r] = abs(ratio[3] - truth[3])
    for name, expected in (
        ("ratio_distance", distance),
        ("pearson", pearson),
        ("kendall", kendall),
        ("null_error", null),
    ):
        by_repeat = expected.mean(axis=0)
        assert result[name] == pytest.approx(by_repeat.mean())
        assert result[f"{name}_sd"] == pytest.approx(
            (expected[0].std(ddof=1) + expected[1].std(ddof=1)) / 2
        )
        assert result[f"{name}_se"] == pytest.approx(by_repeat.std(ddof=1) / 3**0.5)
    assert result["undefined"] == 0


def test_estimates_without_ratios_are_counted_and_left_out():
    exact = np.array([[1.0, 2.0]])
    found = np.array([[[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]])
    result = estimates.errors(found, exact, np.zeros(2, dtype=bool))
    assert (result["undefined"], result["ratio_distance"]) == (1, pytest.approx(0))
    assert result["ratio_distance_sd"] == result["ratio_distance_se"] == pytest.approx(0)
    assert np.isnan(result["null_error"])
    nothing = estimates.errors(found[:, 1:2], exact, np.zeros(2, dtype=bool))
    for name in ("ratio_distance", "ratio_distance_sd", "ratio_distance_se"):
        assert np.isnan(nothing[name])


def test_players_who_are_alike_are_ties():
    found = np.array([[[2.0, 1.0, 1.0]]])
    exact = np.array([[2.0, 1.0, 1.0 + 1e-14]])
    assert estimates.errors(found, exact, np.zeros(3, dtype=bool))["kendall"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([-1.0, -1.1, -0.9, -1.0], "better"),
        ([1.0, 1.1, 0.9, 1.0], "worse"),
        ([1.0, -1.0, 0.5, -0.4], "equal"),
        ([0.0, 0.0, 0.0], "equal"),
        ([1.0, np.nan, np.nan], None),
    ],
)
def test_paired_differences(differences, verdict):
    base = RNG(0).random(len(differences))
    found = estimates.paired_difference(base + differences, base)
    assert found.verdict == verdict
    if verdict is not None:
        assert found.mean == pytest.approx(np.mean(differences))
        expected = np.std(differences, ddof=1) / len(differences) ** 0.5
        assert found.standard_error == pytest.approx(expected, abs=1e-15)
    with pytest.raises(InputError, match="cannot be paired"):
        estimates.paired_difference(base, base[:1])


def run_ratios(folder, out, **changes):
    out.mkdir(exist_ok=True)
    stages.run(
        "baselines_ratios",
        folder,
        **inputs(folder) | changes,
        params=PARAMS.ratios,
        out=out / "ratios.json",
        table=out / "ratios.csv",
        values=out / "values.csv",
        counts=out / "counts.csv",
    )


def draw(rule, numbers, *names):
    """Draw figures beside the numbers; check that each exists as PNG and as SVG."""
    figures = [numbers.with_name(f"{name}.png") for name in names]
    stages.run(f"baselines_draw_{rule}", numbers=numbers, figures=figures)
    for path in figures:
        assert all(path.with_suffix(kind).stat().st_size for kind in (".png", ".svg"))


@pytest.fixture(scope="module")
def compared(study):
    """The stage's files, made without evaluating any utility function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Utility, "__call__", no_evaluation)
        run_ratios(study, study / "ratios")
    return study / "ratios"


def test_errors_of_the_games(compared):
    content = json.loads((compared / "ratios.json").read_text())
    rows = content["rows"]
    keys = [(r["game"], r["of"], r["method"], r["per_size"]) for r in rows]
    assert len(set(keys)) == len(keys)
    expected = {
        (game, of_kind, method, per_size)
        for game in GAMES
        for of_kind in ("utility", "networks")
        for method in (*estimates.EFFECTIVE, "permutation")
        for per_size in (1, 2)
    } | {(game, "networks", method, None) for game in GAMES for method in estimates.GRADIENTS}
    assert expected <= set(keys)
    by_key = dict(zip(keys, rows, strict=True))
    for row in rows:
        for against, verdict in (("permutation", "verdict"), ("effective", "verdict_effective")):
            if row["per_size"] is None or row["method"] == against:
                assert row[f"less_{against}"] is row[verdict] is None
                continue
            other = by_key[row["game"], row["of"], against, row["per_size"]]
            difference = row["ratio_distance"] - other["ratio_distance"]
            assert row[f"less_{against}"] == pytest.approx(difference)
            assert row[verdict] in ("better", "equal", "worse")
    opposite = {"better": "worse", "equal": "equal", "worse": "better"}
    for kind in ("utility", "networks"):
        of_permutation = content["verdicts_against_effective"][kind]["permutation"]
        assert content["verdicts_against_permutation"][kind]["effective"] == {
            verdict: of_permutation[other] for verdict, other in opposite.items()
        }
        assert sum(of_permutation.values()) == 2 * len(GAMES)
    # All marginal contributions of the null player are zero.
    exact_zero = by_key["rules_12", "utility", "effective", 1]
    assert exact_zero["null_error"] == 0
    assert len(read_csv(compared / "ratios.csv")) == len(rows)
    draw("ratios", compared / "ratios.json", "ratios", "ratios_error")


def test_ratios_do_not_depend_on_threads(study, compared, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run_ratios(study, tmp_path)
    finally:
        torch.set_num_threads(before)
    for name in ("ratios.json", "ratios.csv", "values.csv", "counts.csv"):
        assert (compared / name).read_bytes() == (tmp_path / name).read_bytes()


def test_counts_of_algorithm_1(compared):
    rows = read_csv(compared / "counts.csv")
    table = complete_table(UTILITIES["rules_12"])[:, 0]
    most, kept = max(PARAMS.ratios.per_size), PARAMS.ratios.kept
    by_player = {}
    for row in rows:
        if row["game"] == "rules_12":
            by_player.setdefault(int(row["player"]), []).append(row)
    masks = np.arange(2**12)
    sizes = np.bitwise_count(masks)
    effective = {}
    for player in range(12):
        without = masks[(masks >> player & 1) == 0]
        gains = table[without | 1 << player] - table[without]
        effective[player] = set(sizes[without[np.abs(gains) > 1e-9]].tolist())
    assert set(by_player) == {player for player, some in effective.items() if some}
    for player, cells in by_player.items():
        found = {
            name: np.array([int(row[name]) for row in cells])
            for name in cells[0]
            if name in ("size", "available", "kept_weighted", "kept_printed")
        }
        places = [(row["mean_marginal"], row["size"]) for row in cells]
        assert len(set(places)) == len(places)
        assert set(found["size"].tolist()) <= effective[player]
        assert found["kept_weighted"].sum() == found["kept_printed"].sum() == kept
        # A coalition of size k comes from a draw of size k, or of size k + 1 with the player.
        for size in effective[player]:
            assert found["available"][found["size"] == size].sum() <= 2 * most
        assert (found["available"] > 0).all()
    # Printed counts, unlike weighted ones, are mostly of the smallest and the largest size.
    ends = {
        name: sum(int(row[name]) for row in rows if row["size"] in ("0", "11"))
        for name in ("kept_weighted", "kept_printed")
    }
    assert ends["kept_printed"] > 2 * ends["kept_weighted"] > 0


def test_values_by_player(compared):
    rows = read_csv(compared / "values.csv")
    exact = shapley_values(complete_table(UTILITIES["rules_12"]))[:, 0]
    chosen = [
        r
        for r in rows
        if (r["game"], r["instance"], r["method"]) == ("rules_12", "utility", "effective")
    ]
    assert [int(r["player"]) for r in chosen] == list(range(12))
    np.testing.assert_allclose([float(r["exact_value"]) for r in chosen], exact, atol=1e-6)
    np.testing.assert_allclose(
        [float(r["exact_ratio"]) for r in chosen], normalised(exact), atol=1e-6
    )
    assert sum(abs(float(r["exact_ratio"])) for r in chosen) == pytest.approx(1)
    assert not any(r["method"] in estimates.GRADIENTS for r in rows if r["instance"] == "utility")


def test_a_receipt_that_is_wrong_is_removed(study, tmp_path):
    paths, receipt = networks(study, "rules_12"), tmp_path / "receipt_rules_12.json"
    evaluate(tmp_path, "rules_12", paths)
    shard = store_of(tmp_path, "rules_12").shard("network 1")
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(InputError, match="run the same command again"):
        run_ratios(tmp_path, tmp_path / "out", receipts=[receipt], checkpoints=paths)
    assert not receipt.exists()
    assert not (tmp_path / "out" / "ratios.json").exists()
    assert evaluate(tmp_path, "rules_12", paths).instances_evaluated == 1


# Networks that replace utility functions


def test_a_fit_needs_coalitions_that_were_not_trained_on_and_values_that_vary():
    tables_of = np.zeros((4, 1)), np.zeros((4, 1))
    assert replace.table_fit(*tables_of, np.arange(4, dtype=np.uint64)) is None
    assert np.isnan(replace.table_fit(*tables_of, np.zeros(1, dtype=np.uint64)).r_squared)
    with pytest.raises(InputError, match="shapes"):
        replace.table_fit(np.zeros((4, 1)), np.zeros((8, 1)), np.zeros(1, dtype=np.uint64))


def test_sampled_coalitions_lack_the_player_and_weigh_as_the_shapley_value_does():
    n, player, count = 4, 2, 20_000
    masks = connections.coalitions_without(n, player, count, RNG(0))
    assert masks.dtype == np.uint64
    found = np.bincount(masks.astype(int), minlength=16) / count
    for mask in range(16):
        size = mask.bit_count()
        held = mask >> player & 1
        expected = 0 if held else 1 / (n * comb(n - 1, size))
        assert found[mask] == pytest.approx(expected, abs=0.0 if held else 0.015)


def test_theorem_3_of_a_network(study):
    _, surrogate = surrogates.read_surrogate(networks(study, "rules_12")[0])
    seed = np.random.SeedSequence(1)
    found = connections.connected(surrogate, coalitions=6, steps=16, seed=seed)
    assert found.marginals.shape == found.integrated.shape == (12, 6)
    generator = np.random.default_rng(seed)
    for player in range(12):
        masks = connections.coalitions_without(12, player, 6, generator)
        gained = surrogate(masks | np.uint64(1 << player)) - surrogate(masks)
        np.testing.assert_allclose(found.marginals[player], gained[:, 0], atol=1e-4)
    means = found.by_player()
    np.testing.assert_allclose(means["marginal"][3], np.mean(found.marginals[3]))
    off = [abs(a - b) for a, b in zip(found.marginals[3], found.integrated[3], strict=True)]
    np.testing.assert_allclose(means["difference"][3], np.mean(off))
    summary = found.summary()
    assert summary["largest_difference"] < 1e-3 < summary["mean_spread"]
    sums = np.abs(found.integrated.sum(axis=1) - found.marginals.sum(axis=1))
    assert summary["largest_accumulated_difference"] == pytest.approx(sums.max())


def run_replace(folder, out, **changes):
    out.mkdir(exist_ok=True)
    stages.run(
        "baselines_replace",
        folder,
        **inputs(folder) | changes,
        params=PARAMS.replace,
        out=out / "replace.json",
        table=out / "replace.csv",
        values=out / "values.csv",
        connections=out / "connected.csv",
    )


def test_networks_beside_their_utility_functions(study, tmp_path, monkeypatch):
    monkeypatch.setattr(Utility, "__call__", no_evaluation)
    run_replace(study, tmp_path)
    monkeypatch.undo()
    content = json.loads((tmp_path / "replace.json").read_text())
    names = [(row["game"], row["network"]) for row in content["networks"]]
    assert names == [(game, f"network {i}") for game in GAMES for i in (1, 2)]
    store = store_of(study, "rules_12")
    values = {name: shapley_values(store.read(name))[:, 0] for name in store.instances}
    np.testing.assert_allclose(content["shapley_values"]["rules_12"]["utility"], values["utility"])
    off = np.abs(values["network 1"] - values["utility"])
    row = content["networks"][0]
    assert row["largest_value_difference"] == pytest.approx(off.max())
    assert row["trained_share"] == 0.5
    assert len(read_csv(tmp_path / "connected.csv")) == len(content["theorem_3"]) == 4
    assert len(read_csv(tmp_path / "values.csv")) == 2 * 3 * 12
    draw("replace", tmp_path / "replace.json", "surrogates", "connected")


def test_a_store_without_networks_is_refused(tmp_path):
    evaluate(tmp_path, "rules_12", [])
    receipts = [tmp_path / "receipt_rules_12.json"]
    with pytest.raises(InputError, match="holds no network of rules_12"):
        run_replace(tmp_path, tmp_path, receipts=receipts, checkpoints=[])


# Proportions


def test_effective_coalitions_are_counted():
    table = RNG(0).integers(0, 3, size=2**5).astype(float)
    expected = [
        sum(table[s | 1 << i] != table[s] for s in range(32) if not s >> i & 1) for i in range(5)
    ]
    assert proportional.effective_counts(table) == expected
    within = [
        sum(abs(table[s | 1 << i] - table[s]) > 1 for s in range(32) if not s >> i & 1)
        for i in range(5)
    ]
    assert proportional.effective_counts(table, tolerance=1) == within != expected
    with pytest.raises(InputError, match="shape"):
        proportional.effective_counts(np.zeros(6))


def samples_by_loops(effective, population, drawn):
    """The number of proportional samples, and of all samples."""
    correct, each = 0, list(itertools.combinations(range(population), drawn))
    for samples in itertools.product(each, repeat=len(effective)):
        a = [sum(c < e for c in s) for s, e in zip(samples, effective, strict=True)]
        some = next(i for i, e in enumerate(effective) if e)
        least = min(x for x, e in zip(a, effective, strict=True) if e)
        is_proportional = all(
            x * effective[some] == a[some] * e for x, e in zip(a, effective, strict=True)
        )
        correct += least > 0 and is_proportional
    return correct, len(each) ** len(effective)


@pytest.mark.parametrize("effective", [(2, 4), (1, 3), (4, 4), (2, 0)])
def test_proportions_against_all_samples(effective):
    found = proportional.proportions(effective, 4, [1, 2, 3, 4, 5], simulations=4000, seed=1)
    assert [one.drawn for one in found] == [1, 2, 3, 4]
    for one in found:
        correct, total = samples_by_loops(effective, 4, one.drawn)
        assert one.printed == correct
        assert one.probability == pytest.approx(correct / total)
        low, high = interval(one.simulated.frequency, 4000)
        assert low - 0.02 < one.probability < high + 0.02
        assert (one.printed_log10 is None) == (correct == 0)


def test_the_most_probable_set():
    effective, drawn = [8, 3, 6, 0, 5, 8, 7], [1, 2, 3, 4]

    def mean(chosen):
        e = [effective[i] for i in chosen]
        k = len(e)
        return sum(proportional_probability(e, [8] * k, [b] * k) for b in drawn)

    for size in (2, 3):
        sets = itertools.combinations([i for i in range(7) if effective[i]], size)
        varied = [s for s in sets if any(effective[i] < 8 for i in s)]
        found = proportional.most_probable(effective, 8, drawn, size)
        assert found in varied
        assert mean(found) == pytest.approx(max(map(mean, varied)))
    assert proportional.most_probable([8, 8, 0], 8, drawn, 2) == (0, 1)
    assert proportional.most_probable([8, 0, 0], 8, drawn, 2) is None
    assert proportional.most_probable([8, 8, 0], 8, [9], 2) is None
    with pytest.raises(InputError, match="at most"):
        proportional.most_probable([1] * 60, 8, drawn, 5)


@pytest.mark.parametrize("hits", [0, 3, 50])
def test_intervals(hits):
    """Wilson's ends are the probabilities p that lie z standard errors of p from the frequency."""
    z = stats.norm.ppf(0.975)
    low, high = np.sort(np.roots([1 + z**2 / 50, -(2 * hits + z**2) / 50, (hits / 50) ** 2]))
    assert interval(hits / 50, 50) == pytest.approx((low, high), abs=1e-12)


def test_proportions_of_the_games_and_of_the_example(study, tmp_path):
    stages.run(
        "baselines_proportions",
        study,
        receipts=inputs(study)["receipts"],
        params=PARAMS.proportions,
        out=tmp_path / "proportions.json",
        table=tmp_path / "proportions.csv",
    )
    content = json.loads((tmp_path / "proportions.json").read_text())
    assert content["effective_coalitions"]["example"] == [24, 8, 8, 0, 0, 0]
    assert content["effective_coalitions"]["synergies_12"] == [2048] * 11 + [0]
    by_key = {(r["game"], r["set"], r["drawn"]): r for r in content["rows"]}
    # Four coalitions per player can only show 3 : 1 : 1.
    by_hand = (comb(24, 3) * 8) * (8 * comb(24, 3)) ** 2
    row = by_key["example", "example", 4]
    assert row["probability"] == pytest.approx(by_hand / comb(32, 4) ** 3)
    assert float(row["printed"]) == pytest.approx(by_hand, rel=1e-5)
    assert by_key["synergies_12", "all players", 2]["probability"] == pytest.approx(1)
    assert by_key["rules_12", "all players", 4]["probability"] == 0
    assert by_key["rules_12", "two players", 2]["players"] == [2, 3]
    rows = read_csv(tmp_path / "proportions.csv")
    assert len(rows) == len(content["rows"]) == 2 * (1 + 2 * 3)
    draw("proportions", tmp_path / "proportions.json", "proportions")


def test_stores_of_other_studies_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(UTILITIES, "tiny", Utility(3, (Rule(1.0, (0,)),)))
    evaluate(tmp_path, "tiny", [])
    monkeypatch.undo()
    receipts = [tmp_path / "receipt_tiny.json"]
    with pytest.raises(InputError, match="is a store of baselines/tiny"):
        run_ratios(tmp_path, tmp_path, receipts=receipts, checkpoints=[])
