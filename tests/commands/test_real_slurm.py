"""Runs studies on a real Slurm of one node, and kills some of their jobs.

`-k one_study` runs the study of Shapley networks, whose jobs are the fewest; `-k all_studies` runs
everything that a plain `snakemake` makes.
"""

import os
import re
import signal
import subprocess
import time
from collections import Counter

import clone
import one_node_slurm
import pytest
import yaml
from clone import has_nothing_to_do, processes, shards
from one_node_slurm import ACCOUNT, PARTITION
from tiny import ROOT, merged

from pipeline.store import open_store
from pipeline.store.evaluation import partition_indices, read_receipt
from pipeline.studies import STUDIES

pytestmark = pytest.mark.slow

# Each evaluation of the study of Shapley networks takes long enough to be killed in the middle.
PARAMETERS = merged(clone.SMALL, {"device": "auto", "shapnets": {"explained": {"rows": 3}}})
GAME, INSTANCES, COALITIONS = "synthetic", 3 * 10, 2**16
"""Of this study, with instances of three rows and ten networks, and coalitions of 16 features."""

PARTS = 2
LONG = 1800
"""Seconds that all studies may take."""
FILLED_IN = {
    "  # slurm_account: <account>\n": f"  slurm_account: {ACCOUNT}\n",
    "    # slurm_partition: <partition with GPUs>\n": f"    slurm_partition: {PARTITION}\n",
    "partitions: 16 ": f"partitions: {PARTS} ",
}
OFTEN = "\nslurm-init-seconds-before-status-checks: 3 # by default 40\n"
LOCAL = re.compile(r"^ *rule (\w+):\n(?:(?! *rule \w+:).*\n)*? +localrule: True$", re.MULTILINE)
"""A rule that runs where the command was typed, since it fetches something."""
TIMED = re.compile(r"shapnets/(figures/timing\.(png|svg)|tables\.json|timing\.(csv|json))")
"""Results with measured times, beside those that `clone` names."""


@pytest.fixture
def slurm():
    lacking = one_node_slurm.missing()
    if lacking:
        pytest.skip(lacking)
    with one_node_slurm.one_node_slurm() as running:
        yield running


@pytest.fixture(params=[["shapnets"], [*STUDIES]], ids=["one_study", "all_studies"])
def parameters(request):
    return merged(PARAMETERS, {"studies": request.param})


@pytest.fixture
def local(slurm, parameters, tmp_path):
    """The results without Slurm."""
    folder = clone.new_clone(tmp_path / "local", parameters)
    clone.snakemake(folder)
    return folder


@pytest.fixture
def folder(parameters, tmp_path):
    """A clone with the profile's places filled in."""
    folder = clone.new_clone(tmp_path / "clone", parameters)
    profile = folder / "profiles/slurm/config.yaml"
    text = profile.read_text()
    for place, value in FILLED_IN.items():
        assert text.count(place) == 1, place
        text = text.replace(place, value)
    profile.write_text(text + OFTEN)
    return folder


def typed():
    """The dry run and the run, as docs/cluster.md has them."""
    (block,) = re.findall(
        r"```sh\n(.*profiles/slurm -n .*?)```", (ROOT / "docs/cluster.md").read_text(), re.DOTALL
    )
    lines = [line.partition("  #")[0].strip() for line in block.splitlines()]
    return [line.removeprefix("uv run --extra slurm ") for line in lines]


def job(slurm, rule, *wildcards):
    """The id of a pending or running job; None if there is none."""
    return slurm.queued().get("_wildcards_".join((f"rule_{rule}", "_".join(wildcards))))


def until(condition, running, log):
    """Wait for something that happens while a command runs; return it."""
    deadline = time.monotonic() + LONG
    while not (found := condition()):
        has_ended = running.poll() is not None
        assert not has_ended, f"it ended before that: {log.read_text()[-6000:]}"
        assert time.monotonic() < deadline, f"it did not happen: {log.read_text()[-6000:]}"
        time.sleep(0.01)
    return found


def stored(folder, game, part):
    """The files of a partition's finished instances, with inode and time."""
    owned = partition_indices(INSTANCES, (part, PARTS))
    files = {f"results/coalitions/shapnets/{game}.zarr/values/c.{i}.0.0" for i in owned}
    return {name: status for name, status in shards(folder, game).items() if name in files}


def kill_in_the_middle(folder, game, part, running, log, known):
    """Kill a job's process with -9 once it has stored more instances than are known."""
    words = ("shapnets_evaluate", "--game", game, "--part", str(part))
    (process,) = until(lambda: processes(folder, *words), running, log)
    until(lambda: len(stored(folder, game, part)) > known, running, log)
    os.kill(process, signal.SIGSTOP)
    kept = stored(folder, game, part)
    assert len(kept) < INSTANCES // PARTS, "it was nearly done; explain more rows"
    os.kill(process, signal.SIGKILL)
    until(lambda: not processes(folder, *words), running, log)
    return kept


def started(folder, command, slurm):
    """A command that runs while the test goes on, and the file of what it prints."""
    log = folder / "typed.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "bash", "-ec", command],
            cwd=folder,
            env=clone.environment(**slurm.environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return running, log


def with_a_gpu():
    return set(yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["set-resources"])


def rule_of(each):
    return each["Comment"].removeprefix("rule_").partition("_wildcards_")[0]


def local_rules():
    files = ROOT.glob("pipeline/studies/**/*.smk")
    found = {name for file in files for name in LOCAL.findall(file.read_text())}
    assert found
    return found


def receipts(folder):
    files = sorted(folder.glob("results/*/receipts/*.json"))
    return {str(file.relative_to(folder)): read_receipt(file) for file in files}


def test_cancelled_and_killed_jobs_cost_no_evaluation_twice(slurm, local, folder):
    look, command = typed()
    planned = clone.run(folder, "bash", "-ec", look, **slurm.environment)
    submitted = Counter(re.findall(r"^rule (\w+):", planned.stdout, re.MULTILINE))
    assert submitted["shapnets_evaluate"] == PARTS * 2
    assert not slurm.accounted(), "a dry run submits nothing"

    running, log = started(folder, command, slurm)
    try:
        second = ("shapnets_evaluate", GAME, "1", str(PARTS))
        slurm.ask("scancel", until(lambda: job(slurm, *second), running, log))
        kept = {}
        for _ in range(2):  # the job, and the only retry
            kept = kill_in_the_middle(folder, GAME, 0, running, log, len(kept))
        assert not processes(folder, "pipeline.core.warm"), "jobs left their allocations"
        assert running.wait(timeout=LONG) != 0
    finally:
        running.kill()
    assert "SLURM status is: 'CANCELLED'" in log.read_text()
    done = shards(folder)
    assert {name: done[name] for name in kept} == kept, "stored values were written again"
    assert stored(folder, GAME, 0) == kept
    assert len(stored(folder, GAME, 1)) == INSTANCES // PARTS
    clone.run(folder, "bash", "-ec", command, limit=LONG, **slurm.environment)
    assert has_nothing_to_do(clone.run(folder, "bash", "-ec", look, **slurm.environment))

    found, expected = receipts(folder), receipts(local)
    assert found.keys() == expected.keys()
    assert {n: r.identity for n, r in found.items()} == {n: r.identity for n, r in expected.items()}
    # Only what the killed jobs stored is read from the store.
    name, reused = f"results/shapnets/receipts/{GAME}.json", len(kept) * COALITIONS
    assert expected[name].evaluations_made == INSTANCES * COALITIONS
    for each, receipt in found.items():
        counts = (expected[each].evaluations_made, expected[each].evaluations_reused)
        if each == name:
            counts = (counts[0] - reused, counts[1] + reused)
        assert (receipt.evaluations_made, receipt.evaluations_reused) == counts, each
    now = shards(folder)
    assert {name: now[name] for name in done} == done, "stored values were written again"
    assert all(open_store(folder / receipt.store).done().all() for receipt in found.values())
    ours, others = clone.contents(folder), clone.contents(local)
    assert ours.keys() == others.keys()
    assert [n for n in ours if ours[n] != others[n] and not TIMED.fullmatch(n)] == []

    jobs = slurm.accounted()
    states = Counter(each["State"].partition(" ")[0] for each in jobs)
    assert states["CANCELLED"] == 1
    assert states["FAILED"] == 2
    assert states.keys() == {"CANCELLED", "FAILED", "COMPLETED"}
    needs = with_a_gpu()
    for each in jobs:
        assert each["Account"] == ACCOUNT
        if not each["State"].startswith("CANCELLED"):
            assert ("gres/gpu=1" in each["AllocTRES"].split(",")) == (rule_of(each) in needs), each
    assert {rule_of(each) for each in jobs} == submitted.keys() - {"all", *local_rules()}
