"""The rendered data set: its classes show what their names say."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data import moving_digits as md
from pipeline.data.decoding import decode
from pipeline.studies.frames.sampling import spread
from pipeline.studies.frames.videos import encode
from pipeline.workflow.params import load


@pytest.fixture(scope="module")
def digits() -> md.Digits:
    return md.split_digits("train")


def states_of(class_index: int, seed: int, frames: int = 36) -> np.ndarray:
    rng = np.random.default_rng(seed)
    interval = md.draw_interval(rng, frames)
    return md.motion(class_index, rng, md.progress_of(interval, frames))


def test_there_are_seventeen_classes_in_pairs_and_without() -> None:
    assert len(set(md.CLASSES)) == len(md.CLASSES) == 2 * len(md.PAIRS) + len(md.ORDER_FREE) == 17


@pytest.mark.parametrize("pair", range(len(md.PAIRS)))
def test_second_of_a_pair_is_the_first_one_reversed(pair: int) -> None:
    for seed in range(20):
        rng_a, rng_b = np.random.default_rng(seed), np.random.default_rng(seed)
        first, last = md.draw_interval(rng_a, 36)
        md.draw_interval(rng_b, 36)
        a = md.motion(2 * pair, rng_a, md.progress_of((first, last), 36))
        b = md.motion(2 * pair + 1, rng_b, md.progress_of((35 - last, 35 - first), 36))
        np.testing.assert_allclose(b, a[:, ::-1], atol=1e-9)
        assert np.abs(b - a).max() > 0.5, "the two directions must differ"


def test_interval_is_as_likely_as_its_mirror_image() -> None:
    rng = np.random.default_rng(0)
    drawn = [md.draw_interval(rng, 36) for _ in range(20_000)]
    first, last = np.array(drawn).T
    lengths = last - first + 1
    assert first.min() >= 1
    assert last.max() <= 34
    assert lengths.min() == 11
    assert lengths.max() == 21
    for length in (11, 16, 21):
        starts = first[lengths == length]
        assert abs(starts.mean() - (36 - length) / 2) < 0.5  # the middle of 1 .. 35 - length
        assert (starts.min(), starts.max()) == (1, 35 - length)


@pytest.mark.parametrize("frames", [3, 4, 5, 16, 100])
def test_interval_lies_inside_the_clip(frames: int) -> None:
    rng = np.random.default_rng(frames)
    for _ in range(200):
        first, last = md.draw_interval(rng, frames)
        assert 1 <= first <= last <= frames - 2


@pytest.mark.parametrize("class_index", range(len(md.CLASSES)))
def test_things_move_during_the_interval_only_and_stay_in_the_picture(class_index: int) -> None:
    for seed in range(30):
        first, last = md.draw_interval(np.random.default_rng(seed), 36)
        states = states_of(class_index, seed)
        moves = np.abs(np.diff(states, axis=1)).max(axis=(0, 2))  # from frame t to t + 1
        assert not moves[: first - 1].any()
        assert not moves[last + 1 :].any()
        assert bool(moves[first - 1 : last + 1].any()) == (
            md.CLASSES[class_index] != md.CLASSES[-1]
        )
        y, x, height = states[..., 0], states[..., 1], states[..., 2]
        assert (np.minimum(y, 96 - y) >= height / 2 - 0.5).all()
        assert (np.minimum(x, 96 - x) >= states[..., 3] / 2 * 0.85).all()  # digits are narrow


def test_directions_are_what_the_names_say() -> None:
    def change(name: str, column: int) -> float:
        states = states_of(md.CLASSES.index(name), 0)
        return float(states[-1, -1, column] - states[-1, 0, column])

    assert change("Pushing something from left to right", 1) > 40
    assert change("Moving something up", 0) < -40
    assert change("Moving something closer to the camera", 2) > 20
    assert change("Making something appear", 5) == 1
    assert change("Turning something clockwise", 4) > 1.7
    apart = states_of(md.CLASSES.index(md.PAIRS[5][1]), 0)
    distance = np.hypot(*(apart[0] - apart[1]).T[:2])
    assert distance[-1] > distance[0] + 20
    digit, card = states_of(md.CLASSES.index("Covering something with something"), 0)
    assert np.abs(digit[-1, :2] - card[-1, :2]).max() < 1e-9
    assert np.abs(digit[0, :2] - card[0, :2]).max() > (digit[0, 2] + card[0, 2]) / 2


def test_clockwise_is_clockwise_on_the_screen(digits: md.Digits) -> None:
    # A bar with a heavy upper end; turned clockwise, that end goes to the right.
    image = np.zeros((1, 8, 8), np.float32)
    image[0, :4, 2:6] = 1
    bar = md.Digits(image, np.array([1]))
    clip = md.render(8, np.random.default_rng(0), bar, noise=0, jitter=0)
    bright = clip.frames.min(axis=3) > 125
    start, end = (np.nonzero(bright[t])[1].mean() for t in (0, -1))
    assert md.CLASSES[8] == "Turning something clockwise"
    assert end > start + 5


def test_scene_rests_outside_the_interval(digits: md.Digits) -> None:
    for class_index in range(len(md.CLASSES)):
        rng = md.clip_rng(0, "train", class_index)
        clip = md.render(class_index, rng, digits, noise=0, jitter=0)
        changed = (clip.frames[1:] != clip.frames[:-1]).any(axis=(1, 2, 3))
        if clip.interval is None:
            assert not changed.any()
            continue
        first, last = clip.interval
        assert not changed[: first - 1].any()
        assert changed[first : last - 1].any()
        assert not changed[last + 1 :].any()


def test_clips_depend_on_seed_split_and_index_only(digits: md.Digits) -> None:
    def clip(seed: int, split: str, index: int) -> np.ndarray:
        return md.render(0, md.clip_rng(seed, split, index), digits, frames=4, size=24).frames

    base = clip(1, "train", 5)
    np.testing.assert_array_equal(base, clip(1, "train", 5))
    for other in (clip(2, "train", 5), clip(1, "validation", 5), clip(1, "train", 6)):
        assert (base != other).any()


def test_noise_and_jitter_are_what_was_asked_for(digits: md.Digits) -> None:
    clip = md.render(16, np.random.default_rng(3), digits, noise=8, jitter=0)
    flicker = (clip.frames[1:].astype(float) - clip.frames[:-1])[:, :20].std() / np.sqrt(2)
    assert flicker == pytest.approx(8, rel=0.1)
    assert not md._wobble(np.random.default_rng(0), 36, 0.0).any()
    wobble = md._wobble(np.random.default_rng(0), 20_000, 1.5)
    assert wobble.std() == pytest.approx(1.5, rel=0.05)


def test_splits_share_no_digit() -> None:
    splits = [md.split_digits(split) for split in md.SPLITS]
    assert sum(len(split.images) for split in splits) == 1797
    seen = [{image.tobytes() for image in split.images} for split in splits]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not seen[one] & seen[other]
    assert set(splits[2].numbers) == set(range(10))
    with pytest.raises(ValueError, match="'val' does not exist"):
        md.split_digits("val")


def test_captions_and_templates() -> None:
    cover = md.CLASSES.index("Covering something with something")
    assert md.template(cover) == "Covering [something] with [something]"
    assert md.caption(cover, ("a handwritten 7", "a red card")) == (
        "covering a handwritten 7 with a red card"
    )


def test_placeholders_fill_the_name(digits: md.Digits) -> None:
    for class_index, name in enumerate(md.CLASSES):
        clip = md.render(class_index, np.random.default_rng(0), digits, frames=3, size=16)
        assert len(clip.placeholders) == name.count("something")
        assert "something" not in md.caption(class_index, clip.placeholders)


@pytest.mark.parametrize("size", [32, 96, 97])
def test_other_sizes(digits: md.Digits, size: int) -> None:
    clip = md.render(0, np.random.default_rng(0), digits, frames=5, size=size)
    assert clip.frames.shape == (5, size, size, 3)
    assert clip.frames.dtype == np.uint8


def test_things_may_be_shaken_out_of_the_picture(digits: md.Digits) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        clip = md.render(0, rng, digits, frames=8, size=48, jitter=60.0)
        assert clip.frames.shape == (8, 48, 48, 3)


def test_refuses_nonsense(digits: md.Digits) -> None:
    with pytest.raises(ValueError, match="class 17 does not exist"):
        md.render(17, np.random.default_rng(0), digits)
    with pytest.raises(ValueError, match="at least 3 frames, found 2"):
        md.render(0, np.random.default_rng(0), digits, frames=2)


def test_the_frames_that_are_looked_at_lie_alike_from_either_end(tmp_path):
    """Otherwise a clip and its reversal would differ in more than the order of frames."""
    defaults = load(Path("params.yaml")).frames
    count = defaults.videos.frames
    path = tmp_path / "clip.webm"
    encode(np.zeros((count, 48, 48, 3), np.uint8), path, fps=defaults.videos.fps)
    seen = decode(path, fps=defaults.decoding.fps, size=8).indices
    assert seen.tolist() == sorted(count - 1 - seen)
    for n in range(1, defaults.accuracy.max_frames + 1):
        chosen = seen[spread(np.array([len(seen)]), n)[0]]
        assert chosen.tolist() == sorted(count - 1 - chosen)
