"""Jobs' commands, the bridge and dvc.yaml agree on which stages each parameter touches."""

import copy
import gzip
import re
from difflib import ndiff

import clone
import pytest
from dags import planned
from dvc.utils.hydra import apply_overrides
from tiny import ROOT, defaults, merged

from pipeline.data.something import VIDEOS
from pipeline.studies import STUDIES

MODELS, SPLITS = ("trn", "tsn"), ("train", "validation")

OTHER = {
    "device": "cuda",
    "partitions": 3,
    "report.videos": 3,
    "report.classes": ["Doing nothing"],
    "report.thumbnail": 32,
    "frames.model": "other.video:load",
    "frames.own_model.weights": "other/video.pt",
    "frames.own_model.removal": "blank",
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
    "frames.decoding.shortened": "skip",
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
    "frames.scales.least_steps": 500,
    "frames.tsn.least_steps": 500,
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
    "frames.discard.random_orders": 3,
    "frames.discard.seed": 1,
    "frames.patterns.classes": 2,
    "frames.patterns.videos_at_least": 2,
    "frames.patterns.draws": 10,
    "frames.patterns.seed": 1,
    "frames.interactions.index": "STII",
    "frames.interactions.videos": 2,
    "frames.localisation.m": 3,
    "frames.localisation.iterations": 2,
    "frames.localisation.seed": 1,
    "frames.lengths.max_frames": 5,
    "frames.lengths.clips": 9,
    "frames.shift.furthest": 2,
    "frames.shift.crossing": False,
    "frames.shift.clips": 9,
    "frames.removal.n": 4,
    "frames.removal.clips": 9,
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
    "baselines.replace.coalitions": 20,
    "baselines.replace.steps": 3,
    "baselines.replace.seed": 1,
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
    "neurons.images.source": "folder",
    "neurons.images.root": "other pictures",
    "neurons.images.download": True,
    "neurons.images.size": 6,
    "neurons.images.train": 100,
    "neurons.images.ranked": 20,
    "neurons.images.held_out": 20,
    "neurons.training.channels": [4, 4],
    "neurons.training.epochs": 1,
    "neurons.training.batch": 16,
    "neurons.training.learning_rate": 1e-4,
    "neurons.training.seed": 1,
    "neurons.networks.plain.architecture": "torchvision:resnet18",
    "neurons.networks.plain.weights": "other/classifier.pt",
    "neurons.networks.plain.players.kind": "hidden",
    "neurons.networks.plain.players.modules": ["body.2"],
    "neurons.networks.plain.players.grouped": True,
    "neurons.networks.dropout.share": 0.1,
    "neurons.networks.foreign.channels": [5],
    "neurons.networks.tinted.share": 0.1,
    "neurons.networks.tinted.strength": 0.5,
    "neurons.networks.tinted.seed": 1,
    "neurons.attack.size": 0.1,
    "neurons.attack.step": 0.1,
    "neurons.attack.steps": 3,
    "neurons.attack.seed": 1,
    "neurons.coalitions.absent": "zero",
    "neurons.coalitions.block": 8,
    "neurons.coalitions.seed": 1,
    "neurons.pairs.count": 4,
    "neurons.pairs.rounds": 2,
    "neurons.walks.orders": 2,
    "neurons.shared.iterations": 3,
    "neurons.shared.images": 4,
    "neurons.removal.most": 5,
    "neurons.removal.top": 5,
    "neurons.removal.classes": 1,
    "neurons.removal.excluded": 0.1,
    "neurons.removal.random_orders": 2,
    "neurons.removal.steps": 3,
    "neurons.removal.seed": 1,
    "neurons.pictures.images": 2,
    "neurons.pictures.layers": 2,
    "neurons.pictures.of_class": 1,
    "neurons.pictures.steps": 3,
    "neurons.pictures.step": 0.1,
    "neurons.pictures.jitter": 2,
    "neurons.pictures.blur": 0.0,
    "neurons.pictures.seed": 1,
    "neurons.faces.weights": "other/rnet.pt",
    "neurons.search.k": 3,
    "neurons.search.epsilon": 0.1,
    "neurons.search.delta": 0.2,
    "neurons.search.truncation": 0.1,
    "neurons.search.most": 1000,
    "neurons.search.seed": 1,
    "shapnets.yeast": "other",
    "shapnets.table": {"path": "other/my.csv", "target": "y"},
    "shapnets.tables.rows": 400,
    "shapnets.tables.held_out": 0.3,
    "shapnets.tables.seed": 1,
    "shapnets.training.rounds": 2,
    "shapnets.training.folds": 2,
    "shapnets.training.epochs": 1,
    "shapnets.training.batch": 16,
    "shapnets.training.learning_rate": 0.0001,
    "shapnets.training.seed": 1,
    "shapnets.networks.width": 3,
    "shapnets.networks.hidden": 5,
    "shapnets.compared.shallow": 7,
    "shapnets.compared.radix": [3],
    "shapnets.regularised.l1": 0.5,
    "shapnets.regularised.l_infinity": 0.5,
    "shapnets.consistent.weights": [3.0],
    "shapnets.consistent.samples": 2,
    "shapnets.consistent.folds": 3,
    "shapnets.learned.width": 3,
    "shapnets.learned.hidden": 3,
    "shapnets.learned.kept": 5,
    "shapnets.learned.epochs": 2,
    "shapnets.explained.rows": 3,
    "shapnets.explained.coalitions": 500,
    "shapnets.explained.kernel": [99],
    "shapnets.explained.fastshap": 4,
    "shapnets.explained.seed": 1,
    "shapnets.timing.runs": 2,
    "shapnets.images.source": "mnist",
    "shapnets.images.root": "other digits",
    "shapnets.images.download": True,
    "shapnets.images.train": 100,
    "shapnets.images.test": 50,
    "shapnets.image_networks.channels": [3, 3],
    "shapnets.image_networks.dilations": [1, 1, 2],
    "shapnets.image_networks.windows": [[1, 2]],
    "shapnets.image_networks.epochs": 1,
    "shapnets.image_networks.batch": 16,
    "shapnets.image_networks.learning_rate": 0.0001,
    "shapnets.image_networks.schedule": "constant",
    "shapnets.image_networks.l1": 0.3,
    "shapnets.image_networks.l_infinity": 0.3,
    "shapnets.image_networks.repeats": 3,
    "shapnets.image_networks.seed": 1,
    "shapnets.image_explained.flips": [[1, 2]],
    "shapnets.image_explained.flipped": 0.1,
    "shapnets.image_explained.images": 20,
    "shapnets.image_explained.steps": 3,
    "shapnets.image_explained.baselines": 3,
    "shapnets.image_explained.random_orders": 2,
    "shapnets.image_explained.thresholds": [0.5],
    "shapnets.image_explained.drawn": 2,
    "shapnets.image_explained.seed": 1,
}
"""For every parameter, a valid value that differs from all values below."""

TOGETHER = {
    # Features are given for both models or for neither.
    "frames.features.trn": "frames.features.tsn",
    "frames.features.tsn": "frames.features.trn",
    # Other sources than the digits, and other architectures, need files.
    "baselines.pictures.source": "baselines.pictures.root",
    "neurons.images.source": "neurons.images.root",
    "shapnets.images.source": "shapnets.images.root",
    "baselines.classifier.architecture": "baselines.classifier.weights",
    "baselines.embedding.architecture": "baselines.embedding.weights",
}

FEATURES = {m: {s: f"own/{m}_{s}.h5" for s in SPLITS} for m in MODELS}
CASES = {
    "frames": {},
    "baselines": {},
    "neurons": {},
    "shapnets": {},
    "given videos": {"dataset": {"root": "own videos"}},
    "given backbones": {"backbone": {"weights": {m: f"own/{m}.pt" for m in MODELS}}},
    "given features": {"features": FEATURES},
    "given features in groups": {
        "features": {m: {s: f"own/{m}.h5::{s}" for s in SPLITS} for m in MODELS}
    },
    "given features and classes": {"features": {**FEATURES, "classes": "own/classes.json"}},
    "given features and videos": {"features": FEATURES, "dataset": {"root": "own videos"}},
    "given videos and classes": {
        "features": {"classes": "own/classes.json"},
        "dataset": {"root": "own videos"},
    },
    "one model": {"model": "tsn"},
    "own model": {"model": "own.video:load"},
    "own model and videos": {"model": "own.video:load", "dataset": {"root": "own videos"}},
    "own model for a folder": {
        "model": "torchvision:r3d_18",
        "own_model": {"weights": "own/video.pt"},
        "dataset": {"root": "own folder"},
    },
}
"""The studies with their defaults, and sections of `frames` that change the shape of its graph."""

RESHAPE = {f"frames.{n}" for n in ("dataset.root", "features.trn", "features.tsn")}
RESHAPE |= {"frames.features.classes", "frames.backbone.weights"}
RESHAPE |= {"frames.model", "frames.own_model.weights"}
RESHAPE |= {f"baselines.{n}" for n in ("pictures.source", "pictures.root", "pictures.download")}
RESHAPE |= {
    f"baselines.{n}.{part}"
    for n in ("classifier", "embedding")
    for part in ("architecture", "weights")
}
RESHAPE |= {f"neurons.{n}" for n in ("images.source", "images.root", "images.download")}
RESHAPE |= {"neurons.networks.plain.weights", "neurons.faces.weights"}
RESHAPE |= {f"shapnets.images.{n}" for n in ("source", "root", "download")}
RESHAPE |= {"shapnets.yeast", "shapnets.table"}
"""Parameters that name files: if they change, dvc.yaml has to be rewritten."""


def leaves(section, prefix=""):
    for name, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


LEAVES = [leaf for leaf in leaves(defaults()) if leaf != "studies"]
SHAPING = (
    *("frames.model", "frames.own_model.", "frames.dataset.", "frames.features."),
    *("frames.backbone.weights", "frames.videos.seed"),
)


def walked(case):
    """Parameters to change: all of the study, or those that act on the shape of the graph."""
    if case in STUDIES:
        others = tuple(f"{study}." for study in STUDIES if study != case)
        return [leaf for leaf in LEAVES if not leaf.startswith(others)]
    return [leaf for leaf in LEAVES if leaf.startswith(SHAPING)]


def at(content, name):
    for part in name.split("."):
        content = content[part]
    return content


def changed(content, name):
    """Parameters with one value changed, and with it any value that must change together."""
    result = copy.deepcopy(content)
    for each in (name, TOGETHER.get(name)):
        if each is not None and (each == name or at(result, each) is None):
            *sections, last = each.split(".")
            at_end = at(result, ".".join(sections)) if sections else result
            at_end[last] = OTHER[each]
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clone with all files that the parameters name."""
    folder = clone.new_clone(tmp_path_factory.mktemp("parameters"), {})
    for owner in ("own", "other"):
        files = [*(f"{m}_{s}.h5" for m in MODELS for s in SPLITS), "classes.json"]
        files += [f"{m}.h5" for m in MODELS]
        files += [f"{model}.pt" for model in (*MODELS, "classifier", "embedding", "rnet", "video")]
        files += ["video.py"]
        (folder / owner).mkdir()
        for name in files:
            (folder / owner / name).write_text(owner)
        (folder / f"{owner} videos" / VIDEOS).mkdir(parents=True)
    for split in ("train", "test"):
        of_class = folder / "other pictures" / split / "class"
        of_class.mkdir(parents=True)
        for number in range(defaults()["baselines"]["coalitions"]["explained"]):
            (of_class / f"{number}.png").touch()
    (folder / "own folder").mkdir()
    (folder / "own folder/a.mp4").touch()
    (folder / "other/yeast.data").write_text("A 1 1 1 1 1 1 1 1 MIT\n")
    (folder / "other/my.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(30)))
    (folder / "other digits/MNIST").mkdir(parents=True)
    own, other = folder / "own videos/labels", folder / "other videos"
    own.mkdir()
    for name in ("labels", "train", "validation", "action_intervals"):
        (own / f"{name}.json").write_text("{}")
    # The older names; some files are compressed.
    for name in ("labels", "train", "validation"):
        (other / f"something-something-v2-{name}.json").write_text("{}")
    (own / "train.json").rename(own / "something-something-v2-train.json")
    (own / "labels.json").unlink()
    (own / "labels.json.gz").write_bytes(gzip.compress(b"{}"))
    return folder


@pytest.fixture(scope="module")
def cases():
    found = {case: merged(defaults(), {"frames": each}) for case, each in CASES.items()}
    # Each study is planned alone, so that graphs are smaller.
    return {c: {**p, "studies": [c if c in STUDIES else "frames"]} for c, p in found.items()}


@pytest.fixture(scope="module")
def graphs(folder, cases):
    """Graphs by case and by the changed parameter (None: no change)."""
    requests = {
        (case, leaf): changed(content, leaf) if leaf else content
        for case, content in cases.items()
        for leaf in (None, *walked(case))
        if leaf is None or leaf in OTHER
    }
    found = planned(folder, [{"params": content} for content in requests.values()])
    return dict(zip(requests, found, strict=True))


def test_every_parameter_has_another_value_to_try(cases):
    missing = set(LEAVES) - set(OTHER)
    assert not missing, f"OTHER lacks {missing}: add a valid value that is not the default"
    assert set(OTHER) == set(LEAVES)
    for case, content in cases.items():
        for leaf in LEAVES:
            assert at(content, leaf) != OTHER[leaf], f"{leaf} is what it is in {case!r} already"


def is_in(file, out):
    return file == out or file.startswith(f"{out}/")


@pytest.mark.parametrize("case", CASES)
def test_each_kept_file_is_in_one_output_and_each_output_has_one(case, graphs):
    graph = graphs[case, None]
    entries = graph.dvc_yaml["stages"]
    outs = [path for entry in entries.values() for out in entry["outs"] for path in out]
    assert len(outs) == len(set(outs))
    kept = [file for unit in graph.units for file in unit.files]
    holds = {out: {file for file in kept if is_in(file, out)} for out in outs}
    assert sorted(file for files in holds.values() for file in files) == sorted(kept)
    # No rule lists the stores; receipts represent them.
    beside = {out for out, files in holds.items() if not files}
    receipts = [file for file in kept if "/receipts/" in file]
    assert receipts
    assert beside == {re.sub(RECEIPT, r"results/coalitions/\1/\2.zarr", file) for file in receipts}
    # A dependency is an output of another stage or comes from outside.
    for entry in entries.values():
        for dep in entry.get("deps", []):
            made = dep in outs
            assert made != dep.startswith(("own", "other")), dep


RECEIPT = r"results/(\w+)/receipts/(\w+)\.json"


def described(graph, of):
    """The jobs of each stage, described by their outputs, their inputs and ``of``."""
    found = {}
    for unit in graph.units:
        about = repr((unit.files, unit.deps, of(unit)))
        found.setdefault(unit.stage, set()).add(about)
    return found


def differing(before, after):
    return {n for n in {*before, *after} if before.get(n) != after.get(n)}


def touched(before, after, of):
    return differing(described(before, of), described(after, of))


def listing(graph, leaf):
    """Stages whose entries in dvc.yaml list a parameter, or a section that it is in."""
    return {
        name
        for name, entry in graph.dvc_yaml["stages"].items()
        if any(
            isinstance(listed, str) and (leaf == listed or leaf.startswith(f"{listed}."))
            for listed in entry["params"]
        )
    }


@pytest.mark.parametrize("case", CASES)
def test_a_parameter_touches_the_stages_that_list_it(case, graphs):
    """Jobs' commands, the bridge's comparisons and dvc.yaml agree on these stages."""
    before, wrong = graphs[case, None], {}
    for leaf in walked(case):
        after = graphs[case, leaf]
        anew = differing(before.dvc_yaml["stages"], after.dvc_yaml["stages"])
        assert not anew or leaf in RESHAPE, f"{leaf} changes dvc.yaml"
        found = {
            "commands": set()
            if leaf == "partitions"
            else touched(before, after, lambda u: u.commands),
            "what the bridge compares": touched(before, after, lambda unit: unit.params),
            "dvc.yaml": listing(before, leaf) | anew,
        }
        if len({frozenset(stages) for stages in found.values()}) > 1:
            wrong[leaf] = found
    assert not wrong


def test_areas_train_no_network(graphs):
    before, after = (graphs["baselines", leaf] for leaf in (None, "baselines.pictures.area"))
    found = touched(before, after, lambda unit: unit.params)
    expected = {f"baselines_{name}" for name in ("merge", "attributions", "runtime")}
    assert found == expected


@pytest.fixture(scope="module")
def usual(folder):
    """The graph of all studies, and the same with each module's VERSION raised."""
    (plain,) = planned(folder, [{"params": defaults()}])
    files = sorted({file for unit in plain.units for file in unit.code})
    raised = planned(folder, [{"params": defaults(), "raised": file} for file in files])
    return plain, dict(zip(files, raised, strict=True))


def test_only_the_studies_asked_for_are_made_and_tracked(usual, graphs):
    each = []
    for study in STUDIES:
        graph = graphs[study, None]
        stages = {unit.stage for unit in graph.units}
        assert {stage.split("_")[0] for stage in stages} == {study, "report"}
        assert set(graph.dvc_yaml["stages"]) == stages
        each.append(stages)
    assert {unit.stage for unit in usual[0].units} == set().union(*each)


@pytest.mark.parametrize(
    ("study", "games"), [("frames", 10), ("baselines", 6), ("neurons", 6), ("shapnets", 2)]
)
def test_the_device_and_partitions_touch_no_results(study, games, graphs):
    before, shared_out = graphs[study, None], graphs[study, "partitions"]
    assert not touched(before, shared_out, lambda unit: unit.params)
    # Measured times depend on the device.
    on_device = graphs[study, "device"]
    timed = {unit.stage for unit in before.units} & {f"{study}_runtime"}
    assert touched(before, on_device, lambda unit: unit.params) == timed
    # Each game has two more jobs.
    of_games = [unit.files[0] for unit in before.units if unit.stage == f"{study}_merge"]
    assert len(of_games) == games
    after = {unit.files[0]: unit.jobs for unit in shared_out.units}
    for unit in before.units:
        assert after[unit.files[0]] - unit.jobs == (2 if unit.files[0] in of_games else 0)


def test_a_version_touches_the_stages_that_list_its_file(usual):
    plain, raised = usual
    listed = {}
    for name, entry in plain.dvc_yaml["stages"].items():
        for file in (file for each in entry["params"] if isinstance(each, dict) for file in each):
            listed.setdefault(file, set()).add(name)
    assert set().union(*listed.values()) == set(plain.dvc_yaml["stages"])
    assert listed.keys() == raised.keys()
    for file, after in raised.items():
        assert touched(plain, after, lambda unit: unit.params) == listed[file], file
        # A game's VERSION is that of all games of the study; any other is of the stage of its name.
        study, stage = re.fullmatch(r"pipeline/studies/(\w+)/(?:stages/)?(\w+)\.py", file).groups()
        assert listed[file] == {f"{study}_{'merge' if stage == 'game' else stage}"}


def test_the_committed_dvc_yaml_fits_the_parameters(folder):
    clone.run(folder, "git", "checkout", "-q", "params.yaml")
    clone.run(folder, "python", "-m", "pipeline", "dvc-yaml", "--out", "written.yaml")
    written = (folder / "written.yaml").read_text()
    assert (ROOT / "dvc.yaml").read_text() == written, (
        "dvc.yaml is not what the rules say: `python -m pipeline dvc-yaml` writes it"
    )


def test_dvc_keeps_the_format_of_the_parameter_file(tmp_path):
    """`dvc exp run --set-param` rewrites params.yaml; only the value changes."""
    path, before = tmp_path / "params.yaml", (clone.ROOT / "params.yaml").read_text()
    path.write_text(before)
    apply_overrides(path, ["frames.coalitions.n=8"])
    assert path.read_text() == before
    apply_overrides(path, ["frames.dataset.root=here", "shapnets.image_explained.flips=[[1,2]]"])
    lines = list(ndiff(before.splitlines(), path.read_text().splitlines()))
    added = [line[2:].split("#")[0].strip() for line in lines if line.startswith("+")]
    assert added == ["root: here", "- - 1", "- 2"]
    assert len(before.splitlines()) - len(path.read_text().splitlines()) == 6
