"""dvc.yaml says of every stage what the Snakefile says: its files, and what they depend on."""

import copy
import gzip
import json
from pathlib import Path

import pytest
import yaml
from dags import planned
from tiny import ROOT, defaults, merged

from pipeline.data.something import VIDEOS
from pipeline.workflow import tracking
from pipeline.workflow.params import load, validate

MODELS, SPLITS = ("trn", "tsn"), ("train", "validation")

OTHER = {
    "device": "cuda",
    "partitions": 3,
    "frames.dataset.root": "other videos",
    "frames.dataset.train_clips": 9,
    "frames.dataset.validation_clips": 9,
    "frames.dataset.max_skipped": 0.5,
    "frames.videos.train_clips": 34,
    "frames.videos.validation_clips": 34,
    "frames.videos.test_clips": 3,
    "frames.videos.frames": 39,
    "frames.videos.fps": 24,
    "frames.videos.size": 64,
    "frames.videos.noise": 2.0,
    "frames.videos.jitter": 0.0,
    "frames.videos.seed": 1,
    "frames.decoding.fps": 4,
    "frames.decoding.size": 32,
    "frames.features.trn": {split: f"other/trn_{split}.h5" for split in SPLITS},
    "frames.features.tsn": {split: f"other/tsn_{split}.h5" for split in SPLITS},
    "frames.features.label": "action",
    "frames.features.classes": "other/classes.json",
    "frames.backbone.architecture": "resnet50",
    "frames.backbone.weights": {model: f"other/{model}.pt" for model in MODELS},
    "frames.backbone.feature_dim": 64,
    "frames.backbone.frames": 4,
    "frames.backbone.epochs": 1,
    "frames.backbone.batch_clips": 16,
    "frames.backbone.learning_rate": 1e-4,
    "frames.backbone.seed": 1,
    "frames.scales.n_max": 7,
    "frames.scales.frames": 9,
    "frames.scales.hidden": 32,
    "frames.scales.dropout": 0.5,
    "frames.scales.learning_rate": 1e-4,
    "frames.scales.batch": 64,
    "frames.scales.draws": 1,
    "frames.scales.epochs": 1,
    "frames.scales.seed": 1,
    "frames.tsn.frames": 4,
    "frames.tsn.dropout": 0.5,
    "frames.tsn.learning_rate": 1e-4,
    "frames.tsn.batch": 64,
    "frames.tsn.draws": 1,
    "frames.tsn.epochs": 1,
    "frames.tsn.seed": 1,
    "frames.accuracy.max_frames": 4,
    "frames.coalitions.n": 6,
    "frames.coalitions.score": "logit",
    "frames.coalitions.outputs": "true_and_predicted",
    "frames.coalitions.short_videos": "leave_out",
    "frames.coalitions.clips": 9,
    "frames.gradients.baseline": "mean",
    "frames.gradients.steps": 10,
    "frames.discarded.random_orders": 3,
    "frames.discarded.seed": 1,
    "frames.patterns.classes": 2,
    "frames.patterns.videos_at_least": 2,
    "frames.patterns.draws": 10,
    "frames.patterns.seed": 1,
    "frames.lengths.max_frames": 5,
    "frames.lengths.clips": 9,
    "frames.shifted.furthest": 2,
    "frames.shifted.crossing": False,
    "frames.shifted.clips": 9,
    "frames.convergence.trn_frames": 6,
    "frames.convergence.tsn_frames": 6,
    "frames.convergence.clips": 3,
    "frames.convergence.repeats": 2,
    "frames.convergence.m": [2],
    "frames.convergence.iterations": [2],
    "frames.convergence.budgets": [32],
    "frames.convergence.seed": 1,
    "frames.runtime.max_frames": 8,
    "frames.runtime.runs": 2,
    "frames.runtime.grid_runs": 2,
    "frames.figures.clips": 2,
    "baselines.surrogates.repeats": 2,
    "baselines.surrogates.share_of_12": 0.3,
    "baselines.surrogates.share_of_20": 0.3,
    "baselines.surrogates.hidden": 8,
    "baselines.surrogates.layers": 1,
    "baselines.surrogates.steps": 10,
    "baselines.surrogates.batch": 32,
    "baselines.surrogates.learning_rate": 1e-4,
    "baselines.surrogates.seed": 1,
    "baselines.ratios.repeats": 2,
    "baselines.ratios.per_size": [3],
    "baselines.ratios.kept": 20,
    "baselines.ratios.tolerance": 0.1,
    "baselines.ratios.network_tolerance": 0.2,
    "baselines.ratios.bins": 5,
    "baselines.ratios.seed": 1,
    "baselines.replaced.coalitions": 20,
    "baselines.replaced.steps": 3,
    "baselines.replaced.seed": 1,
    "baselines.proportions.drawn": [3],
    "baselines.proportions.simulations": 20,
    "baselines.proportions.seed": 1,
    "baselines.pictures.source": "folder",
    "baselines.pictures.root": "other pictures",
    "baselines.pictures.download": True,
    "baselines.pictures.size": 6,
    "baselines.pictures.train": 100,
    "baselines.pictures.area": 4,
    "baselines.classifier.architecture": "resnet18",
    "baselines.classifier.weights": "other/classifier.pt",
    "baselines.classifier.width": 8,
    "baselines.classifier.hidden": 8,
    "baselines.classifier.epochs": 1,
    "baselines.classifier.batch": 32,
    "baselines.classifier.learning_rate": 1e-4,
    "baselines.classifier.seed": 1,
    "baselines.embedding.architecture": "resnet18",
    "baselines.embedding.weights": "other/embedding.pt",
    "baselines.embedding.outputs": 8,
    "baselines.embedding.margin": 0.3,
    "baselines.embedding.width": 8,
    "baselines.embedding.hidden": 8,
    "baselines.embedding.epochs": 1,
    "baselines.embedding.batch": 32,
    "baselines.embedding.learning_rate": 1e-4,
    "baselines.embedding.seed": 1,
    "baselines.coalitions.explained": 3,
    "baselines.coalitions.absent": "mean",
    "baselines.coalitions.score": "logit",
    "baselines.attributions.repeats": 3,
    "baselines.attributions.per_size": 3,
    "baselines.attributions.kept": 3,
    "baselines.attributions.tolerance": 0.2,
    "baselines.attributions.bins": 3,
    "baselines.attributions.counted": "own",
    "baselines.attributions.quadrature": "midpoint",
    "baselines.attributions.steps": 3,
    "baselines.attributions.plain_steps": 3,
    "baselines.attributions.random_baselines": 3,
    "baselines.attributions.seed": 1,
    "baselines.agreement.ink": 0.3,
    "baselines.runtime.pictures": 2,
    "baselines.runtime.runs": 3,
    "baselines.figures.pictures": 2,
}
"""For every parameter a valid value that is not its value anywhere below."""

TOGETHER = {
    # Features are given for both models or for none.
    "frames.features.trn": "frames.features.tsn",
    "frames.features.tsn": "frames.features.trn",
    # Of other sources than the digits, and other architectures, files are asked for.
    "baselines.pictures.source": "baselines.pictures.root",
    "baselines.classifier.architecture": "baselines.classifier.weights",
    "baselines.embedding.architecture": "baselines.embedding.weights",
}

USUAL = "as it comes"
FEATURES = {m: {s: f"own/{m}_{s}.h5" for s in SPLITS} for m in MODELS}
STUDIES = {
    USUAL: {},
    "given videos": {"dataset": {"root": "own videos"}},
    "given backbones": {"backbone": {"weights": {m: f"own/{m}.pt" for m in MODELS}}},
    "given features": {"features": FEATURES},
    "given features and classes": {"features": {**FEATURES, "classes": "own/classes.json"}},
    "given features and videos": {"features": FEATURES, "dataset": {"root": "own videos"}},
    "given videos and classes": {
        "features": {"classes": "own/classes.json"},
        "dataset": {"root": "own videos"},
    },
}
"""Sections of `frames` of studies whose graphs differ in shape."""

RESHAPE = {f"frames.{n}" for n in ("dataset.root", "features.trn", "features.tsn")}
RESHAPE |= {"frames.features.classes", "frames.backbone.weights"}
RESHAPE |= {f"baselines.{n}" for n in ("pictures.source", "pictures.root", "pictures.download")}
RESHAPE |= {
    f"baselines.{n}.{part}"
    for n in ("classifier", "embedding")
    for part in ("architecture", "weights")
}
"""Parameters that name files: with them dvc.yaml has to be written anew."""


def leaves(section, prefix=""):
    for name, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


LEAVES = [leaf for leaf in leaves(defaults()) if leaf != "studies"]
SHAPING = ("frames.dataset.", "frames.features.", "frames.backbone.weights", "frames.videos.seed")


def walked(study):
    """Parameters that are changed in a study: all, or those whose meaning its shape may change."""
    return [leaf for leaf in LEAVES if study == USUAL or leaf.startswith(SHAPING)]


def at(content, name):
    for part in name.split("."):
        content = content[part]
    return content


def changed(content, name):
    """Parameters with another value of one of them, and of what can only change with it."""
    result = copy.deepcopy(content)
    for each in (name, TOGETHER.get(name)):
        if each is not None and (each == name or at(result, each) is None):
            *sections, last = each.split(".")
            at_end = at(result, ".".join(sections)) if sections else result
            at_end[last] = OTHER[each]
    return result


def covers(listed, leaf):
    return leaf == listed or leaf.startswith(f"{listed}.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the parameters name is there."""
    folder = tmp_path_factory.mktemp("tracking")
    for owner in ("own", "other"):
        files = [*(f"{m}_{s}.h5" for m in MODELS for s in SPLITS), "classes.json"]
        files += [f"{model}.pt" for model in (*MODELS, "classifier", "embedding")]
        (folder / owner).mkdir()
        for name in files:
            (folder / owner / name).write_text(owner)
        (folder / f"{owner} videos" / VIDEOS).mkdir(parents=True)
    for split in ("train", "test"):
        of_class = folder / "other pictures" / split / "class"
        of_class.mkdir(parents=True)
        for number in range(defaults()["baselines"]["coalitions"]["explained"]):
            (of_class / f"{number}.png").touch()
    own, other = folder / "own videos/labels", folder / "other videos"
    own.mkdir()
    for name in ("labels", "train", "validation", "action_intervals"):
        (own / f"{name}.json").write_text("{}")
    # The older names, some of them compressed.
    for name in ("labels", "train", "validation"):
        (other / f"something-something-v2-{name}.json").write_text("{}")
    (own / "train.json").rename(own / "something-something-v2-train.json")
    (own / "labels.json").unlink()
    (own / "labels.json.gz").write_bytes(gzip.compress(b"{}"))
    return folder


@pytest.fixture(scope="module")
def studies():
    found = {study: merged(defaults(), {"frames": each}) for study, each in STUDIES.items()}
    # What changes the shape of one study's graph is looked at without the other.
    return {s: c if s == USUAL else {**c, "studies": ["frames"]} for s, c in found.items()}


@pytest.fixture(scope="module")
def graphs(folder, studies):
    """Jobs by study and by the parameter that is changed (None: none is)."""
    requests = {
        (study, leaf): changed(content, leaf) if leaf else content
        for study, content in studies.items()
        for leaf in (None, *walked(study))
        if leaf is None or leaf in OTHER
    }
    found = planned(folder, [{"params": content} for content in requests.values()])
    return dict(zip(requests, found, strict=True))


@pytest.fixture
def there(folder, monkeypatch):
    """Stages are told of where the parameters' relative paths lead."""
    monkeypatch.chdir(folder)


def test_the_committed_file_is_what_the_parameters_ask_for():
    expected = tracking.dvc_yaml_text(load(ROOT / "params.yaml"))
    assert (ROOT / "dvc.yaml").read_text() == expected, (
        "dvc.yaml is not what pipeline/tracking.py says: `python -m pipeline dvc-yaml` writes it"
    )


def test_every_parameter_has_another_value_to_try(studies):
    missing = set(LEAVES) - set(OTHER)
    assert not missing, f"OTHER lacks {missing}: add a valid value that is not the default"
    assert set(OTHER) == set(LEAVES)
    for study, content in studies.items():
        for leaf in LEAVES:
            assert at(content, leaf) != OTHER[leaf], f"{leaf} is what it is in {study!r} already"


def stage_of(stages):
    """The stage that each rule belongs to."""
    return {rule: name for name, stage in stages.items() for rule in stage.rules or (name,)}


def is_in(file, out):
    return file == out or file.startswith(f"{out}/")


def as_dvc_sees(file, stages):
    """The output in which DVC keeps a file; a file from outside is itself."""
    found = [out for stage in stages.values() for out in stage.outs if is_in(file, out)]
    assert len(found) <= 1, f"{file} is a part of several outputs: {found}"
    out = found[0] if found else file
    # A store is no output of a rule, which would remove it; its receipt vouches for it.
    return store_of(out) if Path(out).parent.name == "receipts" else out


def store_of(receipt):
    study = Path(receipt).parent.parent.name
    return f"results/coalitions/{study}/{Path(receipt).stem}.zarr"


@pytest.mark.parametrize("study", STUDIES)
def test_each_stage_has_the_rules_files_and_dependencies_of_the_snakefile(
    study, studies, graphs, there
):
    stages = tracking.stages(validate(studies[study]))
    jobs, owner = graphs[study, None], stage_of(stages)
    assert {job.rule for job in jobs} == set(owner)
    for name, stage in stages.items():
        own = [job for job in jobs if owner[job.rule] == name]
        made = {file for job in own for file in job.output}
        kept = made - {file for job in own for file in job.temporary}
        assert set(stage.files) == kept, name
        needed = {
            as_dvc_sees(file, stages) for job in own for file in job.input if file not in made
        }
        assert set(stage.deps) == needed, name
        assert len(stage.deps) == len(needed), name


@pytest.mark.parametrize("study", STUDIES)
def test_each_kept_file_is_in_one_output_and_each_output_has_one(study, studies, graphs, there):
    stages = tracking.stages(validate(studies[study]))
    outs = [out for stage in stages.values() for out in stage.outs]
    assert len(outs) == len(set(outs))
    kept = {f for job in graphs[study, None] for f in job.output if f not in job.temporary}
    holds = {out: {file for file in kept if is_in(file, out)} for out in outs}
    assert sorted(file for files in holds.values() for file in files) == sorted(kept)
    # What no rule lists: the stores, for which receipts vouch.
    beside = {out for out, files in holds.items() if not files}
    receipts = {Path(file) for file in kept if "/receipts/" in file}
    stores = {store_of(path) for path in receipts}
    assert len(stores) == (9 + 6 if "baselines" in studies[study]["studies"] else 9)
    assert beside == stores


def described(jobs, stages):
    """For each stage what its results depend on directly.

    Inputs are as DVC sees them: another `n_max` changes the list of the models' checkpoints, but
    to DVC, and here, the jobs that read them depend on the folder that holds them. Temporary
    outputs are left out: how many partitions share out a game changes no result.
    """
    owner = stage_of(stages)
    maker = {file: owner[job.rule] for job in jobs for file in job.output}
    result = {name: set() for name in stages}
    for job in jobs:
        name = owner[job.rule]
        needed = {as_dvc_sees(file, stages) for file in job.input if maker.get(file) != name}
        result[name].add(
            (
                job.rule,
                frozenset(set(job.output) - set(job.temporary)),
                frozenset(needed),
                json.dumps(job.params, sort_keys=True),
            )
        )
    return result


def differing(before, after):
    return {n for n in {*before, *after} if before.get(n) != after.get(n)}


def touched(before, jobs_before, after, jobs_after):
    """Stages of which something changes by themselves, not by what they are made from."""
    return differing(described(jobs_before, before), described(jobs_after, after))


@pytest.mark.parametrize("study", STUDIES)
def test_a_parameter_touches_the_stages_that_list_it(study, studies, graphs, there):
    content = studies[study]
    before = tracking.stages(validate(content))
    entries_before = tracking.dvc_yaml(validate(content))["stages"]
    wrong = {}
    for leaf in walked(study):
        params = validate(changed(content, leaf))
        after = tracking.stages(params)
        found = touched(before, graphs[study, None], after, graphs[study, leaf])
        listed = {n for n, s in before.items() if any(covers(name, leaf) for name in s.params)}
        anew = differing(entries_before, tracking.dvc_yaml(params)["stages"])
        assert not anew or leaf in RESHAPE, f"{leaf} changes dvc.yaml"
        if found != listed | anew:
            wrong[leaf] = {
                "by Snakemake only": found - listed - anew,
                "by DVC only": (listed | anew) - found,
            }
    assert not wrong


def test_areas_train_no_network(studies, graphs, there):
    stages = tracking.stages(validate(studies[USUAL]))
    jobs = graphs[USUAL, None], graphs[USUAL, "baselines.pictures.area"]
    found = touched(stages, jobs[0], stages, jobs[1])
    assert found == {f"baselines_{name}" for name in ("coalitions", "attributions", "runtime")}


def test_only_the_studies_asked_for_are_made_and_tracked(folder, graphs, there):
    each = {}
    for study in ("frames", "baselines"):
        content = {**defaults(), "studies": [study]}
        each[study] = set(tracking.stages(validate(content)))
        (jobs,) = planned(folder, [{"params": content}])
        assert {job.rule.split("_")[0] for job in jobs} == {study}
    assert set(tracking.stages(validate(defaults()))) == each["frames"] | each["baselines"]


def test_where_it_is_computed_touches_nothing(studies, graphs, there):
    stages = tracking.stages(validate(studies[USUAL]))
    jobs = graphs[USUAL, None]
    assert not touched(stages, jobs, stages, graphs[USUAL, "partitions"])
    # What says how long something takes is of a device.
    assert touched(stages, jobs, stages, graphs[USUAL, "device"]) == {
        "frames_runtime",
        "baselines_runtime",
    }
    # One more for each of four games, whose evaluation is shared out.
    assert len(graphs[USUAL, "partitions"]) == len(jobs) + 4


def test_a_version_touches_its_stage_only(folder):
    versions = yaml.safe_load((ROOT / "pipeline/versions.yaml").read_text())
    stages = tracking.stages(validate(defaults()))
    numbered = {f"{study}.{name}" for study, names in versions.items() for name in names}
    assert {number for stage in stages.values() for number in stage.versions} == numbered
    requests = [{"params": defaults()}]
    for number in sorted(numbered):
        study, name = number.split(".")
        raised = {study: {name: versions[study][name] + 1}}
        requests.append({"params": defaults(), "versions": merged(versions, raised)})
    jobs, *raised_jobs = planned(folder, requests)
    assert all("version" in job.params for job in jobs)
    for number, after in zip(sorted(numbered), raised_jobs, strict=True):
        listed = {name for name, stage in stages.items() if number in stage.versions}
        assert touched(stages, jobs, stages, after) == listed
        # That of the coalitions is a part of the identity of all games of the study.
        named = number.replace(".", "_").removesuffix("_games")
        assert named in listed
        assert listed == {named} or number == "frames.coalitions"
