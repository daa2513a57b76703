"""Calls `snakemake` and `dvc` in any order: known results are not computed again.

Each test runs the real commands in a copy of the project with a study in it: a small study of
frames if it matters which of many jobs run, otherwise the toy study.
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
from documents import block
from tiny import ROOT

from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt

MODELS = ("trn", "tsn")
TRAINING = {"frames_backbone", "frames_scales", "frames_tsn"}
FILL = {"frames_plan", "frames_evaluate", "frames_merge"}
OF_VALUES = {
    *("frames_figures", "frames_claims", "frames_interactions", "frames_localisation"),
    "report_page",
    *(f"frames_{draw}{stage}" for stage in ("discard", "patterns") for draw in ("", "draw_")),
}
OF_MODELS = {
    *("frames_accuracy", "frames_runtime", "frames_removal"),
    *(f"frames_{draw}{stage}" for stage in ("lengths", "convergence") for draw in ("", "draw_")),
}
OF_PLAYERS = FILL | OF_VALUES
OF_PLAYERS |= {f"frames_{n}" for n in ("values", "gradients", "shift", "draw_shift")}
"""Rules that a changed number of players reruns."""

TOY_FILL = {"toy_plan", "toy_evaluate", "toy_merge"}
TOY_ANALYSES = {"toy_values", "toy_draw_values"}


@pytest.fixture
def folder(built_once, tmp_path):
    return clone.copied(built_once, tmp_path / "copy")


@pytest.fixture
def toy(toy_once, tmp_path):
    return clone.copied(toy_once, tmp_path / "toy")


def receipts(folder):
    return {m: read_receipt(folder / f"results/frames/receipts/{m}.json") for m in MODELS}


def toy_receipt(folder):
    return read_receipt(folder / "results/toy/receipts/majority.json")


def trained(folder):
    return {p: p.stat().st_mtime_ns for p in folder.glob("results/frames/**/*.pt")}


def outputs(done):
    """Files of the jobs that a command ran, or would run, according to its output."""
    lines = re.findall(r"^    output: (.*)$", done.stdout + done.stderr, re.MULTILINE)
    return {file for line in lines for file in line.split(", ")}


def locked(folder, stage):
    return yaml.safe_load((folder / "dvc.lock").read_text())["stages"][stage]


def digits(folder):
    """The value that DVC has recorded for the toy study's parameter."""
    return locked(folder, "toy_values")["params"]["params.yaml"]["toy.values"]["digits"]


def test_changing_an_analysis_runs_its_dependents_and_undoing_restores_results(folder):
    first, before, stored = receipts(folder), clone.contents(folder), shards(folder)
    assert [r.evaluations_made for r in first.values()] == [12 * 2**4] * 2
    assert len(shards(folder, *MODELS)) == 24
    models = trained(folder)
    assert has_nothing_to_do(snakemake(folder))
    repeated = dvc(folder, "repro")
    assert "Data and pipelines are up to date" in repeated.stdout
    assert not stages_run(repeated)
    assert has_nothing_to_do(snakemake(folder, "-n"))

    change(folder, "frames.figures.clips", 1)
    done = dvc(folder, "repro")
    assert stages_run(done) == rules_run(done) == {"frames_figures"}
    assert len(list(folder.glob("results/frames/figures/clips/*.png"))) == 1
    assert has_nothing_to_do(snakemake(folder, "-n"))

    change(folder, "frames.accuracy.max_frames", 2)
    assert rules_run(snakemake(folder)) == {
        "frames_accuracy", "frames_figures", "frames_claims", "report_page"
    }  # fmt: skip
    assert json.loads((folder / "results/frames/accuracy.json").read_text())["frames"] == [1, 2]
    assert not stages_run(dvc(folder, "repro"))

    change(folder, "frames.figures.clips", 2)
    change(folder, "frames.accuracy.max_frames", 3)
    done = snakemake(folder)
    assert not rules_run(done)
    assert "frames_accuracy: its results are taken from DVC's cache" in done.stderr
    assert clone.contents(folder) == before
    assert not stages_run(dvc(folder, "repro"))
    assert shards(folder) == stored
    assert trained(folder) == models
    assert receipts(folder) == first


@pytest.mark.slow
def test_undoing_another_number_of_players_restores_the_results(folder):
    at_four = clone.contents(folder)
    change(folder, "frames.coalitions.n", 3)
    assert rules_run(dvc(folder, "repro")) == OF_PLAYERS
    at_three = clone.contents(folder)
    assert at_three.keys() == at_four.keys()
    assert at_three != at_four
    assert has_nothing_to_do(snakemake(folder, "-n"))

    change(folder, "frames.coalitions.n", 4)
    would = snakemake(folder, "-n")
    assert "frames_merge: DVC has its results" in would.stdout + would.stderr
    done = snakemake(folder)
    assert not rules_run(done)
    assert "frames_merge: its results are taken from DVC's cache" in done.stderr
    assert clone.contents(folder) == at_four
    assert not stages_run(dvc(folder, "repro"))

    change(folder, "frames.coalitions.n", 3)
    assert not rules_run(dvc(folder, "repro"))
    assert clone.contents(folder) == at_three
    assert has_nothing_to_do(snakemake(folder, "-n"))


@pytest.mark.slow
def test_stores_keep_evaluations_without_dvcs_cache(folder):
    at_four = clone.contents(folder)
    snakemake(folder, "frames_merge_all", "--config", "frames={coalitions: {n: 3}}")
    shutil.rmtree(folder / ".dvc/cache")
    done = snakemake(folder)
    assert rules_run(done) >= FILL
    assert not rules_run(done) & TRAINING
    assert [r.evaluations_made for r in receipts(folder).values()] == [0, 0]
    assert [r.evaluations_reused for r in receipts(folder).values()] == [12 * 2**4] * 2
    assert clone.contents(folder) == at_four


@pytest.mark.slow
def test_only_additional_videos_are_evaluated(folder):
    stored, models = shards(folder, *MODELS), trained(folder)
    change(folder, "frames.dataset.validation_clips", 17)
    done = dvc(folder, "repro")
    assert rules_run(done) == OF_PLAYERS | OF_MODELS | {"frames_features", "frames_skipped"}
    assert "rule frames_features: split validation, " in done.stdout + done.stderr
    assert "rule frames_features: split train, " not in done.stdout + done.stderr
    for receipt in receipts(folder).values():
        assert (receipt.evaluations_made, receipt.evaluations_reused) == (5 * 2**4, 12 * 2**4)
    now = shards(folder, *MODELS)
    assert len(now) == 34
    assert {name: now[name] for name in stored} == stored
    assert trained(folder) == models
    assert has_nothing_to_do(snakemake(folder, "-n"))


def test_only_an_edit_that_raises_a_version_runs_stages(folder):
    study = folder / "pipeline/studies/frames"
    for file in ("game.py", "stages/scales.py", "stages/values.py"):
        (study / file).write_text(f"{(study / file).read_text()}\n# A remark.\n")
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))

    file = study / "stages/values.py"
    now = re.sub(r"^VERSION = \d+", "VERSION = 99", file.read_text(), flags=re.MULTILINE)
    file.write_text(now)
    assert rules_run(snakemake(folder, "-n")) == OF_VALUES | {"frames_values"}
    done = dvc(folder, "repro")
    # The values stay the same, so DVC stops there.
    assert stages_run(done) == rules_run(done) == {"frames_values"}
    assert has_nothing_to_do(snakemake(folder))


def pushed(built, tmp_path):
    """A folder whose results have been pushed, and a fresh clone without results."""
    source, fresh = clone.copied(built, tmp_path / "source"), tmp_path / "fresh"
    dvc(source, "remote", "add", "-d", "store", str(tmp_path / "remote"))
    dvc(source, "push")
    clone.commit(source)
    clone.run(tmp_path, "git", "clone", "-q", str(source), str(fresh))
    return source, fresh


def pushed_to_s3(built, tmp_path, service):
    """As `pushed`, by the commands of the documents."""
    source, fresh = clone.copied(built, tmp_path / "source"), tmp_path / "fresh"
    commands = block("docs/reproducing.md", "dvc remote add")
    commands = commands.replace("<bucket>", service.bucket()).replace("<address>", service.url)
    clone.run(source, "bash", "-ec", commands)
    clone.run(tmp_path, "git", "clone", "-q", str(source), str(fresh))
    return source, fresh


def test_pulled_results_run_nothing_and_are_known_job_by_job(
    built_once, tmp_path, service, monkeypatch
):
    """Also in a clone where no job ran. The results go through S3."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    source, fresh = pushed_to_s3(built_once, tmp_path, service)
    assert not (fresh / "results").exists()
    dvc(fresh, "pull")
    assert clone.contents(fresh) == clone.contents(source)
    other = clone.copied(fresh, tmp_path / "other")
    assert not stages_run(dvc(fresh, "repro"))
    assert has_nothing_to_do(snakemake(fresh, "-n"))
    assert has_nothing_to_do(snakemake(other))
    assert not stages_run(dvc(other, "repro"))
    assert receipts(other) == receipts(source)

    for at in (fresh, source):
        only_one_model_is_made_again(at)
        only_lacking_models_are_trained(at)


def only_one_model_is_made_again(folder):
    change(folder, "frames.tsn.epochs", 1)
    would = snakemake(folder, "-n")
    assert rules_run(would) == OF_PLAYERS | OF_MODELS | {"frames_tsn"}
    change(folder, "frames.tsn.epochs", 2)
    of_one = [file for file in outputs(would) if re.search(r"/t[rs]n[_.]", file)]
    assert "results/frames/receipts/tsn_shift.json" in of_one
    assert not [file for file in of_one if "/trn" in file]


def only_lacking_models_are_trained(folder):
    change(folder, "frames.scales.n_max", 3)
    would = snakemake(folder, "-n")
    assert rules_run(would) & TRAINING == {"frames_scales"}
    assert "results/frames/scales/3.pt" in outputs(would)
    assert not {f"results/frames/scales/{number}.pt" for number in (1, 2)} & outputs(would)


def test_fewer_models_would_be_evaluated_again_without_training(folder):
    change(folder, "frames.scales.n_max", 1)
    would = rules_run(snakemake(folder, "-n"))
    assert {"frames_accuracy", "frames_evaluate", "frames_merge"} <= would
    assert not would & TRAINING


@pytest.mark.slow
def test_changing_one_model_reruns_nothing_of_the_other_even_after_a_pull(built_once, tmp_path):
    _, fresh = pushed(built_once, tmp_path)
    dvc(fresh, "pull")
    untouched, before = shards(fresh), receipts(fresh)
    change(fresh, "frames.tsn.epochs", 1)
    done = dvc(fresh, "repro")
    expected = OF_PLAYERS | OF_MODELS | {"frames_tsn"}
    # Figures may stay the same; then DVC stops there.
    drawn = {rule for rule in expected if "_draw_" in rule}
    assert expected - drawn <= rules_run(done) <= expected
    assert receipts(fresh)["trn"] == before["trn"]
    made = receipts(fresh)["tsn"]
    assert (made.evaluations_made, made.evaluations_reused) == (12 * 2**4, 0)
    now = shards(fresh)
    assert {n: now[n] for n in now if "/trn" in n} == {
        n: untouched[n] for n in untouched if "/trn" in n
    }


@pytest.mark.slow
def test_leftover_models_are_not_used_when_there_are_fewer(folder):
    change(folder, "frames.scales.n_max", 1)
    assert not rules_run(snakemake(folder)) & TRAINING
    one = open_store(folder / "results/coalitions/frames/trn.zarr").record.weights_sha256
    assert receipts(folder)["trn"].evaluations_made == 12 * 2**4
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))
    change(folder, "frames.scales.n_max", 2)
    assert not rules_run(snakemake(folder))
    assert open_store(folder / "results/coalitions/frames/trn.zarr").record.weights_sha256 != one


@pytest.mark.slow  # Kills hit at different moments on each machine; a busy one may need more pulls.
def test_an_interrupted_pull_leaves_no_wrong_results(built_once, tmp_path):
    source, fresh = pushed(built_once, tmp_path)
    for seconds in (0.9, 1.3, 1.7):
        pull = subprocess.Popen(["dvc", "pull"], cwd=fresh, env=clone.environment())
        time.sleep(seconds)
        pull.kill()
        pull.wait()
    dvc(fresh, "pull")
    assert not rules_run(snakemake(fresh))
    assert clone.contents(fresh) == clone.contents(source)


@pytest.mark.slow
def test_a_run_completes_an_interrupted_pull(built_once, tmp_path):
    """Imitate an interrupted pull: only some shards and files exist, in the cache and outside."""
    source, fresh = pushed(built_once, tmp_path)
    dvc(fresh, "pull")
    expected = clone.contents(source)
    store = fresh / "results/coalitions/frames/trn.zarr"
    for instance in (0, 3, 7):
        lose(fresh, store / f"values/c.{instance}.0.0")
    (fresh / "results/frames/values/trn.h5").unlink()
    done = snakemake(fresh)
    assert not rules_run(done) & TRAINING
    assert rules_run(done) & FILL
    assert receipts(fresh)["trn"].evaluations_made == 3 * 2**4
    assert receipts(fresh)["tsn"] == receipts(source)["tsn"]
    assert clone.contents(fresh) == expected


def lose(folder, file):
    """Remove a file, and its copy in DVC's cache."""
    digest = clone.run(folder, "md5sum", str(file)).stdout.split()[0]
    (folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
    file.unlink()


def test_only_lost_shards_are_evaluated_again(toy):
    before, stored = clone.contents(toy), shards(toy)
    lost = toy / "results/coalitions/toy/majority.zarr/values/c.1.0.0"
    lose(toy, lost)
    lose(toy, toy / "results/toy/values.json")
    assert rules_run(snakemake(toy)) >= TOY_FILL | {"toy_values"}
    assert toy_receipt(toy).evaluations_made == 2**4
    assert toy_receipt(toy).evaluations_reused == 2**4
    assert clone.contents(toy) == before
    del stored[str(lost.relative_to(toy))]
    now = shards(toy)
    assert {name: now[name] for name in stored} == stored
    assert not stages_run(dvc(toy, "repro"))


def test_overrides_reach_the_stages_and_do_not_change_dvcs_records(toy, tmp_path):
    as_in_file = clone.contents(toy)
    lock = (toy / "dvc.lock").read_bytes()
    override = ("--config", "toy={vote: {quotas: [6]}, values: {digits: 3}}")
    assert rules_run(snakemake(toy, *override)) == TOY_FILL | TOY_ANALYSES | {"report_page"}
    store = open_store(toy / "results/coalitions/toy/majority.zarr")
    assert store.instances == ("quota 6",)
    overridden = clone.contents(toy)
    # DVC records params.yaml, which has other values, so these results are not recorded.
    assert (toy / "dvc.lock").read_bytes() == lock
    assert has_nothing_to_do(snakemake(toy, *override))
    text = (toy / "dvc.yaml").read_bytes()
    snakemake(toy, "-n", "--config", "studies=[baselines]")
    assert (toy / "dvc.yaml").read_bytes() == text

    assert not rules_run(dvc(toy, "repro"))
    assert clone.contents(toy) == as_in_file
    assert yaml.safe_load((toy / "dvc.lock").read_text()) == yaml.safe_load(lock)

    # With the same values in a file, the results made with them come back.
    preset = tmp_path / "preset.yaml"
    preset.write_text("toy: {vote: {quotas: [6]}, values: {digits: 3}}\n")
    assert not rules_run(snakemake(toy, "--configfile", str(preset)))
    assert clone.contents(toy) == overridden
    assert not rules_run(snakemake(toy))
    assert clone.contents(toy) == as_in_file
    assert digits(toy) == 6


def test_dvc_refuses_values_that_it_would_record_wrongly(toy):
    text = "config:\n  - 'toy={values: {digits: 1}}'\n"
    (toy / "profiles/other").mkdir()
    (toy / "profiles/other/config.yaml").write_text(text)
    change(toy, "toy.values.digits", 3)
    before = clone.contents(toy)
    refused = dvc(toy, "repro", check=False, SNAKEMAKE_PROFILE=str(toy / "profiles/other"))
    assert refused.returncode != 0
    assert "stage toy_values would be made with others" in refused.stderr
    assert clone.contents(toy) == before

    # The same holds if Snakemake has nothing to do.
    change(toy, "toy.values.digits", 6)
    profile = toy / "profiles/default/config.yaml"
    profile.write_text(profile.read_text() + text)
    assert rules_run(snakemake(toy)) == TOY_ANALYSES
    refused = dvc(toy, "repro", check=False)
    assert refused.returncode != 0
    assert "stage toy_values would be made with others" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert digits(toy) == 6


@pytest.mark.slow
def test_an_experiment_and_what_dvc_shows(folder):
    clone.commit(folder)
    done = dvc(folder, "exp", "run", "-S", "frames.coalitions.n=3", "-n", "three")
    assert rules_run(done) == OF_PLAYERS
    assert open_store(folder / "results/coalitions/frames/tsn.zarr").record.n_players == 3
    recorded = locked(folder, "frames_merge")["params"]["params.yaml"]
    assert recorded["frames.coalitions.n"] == 3
    assert has_nothing_to_do(snakemake(folder, "-n"))

    shown = dvc(folder, "exp", "show", "--csv").stdout.splitlines()
    assert any("three" in line for line in shown)
    assert "trn" in shown[0].split(",")
    metrics = json.loads(dvc(folder, "metrics", "show", "--json").stdout)
    numbers = metrics[""]["data"]["results/frames/metrics.json"]["data"]
    assert 0 <= numbers["tsn"] <= 1
    # The numbers of models this small may stay the same.
    compared = json.loads(dvc(folder, "metrics", "diff", "--all", "--json").stdout)
    assert compared["results/frames/metrics.json"]["tsn"]["new"] == numbers["tsn"]
    for command in (
        ("metrics", "show"),
        ("metrics", "diff", "--all"),
        ("exp", "show", "--only-changed", "--drop", ".*/"),
    ):
        lines = dvc(folder, *command, COLUMNS="80").stdout.splitlines()
        assert 2 < max(map(len, lines)) <= 80, command
    assert "frames.coalitions.n" in " ".join(lines)
    params = json.loads(dvc(folder, "params", "diff", "--json").stdout)
    assert params["params.yaml"] == {"frames.coalitions.n": {"old": 4, "new": 3, "diff": -1}}
    dvc(folder, "plots", "show")
    page = (folder / "dvc_plots/index.html").read_text()
    assert "Accuracy against the number of frames" in page
    assert "summary.png" in page
    assert "frames_merge" in dvc(folder, "dag", "--mermaid").stdout

    clone.run(folder, "git", "checkout", "-q", "params.yaml", "dvc.lock")
    dvc(folder, "checkout", "--force")
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))


def test_an_experiment_with_the_toy_study(toy):
    clone.commit(toy)
    before = clone.contents(toy)
    done = dvc(toy, "exp", "run", "-S", "toy.values.digits=2", "-n", "two")
    assert rules_run(done) == TOY_ANALYSES
    assert digits(toy) == 2
    assert has_nothing_to_do(snakemake(toy, "-n"))
    assert "two" in dvc(toy, "exp", "show", "--csv").stdout
    clone.run(toy, "git", "checkout", "-q", "params.yaml", "dvc.lock")
    dvc(toy, "checkout", "--force")
    assert clone.contents(toy) == before
    assert has_nothing_to_do(snakemake(toy))
    assert not stages_run(dvc(toy, "repro"))


def test_files_of_unknown_origin_are_made_again(folder):
    """Results that came from elsewhere, and results made from files that have changed since."""
    shutil.rmtree(folder / ".snakemake")
    (folder / "dvc.lock").unlink()
    shutil.rmtree(folder / ".dvc/cache")
    would = rules_run(snakemake(folder, "-n"))
    assert would >= TRAINING | OF_PLAYERS | OF_MODELS | {"frames_videos"}


def test_a_replaced_file_is_noticed_whatever_its_time(folder):
    priors = folder / "results/frames/priors.json"
    good, made = priors.read_bytes(), priors.stat().st_mtime_ns
    content = json.loads(good)
    content["counts"] = content["counts"][::-1]
    priors.write_text(json.dumps(content))
    os.utime(priors, ns=(made - 10**12, made - 10**12))
    assert not rules_run(snakemake(folder))
    assert priors.read_bytes() == good

    # If the cache has no copy, the file is made again.
    shutil.rmtree(folder / ".dvc/cache")
    made = priors.stat().st_mtime_ns
    priors.write_text(priors.read_text() + "\n")
    os.utime(priors, ns=(made, made))
    assert rules_run(snakemake(folder, "-n", "frames_priors_all")) == {"frames_priors"}
    # A run of other targets leaves this to the next run.
    assert not rules_run(snakemake(folder, "frames_videos_all"))
    assert rules_run(snakemake(folder, "-n", "frames_priors_all")) == {"frames_priors"}


def test_content_decides_whatever_the_rerun_triggers(toy):
    change(toy, "toy.values.digits", 2)
    assert rules_run(snakemake(toy, "--rerun-triggers", "mtime")) == TOY_ANALYSES
    assert digits(toy) == 2
    assert has_nothing_to_do(snakemake(toy, "-n"))
    for file in (toy / "results/toy").rglob("*.*"):
        os.utime(file)
    assert has_nothing_to_do(snakemake(toy))

    # A forced rule does run.
    assert rules_run(snakemake(toy, "--forcerun", "toy_plan")) == TOY_FILL | TOY_ANALYSES | {
        "report_page"
    }
    assert toy_receipt(toy).evaluations_made == 0


def test_results_of_a_removed_parameter_are_made_again(toy):
    """Imitate a pull of results that an earlier version of the project made."""
    shutil.rmtree(toy / ".snakemake")
    shutil.rmtree(toy / ".dvc/cache")
    file = toy / "dvc.lock"
    content = yaml.safe_load(file.read_text())
    content["stages"]["toy_values"]["params"]["params.yaml"]["toy.values"]["old"] = 1
    file.write_text(yaml.safe_dump(content))
    assert rules_run(snakemake(toy)) == TOY_ANALYSES
    assert locked(toy, "toy_values")["params"]["params.yaml"]["toy.values"] == {"digits": 6}


def test_notes_do_not_count_after_dvc_has_restored_earlier_results(toy):
    before = clone.contents(toy)
    change(toy, "toy.values.digits", 2)
    snakemake(toy, "--no-hooks")
    assert clone.contents(toy) != before
    dvc(toy, "checkout", "--force")
    assert clone.contents(toy) == before
    assert rules_run(snakemake(toy)) == TOY_ANALYSES
    assert clone.contents(toy) != before


HOLDER = """
import sys
from dvc.repo import Repo
with Repo().lock:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_succeeds_while_dvc_is_busy_and_the_next_one_records_it(toy):
    change(toy, "toy.values.digits", 2)
    lock = (toy / "dvc.lock").read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=toy,
        env=clone.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        done = snakemake(toy)
        holder.stdin.close()
    assert rules_run(done) == TOY_ANALYSES
    assert "DVC could not record all results; the next run does" in done.stderr
    assert (toy / "dvc.lock").read_bytes() == lock
    assert has_nothing_to_do(snakemake(toy))
    assert digits(toy) == 2
    assert not stages_run(dvc(toy, "repro"))


def test_an_outdated_dvc_yaml_is_reported_and_written_again(toy):
    file, lock = toy / "dvc.yaml", (toy / "dvc.lock").read_bytes()
    good, told = file.read_text(), "dvc.yaml does not match the rules and parameters"
    assert good.count("    - toy.values\n") == 1
    stale = good.replace("    - toy.values\n", "")
    file.write_text(stale)
    change(toy, "toy.values.digits", 2)
    would = snakemake(toy, "-n")
    assert rules_run(would) == TOY_ANALYSES
    assert told in would.stdout + would.stderr or file.read_text() == stale
    # DVC alone would not notice.
    refused = dvc(toy, "repro", "--force", "--single-item", "toy_values", check=False)
    assert refused.returncode != 0
    assert f"{told}; write it again with `python -m pipeline dvc-yaml`" in refused.stderr
    # A single stage is built anyway. DVC records it once its entry is correct.
    assert rules_run(snakemake(toy, "toy_values_all")) == {"toy_values"}
    assert file.read_text() == stale
    assert (toy / "dvc.lock").read_bytes() == lock
    done = snakemake(toy)
    assert rules_run(done) == {"toy_draw_values"}
    assert f"{told}; it was written again" in done.stderr
    assert file.read_text() == good
    assert digits(toy) == 2
    assert not stages_run(dvc(toy, "repro"))

    # Stages of a study that is not listed are removed, so `dvc repro` does not run them.
    entry = {"cmd": "false", "outs": [{"results/other/values.json": {"persist": True}}]}
    content = yaml.safe_load(good)
    content["stages"]["other_values"] = entry
    file.write_text(yaml.safe_dump(content))
    assert f"{told}; it was written again" in snakemake(toy).stderr
    assert file.read_text() == good
    assert has_nothing_to_do(snakemake(toy))
    assert not stages_run(dvc(toy, "repro"))


def test_numbers_are_the_same_however_they_are_written(folder):
    file = folder / "params.yaml"
    written = file.read_text()
    file.write_text(written.replace("learning_rate: 0.001", "learning_rate: 1e-3"))
    assert file.read_text() != written
    # PyYAML reads a text, DVC a number.
    assert isinstance(yaml.safe_load(file.read_text())["frames"]["tsn"]["learning_rate"], str)
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))
    recorded = locked(folder, "frames_tsn")["params"]["params.yaml"]["frames.tsn"]
    assert recorded["learning_rate"] == 0.001


def test_dvc_is_not_needed(toy):
    shutil.rmtree(toy / ".dvc")
    assert has_nothing_to_do(snakemake(toy))
    change(toy, "toy.values.digits", 2)
    assert rules_run(snakemake(toy)) == TOY_ANALYSES


def test_dvc_builds_everything_and_snakemake_has_nothing_to_do(toy_once, tmp_path):
    folder = clone.new_toy(tmp_path / "clone")
    clone.run(folder, "python", "-m", "pipeline", "dvc-yaml")
    done = dvc(folder, "repro")
    assert stages_run(done) == {"toy_merge", *TOY_ANALYSES, "report_page"}
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert not stages_run(dvc(folder, "repro"))
    assert clone.contents(folder) == clone.contents(toy_once)


@pytest.mark.slow
def test_dvc_builds_the_study_of_frames_and_snakemake_has_nothing_to_do(built_once, tmp_path):
    folder = clone.new_clone(tmp_path / "clone", clone.SMALL)
    clone.run(folder, "python", "-m", "pipeline", "dvc-yaml")
    listed = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    assert stages_run(dvc(folder, "repro")) == set(listed)
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert not stages_run(dvc(folder, "repro"))
    assert clone.contents(folder) == clone.contents(built_once)


@pytest.mark.slow
def test_given_features_are_tracked_after_dvc_yaml_is_written_again(built_once, tmp_path):
    folder = clone.new_clone(tmp_path / "clone", clone.SMALL)
    for model in MODELS:
        features = f"results/frames/features/{model}"
        given = {s: str(built_once / f"{features}_{s}.h5") for s in ("train", "validation")}
        change(folder, f"frames.features.{model}", given)
    change(folder, "frames.dataset.root", str(built_once / "data/frames/moving-digits"))
    refused = dvc(folder, "repro", check=False)
    assert "write it again with `python -m pipeline dvc-yaml`" in refused.stderr
    clone.run(folder, "python", "-m", "pipeline", "dvc-yaml")
    done = dvc(folder, "repro")
    assert not rules_run(done) & {"frames_videos", "frames_backbone", "frames_features"}
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert not stages_run(dvc(folder, "repro"))
    for name in MODELS:
        assert (folder / f"results/frames/values/{name}.h5").exists()


def test_dvc_sends_no_usage_statistics():
    assert "analytics = false" in (ROOT / ".dvc/config").read_text()
