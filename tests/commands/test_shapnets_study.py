"""Runs the study of Shapley explanation networks by the real commands, on tiny parameters."""

import json

import clone
import numpy as np
import pytest
import torch
from clone import change, dvc, has_nothing_to_do, rules_run, snakemake, stages_run
from tiny import defaults, merged

from pipeline.shapley.exact import shapley_values
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.shapnets import networks, table_data
from pipeline.studies.shapnets.params import OwnTableParams, Params

TINY = merged(clone.SMALL, {"studies": ["shapnets"]})
SHAPNETS = Params(**merged(defaults(), TINY)["shapnets"])
SUBJECTS = 10
"""Networks of a table that are explained."""


@pytest.fixture(scope="module")
def built_shapnets(tmp_path_factory):
    """A built study; tests must not change it."""
    folder = clone.new_clone(tmp_path_factory.mktemp("shapnets"), TINY)
    done = snakemake(folder)
    assert rules_run(done) >= {"shapnets_merge", "shapnets_claims", "shapnets_draw_images"}
    return folder


@pytest.fixture
def folder(built_shapnets, tmp_path):
    return clone.copied(built_shapnets, tmp_path / "copy")


def receipt(folder, table):
    return read_receipt(folder / f"results/shapnets/receipts/{table}.json")


def test_everything_is_made_and_neither_command_has_work_left(built_shapnets, folder):
    for table in ("synthetic", "interactions"):
        found = receipt(folder, table)
        assert found.evaluations_made == 2 * SUBJECTS * 2**16
        assert open_store(folder / found.store).done().all()
    clone.run(folder, "python", "-m", "pipeline", "store", "verify")
    claims = json.loads((folder / "results/shapnets/claims.json").read_text())
    assert {claim["shows"] for claim in claims} <= {"yes", "no", "in part"}
    drawn = {path.stem for path in (folder / "results/shapnets/figures").glob("*.png")}
    assert drawn == {
        *("accuracy", "distances", "consistent", "regularised", "learned", "timing"),
        "representations",
        *("image_flips", "image_removal", "image_pruning", "image_regularised"),
        *("image_layers", "image_classes"),
    }
    told = json.loads((folder / "results/shapnets/distances/synthetic.json").read_text())
    own = {r["network"]: r["relative"] for r in told["rows"] if r["method"] == "ours"}
    assert own["shallow"] < 1e-5
    assert own["harsanyi"] < 1e-5
    assert own["deep"] > 1e-3
    fast = [r["network"] for r in told["rows"] if r["method"] == "FastSHAP"]
    assert fast == ["dnn, equal parameters"]
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))


def test_another_weight_evaluates_only_its_own_network(folder):
    change(folder, "shapnets.consistent.weights", [1.0, 2.0])
    done = rules_run(snakemake(folder))
    assert "shapnets_consistent" in done
    assert not done & {"shapnets_networks", "shapnets_image_networks", "shapnets_timing"}
    found = receipt(folder, "synthetic")
    assert found.evaluations_made == 2 * 2**16
    assert found.evaluations_reused == 2 * SUBJECTS * 2**16


def explained(folder, *arguments):
    found = clone.run(folder, "python", "-m", "pipeline", "explain", "my.csv", *arguments)
    return found.stdout


def test_a_users_own_table(folder):
    rng = np.random.default_rng(0)
    rows = "".join(f"{a:.3f},{'xy'[b]},{a + b:.3f}\n" for a, b in
                   zip(rng.normal(size=60), rng.integers(0, 2, 60), strict=True))  # fmt: skip
    (folder / "my.csv").write_text(f"size,kind,price\n{rows}")
    change(folder, "shapnets.table", {"path": "my.csv", "target": "price"})
    done = snakemake(folder, "shapnets_distances_all")
    assert rules_run(done) >= {"shapnets_networks", "shapnets_consistent", "shapnets_merge"}
    found = receipt(folder, "own")
    store = open_store(folder / found.store)
    own = OwnTableParams(path=str(folder / "my.csv"), target="price")
    split = table_data.read_split("own", SHAPNETS.tables, own=own)
    assert split.train.names == ("size", "kind=x", "kind=y")
    network = networks.load(folder / "results/shapnets/networks/own_compared.pt")["shallow"]
    for row in table_data.rows_to_explain(split, 2):
        features = table_data.features_of(split.test)[row]
        table = store.read(f"shallow, row {row}").astype(float)
        for number in range(8):
            there = torch.tensor([bool(number >> i & 1) for i in range(3)])
            score = network(torch.where(there, features, network.references)[None])[0]
            np.testing.assert_allclose(table[number], score.detach(), atol=1e-5)
        values = network.explain(features[None]).layers[-1][0].detach()
        np.testing.assert_allclose(values, shapley_values(table), atol=1e-5)
    said = explained(folder, "--row", "17", "--network", "shallow")
    assert "exact Shapley value" in said
    for line in said.splitlines():
        cells = [cell.strip() for cell in line.split("│")]
        if len(cells) > 4 and cells[1] in split.train.names:
            assert float(cells[3]) == pytest.approx(float(cells[4]), abs=2e-4)
    assert (folder / "my.csv.row17.shallow.png").exists()
