"""Kills, refusals and damage while the real commands run."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import clone
import numpy as np
import pytest
import stages
from clone import has_nothing_to_do, processes, rules_run, shards, snakemake

from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.studies.frames.feature_files import feature_writer
from pipeline.workflow.params import load

CLIPS, PLAYERS = 1600, 12
MODELS = ("trn", "tsn")
# Only up to the values: later stages are not killed.
TARGETS = ("frames_merge_all", "frames_values_all")
STAGE = "frames_values"
RECEIPTS = [f"results/frames/receipts/{model}.json" for model in MODELS]


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
def expected(trained, tmp_path_factory):
    """The values of both games, evaluated without Snakemake."""
    folder = clone.copied(trained, tmp_path_factory.mktemp("expected") / "copy")
    found = {}
    for model in MODELS:
        scales = [f"results/frames/scales/{scale}.pt" for scale in (1, 2)]
        given = {
            "features": "validation.h5",
            "weights": scales if model == "trn" else ["results/frames/tsn.pt"],
            "priors": "results/frames/priors.json",
            "coalitions": load(folder / "params.yaml").frames.coalitions,
        }
        stages.plan(folder, "frames", model, **given)
        stages.evaluate(folder, "frames", model, **given)
        store = open_store(stages.stored(folder, "frames", model))
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


def line_of(receipt):
    """Beginning of the line that a run prints for the job that writes this receipt."""
    if receipt.parent.name == "receipts":
        return f"rule frames_merge: game {receipt.stem},"
    part, _, parts = receipt.stem.partition("_of_")
    return f"rule frames_evaluate: game {receipt.parent.name}, part {part}, parts {parts},"


def wait_for(condition, process, folder):
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"it ended before that: {(folder / 'output.log').read_text()[-4000:]}")
        time.sleep(0.01)


def how_many(folder, study="frames", games=MODELS):
    """Number of stored tables, counted fast because it grows meanwhile."""
    values = [folder / f"results/coalitions/{study}/{game}.zarr/values" for game in games]
    return sum(path.name.endswith(".0.0") for v in values if v.is_dir() for path in v.iterdir())


def same_values(folder, expected):
    for model in MODELS:
        store = open_store(folder / f"results/coalitions/frames/{model}.zarr")
        identity, values = expected[model]
        assert store.record.identity == identity
        # The last bit can depend on a video's place in its batch.
        np.testing.assert_allclose(store.read_many(range(CLIPS)), values, rtol=0, atol=1e-6)


def instances_evaluated(folder):
    """Sum over the receipts of games, or of their partitions if a game has no receipt yet."""
    found = 0
    for receipt in RECEIPTS:
        partitions = folder / "results/frames/partitions" / Path(receipt).stem
        files = [folder / receipt] if (folder / receipt).exists() else partitions.glob("*_of_*")
        found += sum(read_receipt(file).instances_evaluated for file in files)
    return found


def kill(process, folder, jobs):
    """Kill a command and the schedulers that it started; wait until their jobs have ended."""
    for scheduler in {process.pid, *processes(folder, "--cores")}:
        os.kill(scheduler, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while processes(folder, jobs) or processes(folder, "pipeline.core.warm"):
        assert time.monotonic() < deadline, "jobs live on without their scheduler"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 20])
def test_a_killed_scheduler_loses_only_evaluations_in_flight(folder, expected, kills):
    rng = np.random.default_rng(kills)
    commands = (("snakemake", "--cores", "2", *TARGETS), ("dvc", "repro", STAGE))
    kept = {}
    for number in range(kills):
        process = start(folder, *commands[number % 2])
        enough = len(kept) + int(rng.integers(1, CLIPS // kills))
        wait_for(lambda enough=enough: how_many(folder) >= enough, process, folder)
        kill(process, folder, "frames_evaluate")
        now = shards(folder, *MODELS)
        assert {name: now.get(name) for name in kept} == kept
        kept = now
    assert 0 < len(kept) < 2 * CLIPS
    # Finished jobs of killed runs have receipts, which count what they evaluated.
    earlier = instances_evaluated(folder)
    last, then = (commands[1], commands[0]) if kills % 2 else commands
    done = clone.run(folder, *last)
    assert not rules_run(done) & {"frames_scales", "frames_tsn", "frames_priors"}
    now = shards(folder, *MODELS)
    assert {name: now[name] for name in kept} == kept
    receipts = [read_receipt(folder / receipt) for receipt in RECEIPTS]
    made = sum(receipt.instances_evaluated for receipt in receipts)
    reused = sum(receipt.instances_reused for receipt in receipts)
    assert made + reused == 2 * CLIPS
    assert 0 <= made - (2 * CLIPS - len(kept)) <= earlier
    same_values(folder, expected)
    assert not rules_run(clone.run(folder, *then))


@pytest.mark.parametrize("with_dvc", [True, False])
def test_values_stored_before_a_kill_are_not_evaluated_again(toy_once, tmp_path, with_dvc):
    folder, elections, target = clone.copied(toy_once, tmp_path / "copy"), 600, "toy_merge_all"
    if not with_dvc:
        shutil.rmtree(folder / ".dvc")
    made_before = {name: file for name, file in clone.contents(folder).items() if "/" not in name}
    clone.change(folder, "toy.vote.weights", [1] * 13)
    clone.change(folder, "toy.vote.quotas", list(range(1, elections + 1)))
    (folder / "results/toy/receipts/majority.json").unlink()
    process = start(folder, "snakemake", "--cores", "2", target)
    # At first the store is that of another game.
    planned = folder / "results/toy/plans/majority.json"
    wait_for(planned.exists, process, folder)
    wait_for(lambda: how_many(folder, "toy", ["majority"]) > elections // 10, process, folder)
    kill(process, folder, "toy_evaluate")
    kept = shards(folder)
    assert elections // 10 < len(kept) < elections
    done = snakemake(folder, target)
    # Nothing else was made again, and other results are unchanged.
    assert rules_run(done) <= {"toy_plan", "toy_evaluate", "toy_merge"}
    now = shards(folder)
    assert len(now) == elections
    assert {name: now[name] for name in kept} == kept
    receipt = read_receipt(folder / "results/toy/receipts/majority.json")
    assert (receipt.instances_evaluated, receipt.instances_reused) == (
        elections - len(kept),
        len(kept),
    )
    assert {name: clone.contents(folder)[name] for name in made_before} == made_before
    assert has_nothing_to_do(snakemake(folder, target))


@pytest.mark.slow
def test_a_killed_job_is_run_again_alone_and_a_second_run_is_refused(folder, expected):
    process = start(folder, "snakemake", "--cores", "2", *RECEIPTS)
    victim = ("frames_evaluate", "--game", "trn", "--part", "0")
    wait_for(lambda: processes(folder, *victim), process, folder)
    second = snakemake(folder, *RECEIPTS, check=False)
    assert second.returncode != 0
    assert f"another snakemake (process {process.pid}) is at work in {folder}" in second.stderr
    assert snakemake(folder, "-n", check=False).returncode == 0
    running = processes(folder, *victim)
    if running:
        os.kill(running[0], signal.SIGKILL)
    assert (process.wait() != 0) == bool(running)
    finished = set((folder / "results/frames/partitions").rglob("*_of_2.json"))
    finished |= {folder / receipt for receipt in RECEIPTS if (folder / receipt).exists()}
    kept = shards(folder, *MODELS)
    done = snakemake(folder, *RECEIPTS)
    printed = done.stdout + done.stderr
    for receipt in finished:
        assert line_of(receipt) not in printed
    for receipt in {folder / name for name in RECEIPTS} - finished:
        assert line_of(receipt) in printed
    now = shards(folder, *MODELS)
    assert {name: now[name] for name in kept} == kept
    same_values(folder, expected)
    assert has_nothing_to_do(snakemake(folder, *RECEIPTS))


def test_finished_partitions_of_a_failed_run_are_kept_if_it_also_made_their_inputs(
    built_once, tmp_path
):
    folder, target = clone.copied(built_once, tmp_path / "copy"), "results/frames/receipts/tsn.json"
    clone.change(folder, "frames.tsn.epochs", 1)
    clone.change(folder, "partitions", 2)
    process = start(folder, "snakemake", "--cores", "2", "--keep-going", target)
    victim = ("frames_evaluate", "--game", "tsn", "--part", "0")
    wait_for(lambda: processes(folder, *victim), process, folder)
    for number in processes(folder, *victim):
        os.kill(number, signal.SIGKILL)
    assert process.wait() != 0
    assert "rule frames_tsn: one job" in (folder / "output.log").read_text()
    assert (folder / "results/frames/partitions/tsn/1_of_2.json").exists()
    done = snakemake(folder, target)
    printed = done.stdout + done.stderr
    assert rules_run(done) == {"frames_evaluate", "frames_merge"}
    assert "game tsn, part 0" in printed
    assert "game tsn, part 1" not in printed
    assert read_receipt(folder / target).evaluations_reused == 0


def test_a_store_of_a_later_format_is_refused_and_left_alone(built_once, tmp_path):
    folder = clone.copied(built_once, tmp_path / "copy")
    metadata = folder / "results/coalitions/frames/trn.zarr/zarr.json"
    metadata.write_text(metadata.read_text().replace('"format_version": 2', '"format_version": 99'))
    content = {p: p.read_bytes() for p in metadata.parent.rglob("*") if p.is_file()}
    for command in (("snakemake", "--cores", "2"), ("dvc", "repro")):
        refused = clone.run(folder, *command, check=False)
        assert refused.returncode != 0
        assert "trn.zarr: a coalition store of format version 99" in refused.stderr
        assert {p: p.read_bytes() for p in metadata.parent.rglob("*") if p.is_file()} == content
