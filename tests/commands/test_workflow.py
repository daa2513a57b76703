"""The real `snakemake` command on a tiny study, in a folder of its own."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import clone
import pytest
import yaml
from tiny import OVERRIDES, ROOT, defaults, merged
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.core import stage
from pipeline.core.errors import InputError
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.frames import paths as workflow
from pipeline.workflow.params import validate

TINY = merged(OVERRIDES, {"frames": {"scales": {"n_max": 2}, "accuracy": {"max_frames": 3}}})


def snakemake(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Its `python` must be this one, also when it was not started through the environment.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    return subprocess.run(
        [*command, "--directory", str(folder), "--cores", "2", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def new_folder(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(defaults(), TINY)))
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = new_folder(tmp_path_factory.mktemp("workflow"))
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_one_command_makes_everything_and_a_log_a_job(built):
    made = built / "results/frames"
    for name in ("trn", "tsn"):
        assert read_receipt(made / f"receipts/{name}.json").evaluations_made == 17 * 2**5
        assert (made / f"values/{name}.h5").exists()
    assert len(list(made.glob("figures/clips/*.png"))) == 2
    assert (made / "skipped.csv").read_text().split() == ["split,id,reason"]
    logs = {path.stem for path in (built / "results/logs/frames").glob("*.log")}
    one_each = {"videos", "skipped", "priors", "tsn", "accuracy", "figures"}
    one_each |= {"features_train", "features_validation", "discarded", "patterns", "lengths"}
    one_each |= {"shifted", "convergence", "runtime", "claims"}
    per_model = {"backbone", "game", "receipts", "values", "gradients"}
    per_model |= {f"coalitions_{{}}_{part}_of_2" for part in range(2)}
    stages = {
        stage.format(model) if "{" in stage else f"{stage}_{model}"
        for stage in per_model
        for model in ("trn", "tsn")
    }
    assert logs == one_each | stages | {"scales_1", "scales_2"}
    assert "done in" in (built / "results/logs/frames/features_train.log").read_text()


def test_a_second_run_has_nothing_to_do(built):
    again = snakemake(built)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr


def test_a_lost_receipt_costs_no_evaluation(built):
    receipt = built / "results/frames/receipts/trn.json"
    receipt.unlink()
    assert snakemake(built).returncode == 0
    assert read_receipt(receipt).evaluations_made == 0


@pytest.mark.slow
def test_a_damaged_store_is_named_and_mended_by_the_command_that_verify_tells(built):
    store = open_store(built / "results/coalitions/frames/tsn.zarr")
    shard = store.shard(4)
    shard.write_bytes(shard.read_bytes()[:-1])
    found = CliRunner().invoke(app, ["store", "verify", store.path])
    assert found.exit_code == 1
    assert store.instances[4] in found.output
    command = re.search(r"snakemake --cores all (--forcerun frames_game)", found.output)
    assert snakemake(built, *command.group(1).split()).returncode == 0
    receipt = read_receipt(built / "results/frames/receipts/tsn.json")
    assert receipt.instances_damaged == (store.instances[4],)
    assert receipt.evaluations_made == 2**5
    assert read_receipt(built / "results/frames/receipts/trn.json").evaluations_made == 0
    assert CliRunner().invoke(app, ["store", "verify", store.path]).exit_code == 0


def test_one_target_needs_just_what_leads_to_it(tmp_path):
    folder = new_folder(tmp_path / "one")
    planned = snakemake(folder, "-n", "results/frames/accuracy.json")
    assert planned.returncode == 0, planned.stderr
    assert "frames_accuracy" in planned.stdout + planned.stderr
    for rule in ("frames_coalitions", "frames_values", "frames_figures"):
        assert rule not in planned.stdout + planned.stderr


def test_the_graph_and_the_report(built):
    graph = snakemake(built, "--dag", "--forceall")
    assert graph.returncode == 0
    assert graph.stdout.lstrip().startswith("digraph")
    report = snakemake(built, "--report", "report.html")
    assert report.returncode == 0, report.stderr
    assert "accuracy" in (built / "report.html").read_text()


def test_the_rules_are_lint_clean(built):
    assert snakemake(built, "--lint").returncode == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("frames={coalitions: {scor: logit}}", "did you mean frames.coalitions.score"),
        ("frames={coalitions: {n: 99}}", "frames.coalitions.n: input should be less than"),
        ("frames={dataset: {root: nowhere}}", "frames.dataset.root: there is no nowhere"),
    ],
)
def test_bad_parameters_are_refused_before_any_rule(tmp_path, override, message):
    folder = new_folder(tmp_path / "refused")
    refused = snakemake(folder, "--config", override)
    assert refused.returncode != 0
    assert message in " ".join(refused.stderr.split())
    assert not (folder / "results").exists()
    assert not (folder / "data").exists()


def test_given_features_need_no_videos(built, tmp_path):
    given = {
        model: {
            split: str(built / f"results/frames/features/{model}_{split}.h5")
            for split in ("train", "validation")
        }
        for model in ("trn", "tsn")
    }
    folder = new_folder(tmp_path / "given")
    changes = {"frames": {"features": given}}
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(merged(defaults(), TINY), changes)))
    planned = snakemake(folder, "-n")
    assert planned.returncode == 0, planned.stderr
    output = planned.stdout + planned.stderr
    assert "frames_figures" in output
    for rule in ("frames_videos", "frames_backbone", "frames_features"):
        assert rule not in output


def rules_of(planned):
    assert planned.returncode == 0, planned.stderr
    return set(re.findall(r"frames_\w+", planned.stdout + planned.stderr))


def test_a_parameter_touches_only_what_depends_on_it(built):
    """What would run again; `more_clips` must not train anything anew."""
    more_clips = rules_of(
        snakemake(built, "-n", "--config", "frames={dataset: {validation_clips: 9}}")
    )
    assert {"frames_coalitions", "frames_skipped"} <= more_clips
    assert not more_clips & {"frames_backbone", "frames_scales", "frames_tsn", "frames_videos"}
    drawn = rules_of(snakemake(built, "-n", "--config", "frames={figures: {clips: 1}}"))
    assert drawn == {"frames_figures"}
    tolerant = rules_of(snakemake(built, "-n", "--config", "frames={dataset: {max_skipped: 0.5}}"))
    assert not tolerant & {"frames_backbone", "frames_features"}


def test_an_edit_of_a_given_data_set_is_noticed(built, tmp_path):
    folder = new_folder(tmp_path / "given")
    root = tmp_path / "my data"
    shutil.copytree(built / workflow.RENDERED, root)
    files = workflow.dataset_files(params_with(dataset={"root": str(root)}).frames)
    names = {str(Path(file).relative_to(root)) for file in files}
    assert names >= {"labels/labels.json", "labels/train.json", "20bn-something-something-v2"}
    override = f"frames={{dataset: {{root: {root}}}}}"
    planned = rules_of(snakemake(folder, "-n", "--config", override))
    assert "frames_backbone" in planned
    assert "frames_videos" not in planned


@pytest.mark.slow
def test_the_same_parameters_give_the_same_bytes(built, tmp_path):
    again = new_folder(tmp_path / "again")
    done = snakemake(again)
    assert done.returncode == 0, done.stderr
    results = [p for p in (built / "results").rglob("*") if p.is_file() and "logs" not in p.parts]
    results += [p for p in (built / "data").rglob("*") if p.is_file()]
    differing = []
    for path in results:
        other = again / path.relative_to(built)
        if path.parent.name == "receipts" or path.stem in clone.TIMED:
            continue  # these tell how long something took
        if path.read_bytes() != other.read_bytes():
            differing.append(path)
    assert not differing
    assert len(results) > 60


def params_with(**frames):
    return validate(merged(defaults(), {"frames": frames}))


def test_paths_and_options_follow_the_parameters(tmp_path):
    usual = params_with().frames
    assert workflow.dataset_root(usual) == workflow.RENDERED
    assert workflow.feature_file(usual, "trn", "train") == "results/frames/features/trn_train.h5"
    assert workflow.class_options(usual) == f"--root {workflow.RENDERED}"
    assert workflow.label_option(usual) == ""
    given = {m: {"train": f"{m}.h5", "validation": "v w.h5"} for m in ("trn", "tsn")}
    outside = params_with(features={**given, "label": "action"}).frames
    assert workflow.feature_file(outside, "tsn", "validation") == "v w.h5"
    assert workflow.class_options(outside) == ""
    assert workflow.root_option(outside) == ""
    assert workflow.label_option(outside) == "--label action"
    with pytest.raises(InputError, match=r"frames.features.trn.train: there is no trn.h5"):
        workflow.read_config(merged(defaults(), {"frames": {"features": given}}))


@pytest.mark.parametrize(("device", "expected"), [("cpu", 0), ("cuda", 1), ("cuda:1", 1)])
def test_jobs_ask_for_a_gpu_where_they_use_one(device, expected):
    assert workflow.gpus(validate({**defaults(), "device": device})) == expected


def test_the_conda_environment_names_the_same_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "pipeline/rules/environment.yaml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert sorted(pip) == sorted(project["dependencies"])


STAGES = sorted(
    path.stem for path in (ROOT / "pipeline/frames").glob("*.py") if "run(main)" in path.read_text()
)


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_a_command_and_a_rule(name, capsys):
    module = importlib.import_module(f"pipeline.studies.frames.{name}")
    with pytest.raises(SystemExit) as ended:
        stage.run(module.main, ["--help"])
    assert ended.value.code == 0
    options = set(re.findall(r"--([a-z-]+)", capsys.readouterr().out))
    rules = (ROOT / "pipeline/rules/frames.smk").read_text()
    rule = rules.split(f"rule frames_{name}:")[1].split("\nrule ")[0]
    assert re.search(rf'python -m pipeline\.frames\.{name}[ "]', rule)
    given = set(re.findall(r"--([a-z-]+) ", rule))
    assert given <= options
    assert {"log", "threads"} <= given


def test_a_failed_stage_says_why_and_leaves_its_log(tmp_path):
    log, out = tmp_path / "logs/priors.log", tmp_path / "priors.json"
    command = [sys.executable, "-m", "pipeline.studies.frames.priors", "--features", "gone.h5"]
    failed = subprocess.run(
        [*command, "--out", str(out), "--log", str(log)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "gone.h5: there is no such feature file" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "gone.h5: there is no such feature file" in log.read_text()
    assert not out.exists()


def test_parameters_reach_a_stage_as_json_and_are_checked_there(tmp_path):
    command = [sys.executable, "-m", "pipeline.studies.frames.videos", "--out", str(tmp_path / "v")]
    spec = json.dumps({**TINY["frames"]["videos"], "fps": "x"})
    refused = subprocess.run(
        [*command, "--params", spec], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "parameter fps" in refused.stderr
    assert not (tmp_path / "v").exists()
