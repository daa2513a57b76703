"""Networks for tables: losses, distances, games and claims against slow, obvious code."""

import itertools
import json
from dataclasses import replace

import numpy as np
import oracle
import pytest
import torch
from tiny import OVERRIDES, defaults, merged

from pipeline.core.errors import InputError
from pipeline.data import tables as data_tables
from pipeline.models import shapnets
from pipeline.models.harsanyi import HarsanyiNet
from pipeline.models.shapnets import ShapNet
from pipeline.shapley.exact import shapley_values
from pipeline.shapley.games import table_game
from pipeline.studies.shapnets import (
    claims,
    distance,
    explained,
    game,
    losses,
    networks,
    paths,
    report,
    table_data,
    timing,
    trained,
)
from pipeline.studies.shapnets.explain import ExplainedRow, draw_row, explain_row, row_table
from pipeline.studies.shapnets.params import NetworksParams, Params

SIZES = NetworksParams(width=3, hidden=4)
TINY = Params(**merged(defaults(), OVERRIDES)["shapnets"])
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def network_of(n=5, n_outputs=3, **more):
    return networks.deep(n, n_outputs, SIZES, references=torch.randn(n), **more).double()


def exact_values(network, features):
    def value(players):
        there = torch.tensor([i in players for i in range(len(features))])
        return network(torch.where(there, features, network.references)[None])[0].detach().numpy()

    return oracle.shapley_values(value, len(features))


def test_marginal_contributions_of_all_orders_average_to_shapley_values():
    network, features = network_of(4), torch.randn(2, 4, dtype=torch.float64)
    orders = torch.tensor(list(itertools.permutations(range(4))))
    for row in features:
        found = losses.marginals(network, row.expand(len(orders), -1), orders).mean(dim=0)
        np.testing.assert_allclose(found.detach(), exact_values(network, row), atol=1e-12)


def test_marginal_contributions_are_those_of_the_order_and_of_its_reverse():
    network, features = network_of(4), torch.randn(1, 4, dtype=torch.float64)
    order = [2, 0, 3, 1]
    places = torch.tensor([[order.index(i) for i in range(4)]])
    found = losses.marginals(network, features, places)[0]

    def value(players):
        there = torch.tensor([i in players for i in range(4)])
        return network(torch.where(there, features[0], network.references)[None])[0]

    for i in range(4):
        place = order.index(i)
        before, after = set(order[:place]), set(order[place + 1 :])
        mean = (value(before | {i}) - value(before) + value(after | {i}) - value(after)) / 2
        torch.testing.assert_close(found[i], mean)


def test_the_term_has_the_squared_distance_as_expectation():
    network, features = network_of(4, 2), torch.randn(3, 4, dtype=torch.float64)
    targets = torch.zeros(3, dtype=torch.int64)
    loss = losses.consistent(1.0, 3, seed=1)
    plain = losses.plain(network, features, targets)
    drawn = [float(loss(network, features, targets) - plain) for _ in range(600)]
    own = network.explain(features).layers[-1].detach().numpy()
    wanted = np.mean([((own[i] - exact_values(network, features[i])) ** 2).sum() for i in range(3)])
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert abs(np.mean(drawn) - wanted) < 4 * error
    assert wanted > 10 * error


def test_norms_in_the_loss():
    network, features = network_of(4, 2), torch.randn(3, 4, dtype=torch.float64)
    targets = torch.tensor([0, 1, 1])
    plain = losses.plain(network, features, targets)
    values = network.explain(features).layers[-1].detach().numpy()
    l1 = np.mean([np.abs(values[i]).sum() for i in range(3)])
    largest = np.mean([np.abs(values[i, :, c]).max() for i in range(3) for c in range(2)])
    assert float(losses.l1(2.0)(network, features, targets) - plain) == pytest.approx(2 * l1)
    found = losses.l_infinity(3.0)(network, features, targets) - plain
    assert float(found) == pytest.approx(3 * largest)


def test_distances_are_those_of_their_definitions():
    rng = np.random.default_rng(0)
    exact, found, scores = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=2)
    weights = np.exp(scores) / np.exp(scores).sum()
    relative = absolute = 0.0
    for c in range(2):
        difference = sum(abs(found[i, c] - exact[i, c]) for i in range(4))
        relative += weights[c] * difference / sum(abs(exact[i, c]) for i in range(4))
        absolute += weights[c] * difference / 4
    np.testing.assert_allclose(
        distance.distances(exact, found, scores), [relative, relative / 4, absolute]
    )
    assert np.isnan(distance.distances(np.zeros((2, 1)), np.ones((2, 1)), np.zeros(1))[0])


def test_the_non_additive_share():
    numbers = np.arange(8)
    bits = [(numbers >> i & 1).astype(float) for i in range(3)]
    additive = 2 * bits[0] - bits[1] + 3
    assert distance.non_additive(additive[:, None]) == pytest.approx(0, abs=1e-12)
    # A product of signs ±1 has no additive part.
    product = (2 * bits[0] - 1) * (2 * bits[1] - 1)
    assert distance.non_additive(product[:, None]) == pytest.approx(1)
    mixed = distance.non_additive((additive + product)[:, None])
    assert mixed == pytest.approx(product.var() / (additive.var() + product.var()))
    assert np.isnan(distance.non_additive(np.ones((8, 1))))


@pytest.mark.parametrize("kind", ["deep", "shallow", "plain"])
def test_deep_shap_sums_to_the_score_and_is_exact_where_nothing_interacts(kind):
    if kind == "plain":
        network, references = networks.PlainNetwork(4, 3, 6).double(), torch.zeros(4).double()
    else:
        network = network_of(4)
        if kind == "shallow":
            sets = [(i,) for i in range(4)]
            network = shapnets.shallow(4, 3, [5], sets=sets, references=torch.randn(4)).double()
        references = network.references
    features = torch.randn(2, 4, dtype=torch.float64)
    found = distance.deep_shap(network, features, references)
    gap = network(features) - network(references[None])
    torch.testing.assert_close(found.sum(dim=1), gap.detach(), atol=1e-6, rtol=1e-6)
    if kind == "shallow":
        exact = [exact_values(network, row) for row in features]
        np.testing.assert_allclose(found, exact, atol=1e-6)


def test_kernel_shap_of_all_coalitions_is_exact_and_draws_leave_the_generator_alone():
    table = np.random.default_rng(0).normal(size=(32, 2))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = distance.kernel_shap(table_game(table), 500, seed=0)
    np.testing.assert_allclose(found, shapley_values(table), atol=1e-6)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    few = [distance.kernel_shap(table_game(table), 20, seed=s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(few[0], few[1])


def test_the_variation_of_explanations():
    values = np.array([[[1.0], [3.0]], [[0.0], [0.0]]])
    assert trained.variation(values) == pytest.approx(1 / 2)
    assert np.isnan(trained.variation(values[1:]))


def test_networks_have_the_sizes_that_they_are_compared_by():
    made = networks.builders(16, 1, SIZES, TINY.compared, bias=False)
    deep = made["deep"]()
    widths = [layer.n_outputs for layer in deep.layers]
    assert widths == [3, 6, 9, 1]
    equal = made["dnn, equal parameters"]()
    assert 1 <= networks.count(equal) / networks.count(deep) < 1.3
    cost = networks.products(deep)
    more = made["dnn, equal computation"]()
    assert 1 <= networks.count(more) / cost < 1.3
    by_hand = 0
    for layer, (channels, hidden, width) in enumerate(
        [(1, [4], 3), (3, [8, 8], 6), (6, [12, 12], 9), (9, [16, 16], 1)]
    ):
        inner = sum(a * b for a, b in itertools.pairwise(hidden))
        by_hand += 8 * (2 * channels * hidden[0] + 4 * inner + 2 * hidden[-1] * width)
        assert layer < 4
    assert cost == by_hand


def test_checkpoints_give_the_networks_back(tmp_path):
    made = networks.builders(6, 2, SIZES, TINY.compared, bias=True)
    each = {name: make() for name, make in made.items()}
    networks.save(tmp_path / "x.pt", each)
    found = networks.load(tmp_path / "x.pt")
    features = torch.randn(3, 6)
    assert list(found) == list(each)
    for name, network in each.items():
        torch.testing.assert_close(found[name](features), network(features))
    torch.save(each["deep"].state_dict(), tmp_path / "y.pt")
    with pytest.raises(InputError, match="holds no networks of this study"):
        networks.load(tmp_path / "y.pt")


def test_folds_leave_out_every_row_once():
    params = TINY.training.model_copy(update={"folds": 3})
    parts = list(trained.folds(11, params, 0))
    left_out = [set(range(11)) - set(part.tolist()) for part in parts]
    assert sorted(itertools.chain(*left_out)) == list(range(11))
    with pytest.raises(InputError, match="fewer folds, or a larger table"):
        list(trained.folds(5, params, 0))


def test_stored_games_are_the_networks_scores():
    network = network_of(4, 2).float()
    subjects = [
        explained.Subject("deep", network, network.references),
        explained.subject_of("plain", networks.PlainNetwork(4, 2, 5)),
    ]
    features = torch.randn(2, 4)
    opened = game.opened("t", subjects, features, np.array([3, 7]), ("a", "b"), CPU)
    assert opened.instances == ("deep, row 3", "deep, row 7", "plain, row 3", "plain, row 7")
    found = opened.tables(range(4), None)
    for i, (subject, row) in enumerate(itertools.product(subjects, features)):
        for number in range(16):
            there = torch.tensor([bool(number >> p & 1) for p in range(4)])
            score = subject.network(torch.where(there, row, subject.references)[None])[0]
            np.testing.assert_allclose(found[i, number], score.detach(), atol=1e-6)
        asked = game.RowGame(subject, row, ("a", "b"))(np.arange(16, dtype=np.uint64))
        np.testing.assert_allclose(asked, found[i], atol=1e-6)
    digests = [opened.digest(i, None) for i in range(4)]
    assert len(set(digests)) == 4


def test_a_network_of_many_features_is_not_enumerated():
    subject = explained.subject_of("plain", networks.PlainNetwork(21, 1, 2))
    with pytest.raises(InputError, match="at most 20"):
        game.values_of(subject, torch.randn(21), CPU)


@pytest.fixture(scope="module")
def split():
    return table_data.read_split("synthetic", TINY.tables)


def test_tables_are_scaled_on_the_rows_to_train_on(split):
    np.testing.assert_allclose(split.train.features.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(split.train.features.std(axis=0), 1)
    assert len(split.train) + len(split.test) == 60
    table = data_tables.synthetic(0, 60)
    scaled = table_data.split_of(table, TINY.tables)
    assert scaled.train.targets.std() == pytest.approx(1)
    np.testing.assert_allclose(
        scaled.test.targets * scaled.target[1] + scaled.target[0], split.test.targets
    )
    with pytest.raises(InputError, match="there is no table wine"):
        table_data.read_table("wine", TINY.tables)


def test_all_kinds_of_networks_are_trained_and_measured(split):
    for section, names in (
        (TINY.compared, {"deep", "shallow", "gam", "harsanyi"}),
        (TINY.regularised, {"deep, l1", "deep, l infinity"}),
        (TINY.consistent, {"deep, consistent 1"}),
        (TINY.learned, {"all pairs", "learned pairs", "random pairs"}),
    ):
        made = trained.recipes(split, SIZES, section, 0, bias=False)
        rows, found, pairs = trained.train_all([split], made, TINY.training, "")
        assert set(found) == {row["network"] for row in rows} >= names
        for row in rows:
            assert np.isfinite(row["score"])
            explains_itself = isinstance(found[row["network"]], ShapNet | HarsanyiNet)
            assert np.isfinite(row["sparsity"]) == explains_itself
        assert set(pairs) == (names if section is TINY.learned else set())
    kept = {name: {len(run) for run in runs} for name, runs in pairs.items()}
    assert kept == {"all pairs": {120}, "learned pairs": {3}, "random pairs": {3}}


def test_local_accuracy_and_missingness_hold_after_training(split):
    made = trained.recipes(split, SIZES, TINY.compared, 0, bias=False)
    _, found, _ = trained.train_all(
        [split], {"deep": made["deep"]}, TINY.training.model_copy(update={"epochs": 3}), ""
    )
    network = found["deep"].double()
    features = torch.randn(5, 16, dtype=torch.float64)
    features[:, 3] = network.references[3]
    told = network.explain(features)
    torch.testing.assert_close(told.layers[-1].sum(dim=1), network(features))
    for layer in told.layers:
        torch.testing.assert_close(layer[:, 3], 0 * layer[:, 3], atol=1e-15, rtol=0)
    pruned, _ = network.pruned(features, 0.0)
    torch.testing.assert_close(pruned.layers[-1], told.layers[-1])


def row_of(network, method, relative, error=0.0):
    return {
        "network": network,
        "method": method,
        "relative": relative,
        "relative error": error,
    }


def trained_row(network, score, variation=1.0, sparsity=0.1):
    found = {"network": network, "parameters": 3}
    for name, value in (("score", score), ("variation", variation), ("sparsity", sparsity)):
        found |= {name: value, f"{name} error": 0.01}
    return found


@pytest.fixture
def results():
    compared = [
        trained_row(n, s)
        for n, s in (
            ("deep", 0.9),
            ("shallow", 0.91),
            ("gam", 0.8),
            ("dnn, equal computation", 0.9),
            ("dnn, equal parameters", 0.92),
            ("harsanyi", 0.9),
        )
    ]
    drawn = [
        {"source": "yeast", "group": "compared", "measure": "accuracy", "rows": compared},
        {
            "source": "yeast",
            "group": "regularised",
            "measure": "accuracy",
            "rows": [
                trained_row("deep, l1", 0.9, sparsity=0.5),
                trained_row("deep, l infinity", 0.9, variation=0.5),
            ],
        },
        {
            "source": "yeast",
            "group": "consistent",
            "measure": "accuracy",
            "rows": [trained_row("deep, consistent 1", 0.9)],
        },
        {
            "source": "interactions",
            "group": "learned",
            "measure": "loss",
            "rows": [
                trained_row("all pairs", 0.1),
                trained_row("learned pairs", 0.09),
                trained_row("random pairs", 0.5),
            ],
            "pairs": {"learned pairs": [[[0, 1], [0, 3]], [[4, 5], [7, 15]]]},
        },
    ]
    distances = [
        {
            "source": "yeast",
            "exact": True,
            "error of estimates": None,
            "non-additive": {"deep": 0.1, "deep, consistent 1": 0.1},
            "rows": [
                row_of("deep", "ours", 0.09),
                row_of("deep", "Deep SHAP", 0.2),
                row_of("deep", "Kernel SHAP (77)", 0.01),
                row_of("shallow", "ours", 1e-7),
                row_of("deep, consistent 1", "ours", 0.02),
                row_of("harsanyi", "ours", 2e-7),
                row_of("dnn, equal parameters", "FastSHAP", 0.2),
                row_of("dnn, equal parameters", "Kernel SHAP (default)", 0.001),
            ],
        }
    ]
    times = [
        {"network": "Deep ShapNet", "method": "ours", "seconds": 0.001},
        {"network": "Deep ShapNet", "method": "Deep SHAP", "seconds": 0.004},
        {"network": "Shallow ShapNet", "method": "ours", "seconds": 0.002},
        {"network": "HarsanyiNet", "method": "ours", "seconds": 0.003},
        {"network": "DNN (eq. param.)", "method": "FastSHAP", "seconds": 0.0005},
        {"network": "DNN (eq. param.)", "method": "Kernel SHAP (default)", "seconds": 0.1},
    ]
    return drawn, distances, {"rows": times}


def test_claims_are_decided_by_the_numbers(results):
    assert claims.headline(results[1]) == {"deep": results[1][0]["rows"][0]["relative"]}
    found = {c.claim: c for c in claims.table_claims(*results)}
    shows = [c.shows for c in found.values()]
    assert shows == [*["yes"] * 4, "no", *["yes"] * 7]
    drawn, distances, timing = results
    drawn[0]["rows"][0]["score"] = 0.5
    distances[0]["rows"][3]["relative"] = 0.01
    timing["rows"][1]["seconds"] = 0.0005
    distances[0]["rows"][4]["relative"] = 0.1
    assert "of 4 kept pairs in 2 runs 3 interact" in list(found.values())[-1].measured
    drawn[0]["rows"][1]["score"] = 0.8
    drawn[3]["rows"][1]["score"] = 0.4
    distances[0]["rows"][6]["relative"] = 0.05
    again = [c.shows for c in claims.table_claims(drawn, distances, timing)]
    assert again == ["no", "no", "yes", "yes", "no", "yes", "yes", *["no"] * 4, "in part"]


def test_small_numbers_are_not_written_as_none(results):
    drawn, distances, timing = results
    for row in drawn[0]["rows"]:
        row["score"] *= 1e-4
    for row in distances[0]["rows"]:
        row["relative"] *= 1e-4
    for row in timing["rows"]:
        row["seconds"] *= 1e-4
    said = {c.claim: c.measured for c in claims.table_claims(drawn, distances, timing)}
    assert said["their explanations are comparable to Kernel SHAP (77)"].endswith(
        ": yeast 9.00e-06 and 1.00e-06"
    )
    scores = next(text for claim, text in said.items() if claim.startswith("Deep and Shallow"))
    assert scores.startswith("accuracy: deep 9.00e-05, shallow 9.10e-05, gam 8.00e-05")
    times = report.times_table({"timing": timing})
    assert "| ours | 0.0001 | 0.0002 | 0.0003 | – |" in times


def test_tables_for_documents(results):
    drawn, distances, times = results
    content = {"trained": drawn, "distances": distances, "timing": times}
    assert "| yeast | deep | 3 | accuracy 0.900 ± 0.010 | 0.585 |" in report.accuracies_table(
        content
    )
    assert "| yeast | deep | 0.09000 |" in report.distances_table(content)
    peers = report.peers_table(content)
    assert "| yeast | DNN, FastSHAP | accuracy 0.920 ± 0.010 | 0.2000 | 0.5 |" in peers
    assert "| yeast | HarsanyiNet, its own | accuracy 0.900 ± 0.010 | 2.000e-07 | 3 |" in peers
    assert "| Deep SHAP | 4 |" in report.times_table(content)


def test_a_users_own_table_is_read_before_anything_runs(tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40)))
    own = {"table": {"path": str(path), "target": "y"}}
    params = Params(**merged(merged(defaults(), OVERRIDES)["shapnets"], own))
    paths.check(params)
    assert "own" in paths.enumerable(params)
    assert paths.games(params)["own"].waits_for == [str(path)]
    wide = ",".join(f"c{i}" for i in range(17))
    rows = "".join(",".join(str((i * j) % 23) for j in range(1, 18)) + f",{i % 2}\n"
                   for i in range(40))  # fmt: skip
    path.write_text(f"{wide},y\n{rows}")
    paths.own_features.cache_clear()
    assert "own" not in paths.enumerable(params)
    path.unlink()
    with pytest.raises(InputError, match=r"shapnets\.table\.path: there is no"):
        paths.check(params)


def test_every_network_and_method_is_timed(monkeypatch):
    monkeypatch.setattr(timing, "KERNEL", {"Kernel SHAP (40)": 40})
    monkeypatch.setattr(timing, "timed_networks", lambda seed: {
        "Deep ShapNet": shapnets.deep(16, [2, 2, 2, 1], [[3]] * 4).eval(),
        "HarsanyiNet": HarsanyiNet(16, 1, 4).eval(),
        "DNN (eq. comp.)": networks.PlainNetwork(16, 1, 4).eval(),
    })  # fmt: skip
    rows = timing.times(2, seed=0)
    assert [(r["network"], r["method"]) for r in rows] == [
        ("Deep ShapNet", "ours"),
        ("Deep ShapNet", "Deep SHAP"),
        ("Deep ShapNet", "Kernel SHAP (40)"),
        ("HarsanyiNet", "ours"),
        ("HarsanyiNet", "Kernel SHAP (40)"),
        ("DNN (eq. comp.)", "FastSHAP"),
        ("DNN (eq. comp.)", "Deep SHAP"),
        ("DNN (eq. comp.)", "Kernel SHAP (40)"),
    ]
    assert all(row["seconds"] > 0 for row in rows)
    json.dumps(rows)


@pytest.fixture
def own_table(tmp_path):
    """A table, parameters that name it, and untrained networks for it."""
    path = tmp_path / "my.csv"
    rng = np.random.default_rng(0)
    rows = "".join(f"{a:.3f},{'xy'[b]},{100 + a + b:.3f}\n" for a, b in
                   zip(rng.normal(size=40), rng.integers(0, 2, 40), strict=True))  # fmt: skip
    path.write_text(f"size,kind,price\n{rows}")
    given = {"table": {"path": str(path), "target": "price"}}
    params = Params(**merged(merged(defaults(), OVERRIDES)["shapnets"], given))
    made = {
        "deep": networks.deep(3, 1, SIZES, bias=True),
        "shallow": shapnets.shallow(3, 1, [4], bias=True),
        "harsanyi": HarsanyiNet(3, 1, 8),
        "dnn": networks.PlainNetwork(3, 1, 2),
    }
    networks.save(tmp_path / "results/shapnets/networks/own_compared.pt", made)
    return path, params, made, tmp_path / "results"


def test_a_row_of_a_users_table_is_explained_in_the_targets_unit(own_table, tmp_path):
    path, params, made, results = own_table
    split = table_data.read_split("own", params.tables, own=params.table)
    line = path.read_text().splitlines()[17].split(",")
    for name in ("deep", "shallow", "harsanyi"):
        found = explain_row(path, 17, name, params, results)
        assert found.given.tolist() == [float(line[0]), line[1] == "x", line[1] == "y"]
        network = made[name].double()
        features = torch.from_numpy(split.scaling(found.given))
        exact = exact_values(network, features)[:, 0] * split.target[1]
        np.testing.assert_allclose(found.exact, exact, atol=1e-5)
        if name != "deep":
            np.testing.assert_allclose(found.own, exact, atol=1e-5)
        score = float(network(features[None])) * split.target[1] + split.target[0]
        assert found.score == pytest.approx(score, abs=1e-4)
        for values in (found.own, found.exact):
            assert found.nobody + values.sum() == pytest.approx(score, abs=1e-4)
    assert row_table(found).row_count == 5
    draw_row(found, tmp_path / "row.png")
    assert (tmp_path / "row.png").exists()


def test_digits_of_a_row_follow_its_values():
    row = ExplainedRow(
        names=("a", "b"),
        given=np.ones(2),
        output="price",
        score=3.3e-4,
        nobody=2e-4,
        own=np.array([2e-4, -7e-5]),
        exact=np.array([1.2e-4, 1e-5]),
        error=None,
    )
    table = row_table(row)
    assert table.title == "price: 0.00033"
    assert list(table.columns[2].cells) == ["+0.0002000", "-0.0000700", "+0.0001300", "+0.0002000"]
    sizes = {name: 1e8 * getattr(row, name) for name in ("score", "nobody", "own", "exact")}
    table = row_table(replace(row, **sizes))
    assert list(table.columns[3].cells) == ["+12000", "+1000", "+13000", "+20000"]


def test_rows_that_cannot_be_explained(own_table, tmp_path):
    path, params, _, results = own_table
    for arguments, message in (
        ((path, 41, "deep"), r"--row: 41; .* has rows 1 to 40"),
        ((path, 1, "dnn"), r"--network: there is no 'dnn'; there are deep, shallow, harsanyi"),
        ((path, 1, "wide"), r"--network: there is no 'wide'"),
    ):
        with pytest.raises(InputError, match=message):
            explain_row(*arguments, params, results)
    with pytest.raises(InputError, match="there are no networks for your table"):
        explain_row(path, 1, "deep", params, tmp_path / "nowhere")
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace(",y,", ",z,"))
    with pytest.raises(InputError, match="has other columns or categories"):
        explain_row(other, 1, "deep", params, results)
    with pytest.raises(InputError, match="names no table"):
        explain_row(path, 1, "deep", TINY, results)


def test_a_radix_above_the_features_is_left_out_and_said_so(caplog):
    compared = TINY.compared.model_copy(update={"radix": [2, 3, 4]})
    made = networks.builders(3, 1, SIZES, compared, bias=False)
    assert "deep, radix 3" in made and "deep, radix 4" not in made
    assert "radix: 4 is left out, since the table has 3 features" in caplog.text


def test_each_round_is_tested_on_rows_of_its_own(split):
    other = table_data.read_split("synthetic", TINY.tables, round_number=1)
    assert len(other.test) == len(split.test)
    assert set(other.test.features[:, 0].round(6)) != set(split.test.features[:, 0].round(6))
    made = {"gam": trained.recipes(split, SIZES, TINY.compared, 0, bias=False)["gam"]}
    params = TINY.training
    (both,), *_ = trained.train_all([split, other], made, params, "")
    (first,), *_ = trained.train_all([split], made, params, "")
    assert both["score"] != first["score"]
