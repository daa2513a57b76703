import io
import logging
import os
import re
import sys
from types import ModuleType

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.core import stage
from pipeline.core.errors import InputError
from pipeline.core.files import replacing, replacing_directory, write_json
from pipeline.core.progress import progress, rate_text
from pipeline.studies.frames.params import TsnParams

SPEC = TsnParams(
    frames=1, dropout=0.0, learning_rate=0.1, batch=1, draws=1, epochs=1, least_steps=0, seed=0
).model_dump_json()


@pytest.fixture
def run(monkeypatch):
    """Runs a function as the main of a stage; gives the exit status."""

    def run(main, *arguments):
        module = ModuleType("some_stage")
        module.main = main
        monkeypatch.setitem(sys.modules, "some_stage", module)
        monkeypatch.setattr(stage, "module_of", lambda rule: "some_stage")
        return stage.run("some_stage", arguments)

    return run


@pytest.fixture(autouse=True)
def _keep_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_arguments_come_by_name_and_type(run, monkeypatch):
    seen = {}

    def main(*, params: TsnParams, paths: list[stage.Path], scale: int, label: str | None = None,
             others: list[stage.Path], given: dict[str, int], text: str, device: str = "auto",
             threads: int = 1) -> None:  # fmt: skip
        seen.update(locals())

    arguments = ["--params", SPEC, "--paths", "a", "--paths", "b", "--scale", "3", "--threads", "2"]
    arguments += ["--given", '{"x": 1}', "--text", "[not JSON"]
    monkeypatch.setenv(stage.DEVICE, "cpu")
    assert run(main, *arguments) == 0
    assert seen["params"].learning_rate == 0.1
    assert [str(p) for p in seen["paths"]] == ["a", "b"]
    assert seen["others"] == []
    assert (seen["given"], seen["text"]) == ({"x": 1}, "[not JSON")
    assert (seen["scale"], seen["label"], seen["threads"], seen["device"]) == (3, None, 2, "cpu")
    assert run(main, *arguments, "--other", "1") == 2
    assert run(main, *arguments[2:]) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_products_take_only_the_cores_of_the_job(run, monkeypatch, threads):
    used = []

    def main() -> None:
        np.ones((2, 2)) @ np.ones((2, 2))
        used.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with threadpool_limits(None):  # puts back what the run changes
        assert run(main, "--threads", str(threads)) == 0
        assert set(used) == {threads}
        assert os.environ["OPENBLAS_NUM_THREADS"] == str(threads)


def test_a_rule_runs_the_module_of_its_name():
    assert stage.module_of("frames_values") == "pipeline.studies.frames.stages.values"
    assert stage.module_of("baselines_merge") == "pipeline.store.stages.merge"
    with pytest.raises(InputError, match=r"neither pipeline/studies/frames/stages/nothing\.py nor"):
        stage.module_of("frames_nothing")
    with pytest.raises(InputError, match=r"neither pipeline/studies/unknown/stages/x\.py nor"):
        stage.module_of("unknown_x")


def test_bad_parameters_and_bad_input_are_reported_without_a_traceback(run, tmp_path, capsys):
    def main(*, params: TsnParams) -> None:
        raise InputError("that file: is bad")

    log = tmp_path / "logs" / "x.log"
    assert run(main, "--params", SPEC, "--log", str(log)) == 1
    assert "that file: is bad" in log.read_text()
    said = capsys.readouterr().err
    assert "that file: is bad" in said
    assert "Traceback" not in said
    wrong = SPEC.replace("epochs", "epoch")
    assert run(main, "--params", wrong) == 1
    assert "unknown parameter epoch; did you mean epochs?" in capsys.readouterr().err


def test_an_unexpected_error_has_its_traceback_in_the_log(run, tmp_path):
    def main() -> None:
        raise RuntimeError("surprise")

    log = tmp_path / "x.log"
    log.write_text("of an earlier run")
    assert run(main, "--log", str(log)) == 1
    assert "Traceback" in log.read_text()
    assert "surprise" in log.read_text()
    assert "of an earlier run" not in log.read_text()


def test_progress_tells_rate_and_time_left(caplog, monkeypatch):
    monkeypatch.setattr("pipeline.core.progress.LOG_EVERY_SECONDS", 0.0)
    with caplog.at_level(logging.INFO), progress("work", 4, "clips") as advance:
        advance(2, note="loss 1.0")
    lines = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"work: 2/4 clips, .+ clips/s, \d+:\d\d left \(loss 1.0\)", lines[0])
    assert re.fullmatch(r"work: 2 clips in 0:00, .+ clips/s", lines[-1])


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (0, "0 clips/s"),
        (25_000, "25k clips/s"),
        (0.5, "0.5 clips/s"),
        (0.05, "3 clips/min"),
        (0.001, "3.6 clips/h"),
    ],
)
def test_slow_work_is_told_by_the_minute_or_the_hour(per_second, text):
    assert rate_text(per_second, "clips") == text


def test_files_appear_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"x": float("nan")})

    def fail_within(context):
        with context as temporary:
            (temporary / "f" if temporary.is_dir() else temporary).write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail_within(replacing(target))
    assert '"x": 1' in target.read_text()
    folder = tmp_path / "folder"
    with replacing_directory(folder) as temporary:
        (temporary / "f").write_text("whole")
    with pytest.raises(RuntimeError):
        fail_within(replacing_directory(folder))
    assert (folder / "f").read_text() == "whole"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "folder"]


def test_what_a_killed_process_left_is_swept(tmp_path):
    target = tmp_path / "a.json"
    with replacing(target) as left:
        left.write_text("{}")
    left.write_text("half of a killed process")
    write_json(target, {"x": 1})
    folder = tmp_path / "folder"
    for name in (".folder.new.partial", ".folder.old.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stale").touch()
    with replacing_directory(folder) as temporary:
        assert not list(temporary.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "folder"]


def test_a_link_to_a_directory_is_replaced_itself(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    for leads_to in (elsewhere, tmp_path / "gone"):
        if folder.exists():
            (folder / "f").unlink()
            folder.rmdir()
        folder.symlink_to(leads_to)
        with replacing_directory(folder) as temporary:
            (temporary / "f").touch()
        assert not folder.is_symlink()
        assert [p.name for p in folder.iterdir()] == ["f"]
    assert [p.name for p in elsewhere.iterdir()] == ["kept"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "folder"]


def test_the_bar_is_drawn_where_there_are_no_locks(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def fileno(self):
            return 2

    def no_locks(lock):
        raise NotImplementedError

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("os.ttyname", lambda descriptor: "/dev/pts/none")
    monkeypatch.setattr("pipeline.core.progress.FileLock.acquire", no_locks)
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress("drawn work", 4, "clips") as advance:
        advance(2)
    assert "drawn work" in sys.stderr.getvalue()
