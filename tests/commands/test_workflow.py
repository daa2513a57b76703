"""Runs the real `snakemake` command without DVC, so that Snakemake's own records decide.

Tests that do not depend on this use a folder with DVC.
"""

import functools
import importlib
import inspect
import json
import re
import shlex
import shutil
import sys
import tomllib

import clone
import pytest
import yaml
from clone import has_nothing_to_do, rules_run, snakemake
from pydantic import TypeAdapter
from tiny import ROOT, defaults, merged

from pipeline.core import stage
from pipeline.core.errors import InputError
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies import SECTIONS, STUDIES
from pipeline.studies.frames import paths
from pipeline.workflow.params import read_config, validate
from pipeline.workflow.targets import gpus

MODELS = ("trn", "tsn")
GAMES = [
    f"{model}{kind}"
    for model in MODELS
    for kind in ("", "_lengths", "_shift", "_removal", "_convergence")
]
CLIPS, COALITIONS = 12, 2**4


def without_dvc(folder):
    shutil.rmtree(folder / ".dvc")
    return folder


@pytest.fixture(scope="module")
def built(built_once, tmp_path_factory):
    """The small study in a folder without DVC; tests must not change it."""
    return without_dvc(clone.copied(built_once, tmp_path_factory.mktemp("workflow") / "copy"))


@pytest.fixture
def folder(built, tmp_path):
    return clone.copied(built, tmp_path / "copy")


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """A clone without DVC and without results; tests must not change it."""
    return without_dvc(clone.new_clone(tmp_path_factory.mktemp("new"), clone.SMALL))


def receipt(folder, game):
    return read_receipt(folder / f"results/frames/receipts/{game}.json")


def test_one_command_makes_everything_and_one_log_per_job(built_once):
    made = built_once / "results/frames"
    for name in MODELS:
        assert receipt(built_once, name).evaluations_made == CLIPS * COALITIONS
        assert (made / f"values/{name}.h5").exists()
    assert len(list(made.glob("figures/clips/*.png"))) == 2
    assert (made / "skipped.csv").read_text().split() == ["split,id,used,reason"]
    logs = [path.stem for path in (built_once / "results/logs/frames").glob("*.log")]
    one_each = ["videos", "skipped", "priors", "tsn", "accuracy", "figures", "runtime", "claims"]
    one_each += ["features_train", "features_validation", "scales_1", "scales_2", "joint"]
    one_each += ["interactions", "localisation", "removal"]
    assert (built_once / "results/report/index.html").stat().st_size > 900_000
    for analysis in ("discard", "patterns", "lengths", "shift", "convergence"):
        one_each += [analysis, f"draw_{analysis}"]
    of_models = [f"{s}_{model}" for s in ("backbone", "values", "gradients") for model in MODELS]
    of_games = [f"{s}_{game}" for s in ("plan", "merge") for game in GAMES]
    of_games += [f"evaluate_{game}_0_of_1" for game in GAMES]
    assert sorted(logs) == sorted(one_each + of_models + of_games)
    assert "done in" in (built_once / "results/logs/frames/features_train.log").read_text()
    # Files that only one run needs are removed.
    assert not [*made.glob("partitions/**/*.json"), *made.glob("plans/*.json")]


def test_a_second_run_has_nothing_to_do(built):
    assert has_nothing_to_do(snakemake(built))


def test_a_lost_receipt_costs_no_evaluation(folder):
    lost = folder / "results/frames/receipts/trn.json"
    lost.unlink()
    done = snakemake(folder, str(lost.relative_to(folder)))
    assert rules_run(done) == {"frames_plan", "frames_evaluate", "frames_merge"}
    assert receipt(folder, "trn").evaluations_made == 0
    assert receipt(folder, "trn").evaluations_reused == CLIPS * COALITIONS


@pytest.mark.parametrize(
    ("study", "game", "with_dvc"),
    [
        ("toy", "majority", True),
        ("toy", "majority", False),
        pytest.param("frames", "tsn", True, marks=pytest.mark.slow),
        pytest.param("frames", "tsn", False, marks=pytest.mark.slow),
    ],
)
def test_verify_names_a_damaged_store_and_the_command_that_mends_it(
    request, tmp_path, study, game, with_dvc
):
    whole = request.getfixturevalue("toy_once" if study == "toy" else "built_once")
    folder = clone.copied(whole, tmp_path / "copy")
    if not with_dvc:
        without_dvc(folder)
    path = f"results/coalitions/{study}/{game}.zarr"
    store, before, results = open_store(folder / path), clone.shards(folder), clone.contents(folder)
    shard, instance = store.shard(1), store.instances[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    verify = ("python", "-m", "pipeline", "store", "verify", path)
    found = clone.run(folder, *verify, check=False)
    assert found.returncode == 1
    assert f"instance {instance}: " in found.stdout
    told = re.search(r"run `(snakemake --cores all [^`]*)`", found.stdout)
    assert told[1].endswith(f" --forcerun results/{study}/receipts/{game}.json")
    done = clone.run(folder, *shlex.split(told[1]))
    assert rules_run(done) >= {
        f"{study}_{name}" for name in ("plan", "evaluate", "merge", "values")
    }
    assert not rules_run(done) & {"frames_tsn", "frames_scales", "frames_accuracy"}
    now = clone.shards(folder)
    changed = [folder / name for name in now if now[name] != before[name]]
    assert changed == [shard]
    assert clone.contents(folder) == results
    for file in (whole / f"results/{study}/receipts").glob("*.json"):
        mended = read_receipt(folder / file.relative_to(whole))
        if file.stem == game:
            assert mended.instances_damaged == (instance,)
            assert mended.evaluations_made == 2**store.record.n_players
        else:
            assert mended == read_receipt(file), "of a store that was not looked at"
    assert clone.run(folder, *verify).returncode == 0
    assert has_nothing_to_do(snakemake(folder, "-n"))


def test_one_target_runs_only_the_jobs_that_lead_to_it(new):
    planned = rules_run(snakemake(new, "-n", "results/frames/accuracy.json"))
    models = {"frames_videos", "frames_backbone", "frames_features", "frames_priors"}
    assert planned == models | {"frames_scales", "frames_joint", "frames_tsn", "frames_accuracy"}


def test_the_graph_and_the_report(built_once, tmp_path):
    graph = snakemake(built_once, "--dag", "--forceall")
    assert graph.stdout.lstrip().startswith("digraph")
    report = tmp_path / "report.html"
    snakemake(built_once, "--report", str(report))
    page = report.read_text()
    first = embedded(page, "workflow_desc")
    counts = re.search(r"(\d+) show, (\d+) in part, (\d+) do not", first)
    claims = json.loads((built_once / "results/frames/claims.json").read_text())
    assert sum(map(int, counts.groups())) == len(claims)
    assert "how much each frame of a video adds" in first
    assert "System Message" not in first
    results = embedded(page, "results")
    labels = [result["labels"]["shows"] for result in results.values()]
    assert len({*labels}) == len(labels) > 15
    assert "Class score while frames are discarded by three attributions" in labels
    clips = [path for path in results if "/clips/" in path]
    captions = {result["caption"] for result in results.values()}
    assert len(captions) == len(labels) - len(clips) + 1
    assert "" not in captions
    groups = embedded(page, "categories")
    assert set(groups) == {"Frames"}
    assert groups["Frames"]["Claims of the paper"] == ["results/frames/claims.html"]


def embedded(page, name):
    """A variable of a report's page."""
    start = re.search(rf'<script id="[a-z-]+">\s*var {name} = ', page).end()
    return json.JSONDecoder().raw_decode(page, start)[0]


def test_the_rules_are_lint_clean(new):
    assert "in a good condition" in snakemake(new, "--lint").stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("frames={coalitions: {scor: logit}}", "did you mean frames.coalitions.score"),
        ("frames={coalitions: {n: 99}}", "frames.coalitions.n: input should be less than"),
        ("frames={dataset: {root: nowhere}}", "frames.dataset.root: there is no nowhere"),
    ],
)
def test_bad_parameters_are_refused_before_any_rule(new, override, message):
    refused = snakemake(new, "--config", override, check=False)
    assert refused.returncode != 0
    assert message in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    assert not (new / "results").exists()
    assert not (new / "data").exists()


def given_features(built):
    """Parameters of features that were made elsewhere."""
    made = built / "results/frames/features"
    splits = ("train", "validation")
    return {m: {split: str(made / f"{m}_{split}.h5") for split in splits} for m in MODELS}


def test_given_features_need_no_videos(built, tmp_path):
    given = merged(clone.SMALL, {"frames": {"features": given_features(built)}})
    folder = clone.new_clone(tmp_path / "given", given)
    planned = rules_run(snakemake(folder, "-n"))
    assert planned >= {"frames_priors", "frames_merge", "frames_figures"}
    assert not planned & {"frames_videos", "frames_backbone", "frames_features"}


def test_a_parameter_touches_only_what_depends_on_it(built):
    """Other validation clips must not repeat any training."""

    def planned(parameters):
        return rules_run(snakemake(built, "-n", "--config", f"frames={parameters}"))

    other_clips = planned("{dataset: {validation_clips: 9}}")
    assert {"frames_evaluate", "frames_skipped"} <= other_clips
    assert not other_clips & {"frames_backbone", "frames_scales", "frames_tsn", "frames_videos"}
    # The stage of the figures also writes the summary, which the claims read.
    assert planned("{figures: {clips: 1}}") == {"frames_figures", "frames_claims", "report_page"}
    assert planned("{dataset: {max_skipped: 0.5}}") == {"frames_skipped"}
    of_game = planned("{coalitions: {score: logit}}")
    assert {"frames_plan", "frames_evaluate", "frames_merge", "frames_gradients"} <= of_game
    assert not of_game & {"frames_scales", "frames_tsn", "frames_features"}


@pytest.mark.parametrize("with_dvc", [True, False])
def test_an_edit_of_a_given_data_set_is_noticed(built, tmp_path, with_dvc):
    root = tmp_path / "my data"
    shutil.copytree(built / paths.RENDERED, root)
    files = paths.dataset_files(params_with(dataset={"root": str(root)}).frames)
    names = [str(file).removeprefix(f"{root}/") for file in files]
    assert {"labels/labels.json", "labels/train.json", "20bn-something-something-v2"} <= {*names}
    more = {"dataset": {"root": str(root)}}
    folder = clone.new_clone(tmp_path / "of mine", merged(clone.SMALL, {"frames": more}))
    if not with_dvc:
        without_dvc(folder)
    planned = rules_run(snakemake(folder, "-n"))
    assert "frames_backbone" in planned
    assert "frames_videos" not in planned

    # If features are given, only the classes are read from the data set.
    clone.change(
        folder, "frames.features", {**given_features(built), "label": None, "classes": None}
    )
    target = "results/frames/priors.json"
    assert rules_run(snakemake(folder, target)) == {"frames_priors"}
    assert has_nothing_to_do(snakemake(folder, "-n", target))
    labels = root / "labels/labels.json"
    labels.write_text(labels.read_text() + "\n")
    assert rules_run(snakemake(folder, "-n", target)) == {"frames_priors"}


@pytest.mark.slow
def test_the_same_parameters_give_the_same_bytes(built_once, tmp_path):
    again = without_dvc(clone.new_clone(tmp_path / "again", clone.SMALL))
    snakemake(again)
    results, others = clone.contents(built_once), clone.contents(again)
    assert results.keys() == others.keys()
    assert not [name for name in results if results[name] != others[name]]
    videos = [path for path in (built_once / "data").rglob("*") if path.is_file()]
    for path in videos:
        assert path.read_bytes() == (again / path.relative_to(built_once)).read_bytes(), path
    assert len(results) + len(videos) > 60


def params_with(**frames):
    return validate(merged(defaults(), {"frames": frames}))


def test_paths_follow_the_parameters():
    usual = params_with().frames
    assert paths.dataset_root(usual) == paths.RENDERED
    assert paths.feature_file(usual, "trn", "train") == "results/frames/features/trn_train.h5"
    assert paths.root_need(usual)["root"].value == paths.RENDERED
    assert paths.class_files(usual) == [paths.RENDERED]
    assert paths.label_need(usual) == {}
    given = {m: {"train": f"{m}.h5", "validation": "v w.h5"} for m in MODELS}
    outside = params_with(features={**given, "label": "action"}).frames
    assert paths.feature_file(outside, "tsn", "validation") == "v w.h5"
    grouped = {m: {"train": f"{m}.h5::train", "validation": f"{m}.h5"} for m in MODELS}
    inside = params_with(features={**grouped, "label": "action"}).frames
    assert paths.feature_source(inside, "trn", "train") == ("trn.h5", "train")
    assert paths.feature_file(inside, "trn", "train") == f"{paths.MADE}/features/given_trn_train.h5"
    assert paths.feature_file(inside, "trn", "validation") == "trn.h5"
    assert paths.root_need(outside)["root"].value is None
    assert paths.class_files(outside) == []
    assert paths.label_need(outside) == {"label": "frames.features.label"}
    with pytest.raises(InputError, match=r"frames.features.trn.train: there is no trn.h5"):
        read_config(merged(defaults(), {"frames": {"features": given}}))


@pytest.mark.parametrize(("device", "expected"), [("cpu", 0), ("cuda", 1), ("cuda:1", 1)])
def test_jobs_ask_for_a_gpu_where_they_use_one(device, expected):
    assert gpus(validate({**defaults(), "device": device}).device) == expected


def test_the_conda_environment_names_the_same_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "pipeline/workflow/environment.yaml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert sorted(pip) == sorted(project["dependencies"])


def test_the_workflow_catalog_finds_what_it_asks_for():
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    for name in ("Snakefile", "LICENSE", "config/README.md"):
        assert (ROOT / name).exists()
    # The catalog runs another Snakefile where there are these folders.
    assert not (ROOT / "workflow").exists()
    assert not (ROOT / "rules").exists()
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    kinds = usage["software-stack-deployment"]
    assert kinds == {"conda": True, "apptainer": False, "apptainer+conda": False}
    assert usage["report"] is True


def stages_in(folder):
    return {path.stem for path in (ROOT / folder).glob("*.py") if path.stem != "__init__"}


def test_every_stage_has_one_rule_and_every_rule_its_stage(new):
    listed = snakemake(new, "--list-rules").stdout.split()
    assert len(listed) == len({*listed})
    rules = {rule for rule in listed if rule != "all" and not rule.endswith("_all")}
    of_stores = {f"{s}_{name}" for s in STUDIES for name in stages_in("pipeline/store/stages")}
    own = {f"{s}_{name}" for s in SECTIONS for name in stages_in(f"pipeline/studies/{s}/stages")}
    assert len(own) > 35
    assert not own & of_stores
    # These rules exist only if features are given in groups of files, or with a user's own model.
    assert rules | {"frames_given", "frames_clips"} == own | of_stores
    for rule in rules:
        assert callable(importlib.import_module(stage.module_of(rule)).main)


@pytest.fixture(scope="module")
def commands(new):
    """The command of every job of all studies, as words, by rule."""
    everything = f"studies=[{', '.join(STUDIES)}]"
    planned = snakemake(new, "-n", "-p", "--forceall", "--config", everything, "partitions=2")
    lines = re.findall(r"^Shell command: (.*)$", planned.stdout + planned.stderr, re.MULTILINE)
    found = {}
    for line in lines:
        if line == "None":
            continue  # a target runs no command
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "pipeline.core.job"]
        found.setdefault(words[3], []).append(words[4:])
    return found


def test_every_command_fits_its_stage(commands, monkeypatch):
    """Names and types of all options; no stage is run."""
    for name in ("end_with_parent", "_start_logging", "_set_up_torch"):
        monkeypatch.setattr(stage, name, lambda *arguments: None)
    assert len(commands) > 40
    for rule, jobs in commands.items():
        module = importlib.import_module(stage.module_of(rule))
        seen = []
        monkeypatch.setattr(module, "main", instead_of(module.main, seen))
        for words in jobs:
            assert stage.run(rule, words) == 0, (rule, words)
            assert {"--log", "--threads"} <= {*words}
        assert len(seen) == len(jobs)
        assert stage.run(rule, [*jobs[0], "--unknown", "1"]) == 2
        if module.__name__.startswith("pipeline.store."):
            for options in seen:
                fits_its_game(**options)


def instead_of(main, seen):
    """A function that takes a stage's arguments and records them."""

    @functools.wraps(main)
    def note(**options):
        seen.append(options)

    return note


def fits_its_game(study, game, given, **others):
    """Check that arguments fit the names and types of the study's ``open_game``."""
    opener = importlib.import_module(f"pipeline.studies.{study}.game").open_game
    known = inspect.signature(opener, eval_str=True).parameters
    assert {*given} <= {*known} - {"name", "device"}, (study, game)
    for name, value in given.items():
        TypeAdapter(known[name].annotation).validate_python(value)


def test_the_device_reaches_the_jobs_and_a_failed_one_says_why(folder):
    target = "results/frames/tsn.pt"
    failed = snakemake(folder, "--config", "device=cuda:99", "--forcerun", target, check=False)
    failed_alone = failed.returncode != 0 and rules_run(failed) == {"frames_tsn"}
    assert failed_alone, failed.stderr
    why = "device: cuda:99 is requested, but"
    assert why in failed.stderr
    assert why in (folder / "results/logs/frames/tsn.log").read_text()
    assert not (folder / target).exists()


def test_a_failed_stage_says_why_and_leaves_its_log(tmp_path):
    log, out = tmp_path / "logs/priors.log", tmp_path / "priors.json"
    command = [sys.executable, "-m", "pipeline.core.job", "frames_priors"]
    options = ["--features", "gone.h5", "--out", str(out), "--log", str(log)]
    failed = clone.run(ROOT, *command, *options, check=False)
    assert failed.returncode == 1
    assert "gone.h5: there is no such feature file" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "gone.h5: there is no such feature file" in log.read_text()
    assert not out.exists()


def test_parameters_reach_a_stage_as_json_and_are_checked_there(tmp_path):
    command = [sys.executable, "-m", "pipeline.core.job", "frames_videos"]
    spec = json.dumps({**clone.SMALL["frames"]["videos"], "fps": "x"})
    options = ["--out", str(tmp_path / "v"), "--params", spec]
    refused = clone.run(ROOT, *command, *options, check=False)
    assert refused.returncode == 1
    assert "parameter fps" in refused.stderr
    assert not (tmp_path / "v").exists()
