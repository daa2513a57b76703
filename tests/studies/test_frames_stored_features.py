"""Features that stay in their file give the same results, bit by bit, as those in memory."""

import numpy as np
import pytest
import torch

from pipeline.core.files import array_digest
from pipeline.models import checkpoints
from pipeline.studies.frames.accuracy import learning
from pipeline.studies.frames.feature_files import feature_writer, read_features
from pipeline.studies.frames.feature_rows import StoredRows
from pipeline.studies.frames.params import ScalesParams, TsnParams
from pipeline.studies.frames.players import sample_players
from pipeline.studies.frames.scales import train_jointly, train_scale
from pipeline.studies.frames.tsn import train_averaging

CLASSES, DIM, VIDEOS = 3, 5, 90


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    with feature_writer(tmp_path / "f.h5", backbone_sha256="ab") as append:
        for i in range(VIDEOS):
            rows = rng.normal(size=(int(rng.integers(3, 9)), DIM)).astype(np.float32)
            append(f"v{i}", i % CLASSES, rows, np.arange(len(rows)))
    return tmp_path / "f.h5"


@pytest.fixture
def both(path, monkeypatch):
    """The same features in memory and in the file."""
    loaded = read_features(path)
    monkeypatch.setattr("pipeline.studies.frames.feature_files.IN_MEMORY_BYTES", 0)
    stored = read_features(path)
    assert isinstance(loaded.rows, np.ndarray) and isinstance(stored.rows, StoredRows)
    return loaded, stored


def test_the_same_rows_are_gathered(both):
    loaded, stored = both
    assert stored.uids == loaded.uids and stored.backbone_sha256 == "ab"
    assert stored.feature_dim == DIM and len(stored.rows) == len(loaded.rows)
    np.testing.assert_array_equal(stored.starts, loaded.starts)
    np.testing.assert_array_equal(stored.frame_indices, loaded.frame_indices)
    rng = np.random.default_rng(1)
    for videos in (np.arange(VIDEOS), np.array([7, 3, 7, 80]), np.array([4]), np.arange(0)):
        frames = rng.integers(0, 3, (len(videos), 6))
        expected = loaded.gather(videos, frames)
        found = stored.gather(videos, frames)
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(stored.of_videos(3, 70), loaded.of_videos(3, 70))
    np.testing.assert_array_equal(stored.mean(), loaded.mean())
    np.testing.assert_allclose(loaded.mean(), loaded.rows.mean(axis=0, dtype=np.float64))


def test_sequences_are_read_when_they_are_indexed(both, monkeypatch):
    monkeypatch.setattr("pipeline.studies.frames.players.BLOCK", 7)
    loaded, stored = both
    videos = np.arange(VIDEOS)[::2]
    expected, found = (sample_players(f, videos, 4) for f in both)
    assert found.inputs.shape == (45, 4, DIM)
    whole = loaded.gather(videos, expected.frames)
    for some in (slice(None), slice(3, 9), [5, 1], np.array([2, 2])):
        np.testing.assert_array_equal(found.inputs[some], whole[some])
    for i in (0, 6, 7, 44, -1, 13):
        assert array_digest([found.inputs[i]]) == array_digest([whole[i]])
    with pytest.raises(IndexError):
        found.inputs[45]
    reads = []
    gather = stored.rows.gather
    monkeypatch.setattr(stored.rows, "gather", lambda *a: reads.append(len(a[0])) or gather(*a))
    for i in range(45):
        found.inputs[i]
    assert reads == [7] * 6 + [3]


def digests(network):
    return checkpoints.state_digest(network.cpu())


def test_training_takes_the_same_steps(both):
    usual = {"frames": 3, "dropout": 0.1, "learning_rate": 1e-3, "batch": 32, "draws": 2}
    usual |= {"epochs": 2, "least_steps": 0, "seed": 0}
    scales = ScalesParams.model_validate({**usual, "hidden": 4, "n_max": 2})
    tsn = TsnParams.model_validate(usual)
    for train in (
        lambda f: train_scale(f, CLASSES, 2, scales, device="cpu"),
        lambda f: train_jointly(f, CLASSES, scales, device="cpu"),
        lambda f: train_averaging(f, CLASSES, tsn, device="cpu"),
    ):
        loaded, stored = (digests(train(features)) for features in both)
        assert loaded == stored


def test_what_is_learned_is_measured_alike(both):
    params = TsnParams.model_validate(
        {
            **{"frames": 3, "dropout": 0.1, "learning_rate": 1e-3, "batch": 32, "draws": 1},
            **{"epochs": 1, "least_steps": 0, "seed": 0},
        }
    )
    model = train_averaging(both[0], CLASSES, params, device="cpu")
    cpu = torch.device("cpu")
    first, second = (learning(model, f, f, 3, "probability", cpu) for f in both)
    assert first == second
