"""Runs jobs in copies of one process that has loaded the libraries."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.core import warm
from pipeline.core.job import WARM, hand_over
from pipeline.workflow.params import load

COMMAND = [sys.executable, "-m", "pipeline.core.job"]

pytestmark = pytest.mark.skipif(not warm.IS_POSSIBLE, reason="needs pidfd and passing of streams")


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WARM, "")
        patch.setattr(warm, "LIBRARIES", ())
        process = warm.start()
        yield process
        process.terminate()
        process.wait()


def defaults():
    return load(Path("params.yaml"))


def run(*words, folder=None, **variables):
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), **variables}
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
    )


def children(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_has_the_folder_streams_and_status_of_its_command(server, tmp_path):
    failed = run("frames_priors", "--features", "a.h5", "--out", "p.json", folder=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == "frames_priors: a.h5: there is no such feature file\n"
    assert failed.stdout == ""
    unknown = run("frames_priors", "--unknown", 1)
    assert unknown.returncode == 2
    assert "--unknown" in unknown.stderr
    missing = run("nosuch_stage")
    assert missing.returncode == 1
    assert "nosuch_stage: there is neither" in missing.stderr
    wait_until(lambda: not children(server))


def test_a_job_has_the_environment_of_its_command(server, tmp_path):
    found = defaults().baselines
    given = {"pictures": found.pictures, "coalitions": found.coalitions}
    given |= {"params": found.attributions}
    words = [w for name, v in given.items() for w in (f"--{name}", v.model_dump_json())]
    words += ["--pictured", "classifier", "--weights", "w.pt", "--receipt", "r.json"]
    words += ["--out", tmp_path / "a.h5"]
    failed = run("baselines_attributions", *words, PIPELINE_DEVICE="cuda:99")
    assert failed.returncode == 1
    assert "device: cuda:99 is requested, but" in failed.stderr


@pytest.fixture
def long_job(server, tmp_path):
    """A command whose job has begun and would train for days."""
    params = defaults().baselines.surrogates.model_copy(update={"steps": 10**9})
    words = ["--utility", "synergies_12", "--params", params.model_dump_json()]
    log = tmp_path / "job.log"
    words += ["--threads", "1", "--log", str(log)]
    words += [w for i in range(3) for w in ("--out", f"{tmp_path}/{i}.pt")]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen([*COMMAND, "baselines_surrogates", *words], env=environment)
    wait_until(lambda: log.exists() and log.read_text())
    yield process
    process.kill()
    process.wait()


def test_a_job_ends_with_its_command(server, long_job):
    long_job.send_signal(signal.SIGTERM)
    assert long_job.wait() == -signal.SIGTERM
    wait_until(lambda: not children(server))
    assert server.poll() is None


def test_a_command_ends_as_its_job_is_killed(server, long_job):
    (job,) = children(server)
    os.kill(int(job), signal.SIGKILL)
    assert long_job.wait() == -signal.SIGKILL


def test_without_a_warm_process_a_job_is_not_taken(tmp_path):
    assert hand_over(["frames_priors"], str(tmp_path / "nobody")) is None
    alone = run("frames_priors", "--features", "a.h5", "--out", "p.json", PIPELINE_WARM="")
    assert alone.returncode == 1
    assert "a.h5: there is no such feature file" in alone.stderr


def test_it_ends_with_its_scheduler(tmp_path):
    code = (
        "import os; from pipeline.core import warm; process = warm.start(); "
        "print(process.pid, os.environ[warm.WARM], flush=True); input()"
    )
    scheduler = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    number, socket = scheduler.stdout.readline().split()
    wait_until(lambda: Path(socket).exists())
    scheduler.kill()
    scheduler.wait()
    gone = Path(f"/proc/{number}/status")

    def has_ended():
        return not gone.exists() or "zombie" in gone.read_text()

    wait_until(has_ended)
    assert has_ended()
