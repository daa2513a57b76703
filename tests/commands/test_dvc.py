"""`snakemake` and `dvc`, called in any order: what is known is not computed again.

Each test drives the real commands in a copy of the project with a small study in it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import clone
import pytest
import yaml
from clone import change, dvc, has_nothing_to_do, rules_run, shards, snakemake, stages_run
from tiny import ROOT

from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.workflow import provenance
from pipeline.workflow.params import validate

MODELS = ("trn", "tsn")
TRAINING = {"frames_backbone", "frames_scales", "frames_tsn"}
EVALUATION = {"frames_game", "frames_coalitions"}
OF_VALUES = {"frames_figures", "frames_discarded", "frames_patterns", "frames_claims"}
AFTER_COALITIONS = EVALUATION | OF_VALUES | {"frames_receipts", "frames_values"}
OF_MODELS = {f"frames_{name}" for name in ("accuracy", "lengths", "convergence", "runtime")}
OF_PLAYERS = AFTER_COALITIONS | {"frames_gradients", "frames_shifted"}
"""What a change of the number of players leads to."""


@pytest.fixture
def folder(built_once, tmp_path):
    return clone.copied(built_once, tmp_path / "copy")


def receipts(folder):
    return {m: read_receipt(folder / f"results/frames/receipts/{m}.json") for m in MODELS}


def locked_params(folder, stage):
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    return lock["stages"][stage]["params"]["params.yaml"]


def test_after_one_command_the_other_has_nothing_to_do(folder):
    first = receipts(folder)
    assert [r.evaluations_made for r in first.values()] == [12 * 2**4] * 2
    assert has_nothing_to_do(snakemake(folder))
    repeated = dvc(folder, "repro")
    assert "Data and pipelines are up to date" in repeated.stdout
    assert not stages_run(repeated)
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert dvc(folder, "status").stdout.strip() == "Data and pipelines are up to date."
    assert receipts(folder) == first


def test_a_parameter_of_an_analysis_runs_what_comes_after_it(folder):
    trained = {p: p.stat().st_mtime_ns for p in folder.glob("results/frames/**/*.pt")}
    stored = shards(folder)
    assert len(stored) == 24
    change(folder, "frames.figures.clips", 1)
    done = dvc(folder, "repro")
    assert stages_run(done) == rules_run(done) == {"frames_figures"}
    assert len(list(folder.glob("results/frames/figures/clips/*.png"))) == 1
    assert has_nothing_to_do(snakemake(folder, "-n"))

    change(folder, "frames.accuracy.max_frames", 2)
    assert rules_run(snakemake(folder)) == {"frames_accuracy", "frames_figures", "frames_claims"}
    assert json.loads((folder / "results/frames/accuracy.json").read_text())["frames"] == [1, 2]
    assert not stages_run(dvc(folder, "repro"))
    assert {p: p.stat().st_mtime_ns for p in trained} == trained
    assert shards(folder) == stored


def test_a_change_undone_brings_the_results_back(folder):
    before = clone.contents(folder)
    change(folder, "frames.accuracy.max_frames", 2)
    assert rules_run(dvc(folder, "repro")) >= {"frames_accuracy"}
    assert clone.contents(folder) != before
    change(folder, "frames.accuracy.max_frames", 3)
    done = snakemake(folder)
    assert not rules_run(done)
    assert "frames_accuracy: its results are taken from DVC's cache" in done.stderr
    assert clone.contents(folder) == before
    assert not stages_run(dvc(folder, "repro"))


@pytest.mark.slow
def test_another_number_of_players_undone_brings_the_results_back(folder):
    at_four = clone.contents(folder)
    change(folder, "frames.coalitions.n", 3)
    assert rules_run(dvc(folder, "repro")) == OF_PLAYERS
    at_three = clone.contents(folder)
    assert at_three.keys() == at_four.keys()
    assert at_three != at_four
    assert has_nothing_to_do(snakemake(folder, "-n"))

    change(folder, "frames.coalitions.n", 4)
    would = snakemake(folder, "-n")
    assert "frames_coalitions: DVC has its results" in would.stdout + would.stderr
    done = snakemake(folder)
    assert not rules_run(done)
    assert "frames_coalitions: its results are taken from DVC's cache" in done.stderr
    assert clone.contents(folder) == at_four
    assert not stages_run(dvc(folder, "repro"))

    change(folder, "frames.coalitions.n", 3)
    assert not rules_run(dvc(folder, "repro"))
    assert clone.contents(folder) == at_three
    assert has_nothing_to_do(snakemake(folder, "-n"))


@pytest.mark.slow
def test_without_dvcs_cache_the_stores_still_keep_what_was_evaluated(folder):
    at_four = clone.contents(folder)
    override = ("--config", "frames={coalitions: {n: 3}}")
    snakemake(folder, "frames_coalitions_all", *override)
    shutil.rmtree(folder / ".dvc/cache")
    done = snakemake(folder)
    assert rules_run(done) >= EVALUATION
    assert not rules_run(done) & TRAINING
    assert [r.evaluations_made for r in receipts(folder).values()] == [0, 0]
    assert [r.evaluations_reused for r in receipts(folder).values()] == [12 * 2**4] * 2
    assert clone.contents(folder) == at_four


@pytest.mark.slow
def test_only_the_videos_asked_for_in_addition_are_evaluated(folder):
    stored = shards(folder)
    trained = {p: p.stat().st_mtime_ns for p in folder.glob("results/frames/**/*.pt")}
    change(folder, "frames.dataset.validation_clips", 17)
    done = dvc(folder, "repro")
    expected = OF_PLAYERS | OF_MODELS | {"frames_features", "frames_skipped"}
    assert rules_run(done) == expected
    assert "trn_train.h5" not in "".join(re.findall(r"output: .*features.*", done.stdout))
    for receipt in receipts(folder).values():
        assert (receipt.evaluations_made, receipt.evaluations_reused) == (5 * 2**4, 12 * 2**4)
    now = shards(folder)
    assert len(now) == 34
    assert {name: now[name] for name in stored} == stored
    assert {p: p.stat().st_mtime_ns for p in trained} == trained
    assert has_nothing_to_do(snakemake(folder, "-n"))


@pytest.mark.slow
def test_an_edit_that_changes_no_result_runs_nothing_and_another_is_told_by_its_version(folder):
    for stage in ("coalitions", "scales", "game"):
        file = folder / f"pipeline/frames/{stage}.py"
        file.write_text(file.read_text() + "\n# A remark.\n")
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))

    file = folder / "pipeline/versions.yaml"
    file.write_text(file.read_text().replace("  values: 1", "  values: 2"))
    assert rules_run(snakemake(folder, "-n")) == OF_VALUES | {"frames_values"}
    done = dvc(folder, "repro")
    # The values turn out the same, and DVC goes no further.
    assert stages_run(done) == rules_run(done) == {"frames_values"}
    assert has_nothing_to_do(snakemake(folder))


@pytest.fixture
def pushed(built_once, tmp_path):
    """A folder whose results have been pushed, and a fresh clone of it without them."""
    source, fresh = clone.copied(built_once, tmp_path / "source"), tmp_path / "fresh"
    dvc(source, "remote", "add", "-d", "store", str(tmp_path / "remote"))
    dvc(source, "push")
    clone.commit(source)
    clone.run(tmp_path, "git", "clone", "-q", str(source), str(fresh))
    return source, fresh


def test_a_fresh_clone_pulls_results_and_runs_nothing(pushed, tmp_path):
    source, fresh = pushed
    assert not (fresh / "results").exists()
    dvc(fresh, "pull")
    assert clone.contents(fresh) == clone.contents(source)
    other = clone.copied(fresh, tmp_path / "other")
    assert not stages_run(dvc(fresh, "repro"))
    assert has_nothing_to_do(snakemake(fresh, "-n"))
    assert has_nothing_to_do(snakemake(other))
    assert not stages_run(dvc(other, "repro"))
    assert receipts(other) == receipts(source)


@pytest.mark.slow
def test_what_was_pulled_is_known_job_by_job(pushed):
    """Though no job ran here."""
    _, fresh = pushed
    dvc(fresh, "pull")
    untouched = shards(fresh)
    change(fresh, "frames.tsn.epochs", 1)
    done = dvc(fresh, "repro")
    assert rules_run(done) == OF_PLAYERS | OF_MODELS | {"frames_tsn"}
    made = {name: receipt.evaluations_made for name, receipt in receipts(fresh).items()}
    assert made == {"trn": 0, "tsn": 12 * 2**4}
    now = shards(fresh)
    assert {n: now[n] for n in now if "trn.zarr" in n} == {
        n: untouched[n] for n in untouched if "trn.zarr" in n
    }


@pytest.mark.slow  # When kills hit is up to the machine, and on a busy one DVC may need more pulls.
def test_an_interrupted_pull_leaves_nothing_wrong(pushed, tmp_path):
    source, fresh = pushed
    for seconds in (0.9, 1.3, 1.7):
        pull = subprocess.Popen(["dvc", "pull"], cwd=fresh, env=clone.environment())
        time.sleep(seconds)
        pull.kill()
        pull.wait()
    dvc(fresh, "pull")
    assert not rules_run(snakemake(fresh))
    assert clone.contents(fresh) == clone.contents(source)


@pytest.mark.slow
def test_an_interrupted_pull_is_made_good_by_a_run(pushed):
    """As an interrupted pull leaves it: some shards and files there, in the cache and outside."""
    source, fresh = pushed
    dvc(fresh, "pull")
    expected = clone.contents(source)
    store = fresh / "results/coalitions/frames/trn.zarr"
    for instance in (0, 3, 7):
        shard = store / f"values/c.{instance}.0.0"
        digest = clone.run(fresh, "md5sum", str(shard)).stdout.split()[0]
        (fresh / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
        shard.unlink()
    (fresh / "results/frames/values/trn.h5").unlink()
    done = snakemake(fresh)
    assert not rules_run(done) & TRAINING
    assert rules_run(done) & EVALUATION
    assert receipts(fresh)["trn"].evaluations_made == 3 * 2**4
    assert receipts(fresh)["tsn"].evaluations_made == 0
    assert clone.contents(fresh) == expected


@pytest.mark.slow
def test_overrides_reach_the_stages_and_are_not_recorded_as_something_else(folder, tmp_path):
    at_four, lock = clone.contents(folder), (folder / "dvc.lock").read_bytes()
    override = ("--config", "frames={coalitions: {n: 3}}")
    assert rules_run(snakemake(folder, *override)) == OF_PLAYERS
    assert open_store(folder / "results/coalitions/frames/trn.zarr").record.n_players == 3
    at_three = clone.contents(folder)
    # DVC records params.yaml, where 4 stands: of what was made with 3 it is told nothing.
    assert (folder / "dvc.lock").read_bytes() == lock
    assert locked_params(folder, "frames_coalitions")["frames.coalitions"]["n"] == 4
    assert has_nothing_to_do(snakemake(folder, *override))

    done = dvc(folder, "repro")
    assert not rules_run(done)
    assert clone.contents(folder) == at_four
    assert yaml.safe_load((folder / "dvc.lock").read_text()) == yaml.safe_load(lock)

    # The same values in a file, and what was made with them comes back.
    preset = tmp_path / "preset.yaml"
    preset.write_text("frames: {coalitions: {n: 3}}\n")
    assert not rules_run(snakemake(folder, "--configfile", str(preset)))
    assert clone.contents(folder) == at_three
    assert not rules_run(snakemake(folder))
    assert clone.contents(folder) == at_four


def test_dvc_refuses_values_that_it_would_record_wrongly(folder):
    profile = folder / "profiles/other"
    profile.mkdir()
    (profile / "config.yaml").write_text("config:\n  - 'frames={figures: {clips: 1}}'\n")
    change(folder, "frames.figures.clips", 3)
    refused = dvc(folder, "repro", check=False, SNAKEMAKE_PROFILE=str(profile))
    assert refused.returncode != 0
    assert "stage frames_figures would be made with others" in refused.stderr
    assert len(list(folder.glob("results/frames/figures/clips/*.png"))) == 2


@pytest.mark.slow
def test_an_experiment_and_what_dvc_shows(folder):
    clone.commit(folder)
    done = dvc(folder, "exp", "run", "-S", "frames.coalitions.n=3", "-n", "three")
    assert rules_run(done) == OF_PLAYERS
    assert open_store(folder / "results/coalitions/frames/tsn.zarr").record.n_players == 3
    assert locked_params(folder, "frames_coalitions")["frames.coalitions"]["n"] == 3
    assert has_nothing_to_do(snakemake(folder, "-n"))

    shown = dvc(folder, "exp", "show", "--csv").stdout.splitlines()
    assert any("three" in line for line in shown)
    assert "trn.accuracy" in shown[0]
    metrics = json.loads(dvc(folder, "metrics", "show", "--json").stdout)
    numbers = metrics[""]["data"]["results/frames/figures/summary.json"]["data"]
    assert 0 <= numbers["tsn"]["supporting_share"] <= 1
    changed = json.loads(dvc(folder, "metrics", "diff", "--json").stdout)
    assert "results/frames/figures/summary.json" in changed
    params = json.loads(dvc(folder, "params", "diff", "--json").stdout)
    assert params["params.yaml"] == {"frames.coalitions.n": {"old": 4, "new": 3, "diff": -1}}
    dvc(folder, "plots", "show")
    page = (folder / "dvc_plots/index.html").read_text()
    assert "Accuracy against the number of frames" in page
    assert "summary.png" in page
    assert "frames_coalitions" in dvc(folder, "dag", "--mermaid").stdout

    clone.run(folder, "git", "checkout", "-q", "params.yaml", "dvc.lock")
    dvc(folder, "checkout", "--force")
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))


def test_files_that_nobody_vouches_for_are_made_anew(folder):
    """Results that came from elsewhere, and results made from other files than are there now."""
    shutil.rmtree(folder / ".snakemake")
    (folder / "dvc.lock").unlink()
    shutil.rmtree(folder / ".dvc/cache")
    would = rules_run(snakemake(folder, "-n"))
    assert would >= TRAINING | OF_PLAYERS | OF_MODELS | {"frames_videos"}


def test_a_file_exchanged_for_another_is_noticed_whatever_its_time(folder):
    priors = folder / "results/frames/priors.json"
    good, made = priors.read_bytes(), priors.stat().st_mtime_ns
    content = json.loads(good)
    content["counts"] = content["counts"][::-1]
    priors.write_text(json.dumps(content))
    os.utime(priors, ns=(made - 10**12, made - 10**12))
    assert not rules_run(snakemake(folder))
    assert priors.read_bytes() == good


def test_another_number_of_models_trains_only_what_is_lacking(folder):
    features = folder / "results/frames/features/trn_validation.h5"
    os.utime(features)
    change(folder, "frames.scales.n_max", 1)
    would = rules_run(snakemake(folder, "-n"))
    assert {"frames_accuracy", "frames_game", "frames_receipts"} <= would
    assert not would & TRAINING
    change(folder, "frames.scales.n_max", 3)
    planned = snakemake(folder, "-n")
    assert rules_run(planned) & TRAINING == {"frames_scales"}
    assert "output: results/frames/scales/3.pt" in planned.stdout + planned.stderr
    assert "output: results/frames/scales/1.pt" not in planned.stdout + planned.stderr


def test_a_run_that_was_told_to_overlook_changes_is_not_recorded(folder):
    lock = (folder / "dvc.lock").read_bytes()
    change(folder, "frames.figures.clips", 1)
    snakemake(folder, "--rerun-triggers", "mtime")
    assert (folder / "dvc.lock").read_bytes() == lock
    assert rules_run(snakemake(folder, "-n")) == {"frames_figures"}


@pytest.mark.slow
def test_what_cannot_be_told_to_snakemake_is_made_anew(folder):
    """As after a pull of results that were made with a parameter that there is no more."""
    shutil.rmtree(folder / ".snakemake")
    shutil.rmtree(folder / ".dvc/cache")
    file = folder / "dvc.lock"
    content = yaml.safe_load(file.read_text())
    content["stages"]["frames_accuracy"]["params"]["params.yaml"]["frames.accuracy"]["old"] = 1
    file.write_text(yaml.safe_dump(content))
    done = snakemake(folder)
    assert rules_run(done) == {"frames_accuracy", "frames_figures", "frames_claims"}
    assert "frames_accuracy: how its files were made cannot be told" in done.stderr


def test_an_edited_result_is_made_anew_where_the_cache_has_no_copy(folder):
    shutil.rmtree(folder / ".dvc/cache")
    priors = folder / "results/frames/priors.json"
    made = priors.stat().st_mtime_ns
    priors.write_text(priors.read_text() + "\n")
    os.utime(priors, ns=(made, made))
    assert rules_run(snakemake(folder, "-n", "frames_priors_all")) == {"frames_priors"}
    # A run that does not come to it leaves it to the next.
    assert not rules_run(snakemake(folder, "frames_videos_all"))
    assert rules_run(snakemake(folder, "-n", "frames_priors_all")) == {"frames_priors"}


@pytest.mark.slow
def test_records_of_a_run_that_dvc_took_back_are_not_believed(folder):
    change(folder, "frames.figures.clips", 1)
    snakemake(folder, "--no-hooks")
    dvc(folder, "checkout", "--force")
    assert len(list(folder.glob("results/frames/figures/clips/*.png"))) == 2
    assert rules_run(snakemake(folder)) == {"frames_figures"}
    assert len(list(folder.glob("results/frames/figures/clips/*.png"))) == 1


@pytest.mark.slow
def test_a_profile_is_refused_also_when_snakemake_has_nothing_to_do(folder):
    profile = folder / "profiles/default/config.yaml"
    profile.write_text(profile.read_text() + "config:\n  - 'frames={figures: {clips: 1}}'\n")
    assert rules_run(snakemake(folder)) == {"frames_figures"}
    refused = dvc(folder, "repro", check=False)
    assert refused.returncode != 0
    assert "stage frames_figures would be made with others" in refused.stderr
    assert "Traceback" not in refused.stderr


HOLDER = """
import sys
from dvc.repo import Repo
with Repo().lock:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_run_ends_well_though_dvc_is_busy_and_the_next_one_tells_it(folder):
    change(folder, "frames.figures.clips", 1)
    lock = (folder / "dvc.lock").read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=folder,
        env=clone.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        done = snakemake(folder)
        holder.stdin.close()
    assert rules_run(done) == {"frames_figures"}
    assert "DVC could not be told of all results; the next run tells it" in done.stderr
    assert (folder / "dvc.lock").read_bytes() == lock
    assert has_nothing_to_do(snakemake(folder))
    assert locked_params(folder, "frames_figures")["frames.figures"]["clips"] == 1
    assert not stages_run(dvc(folder, "repro"))


def test_a_dvc_yaml_that_does_not_list_a_parameter_is_told(folder):
    file = folder / "dvc.yaml"
    file.write_text(file.read_text().replace("    - frames.figures\n", "", 1))
    said = snakemake(folder, "-n")
    assert "dvc.yaml does not list stage frames_figures" in said.stdout + said.stderr


def test_numbers_are_the_same_however_they_are_written(folder, monkeypatch):
    file = folder / "params.yaml"
    written = file.read_text()
    file.write_text(written.replace("learning_rate: 0.001", "learning_rate: 1e-3"))
    assert file.read_text() != written
    monkeypatch.chdir(folder)
    config = yaml.safe_load(file.read_text())
    assert isinstance(config["frames"]["tsn"]["learning_rate"], str)
    state = provenance._state(validate(config), config)
    assert state.overridden == frozenset()
    assert state.values["frames_tsn"]["params.yaml"]["frames.tsn"]["learning_rate"] == 0.001
    state.makings.close()


def test_dvc_alone_is_not_needed(folder):
    shutil.rmtree(folder / ".dvc")
    assert has_nothing_to_do(snakemake(folder))
    change(folder, "frames.figures.clips", 1)
    assert rules_run(snakemake(folder)) == {"frames_figures"}


@pytest.mark.slow
def test_dvc_builds_everything_and_snakemake_has_nothing_to_do(built_once, tmp_path):
    folder = clone.new_clone(tmp_path / "clone", clone.SMALL)
    done = dvc(folder, "repro")
    assert len(stages_run(done)) == 19
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert not stages_run(dvc(folder, "repro"))
    assert clone.contents(folder) == clone.contents(built_once)


@pytest.mark.slow
def test_given_features_are_tracked_after_dvc_yaml_is_written_anew(built_once, tmp_path):
    folder = clone.new_clone(tmp_path / "clone", clone.SMALL)
    features = {
        model: {
            split: str(built_once / f"results/frames/features/{model}_{split}.h5")
            for split in ("train", "validation")
        }
        for model in MODELS
    }
    for model in MODELS:
        change(folder, f"frames.features.{model}", features[model])
    change(folder, "frames.dataset.root", str(built_once / "data/frames/moving-digits"))
    refused = dvc(folder, "repro", check=False)
    assert "write it anew with `python -m pipeline dvc-yaml`" in refused.stderr
    clone.run(folder, "python", "-m", "pipeline", "dvc-yaml")
    done = dvc(folder, "repro")
    assert not rules_run(done) & {"frames_videos", "frames_backbone", "frames_features"}
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert not stages_run(dvc(folder, "repro"))
    for name in MODELS:
        made = folder / f"results/frames/values/{name}.h5"
        assert made.exists()


def test_the_default_study_is_what_dvc_yaml_is_for():
    assert (ROOT / "dvc.yaml").exists()
    assert "analytics = false" in (ROOT / ".dvc/config").read_text()
