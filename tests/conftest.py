import os

# There is one worker per core, and threads of several workers would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import clone
import pytest
import torch


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[1, 3])
def per_shard(request, monkeypatch):
    """How many instances share a shard in every store of an enumerated game that is planned."""

    def fixed(record, n_instances, before=None):
        return 1 if record.lists_masks else request.param

    monkeypatch.setattr("pipeline.store.planning.instances_per_shard", fixed)
    return request.param


@pytest.fixture(scope="session")
def _s3_service():
    import s3  # noqa: PLC0415  slow to load

    with s3.serving() as service:
        yield service


@pytest.fixture
def service(_s3_service, monkeypatch, tmp_path_factory):
    """An S3 service that the environment names, for this process and those that it starts."""
    import s3  # noqa: PLC0415

    s3.use(_s3_service, monkeypatch, tmp_path_factory.mktemp("aws"))
    return _s3_service


@pytest.fixture(scope="session")
def built_once(tmp_path_factory):
    """A copy of the project with a small study, built once; tests must not change it."""
    return clone.once(tmp_path_factory, "small", _build_small)


def _build_small(folder):
    clone.snakemake(clone.new_clone(folder, clone.SMALL))


@pytest.fixture(scope="session")
def toy_once(tmp_path_factory):
    """A copy of the project with the toy study, built once; tests must not change it."""
    return clone.once(tmp_path_factory, "toy", _build_toy)


def _build_toy(folder):
    clone.snakemake(clone.new_toy(folder))
