import copy
from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import InputError
from pipeline.workflow import params

DEFAULTS = yaml.safe_load(Path("params.yaml").read_text())


def changed(path, value):
    content = copy.deepcopy(DEFAULTS)
    section = content
    *parents, last = path.split(".")
    for name in parents:
        section = section[name]
    section[last] = value
    return content


def test_the_defaults_are_valid():
    assert params.load(Path("params.yaml")).frames.coalitions.n == 8


@pytest.mark.parametrize("preset", sorted(Path("presets").glob("*.yaml")), ids=lambda p: p.stem)
def test_presets_name_known_parameters(preset):
    content = copy.deepcopy(DEFAULTS)

    def merge(into, what):
        for name, value in what.items():
            if isinstance(value, dict) and isinstance(into.get(name), dict):
                merge(into[name], value)
            else:
                into[name] = value

    merge(content, yaml.safe_load(preset.read_text()))
    assert params.validate(content, str(preset))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("frames.coalitions.scor", "x", "unknown.*coalitions.scor; did you mean.*coalitions.score"),
        ("fames", 1, "unknown parameter fames; did you mean frames"),
        ("frames.qqqq", 1, "unknown parameter frames.qqqq; allowed here: model, own_model"),
        ("frames.coalitions.n", 27, r"frames.coalitions.n: .*less than or equal to 26.*27"),
        ("frames.coalitions.n", 0, "frames.coalitions.n: .*greater than or equal to 1"),
        ("frames.coalitions.n", "eight", "frames.coalitions.n: .*integer.*'eight'"),
        ("frames.coalitions.n", True, "frames.coalitions.n: must be a number, not a boolean"),
        ("frames.coalitions.n", 8.5, "frames.coalitions.n: .*integer.*8.5"),
        ("frames.coalitions.score", "odds", "'probability', 'logit' or 'mean_of_softmax'.*'odds'"),
        ("frames.backbone.learning_rate", 0, "backbone.learning_rate: .*greater than 0"),
        ("frames.backbone.learning_rate", float("nan"), "finite"),
        ("frames.backbone.weights", "imagenet", "goes with architecture: resnet50, not small"),
        ("frames.scales.n_max", 10, "frames: 8 is fewer than n_max: 10"),
        ("frames.scales.dropout", 1.0, "dropout: .*less than 1"),
        ("frames.features.trn", {"train": "a", "validation": "b"}, "set tsn too, or set both"),
        ("frames.videos.size", 97, "multiple of 2"),
        ("baselines.pictures.train", 0, "baselines.pictures.train: .*greater than or equal to 1"),
        ("baselines.pictures.source", "mnist", "source: mnist needs a root"),
        ("baselines.classifier.weights", "imagenet", "goes with a resnet, not with .*small"),
        ("baselines.embedding.weights", "imagenet", "goes with a resnet, not with .*small"),
        ("baselines.embedding.architecture", "resnet18", "resnet18 needs weights: imagenet or"),
        ("baselines.embedding.architecture", "vgg", "'small', 'resnet18' or 'resnet50'.*'vgg'"),
        ("device", "gpu", "device: must be auto, cpu, cuda or cuda:<number>.*'gpu'"),
    ],
)
def test_bad_parameters_are_refused_by_name(path, value, message):
    with pytest.raises(InputError, match=message):
        params.validate(changed(path, value))


def test_values_of_a_command_line_are_text_that_spells_them():
    settings = DEFAULTS["frames"]["coalitions"]
    texts = {k: "null" if v is None else str(v) for k, v in settings.items()}
    given = params.typed(changed("frames.coalitions", texts))
    assert params.validate(given) == params.validate(DEFAULTS)
    for root in ("a b #2", "/a: b", "[x", "0123", "1.50"):
        given = params.typed(changed("frames.dataset.root", root))
        assert params.validate(given).frames.dataset.root == root
    given = params.typed(changed("frames.scales.learning_rate", "2e-3"))
    assert params.validate(given).frames.scales.learning_rate == 2e-3


def test_all_errors_are_reported_at_once():
    content = changed("frames.coalitions.n", 99)
    del content["frames"]["tsn"]["epochs"]
    with pytest.raises(InputError, match=r"frames.tsn.epochs is missing; .*coalitions.n"):
        params.validate(content)


def test_files_that_are_no_parameters_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such parameter file"):
        params.load(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="must hold a mapping"):
        params.load(tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [\n")
    with pytest.raises(InputError, match="is not YAML"):
        params.load(tmp_path / "bad.yaml")
