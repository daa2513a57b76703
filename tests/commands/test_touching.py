import os
from types import SimpleNamespace

from pipeline.workflow.touching import looks_old


def test_a_file_is_old_if_what_its_own_job_read_is_newer(tmp_path, monkeypatch):
    """Another job of the same stage may have ended before its inputs were made."""
    monkeypatch.chdir(tmp_path)
    made = {"features": 1, "tsn": 2, "trn": 4, "scales": 3}
    for name, time in made.items():
        (tmp_path / name).write_text("")
        os.utime(name, (time, time))
    inputs = {"tsn": ["features", "removed"], "trn": ["features", "scales"]}
    metadata = {name: {"input": read} for name, read in inputs.items()}
    workflow = SimpleNamespace(persistence=SimpleNamespace(metadata=metadata.get))
    assert not looks_old(workflow, ["tsn", "trn", "not there"])
    os.utime("scales", (5, 5))
    assert looks_old(workflow, ["tsn", "trn"])
    assert not looks_old(workflow, ["tsn"])
    del metadata["trn"]
    assert not looks_old(workflow, ["trn"])
