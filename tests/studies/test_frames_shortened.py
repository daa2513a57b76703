"""Clips with fewer decodable frames than announced are listed, and used or skipped."""

import csv

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.data.something import Clip
from pipeline.studies.frames.clips import clip_reader
from pipeline.studies.frames.feature_files import feature_writer, read_features
from pipeline.studies.frames.features import extract
from pipeline.studies.frames.params import DecodingParams
from pipeline.studies.frames.stages import skipped
from pipeline.studies.frames.videos import encode

FRAMES, SIZE = 24, 48


class Brightness(nn.Module):
    """A backbone of one feature."""

    def forward(self, pictures):
        return pictures.mean(dim=(1, 2, 3))[:, None]


@pytest.fixture
def clips(tmp_path):
    """A whole clip, one that was cut, and a file that is no clip."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    found = []
    for name, part in (("whole", 1.0), ("cut", 0.6), ("none", 0.01)):
        path = tmp_path / f"{name}.webm"
        encode(frames, path, fps=12)
        data = path.read_bytes()
        path.write_bytes(data[: round(part * len(data))])
        found.append(Clip(name, path, 0, "", ""))
    return found


@pytest.mark.parametrize("shortened", ["keep", "skip"])
def test_a_cut_clip_is_listed_with_both_numbers(clips, shortened, tmp_path):
    decoding = DecodingParams(fps=12, size=16, shortened=shortened)
    with feature_writer(tmp_path / "f.h5") as append:
        troubles = extract(
            clips, {"m": Brightness()}, {"m": append}, decoding, torch.device("cpu"), 1, "train"
        )
    cut, none = troubles
    assert (cut.clip.id, cut.is_used) == ("cut", shortened == "keep")
    decoded = int(cut.reason.split(" of the ")[0].split()[-1])
    assert f"{decoded} of the {FRAMES} frames that it announces can be decoded" in cut.reason
    assert 8 < decoded < FRAMES
    assert (none.clip.id, none.is_used) == ("none", False)
    features = read_features(tmp_path / "f.h5")
    expected = {"whole": FRAMES} | ({"cut": decoded} if shortened == "keep" else {})
    assert dict(zip(features.uids, features.lengths.tolist(), strict=True)) == expected
    read = clip_reader(clips, decoding, workers=1)
    assert {n: len(frames) for n, frames in read(np.arange(3)).items()} == dict(
        enumerate(expected.values())
    )


def test_clips_that_are_used_do_not_count_as_skipped(clips, tmp_path):
    with feature_writer(tmp_path / "f.h5") as append:
        for clip in clips[:2]:
            append(clip.id, 0, np.zeros((3, 1), np.float32), np.arange(3))
    table = tmp_path / "t.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["split", "id", "used", "reason"], ["train", "cut", "yes", "cut short"]]
        )
    out = tmp_path / "out.csv"
    skipped.main(tables=[table], features=[tmp_path / "f.h5"], max_skipped=0.0, out=out)
    assert out.read_text() == table.read_text()
