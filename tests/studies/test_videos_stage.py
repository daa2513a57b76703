"""The stage that renders the default data set: its layout, and that it is reproducible."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import stages

from pipeline.data import moving_digits
from pipeline.data.decoding import decode
from pipeline.data.something import VIDEOS, read_action_intervals, read_classes, read_split
from pipeline.studies.frames import videos
from pipeline.studies.frames.params import VideosParams


def params(**changes: object) -> VideosParams:
    small = {"train_clips": 6, "validation_clips": 4, "test_clips": 2, "frames": 8, "fps": 12}
    return VideosParams.model_validate(
        small | {"size": 48, "noise": 6.0, "jitter": 1.0, "seed": 0} | changes
    )


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("videos") / "videos"
    stages.run("frames_videos", params=params(), out=out)
    return out


def test_layout_is_exactly_something_somethings(dataset: Path) -> None:
    ids = {"train": [1, 4, 7, 10, 13, 16], "validation": [2, 5, 8, 11], "test": [3, 6]}
    names = ["labels", "train", "validation", "test", "action_intervals", "order_pairs"]
    assert set(digests(dataset)) == {f"labels/{name}.json" for name in names} | {
        f"{VIDEOS}/{clip_id}.webm" for split in ids.values() for clip_id in split
    }
    for split, expected in ids.items():
        clips = read_split(dataset, split)
        assert [clip.id for clip in clips] == [str(clip_id) for clip_id in expected]
        assert all(clip.path.is_file() for clip in clips)
        labels = [None] * 2 if split == "test" else list(range(len(expected)))
        assert [clip.label for clip in clips] == labels
    assert read_classes(dataset) == moving_digits.CLASSES
    assert json.loads((dataset / "labels" / "test.json").read_text()) == [{"id": "3"}, {"id": "6"}]
    row = json.loads((dataset / "labels" / "train.json").read_text())[0]
    assert list(row) == ["id", "label", "template", "placeholders"]
    assert row["template"] == "Pushing [something] from left to right"
    assert row["label"] == f"pushing {row['placeholders'][0]} from left to right"


def test_intervals_are_known_and_inside_the_clips(dataset: Path) -> None:
    intervals = read_action_intervals(dataset)
    assert len(intervals) == 12  # with so few clips, every class has an action
    assert all(1 <= first <= last <= 6 for first, last in intervals.values())


def test_videos_decode_to_what_was_rendered(dataset: Path) -> None:
    digits = moving_digits.split_digits("train")
    rng = moving_digits.clip_rng(0, "train", 1)
    clip = moving_digits.render(1, rng, digits, frames=8, size=48, noise=6.0, jitter=1.0)
    video = decode(dataset / VIDEOS / "4.webm", fps=12, size=None)
    assert video.frames.shape == clip.frames.shape
    assert abs(video.frames.astype(int) - clip.frames).mean() < 12
    assert clip.interval == read_action_intervals(dataset)["4"]


def test_two_workers_write_the_same_bytes_as_one(dataset: Path, tmp_path: Path) -> None:
    stages.run("frames_videos", params=params(), out=tmp_path / "v", threads=2)
    assert digests(tmp_path / "v") == digests(dataset)


def test_more_clips_leave_the_first_ones_as_they_are(dataset: Path, tmp_path: Path) -> None:
    stages.run(
        "frames_videos", params=params(train_clips=9, validation_clips=5), out=tmp_path / "v"
    )
    before, after = digests(dataset / VIDEOS), digests(tmp_path / "v" / VIDEOS)
    assert len(after) == len(before) + 4
    assert before.items() <= after.items()


def test_another_seed_gives_other_clips(dataset: Path, tmp_path: Path) -> None:
    stages.run("frames_videos", params=params(seed=1), out=tmp_path / "v")
    before, after = digests(dataset / VIDEOS), digests(tmp_path / "v" / VIDEOS)
    assert before.keys() == after.keys()
    assert not before.items() & after.items()


def test_replaces_what_was_there_and_sweeps_leftovers(tmp_path: Path) -> None:
    few = params(train_clips=1, validation_clips=1, test_clips=1)
    for name in ("v", ".v.new.partial", ".v.old.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stale").touch()
    stages.run("frames_videos", params=few, out=tmp_path / "v")
    assert [path.name for path in tmp_path.iterdir()] == ["v"]
    assert not (tmp_path / "v" / "stale").exists()
    assert len(digests(tmp_path / "v")) == 3 + 6


def test_a_failure_leaves_the_old_data_set_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "old").touch()
    real, calls = videos.encode, []

    def fill_the_disk(*args: object, **options: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(videos, "encode", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        stages.run("frames_videos", params=params(), out=tmp_path / "v")
    assert [path.name for path in tmp_path.rglob("*")] == ["v", "old"]


def test_the_stage_does_not_import_torch() -> None:
    code = "import sys, pipeline.studies.frames.stages.videos; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
