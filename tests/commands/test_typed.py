"""Commands of the documents, typed as they stand there."""

import re
import shutil

import clone
import numpy as np
import pytest
from clone import rules_run
from PIL import Image
from tiny import ROOT

from pipeline.store import open_store
from pipeline.studies import STUDIES


def block(document, first):
    """The block of shell commands that begins with this one, without `uv run`."""
    text = re.sub(r" *\\\n *", " ", (ROOT / document).read_text())
    found = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    (text,) = [text for text in (f.replace("uv run ", "") for f in found) if text.startswith(first)]
    return text


@pytest.fixture
def folder(built_once, tmp_path):
    folder = clone.copied(built_once, tmp_path / "copy")
    clone.commit(folder)
    return folder


def typed(folder, commands):
    """What each command prints, by its words; all of them succeed."""
    lines = [line.partition("  #")[0].strip() for line in commands.splitlines()]
    return {
        line: clone.run(folder, "bash", "-ec", line, COLUMNS="80").stdout for line in lines if line
    }


def test_stores_from_a_terminal(folder):
    said = typed(folder, block("docs/reproducing.md", "python -m pipeline store list"))
    listed, shown, _, pruned = said.values()
    assert "frames/trn" in listed
    assert "16" in shown
    assert open_store(folder / "results/coalitions/frames/trn.zarr").done().all()
    assert pruned


def test_what_dvc_shows_fits_into_80_columns(folder):
    clone.dvc(folder, "exp", "run", "-S", "frames.figures.clips=1", "-n", "one")
    said = typed(folder, block("docs/reproducing.md", "dvc metrics show"))
    for text in said.values():
        assert max(map(len, text.splitlines()), default=0) <= 80 or "dvc_plots" in text
    metrics, changed, params, experiments, plots = said.values()
    assert "results/frames/metrics.json" in metrics
    assert not changed
    assert "frames.figures.clips" in params
    assert re.search(r"\[one\].* 1 ", experiments)
    assert "dvc_plots/index.html" in plots


@pytest.mark.slow
def test_change_undo_share(built_once, tmp_path):
    folder = clone.copied(built_once, tmp_path / "copy")
    clone.dvc(folder, "remote", "add", "-d", "place", str(tmp_path / "place"))
    results = clone.contents(folder)
    first, *others = block("README.md", "git add dvc.lock").splitlines()
    typed(folder, first)
    clone.change(folder, "frames.figures.clips", 1)
    repeated, tried, changed, _, pushed = typed(folder, "\n".join(others)).values()
    assert "frames_figures" in repeated
    assert "frames_merge" in tried
    assert max(map(len, changed.splitlines()), default=0) <= 80
    assert clone.contents(folder) == results
    assert "pushed" in pushed


@pytest.fixture
def root(built_once, tmp_path):
    """A folder with a data set of videos and one of pictures."""
    root = clone.copied(built_once / "data/frames/moving-digits", tmp_path / "root")
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(10):
                picture = np.full((64, 64, 3), number, dtype=np.uint8)
                Image.fromarray(picture).save(root / split / name / f"{number}.png")
    return root


def new_clone(folder):
    """A clone without DVC, where a plan takes two seconds."""
    clone.new_clone(folder, {})
    shutil.rmtree(folder / ".dvc")
    return folder


@pytest.mark.parametrize(
    ("document", "first", "planned"),
    [
        ("docs/frames.md", "snakemake --cores all --config", "frames_backbone"),
        ("docs/baselines.md", "snakemake --cores all --config", "baselines_classifier"),
        ("docs/shapnets.md", "snakemake --cores all --config", "shapnets_networks"),
    ],
)
def test_own_data_is_planned(root, tmp_path, document, first, planned):
    folder = new_clone(tmp_path / "new")
    (folder / "my.csv").write_text("age,income\n" + "30,1.5\n40,2.5\n" * 30)
    for line in block(document, first).replace("<root>", str(root)).splitlines():
        target = planned.partition("_")[0] + "_all"
        done = clone.run(folder, "bash", "-ec", f"{line} -n {target}")
        assert planned in rules_run(done), line
        assert "frames_videos" not in rules_run(done)


def test_a_first_look_is_planned(tmp_path):
    folder = new_clone(tmp_path / "new")
    (command,) = re.findall(r"`uv run (.*?presets/quick.yaml)`", (ROOT / "README.md").read_text())
    planned = rules_run(clone.run(folder, "bash", "-ec", f"{command} -n"))
    assert {rule.partition("_")[0] for rule in planned} == {*STUDIES}
