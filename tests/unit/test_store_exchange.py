"""Games and values in the forms of shapiq, shap and xarray, read by the libraries themselves."""

import matplotlib as mpl
import numpy as np
import pytest
import shap
import shapiq
from matplotlib import pyplot as plt
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.core.errors import InputError
from pipeline.shapley import shapley_values
from pipeline.shapley.interactions import interactions, subsets
from pipeline.store import GameRecord, open_store, plan
from pipeline.store.exchange import from_shapiq, to_dataset, to_shap, to_shapiq

mpl.use("agg")
N = 5
OUTPUTS = ("cat", "dog", "[bird]")


@pytest.fixture
def store(tmp_path):
    record = GameRecord(
        study="s",
        game="g",
        n_players=N,
        player="p",
        outputs=OUTPUTS,
        value="v",
        specification={},
        weights_sha256="",
        evaluator_version=1,
        versions={},
    )
    made = plan(tmp_path / "coalitions/s/g.zarr", record, ["a", "b"], ["0", "1"])
    for i in range(2):
        made.write(i, np.random.default_rng(i).normal(size=(2**N, 3)).astype(np.float32))
    return open_store(made.path)


def opened(path):
    """The game in a file, as shapiq reads it."""
    game = shapiq.Game(N, normalize=False)
    game.load_values(path, precomputed=True)
    return game


def test_shapiq_computes_the_same_from_an_exported_game(store, tmp_path):
    to_shapiq(store, "b", "dog", tmp_path / "game.npz")
    game = opened(tmp_path / "game.npz")
    found = shapiq.ExactComputer(game, N)("k-SII", 2)
    expected = interactions(store.read("b").astype(float), "k-SII", 2)[:, 1]
    for row, group in enumerate(subsets(N, 2)):
        if group:
            assert found[group] == pytest.approx(expected[row], abs=1e-9)


def test_a_game_of_shapiq_becomes_a_store_and_goes_back(store, tmp_path):
    names = ["one", "two.b"]
    for name, output in zip(names, ("cat", "dog"), strict=True):
        to_shapiq(store, 0, output, tmp_path / f"{name}.npz")
        # As shapiq itself writes it.
        game = opened(tmp_path / f"{name}.npz")
        game.save_values(tmp_path / f"{name}.npz", as_npz=True)
    made = from_shapiq([tmp_path / f"{n}.npz" for n in names], tmp_path / "mine/games.zarr")
    again = open_store(made.path)
    assert again.instances == tuple(names)
    assert (again.record.study, again.record.game) == ("mine", "games")
    for i in range(2):
        np.testing.assert_array_equal(again.read(i)[:, 0], store.read(0)[:, i])
    to_shapiq(again, "two.b", 0, tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as file:
        np.testing.assert_array_equal(file["values"], store.read(0)[:, 1])


def test_a_store_is_exported_and_imported_from_a_terminal(store, tmp_path):
    def call(*arguments):
        root = ["--root", str(tmp_path / "coalitions")]
        return CliRunner().invoke(app, ["store", *map(str, arguments), *root])

    file = tmp_path / "game.npz"
    done = call("export", "s/g", "--instance", "a", "--output", "[bird]", "--shapiq", file)
    assert done.exit_code == 0, done.output
    assert "[bird]" in done.output
    done = call("import", "mine/games", file)
    assert done.exit_code == 0, done.output
    made = open_store(tmp_path / "coalitions/mine/games.zarr")
    np.testing.assert_array_equal(made.read("game")[:, 0], store.read("a")[:, 2])
    (tmp_path / "receipts").mkdir()
    done = call("prune", "--yes", "--receipts", tmp_path / "receipts")
    assert "was imported" in done.output
    assert not (tmp_path / "coalitions/s/g.zarr").exists()
    assert open_store(made.path).is_done("game")
    store = plan(store.path, store.record, ["a"], ["0"])
    store.write(0, np.zeros((2**N, 3), dtype=np.float32))
    for arguments, told in (
        (("export", "s/g", "--instance", "c", "--output", "cat", "--shapiq", file), "'c'"),
        (("export", "s/g", "--instance", "a", "--output", "cow", "--shapiq", file), "'cow'"),
        (("export", "s/g", "--instance", "a", "--output", "cat", "--shapiq", "a.txt"), ".npz"),
        (("import", "mine", file), "mine"),
        (("import", "mine/other", tmp_path / "none.npz"), "none.npz"),
    ):
        refused = call(*arguments)
        assert refused.exit_code == 1
        assert told in refused.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, v: (c[:-1], v[:-1]), r"31 different coalitions in 31 rows; .* has 32"),
        (lambda c, v: (np.concatenate([c, c[:1]]), np.append(v, 1)), r"32 .* in 33 rows"),
        (lambda c, v: (c, np.full_like(v, np.nan)), r"NaN"),
        (lambda c, v: (c, np.full_like(v, 1e300)), r"too large for float32"),
        (lambda c, v: (c[0], v), r"expected \(coalition, player\)"),
        (lambda c, v: (c, v[:3]), r"expected \(coalition, player\)"),
        (lambda c, v: (np.array([{}], dtype=object), v), r"no table as shapiq writes it"),
    ],
)
def test_a_table_that_is_not_complete_is_refused_and_nothing_is_written(
    store, tmp_path, change, message
):
    to_shapiq(store, 0, 0, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        members, values = change(file["coalitions"], file["values"])
    np.savez(tmp_path / "a.npz", coalitions=members, values=values)
    with pytest.raises(InputError, match=message):
        from_shapiq([tmp_path / "a.npz"], tmp_path / "mine/g.zarr")
    assert not (tmp_path / "mine").exists()


def test_games_that_do_not_go_together_are_refused(store, tmp_path):
    to_shapiq(store, 0, 0, tmp_path / "a.npz")
    members = np.array([[0], [1]], dtype=bool)
    np.savez(tmp_path / "b.npz", coalitions=members, values=np.zeros(2))
    with pytest.raises(InputError, match=r"different numbers of players: .*a.npz: 5, .*b.npz: 1"):
        from_shapiq([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "mine/g.zarr")
    for paths in ([], [tmp_path / "a.npz"] * 2):
        with pytest.raises(InputError, match="at least one file, all with different names"):
            from_shapiq(paths, tmp_path / "mine/g.zarr")


def test_shap_draws_the_values(store):
    table = store.read(0)
    found = to_shap(shapley_values(table), table[0], outputs=OUTPUTS, players=list("abcde"))
    total = found.values.sum(axis=0) + found.base_values
    np.testing.assert_allclose(total, table[-1], atol=1e-5)
    shap.plots.waterfall(found[:, "dog"], show=False)
    shap.plots.bar(found[:, "[bird]"], show=False)
    tables = store.read_many(range(2))
    both = to_shap(shapley_values(tables), tables[:, 0])
    shap.plots.beeswarm(both[:, :, 0], show=False)
    plt.close("all")


def test_xarray_labels_and_writes_the_values(store, tmp_path):
    values = shapley_values(store.read_many(range(2)))
    found = to_dataset(values, instances=store.instances, outputs=OUTPUTS)
    one = found["value"].sel(instance="b", output="dog", player=3)
    assert float(one) == values[1, 3, 1]
    found.to_netcdf(tmp_path / "values.nc")


def test_shapes_that_do_not_fit_are_refused():
    for call in (
        lambda: to_shap(np.zeros((3, 2)), np.zeros(3)),
        lambda: to_shap(np.zeros((3, 2)), np.zeros(2), players=["a"]),
        lambda: to_dataset(np.zeros((3, 2)), instances=["a"], outputs=["b"]),
    ):
        with pytest.raises(InputError):
            call()
