"""Lines that a run prints."""

import json
import os

import pytest

from pipeline.workflow.one_line import duration, job_line, summary


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


def test_what_came_of_a_run(tmp_path):
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
