"""What is killed, refused or damaged while the real commands run."""

import os
import signal
import subprocess
import time
from pathlib import Path

import clone
import numpy as np
import pytest
from clone import has_nothing_to_do, rules_run, shards, snakemake

from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.frames import coalitions, game
from pipeline.studies.frames.feature_files import feature_writer
from pipeline.workflow.params import load

CLIPS, PLAYERS = 1600, 12
MODELS = ("trn", "tsn")
STAGE = "frames_values"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of given features whose models are trained; its enumeration takes seconds."""
    folder = clone.new_clone(tmp_path_factory.mktemp("faults") / "clone", clone.SMALL)
    rng = np.random.default_rng(0)
    given = {}
    for split, clips in (("train", 20), ("validation", CLIPS)):
        given[split] = f"{split}.h5"
        with feature_writer(folder / given[split], backbone_sha256="ab12") as append:
            for clip in range(clips):
                append(
                    f"{split}{clip}", clip % 5, rng.normal(size=(PLAYERS, 8)), np.arange(PLAYERS)
                )
    for model in MODELS:
        clone.change(folder, f"frames.features.{model}", given)
    clone.change(folder, "frames.coalitions.n", PLAYERS)
    clone.change(folder, "partitions", 2)
    clone.run(folder, "python", "-m", "pipeline", "dvc-yaml")
    snakemake(folder, "frames_scales_all", "frames_tsn_all")
    return folder


@pytest.fixture(scope="module")
def expected(trained):
    """The values of both games, evaluated without Snakemake."""
    params = load(trained / "params.yaml").frames
    found = {}
    for model in MODELS:
        scales = [trained / f"results/frames/scales/{scale}.pt" for scale in (1, 2)]
        arguments = {
            "model": model,
            "features": trained / "validation.h5",
            "weights": scales if model == "trn" else [trained / "results/frames/tsn.pt"],
            "priors": trained / "results/frames/priors.json",
            "params": params.coalitions,
            "store": trained / f"elsewhere/{model}.zarr",
            "device": "cpu",
            "threads": 1,
        }
        game.main(**arguments, out=trained / "elsewhere/game.json")
        coalitions.main(**arguments, out=trained / "elsewhere/receipt.json")
        store = open_store(arguments["store"])
        found[model] = (store.record.identity, store.read_many(range(CLIPS)))
    return found


@pytest.fixture
def folder(trained, tmp_path):
    return clone.copied(trained, tmp_path / "copy")


def start(folder, *command):
    log = (folder / "output.log").open("w")
    return subprocess.Popen(
        command,
        cwd=folder,
        env=clone.environment(),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def processes(folder, *words):
    """Processes at work in a folder whose command holds all these words."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            if (entry / "cwd").resolve() == folder.resolve() and set(words) <= set(command):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def wait_for(condition, process, folder):
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"it ended before that: {(folder / 'output.log').read_text()[-4000:]}")
        time.sleep(0.01)


def how_many(folder):
    """Stored tables, counted fast: there are more the next moment."""
    values = [folder / f"results/coalitions/frames/{model}.zarr/values" for model in MODELS]
    return sum(path.name.endswith(".0.0") for v in values if v.is_dir() for path in v.iterdir())


def same_values(folder, expected):
    for model in MODELS:
        store = open_store(folder / f"results/coalitions/frames/{model}.zarr")
        identity, values = expected[model]
        assert store.record.identity == identity
        # The last bit can depend on a video's place in its batch.
        np.testing.assert_allclose(store.read_many(range(CLIPS)), values, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 20])
def test_a_scheduler_killed_in_mid_enumeration_costs_what_was_in_flight(folder, expected, kills):
    rng = np.random.default_rng(kills)
    # As far as the values: what comes after them is not what is killed.
    commands = (("snakemake", "--cores", "2", "frames_values_all"), ("dvc", "repro", STAGE))
    kept = {}
    for number in range(kills):
        process = start(folder, *commands[number % 2])
        enough = len(kept) + int(rng.integers(1, CLIPS // kills))
        wait_for(lambda enough=enough: how_many(folder) >= enough, process, folder)
        schedulers = {process.pid, *processes(folder, "--cores")}
        for scheduler in schedulers:
            os.kill(scheduler, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 30
        while processes(folder, "pipeline.studies.frames.coalitions"):
            assert time.monotonic() < deadline, "jobs live on without their scheduler"
            time.sleep(0.01)
        now = shards(folder)
        assert {name: now.get(name) for name in kept} == kept
        kept = now
    assert len(kept) < 2 * CLIPS
    # Jobs of killed runs that had finished are not run again: their receipts tell what they made.
    finished = (folder / "results/frames/coalitions").rglob("*_of_*.json")
    earlier = sum(read_receipt(file).instances_evaluated for file in finished)
    last, then = (commands[1], commands[0]) if kills % 2 else commands
    done = clone.run(folder, *last)
    assert not rules_run(done) & {"frames_scales", "frames_tsn", "frames_priors"}
    now = shards(folder)
    assert {name: now[name] for name in kept} == kept
    receipts = [read_receipt(folder / f"results/frames/receipts/{m}.json") for m in MODELS]
    made = sum(receipt.instances_evaluated for receipt in receipts)
    reused = sum(receipt.instances_reused for receipt in receipts)
    assert made + reused == 2 * CLIPS
    assert 0 <= made - (2 * CLIPS - len(kept)) <= earlier
    same_values(folder, expected)
    assert not rules_run(clone.run(folder, *then))


@pytest.mark.slow
def test_a_killed_job_is_run_again_alone_and_a_second_run_is_refused(folder, expected):
    process = start(folder, "snakemake", "--cores", "2", "frames_coalitions_all")
    victim = ("pipeline.studies.frames.coalitions", "--model", "trn", "--partition", "0")
    wait_for(lambda: processes(folder, *victim), process, folder)
    second = snakemake(folder, "frames_coalitions_all", check=False)
    assert second.returncode != 0
    assert f"another snakemake (process {process.pid}) is at work in {folder}" in second.stderr
    assert snakemake(folder, "-n", check=False).returncode == 0
    running = processes(folder, *victim)
    if running:
        os.kill(running[0], signal.SIGKILL)
    assert (process.wait() != 0) == bool(running)
    finished = set((folder / "results/frames/coalitions").rglob("*_of_2.json"))
    done = snakemake(folder, "frames_coalitions_all")
    for receipt in finished:
        assert f"output: {receipt.relative_to(folder)}" not in done.stderr
    same_values(folder, expected)
    assert has_nothing_to_do(snakemake(folder, "frames_coalitions_all"))


def test_a_store_of_a_later_format_is_refused_and_left_alone(built_once, tmp_path):
    folder = clone.copied(built_once, tmp_path / "copy")
    metadata = folder / "results/coalitions/frames/trn.zarr/zarr.json"
    metadata.write_text(metadata.read_text().replace('"format_version": 1', '"format_version": 99'))
    content = {p: p.read_bytes() for p in metadata.parent.rglob("*") if p.is_file()}
    for command in (("snakemake", "--cores", "2"), ("dvc", "repro")):
        refused = clone.run(folder, *command, check=False)
        assert refused.returncode != 0
        assert "trn.zarr: a coalition store of format version 99" in refused.stderr
        assert {p: p.read_bytes() for p in metadata.parent.rglob("*") if p.is_file()} == content
