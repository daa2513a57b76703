"""Commands of the documents, typed as they stand there."""

import importlib
import json
import re
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatchcase

import clone
import numpy as np
import pytest
import torch
from clone import rules_run
from documents import block, blocks, lines_of
from mnist import write_mnist
from PIL import Image
from tiny import ROOT
from torchvision import models

from pipeline.data.decoding import decode_frames
from pipeline.store import open_store
from pipeline.studies import STUDIES
from pipeline.studies.frames.videos import encode

BEGINNINGS = r"(?:uv run )?((?:snakemake|dvc|python -m|pytest) [^`]+|\.ci/run)"


def in_documents():
    """Every command of README and documents, in blocks and within the text, without `uv run`."""
    found = set()
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for text in blocks(document):
            lines = " && ".join(lines_of(text)).split(" && ")
            found.update([text] if text.startswith("game=") else lines)
        found.update(re.findall(f"`{BEGINNINGS}`", document.read_text()))
    return found


def test_every_command_of_the_documents_is_typed_by_a_test():
    tests = "".join(file.read_text() for file in (ROOT / "tests/commands").glob("test_*.py"))
    found = in_documents()
    assert found > {*TYPE_THESE_TESTS}
    found -= {*TYPE_THESE_TESTS}
    assert {c for c in found if not any(fnmatchcase(c, known) for known in TYPED)} == set()
    assert {known for known in TYPED if not any(fnmatchcase(c, known) for c in found)} == set()
    for name in set(TYPED.values()):
        assert f"\ndef {name}(" in tests, name


@pytest.fixture
def folder(built_once, tmp_path):
    folder = clone.copied(built_once, tmp_path / "copy")
    clone.commit(folder)
    return folder


def typed(folder, commands):
    """What each command prints, by its words; all of them succeed."""
    return {
        line: clone.run(folder, "bash", "-ec", line, COLUMNS="80").stdout
        for line in lines_of(commands)
    }


def test_stores_from_a_terminal(folder):
    said = typed(folder, block("docs/reproducing.md", "python -m pipeline store list  "))
    listed, shown, _, pruned = said.values()
    assert "frames/trn" in listed
    assert "16" in shown
    assert open_store(folder / "results/coalitions/frames/trn.zarr").done().all()
    assert pruned


def test_stores_behind_urls(built_once, service):
    text = (ROOT / "docs/reproducing.md").read_text()
    bucket = service.bucket()
    (code,) = re.findall(r"```python\n(import fsspec.*?)```", text, re.DOTALL)
    clone.run(built_once, "python", "-c", code.replace("<bucket>", bucket))
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    (server,) = (c for c in in_documents() if "http.server" in c)
    here = [*server.replace("python", sys.executable).split(), port]
    serving = subprocess.Popen(here, cwd=built_once, stderr=subprocess.DEVNULL)
    try:
        commands = block("docs/reproducing.md", "python -m pipeline store list s3")
        commands = commands.replace("<bucket>", bucket).replace("8000", port)
        listed, shown, verified, on_web = typed(built_once, commands).values()
    finally:
        serving.kill()
        serving.wait()
    for name in ("frames/trn", "frames/tsn"):
        assert re.search(rf"{name} .* 12/12 ", listed)
    assert "12 done of 12 requested" in shown
    assert verified == f"s3://{bucket}/stores/frames/trn.zarr: 12 of 12 instances done, sound\n"
    assert on_web.splitlines()[1:] == shown.splitlines()[1:]


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


def test_explaining_a_video(folder):
    video = next((folder / "data/frames/moving-digits").rglob("*.webm"))
    shutil.copy(video, folder / "my.webm")
    for commands in (
        block("README.md", "python -m pipeline explain").splitlines()[0],
        block("docs/frames.md", "python -m pipeline explain"),
    ):
        (said,) = typed(folder, commands).values()
        assert len(re.findall(r"^│ +\d+ │", said, flags=re.MULTILINE)) == 12


def test_other_libraries(folder):
    document = (ROOT / "docs/other-libraries.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", document, re.DOTALL):
        clone.run(folder, "python", "-c", f"import matplotlib\nmatplotlib.use('agg')\n{code}")
    store = open_store(folder / "results/coalitions/frames/trn.zarr")
    text = block("docs/other-libraries.md", "python -m pipeline store export")
    text = text.replace("<id>", store.instances[0])
    said = typed(folder, text.replace("<class>", f"'{store.record.outputs[0]}'"))
    assert "16 coalitions" in "".join(said.values())
    made = open_store(folder / "results/coalitions/mine/games.zarr")
    np.testing.assert_array_equal(made.read(0)[:, 0], store.read(0)[:, 0])


def test_explaining_with_another_model(folder):
    """torchvision's networks have random weights, in the cache, and two players."""
    shutil.copy(next((folder / "data/frames/moving-digits").rglob("*.webm")), folder / "my.webm")
    document = (ROOT / "docs/own-models.md").read_text()
    for name in ("my_model", "my_pictures"):
        (code,) = re.findall(rf"```python\n(# {name}.py.*?)```", document, re.DOTALL)
        (folder / f"{name}.py").write_text(code)
    Image.fromarray(np.zeros((40, 60, 3), dtype=np.uint8)).save(folder / "my.jpg")
    (folder / "home/hub/checkpoints").mkdir(parents=True)
    for network in ("r3d_18", "resnet50"):
        name = models.get_model_weights(network).DEFAULT.url.rpartition("/")[2]
        torch.save(models.get_model(network).state_dict(), folder / "home/hub/checkpoints" / name)
    for first in ("python -m pipeline explain my.webm", "python -m pipeline explain my.jpg"):
        for line in lines_of(block("docs/own-models.md", first)):
            here = line.replace("4x4", "1x2")
            fewer = " --frames 2" if "r3d_18" in line else ""
            said = clone.run(folder, "bash", "-ec", here + fewer, TORCH_HOME=str(folder / "home"))
            assert "Values are exact" in said.stdout


def test_a_game_by_hand(folder):
    """With two partitions in place of sixteen, and the scales that this study has."""
    text = block("docs/cluster.md", "game=")
    for written, here in {
        "range(1, 9)": f"range(1, {clone.SMALL['frames']['scales']['n_max'] + 1})",
        '$stage frames_evaluate "${game[@]}" --part 3 --parts 16 --receipt $parts/3.json': (
            'for part in 0 1; do $stage frames_evaluate "${game[@]}" --part $part --parts 2 '
            "--receipt $parts/$part.json; done"
        ),
        "{0..15}": "{0..1}",
    }.items():
        assert text.count(written) == 1
        text = text.replace(written, here)
    receipt = folder / "results/frames/receipts/trn.json"
    before = json.loads(receipt.read_text())
    receipt.unlink()
    clone.change(folder, "frames.coalitions.n", 3)
    clone.run(folder, "bash", "-ec", text)
    found = json.loads(receipt.read_text())
    assert found["evaluations_made"] == before["evaluations_made"] // 2
    shards = clone.shards(folder, "trn")
    done = clone.snakemake(folder, "frames_merge_all")
    assert "rule frames_merge" in done.stdout + done.stderr
    assert clone.shards(folder, "trn") == shards


def test_commands_that_are_seldom_needed(folder):
    said = typed(
        folder,
        """
        dvc dag
        dvc remote add -d place ../place
        snakemake --unlock
        snakemake -n -p --forcerun results/frames/receipts/tsn.json
        python -m pipeline dvc-yaml
        python -m pipeline documents
        yes | dvc gc -w
        snakemake --report report.html
        """,
    )
    assert "frames_merge" in said["dvc dag"]
    assert "pipeline.core.job frames_merge --game tsn" in "".join(said.values())
    assert (folder / "report.html").stat().st_size > 1e5
    again = clone.snakemake(folder)
    assert clone.has_nothing_to_do(again)


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


def with_a_table(folder):
    rows = (f"{20 + k % 50},{k % 7},{1.5 + k % 11}\n" for k in range(100))
    (folder / "my.csv").write_text("age,children,income\n" + "".join(rows))
    return folder


OWN_DATA = [
    ("docs/frames.md", "snakemake --cores all --config", "frames_backbone"),
    ("docs/baselines.md", "snakemake --cores all --config", "baselines_classifier"),
    ("docs/shapnets.md", "snakemake --cores all --config", "shapnets_networks"),
]


@pytest.mark.parametrize(("document", "first", "planned"), OWN_DATA)
def test_own_data_is_planned(root, tmp_path, document, first, planned):
    folder = with_a_table(new_clone(tmp_path / "new"))
    for line in lines_of(block(document, first).replace("<root>", str(root))):
        target = planned.partition("_")[0] + "_all"
        done = clone.run(folder, "bash", "-ec", f"{line} -n {target}")
        assert planned in rules_run(done), line
        assert "frames_videos" not in rules_run(done)


def first_look():
    (command,) = (c for c in in_documents() if c.endswith("presets/quick.yaml"))
    return command


def test_a_first_look_is_planned(tmp_path):
    folder = new_clone(tmp_path / "new")
    planned = rules_run(clone.run(folder, "bash", "-ec", f"{first_look()} -n"))
    assert {rule.partition("_")[0] for rule in planned} == {*STUDIES, "report"}


def test_forcing_a_stage(folder):
    """Its results are the same, so nothing else has to run."""
    (forced,) = (c for c in in_documents() if "--forcerun frames_scales" in c)
    results = clone.contents(folder)
    assert "frames_scales" in rules_run(clone.run(folder, "bash", "-ec", forced))
    assert clone.contents(folder) == results


HOURS = 3 * 3600
"""Seconds that a command of full size may take."""


@pytest.mark.slow
def test_the_first_commands(tmp_path):
    """As a newcomer types them: in an empty clone, with uv, at full size."""
    folder = clone.new_clone(tmp_path / "new", {})
    here = {"UV_PROJECT_ENVIRONMENT": sys.prefix}
    text = (ROOT / "README.md").read_text()
    (first,) = re.findall(r"```sh\n(pip install uv .*?)```", text, flags=re.DOTALL)
    build, tests = lines_of(first)
    clone.run(folder, "bash", "-ec", build, limit=HOURS, **here)
    for study in STUDIES:
        assert list((folder / f"results/{study}/figures").glob("*.png"))
        assert (folder / f"results/{study}/claims.csv").exists()
    clone.run(folder, "bash", "-ec", tests, limit=HOURS, **here)


@pytest.mark.slow
def test_a_first_look(tmp_path):
    folder = clone.new_clone(tmp_path / "new", {})
    clone.run(folder, "bash", "-ec", first_look(), limit=HOURS)
    for study in STUDIES:
        assert list((folder / f"results/{study}/figures").glob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize(("document", "first", "planned"), OWN_DATA)
def test_own_data(root, tmp_path, document, first, planned):
    """The papers' sizes are left out: they take hours."""
    folder = with_a_table(clone.new_clone(tmp_path / "new", {}))
    study = planned.partition("_")[0]
    for line in lines_of(block(document, first).replace("<root>", str(root))):
        if "presets/paper.yaml" not in line:
            clone.run(folder, "bash", "-ec", f"{line} -- {study}_all", limit=HOURS)
    assert (folder / f"results/{study}/claims.csv").exists()
    if study == "shapnets":
        clone.change(folder, "shapnets.table", {"path": "my.csv", "target": "income"})
        shutil.copy(folder / "params.yaml", folder / "mine.yaml")
        (folder / "params.yaml").rename(folder / "my-params.yaml")
        for command in sorted(c for c in in_documents() if "my.csv --row 17" in c):
            said = clone.run(folder, "bash", "-ec", command).stdout
            assert "exact Shapley value" in said


def test_the_page_is_made_and_opened(built_once, tmp_path):
    folder = clone.copied(built_once, tmp_path / "copy")
    page = folder / "results/report/index.html"
    page.unlink()
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    command = "python -m pipeline report --open"
    clone.run(folder, "bash", "-ec", command, BROWSER=str(browser))
    assert page.exists()
    assert (tmp_path / "opened").read_text().strip() == page.resolve().as_uri()


def test_a_folder_of_videos_with_another_model(tmp_path):
    folder = clone.new_clone(tmp_path / "new", clone.SMALL)
    text = (ROOT / "docs/own-models.md").read_text()
    (code,) = re.findall(r"```python\n(# my_model.py.*?)```", text, flags=re.DOTALL)
    (folder / "my_model.py").write_text(code)
    (folder / "my-videos").mkdir()
    rng = np.random.default_rng(0)
    for name in ("walk", "run"):
        pixels = rng.integers(0, 256, (12, 48, 48, 3), dtype=np.uint8)
        encode(pixels, folder / f"my-videos/{name}.webm", fps=12)
    first, second = lines_of(block("docs/own-models.md", "snakemake --cores all"))
    planned = clone.run(folder, "bash", "-ec", first.replace(" -- ", " -n -- "))
    assert {"frames_clips", "frames_evaluate", "frames_draw_discard"} <= rules_run(planned)
    assert not {"frames_backbone", "frames_videos", "frames_claims"} & rules_run(planned)
    done = clone.run(folder, "bash", "-ec", second)
    told = done.stdout + done.stderr
    assert "Left out, since they compare the TRN with the TSN: accuracy" in told
    store = open_store(folder / "results/coalitions/frames/my_model_load.zarr")
    assert store.instances == ("run", "walk")
    sys.path.insert(0, str(folder))
    try:
        model = importlib.import_module("my_model").load()
    finally:
        sys.path.pop(0)
        sys.modules.pop("my_model", None)
    for i, name in enumerate(store.instances):
        frames = store.coordinates["frame_in_video"][i]
        pictures = decode_frames(folder / f"my-videos/{name}.webm", frames.tolist())
        clip = torch.stack([torch.from_numpy(pictures[k]).permute(2, 0, 1) for k in frames])
        scores = model(model.prepare(clip)[None])[0]
        np.testing.assert_allclose(store.read(i)[-1], scores, atol=1e-6)
        assert len(set(frames.tolist())) == 6
    made = folder / "results/frames"
    assert len(list(made.glob("figures/clips/*.png"))) == 2
    rows = (made / "values/my_model_load.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 6
    assert clone.has_nothing_to_do(clone.run(folder, "bash", "-ec", second))
    # An edit that leaves the digest as it is evaluates nothing; another digest evaluates all.
    receipt = made / "receipts/my_model_load.json"
    (folder / "my_model.py").write_text(code + "\n# a comment\n")
    clone.run(folder, "bash", "-ec", second)
    made_now = json.loads(receipt.read_text())
    assert (made_now["evaluations_made"], made_now["evaluations_reused"]) == (0, 2 * 2**6)
    (folder / "my_model.py").write_text(code.replace('digest = "1"', 'digest = "2"'))
    clone.run(folder, "bash", "-ec", second)
    assert json.loads(receipt.read_text())["evaluations_made"] == 2 * 2**6


SMALL_BENCHMARKS = {
    "estimators": (
        "--images 128 --walks 128 --reference 256 --repeats 2 --searches 2 --k 3 --epsilon 0.1"
    ),
    "image_accuracy": "--root . --epochs 1",
    "many": "--videos 30",
    "runtime": "--quick",
    "shapnets": "--quick",
    "up_to_date": "--gib 0.01",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", sorted(c for c in in_documents() if c.startswith("python -m benchmarks."))
)
def test_a_benchmark_runs(tmp_path, command):
    folder = clone.new_clone(tmp_path / "new", {})
    write_mnist(folder, train=60, test=20)
    small = SMALL_BENCHMARKS[command.rpartition(".")[2]]
    assert clone.run(folder, "bash", "-ec", f"{command} {small}", limit=HOURS).stdout.strip()


TYPED = {
    "pip install uv": "test_the_first_commands",
    "snakemake --cores all": "test_the_first_commands",
    "pytest": "test_the_first_commands",
    "snakemake --cores all --configfile presets/quick.yaml": "test_a_first_look",
    "snakemake --cores all --configfile presets/paper.yaml *": "test_own_data_is_planned",
    "snakemake --cores all --config *": "test_own_data",
    "snakemake --cores all --config 'frames={model: *": (
        "test_a_folder_of_videos_with_another_model"
    ),
    "python -m pipeline explain my.csv *": "test_own_data",
    "python -m pipeline explain my.webm --frames *": "test_explaining_a_video",
    "python -m pipeline explain my.webm --model trn *": "test_explaining_a_video",
    "python -m pipeline explain my.webm --model *:*": "test_explaining_with_another_model",
    "python -m pipeline explain my.jpg *": "test_explaining_with_another_model",
    "git *": "test_change_undo_share",
    "dvc repro": "test_change_undo_share",
    "dvc exp run -S*": "test_change_undo_share",
    "dvc checkout --force": "test_change_undo_share",
    "dvc push": "test_change_undo_share",
    "dvc pull": "test_pulled_results_run_nothing_and_are_known_job_by_job",
    "dvc metrics *": "test_what_dvc_shows_fits_into_80_columns",
    "dvc params diff": "test_what_dvc_shows_fits_into_80_columns",
    "dvc exp show *": "test_what_dvc_shows_fits_into_80_columns",
    "dvc plots show": "test_what_dvc_shows_fits_into_80_columns",
    "dvc dag": "test_commands_that_are_seldom_needed",
    "dvc gc -w": "test_commands_that_are_seldom_needed",
    "dvc remote add -d <name> <place>": "test_commands_that_are_seldom_needed",
    "dvc remote * shared *": "test_pulled_results_run_nothing_and_are_known_job_by_job",
    "snakemake --report report.html": "test_commands_that_are_seldom_needed",
    "snakemake --unlock": "test_commands_that_are_seldom_needed",
    "snakemake -n -p --forcerun *": "test_commands_that_are_seldom_needed",
    "python -m pipeline dvc-yaml": "test_commands_that_are_seldom_needed",
    "python -m pipeline documents": "test_commands_that_are_seldom_needed",
    "python -m pipeline report --open": "test_the_page_is_made_and_opened",
    "python -m pipeline store export *": "test_other_libraries",
    "python -m pipeline store import *": "test_other_libraries",
    "python -m pipeline store [!ei]*": "test_stores_from_a_terminal",
    "python -m pipeline store *://*": "test_stores_behind_urls",
    "python -m http.server *": "test_stores_behind_urls",
    "snakemake --cores all --forcerun frames_scales": "test_forcing_a_stage",
    "snakemake --cores all --forcerun neurons_weights": (
        "test_weights_that_cannot_be_fetched_are_left_out_and_tried_again_on_demand"
    ),
    "snakemake --workflow-profile profiles/slurm*": "test_jobs_are_submitted_with_what_they_need",
    "game=*": "test_a_game_by_hand",
    "python -m benchmarks.*": "test_a_benchmark_runs",
}
"""The test that types a command, for its pattern."""

TYPE_THESE_TESTS = (
    ".ci/run",
    "pytest -m slow",
    "pytest -m slow tests/commands/test_real_slurm.py -k all_studies",
)
"""Commands that run these tests themselves."""
