"""Runs the study of baselines by the real commands, on tiny parameters, in its own clone."""

import json

import clone
import pytest
from tiny import merged

from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.baselines.paths import PICTURED, UTILITIES

TINY = merged(clone.SMALL, {"studies": ["baselines"]})
STORES = "results/coalitions/baselines"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = clone.new_clone(tmp_path_factory.mktemp("baselines"), TINY)
    done = clone.snakemake(folder)
    assert clone.rules_run(done) >= {"baselines_merge", "baselines_claims", "baselines_figures"}
    assert not {rule for rule in clone.rules_run(done) if rule.startswith("frames")}
    return folder


def receipts(folder):
    found = {}
    for game in (*UTILITIES, *PICTURED):
        receipt = read_receipt(folder / f"results/baselines/receipts/{game}.json")
        found[game] = (receipt.evaluations_made, receipt.evaluations_reused)
    return found


def test_the_stores_of_all_games_are_complete_and_readable(built):
    made = receipts(built)
    # The utility function and a network; two pictures of four areas.
    assert made == {
        "synergies_12": (2 * 2**12, 0),
        "rules_12": (2 * 2**12, 0),
        "synergies_20": (2 * 2**20, 0),
        "rules_20": (2 * 2**20, 0),
        "classifier": (2 * 2**4, 0),
        "distance": (2 * 2**4, 0),
    }
    for game in made:
        store = open_store(built / STORES / f"{game}.zarr")
        assert store.record.study == "baselines"
        assert store.done().all()
    clone.run(built, "python", "-m", "pipeline", "store", "verify")
    figures = {path.stem for path in (built / "results/baselines/figures").glob("*.png")}
    assert figures >= {"ratios", "ratios_error", "surrogates", "connected", "proportions"}
    assert figures >= {"agreement", "insertion", "pictures_classifier"}
    claims = json.loads((built / "results/baselines/claims.json").read_text())
    assert {claim["shows"] for claim in claims} <= {"yes", "no", "in part"}


def test_a_second_run_of_either_command_runs_nothing(built):
    assert clone.has_nothing_to_do(clone.snakemake(built))
    assert not clone.stages_run(clone.dvc(built, "repro"))


@pytest.mark.slow
def test_changing_an_analysis_evaluates_and_trains_nothing(built, tmp_path):
    folder = clone.copied(built, tmp_path / "copy")
    clone.change(folder, "baselines.ratios.kept", 10)
    clone.change(folder, "baselines.agreement.ink", 0.4)
    done = clone.snakemake(folder)
    assert clone.rules_run(done) == {
        "baselines_ratios",
        "baselines_agreement",
        "baselines_draw_ratios",
        "baselines_draw_agreement",
        "baselines_claims",
    }
    assert receipts(folder) == receipts(built)


@pytest.mark.slow
def test_more_pictures_cost_only_their_evaluations(built, tmp_path):
    folder = clone.copied(built, tmp_path / "copy")
    clone.change(folder, "baselines.coalitions.explained", 3)
    done = clone.snakemake(folder, "--", "baselines_merge_all")
    assert "baselines_classifier" not in clone.rules_run(done)
    made = receipts(folder)
    for game in PICTURED:
        evaluated, reused = made[game]
        assert evaluated + reused == 3 * 2**4
        assert evaluated < 3 * 2**4, "some of the pictures were explained before"
