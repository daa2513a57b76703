import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import InputError
from pipeline.studies.frames import sampling


def test_middles_of_equal_segments():
    assert sampling.spread(np.array([24]), 8)[0].tolist() == [1, 4, 7, 10, 13, 16, 19, 22]
    assert sampling.spread(np.array([5, 3]), 1).tolist() == [[2], [1]]
    assert sampling.spread(np.array([3]), 8)[0].tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


@given(st.integers(1, 60), st.integers(1, 20))
def test_frames_exist_and_are_in_order(length, count):
    frames = sampling.spread(np.array([length]), count)[0]
    assert ((frames >= 0) & (frames < length)).all()
    assert (np.diff(frames) >= (length >= count)).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 8), st.data())
def test_subsequences_are_ordered_parts_of_segments(lengths, segments, data):
    size = data.draw(st.integers(1, segments))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    frames = sampling.subsequences(np.array(lengths), segments, size, rng)
    assert frames.shape == (len(lengths), size)
    assert (np.diff(frames, axis=1) >= 0).all()
    assert ((frames >= 0) & (frames < np.array(lengths)[:, None])).all()


def test_every_subsequence_is_as_likely():
    rng = np.random.default_rng(0)
    frames = sampling.subsequences(np.full(6000, 4), 4, 2, rng)
    _, counts = np.unique(frames, axis=0, return_counts=True)
    assert len(counts) == 6
    # The expected count is 1000 each, with a standard deviation of 29.
    assert abs(counts - 1000).max() < 150


def test_a_video_without_frames_is_refused():
    with pytest.raises(InputError, match="video 1 has no frames"):
        sampling.spread(np.array([3, 0]), 2)


def test_subsequences_do_not_depend_on_blocks(monkeypatch):
    lengths = np.random.default_rng(0).integers(1, 40, 50)
    whole = sampling.subsequences(lengths, 8, 3, np.random.default_rng(1))
    monkeypatch.setattr(sampling, "_AT_ONCE", 7)
    np.testing.assert_array_equal(
        sampling.subsequences(lengths, 8, 3, np.random.default_rng(1)), whole
    )
