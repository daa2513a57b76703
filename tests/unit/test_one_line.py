"""Lines that a run prints."""

import json
import logging
import os
import threading

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from pipeline.workflow.one_line import duration, job_line, short_lines, summary


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (65, "1 min 5 s"),
        (3600, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_line_per_job():
    line = job_line("rule frames_scales: scale 3", 4.2, 45, 180, 100.0)
    assert line.startswith("rule frames_scales: scale 3, 4.2 s ")
    assert line.endswith(" █████░░░░░░░░░░░░░░░ 45 of 180, about 5 min left")
    assert job_line("rule a", 1.0, 9, 100, 10.0).endswith("░ 9 of 100")
    assert job_line("rule a", 1.0, 2, 2, 9.0).endswith("2 of 2, done")
    assert job_line("rule a", 1.0, 1, 2, 0.1).endswith("1 of 2, about 1 min left")


class Slow(logging.Handler):
    """Takes a lock of its own while it writes, and its handler's lock to flush, as Snakemake's."""

    def __init__(self):
        super().__init__()
        self.own = threading.Lock()
        self.written = []

    def emit(self, record):
        with self.own:
            threading.Event().wait(0.001)
            self.acquire()
            self.written.append(record.getMessage())
            self.release()


def test_jobs_that_fail_at_the_same_time_wait_for_no_lock():
    handler = Slow()
    handler.addFilter(short_lines(handler))
    told = {"msg": "why", "event": LogEvent.JOB_ERROR, "levelno": logging.ERROR, "rule_name": "a"}

    def fail(first):
        for job in range(first, first + 50):
            handler.handle(logging.makeLogRecord({**told, "jobid": job}))

    threads = [threading.Thread(target=fail, args=(k * 50,), daemon=True) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    handler.createLock()  # threads that wait would keep the old one when Python ends
    assert not any(thread.is_alive() for thread in threads)
    assert len(handler.written) == 2 * 4 * 50


def test_the_summary_of_a_run(tmp_path):
    def file(name, content, made):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (made, made))

    counts = {"evaluations_made": 1200, "evaluations_reused": 34}
    file("frames/receipts/trn.json", json.dumps(counts), 2000)
    file("frames/receipts/tsn.json", json.dumps(counts), 2001)
    file("frames/receipts/old.json", json.dumps(counts), 10)
    file("frames/figures/a.png", "", 2000)
    file("frames/figures/clips/b.png", "", 2000)
    file("frames/claims.csv", "", 2000)
    file("coalitions/frames/trn.zarr", "", 2000)
    file("toy/figures/a.png", "", 10)
    told = summary(tmp_path, 1000.0).splitlines()
    assert told[0].startswith("Finished in ")
    assert told[1] == f"Made below {tmp_path}/: figures 2, tables 1, stores of coalitions 1."
    assert told[2] == "Coalitions: 2,400 evaluated, 68 reused from stores."
    assert told[3] == f"Look first at {tmp_path}/frames/figures/ and the claims.csv beside them."
    assert len(summary(tmp_path, 3000.0).splitlines()) == 1
