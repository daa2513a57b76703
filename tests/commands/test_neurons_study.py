"""Runs the study of neurons by the real commands, on tiny parameters, in its own clone."""

import json
import os

import clone
import pytest
import torch
from clone import change, dvc, has_nothing_to_do, rules_run, snakemake, stages_run
from tiny import defaults, merged

from pipeline.models.rnet import RNet
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.neurons.params import Params
from pipeline.studies.neurons.paths import games
from pipeline.studies.neurons.values import read_values

TINY = merged(clone.SMALL, {"studies": ["neurons"]})
NEURONS = Params(**merged(defaults(), TINY)["neurons"])
OFFLINE = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
N = 9
"""Filters of the tiny networks."""


@pytest.fixture(scope="module")
def built_neurons(tmp_path_factory):
    """A built study; tests must not change it."""
    folder = clone.new_clone(tmp_path_factory.mktemp("neurons"), TINY)
    done = snakemake(folder, **OFFLINE)
    assert rules_run(done) >= {"neurons_merge", "neurons_claims", "neurons_draw_removal"}
    return folder


@pytest.fixture
def folder(built_neurons, tmp_path):
    return clone.copied(built_neurons, tmp_path / "copy")


def receipts(folder):
    return {
        name: read_receipt(folder / f"results/neurons/receipts/{name}.json")
        for name in games(NEURONS)
    }


def test_everything_is_made_and_neither_command_has_work_left(built_neurons, folder):
    found = receipts(folder)
    of_pairs = 24 * 4 * (2 + 2 * 4)
    assert {name: receipt.evaluations_made for name, receipt in found.items()} == {
        **dict.fromkeys(
            [f"{s}_pairs" for s in ("plain", "dropout", "tinted", "attacked")], of_pairs
        ),
        "plain_walks": 24 * 2 * (N + 1),
        "plain_shared": 12 * 4 * (N + 1),
    }
    for receipt in found.values():
        assert open_store(folder / receipt.store).done().all()
    clone.run(folder, "python", "-m", "pipeline", "store", "verify")
    values = read_values(folder / "results/neurons/values/attacked.h5")
    assert values.metrics == ("accuracy", "probability", "success", "target probability")
    assert values.values.shape == (4, N)
    claims = json.loads((folder / "results/neurons/claims.json").read_text())
    assert {claim["shows"] for claim in claims} <= {"yes", "no", "in part"}
    drawn = {path.stem for path in (folder / "results/neurons/figures").glob("*.png")}
    assert drawn == {
        *("removal", "classes", "repair", "vulnerable", "spread", "search", "truncation", "costs"),
        *("pictures", "class_pictures", "faces"),
    }
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))


def test_more_rounds_evaluate_only_what_they_add(folder):
    before, old = receipts(folder), read_values(folder / "results/neurons/values/plain.h5")
    change(folder, "neurons.pairs.rounds", 6)
    done = snakemake(folder)
    assert "neurons_networks" not in rules_run(done)
    assert "neurons_attacks" not in rules_run(done)
    for name, receipt in receipts(folder).items():
        if name.endswith("_pairs"):
            assert receipt.evaluations_made == before[name].evaluations_made // 2
            assert receipt.evaluations_reused == before[name].evaluations_made
        else:
            assert receipt == before[name]
    new = read_values(folder / "results/neurons/values/plain.h5")
    assert new.evaluations == old.evaluations * 3 // 2
    change(folder, "neurons.pairs.rounds", 4)
    assert not rules_run(snakemake(folder))
    assert (read_values(folder / "results/neurons/values/plain.h5").values == old.values).all()


def test_changing_one_network_touches_no_other(folder):
    change(folder, "neurons.networks.tinted.share", 0.2)
    done = rules_run(snakemake(folder, "-n"))
    assert "neurons_repair" in done
    assert not done & {"neurons_removal", "neurons_vulnerable", "neurons_spread", "neurons_search"}
    change(folder, "neurons.networks.tinted.share", 0.06)
    change(folder, "neurons.attack.steps", 2)
    done = rules_run(snakemake(folder, "-n"))
    assert done >= {"neurons_attacks", "neurons_vulnerable"}
    assert not done & {"neurons_networks", "neurons_removal", "neurons_repair", "neurons_search"}


def test_weights_that_cannot_be_fetched_are_left_out_and_tried_again_on_demand(folder):
    of_faces = folder / "results/neurons/faces.json"
    found = json.loads(of_faces.read_text())
    assert found["left_out"].startswith("facenet-pytorch==2.5.3 cannot be fetched")
    assert found["again"].startswith("snakemake --cores all --forcerun neurons_weights")
    done = snakemake(folder, "--forcerun", "neurons_weights", **OFFLINE)
    assert "neurons_weights" in rules_run(done)
    assert json.loads(of_faces.read_text()) == found
    # Weights in a file are used.
    torch.save(RNet().state_dict(), folder / "weights.pt")
    change(folder, "neurons.faces.weights", "weights.pt")
    done = snakemake(folder)
    assert rules_run(done) >= {"neurons_weights", "neurons_faces", "neurons_draw_faces"}
    assert json.loads(of_faces.read_text())["filters"] == 140
    change(folder, "neurons.faces", None)
    done = snakemake(folder)
    assert rules_run(done) == {"neurons_claims", "report_page"}, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("neurons={search: {k: 0}}", "neurons.search.k"),
        ("neurons={images: {ranked: 1790}}", "there are 1797 digits"),
        (
            "neurons={networks: {plain: {players: {modules: [no_such]}}}}",
            "'no_such' fits no module",
        ),
        ("neurons={faces: {weights: no_such.pt}}", "neurons.faces.weights: there is no no_such.pt"),
        ("neurons={search: {k: 9}}", "k: 9 of 9 players"),
    ],
)
def test_impossible_parameters_are_refused_with_advice(folder, override, message):
    refused = snakemake(folder, "--config", override, check=False)
    assert refused.returncode != 0
    assert message in refused.stdout + refused.stderr
