"""Decodes videos to arrays: which frames are sampled, and which files are refused."""

import pickle
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.data import decoding
from pipeline.data.decoding import DecodedVideo, VideoError, decode, decode_frames, decode_many

STEP = 8  # grey levels by which each frame is brighter than the one before


def write_video(
    path: Path,
    *,
    frames: int = 24,
    fps: int = 12,
    codec: str = "libvpx-vp9",
    container: str = "webm",
    pts: list[int] | None = None,
) -> Path:
    """Frame i is 64 pixels wide, 48 high and of the grey level 40 + i * STEP."""
    options = {"libvpx-vp9": {"lossless": "1", "cpu-used": "8"}}.get(codec, {})
    with av.open(path, "w", format=container) as out:
        stream = cast(VideoStream, out.add_stream(codec, rate=fps, options=options))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 0 if options else 4_000_000
        stream.codec_context.time_base = Fraction(1, fps)
        for index in range(frames):
            grey = np.full((48, 64, 3), 40 + index * STEP, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = index if pts is None else pts[index]
            frame.time_base = Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(path, "w", format="wav") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), format="s16")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def greys(video: DecodedVideo) -> np.ndarray:
    return np.rint((video.frames.mean(axis=(1, 2, 3)) - 40) / STEP).astype(int)


@pytest.fixture(scope="module")
def webm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.webm")


def test_all_frames_at_the_encoded_rate(webm: Path) -> None:
    video = decode(webm, fps=12, size=None)
    assert video.frames.shape == (24, 48, 64, 3)
    assert video.frames.dtype == np.uint8
    np.testing.assert_array_equal(video.indices, np.arange(24))
    np.testing.assert_array_equal(greys(video), video.indices)
    np.testing.assert_allclose(video.seconds, np.arange(24) / 12, atol=1e-3)


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        # Two frames of twelve are equally near to each odd eighth of a second: the earlier counts.
        (8, [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 21, 22]),
        (6, list(range(0, 24, 2))),
        (5, [0, 2, 5, 7, 10, 12, 14, 17, 19, 22]),
        (24, [k // 2 for k in range(47)]),
        (0.1, [0]),
    ],
)
def test_samples_the_nearest_frames(webm: Path, fps: float, expected: list[int]) -> None:
    video = decode(webm, fps=fps, size=16)
    np.testing.assert_array_equal(video.indices, expected)
    np.testing.assert_array_equal(greys(video), expected)
    assert video.frames.shape == (len(expected), 16, 16, 3)


def test_timestamps_decide_rather_than_frame_numbers(tmp_path: Path) -> None:
    pts = [5, 6, 7, 8, 20, 21]  # starts late, and pauses for a second
    video = decode(write_video(tmp_path / "v.webm", frames=6, pts=pts), fps=12, size=8)
    expected = [0, 1, 2] + [3] * 7 + [4] * 6 + [5]
    np.testing.assert_array_equal(video.indices, expected)
    np.testing.assert_array_equal(greys(video), expected)


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx264", "mp4"), ("mpeg4", "avi"), ("ffv1", "matroska"), ("libvpx", "webm")],
)
def test_other_codecs_under_the_name_webm(tmp_path: Path, codec: str, container: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"libav was built without {codec}")
    path = tmp_path / "v.webm"
    video = decode(write_video(path, codec=codec, container=container, fps=10), fps=5, size=None)
    np.testing.assert_array_equal(video.indices, np.arange(0, 24, 2))
    np.testing.assert_array_equal(greys(video), video.indices)


def test_resizes_bilinearly_to_a_square(tmp_path: Path) -> None:
    path = tmp_path / "v.webm"
    with av.open(path, "w", format="webm") as out:
        stream = out.add_stream("libvpx-vp9", rate=1, options={"lossless": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        ramp = np.broadcast_to(np.arange(64)[:, None] * 3 + 20, (32, 64, 3)).astype(np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format="rgb24")))
        out.mux(stream.encode(None))
    row = decode(path, fps=1, size=16).frames[0, 8, :, 0].astype(int)
    np.testing.assert_allclose(row, 20 + 3 * (np.arange(16) * 4 + 1.5), atol=4)


def write_pictures(
    path: Path, pictures: np.ndarray, *, matrix: list[int] | None = None, aspect: int = 1
) -> Path:
    """Pictures (frame, height, width, 3), unchanged, with a matrix for their display."""
    with av.open(path, "w", format="mov") as out:
        stream = cast(VideoStream, out.add_stream("png", rate=6))
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect, 1)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


ONE, UNIT = 1 << 16, 1 << 30
TURNS = {
    "a quarter to the left": ([0, -ONE, 0, ONE, 0, 0, 0, 0, UNIT], np.rot90),
    "half": ([-ONE, 0, 0, 0, -ONE, 0, 0, 0, UNIT], lambda p: np.rot90(p, 2)),
    "a quarter to the right": ([0, ONE, 0, -ONE, 0, 0, 0, 0, UNIT], lambda p: np.rot90(p, 3)),
    "mirrored": ([-ONE, 0, 0, 0, ONE, 0, 0, 0, UNIT], np.fliplr),
    "upside down": ([ONE, 0, 0, 0, -ONE, 0, 0, 0, UNIT], np.flipud),
    "mirrored and turned": ([0, ONE, 0, ONE, 0, 0, 0, 0, UNIT], lambda p: p.swapaxes(0, 1)),
}


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """(frame, height, width, 3), smooth, and different from all its rotations."""
    y, x = np.mgrid[:48, :64]
    channels = [4 * x % 256, 5 * y, 2 * x + 2 * y]
    return (
        np.stack([np.stack(channels, axis=-1) + t for t in range(0, 30, 10)])
        .clip(0, 255)
        .astype(np.uint8)
    )


@pytest.mark.parametrize("turn", TURNS)
def test_frames_are_turned_as_players_turn_them(
    pictures: np.ndarray, turn: str, tmp_path: Path
) -> None:
    matrix, turned = TURNS[turn]
    expected = np.stack([turned(each) for each in pictures])
    path = write_pictures(tmp_path / "matrix.mov", pictures, matrix=matrix)
    pixels = write_pictures(tmp_path / "pixels.mov", expected)
    np.testing.assert_array_equal(decode(path, fps=6, size=None).frames, expected)
    np.testing.assert_array_equal(decode_frames(path, [1])[1], expected[1])
    found, other = (decode(each, fps=6, size=16).frames.astype(int) for each in (path, pixels))
    assert found.shape == (3, 16, 16, 3)
    assert np.abs(found - other).max() <= 2


def test_pictures_are_shrunk_to_what_is_drawn(pictures: np.ndarray, tmp_path: Path) -> None:
    matrix = TURNS["a quarter to the left"][0]
    path = write_pictures(tmp_path / "a.mov", pictures, matrix=matrix, aspect=2)
    assert decode_frames(path, [0], most=32)[0].shape == (32, 12, 3)
    assert decode_frames(path, [0], most=500)[0].shape == (128, 48, 3)


def test_libavs_own_rotation_means_the_same(pictures: np.ndarray, tmp_path: Path) -> None:
    for degrees, matrix in ((90, TURNS["a quarter to the left"][0]), (180, TURNS["half"][0])):
        path = write_pictures(tmp_path / f"{degrees}.mov", pictures, matrix=matrix)
        with av.open(path) as container:
            assert next(container.decode(video=0)).rotation % 360 == degrees


def test_refuses_angles_other_than_quarter_turns(pictures: np.ndarray, tmp_path: Path) -> None:
    matrix = [46341, -46341, 0, 46341, 46341, 0, 0, 0, UNIT]
    path = write_pictures(tmp_path / "a.mov", pictures, matrix=matrix)
    with pytest.raises(VideoError, match="turned by 45°; only quarter turns"):
        decode(path, fps=6, size=None)


def test_pixels_that_are_not_square_are_made_so(pictures: np.ndarray, tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "wide.mov", pictures, aspect=2)
    frames = decode(path, fps=6, size=None).frames
    assert frames.shape == (3, 48, 128, 3)
    assert np.abs(frames[:, :, 1::2].astype(int) - pictures).max() <= 4
    matrix = TURNS["a quarter to the left"][0]
    turned = write_pictures(tmp_path / "tall.mov", pictures, aspect=2, matrix=matrix)
    np.testing.assert_array_equal(decode(turned, fps=6, size=None).frames[0], np.rot90(frames[0]))


def test_a_cut_file_is_a_shorter_video_or_an_error(webm: Path, tmp_path: Path) -> None:
    data = webm.read_bytes()
    counts = []
    for number, end in enumerate(range(1, len(data), 97)):
        path = tmp_path / f"{number}.webm"
        path.write_bytes(data[:end])
        try:
            video = decode(path, fps=12, size=8)
            counts.append(len(video.frames))
            assert (video.decoded, video.announced) == (counts[-1], 24)
        except VideoError as error:
            assert error.path == path
            counts.append(0)
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert 0 < counts[len(counts) // 2] < 24


FORMATS = [("libvpx-vp9", "webm"), ("libx264", "mp4"), ("mpeg4", "avi"), ("ffv1", "matroska")]


@pytest.mark.parametrize(("codec", "container"), FORMATS)
@pytest.mark.parametrize("frames", [1, 2, 24])
@pytest.mark.parametrize("fps", [12, 25])
def test_a_whole_file_announces_what_is_in_it(
    tmp_path: Path, codec: str, container: str, frames: int, fps: int
) -> None:
    path = write_video(tmp_path / "v", frames=frames, fps=fps, codec=codec, container=container)
    video = decode(path, fps=fps, size=8)
    assert (video.decoded, video.announced) == (frames, frames)


def test_frames_at_irregular_times_do_not_count_as_missing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.webm", frames=6, pts=[0, 1, 5, 6, 20, 40])
    video = decode(path, fps=12, size=8)
    assert (video.decoded, video.announced) == (6, 6)


def test_frames_lost_inside_a_file_count_as_missing(webm: Path, tmp_path: Path) -> None:
    """Bytes are cut out, inserted or overwritten between frames; libav reports nothing."""
    data = webm.read_bytes()
    rng = np.random.default_rng(0)
    lost = 0
    for number in range(60):
        place = int(rng.integers(len(data) // 3, len(data)))
        rest = data[place + int(rng.integers(0, 300)) :]
        path = tmp_path / f"{number}.webm"
        path.write_bytes(data[:place] + rng.bytes(int(rng.integers(0, 300))) + rest)
        try:
            video = decode(path, fps=12, size=8)
        except VideoError:
            continue
        assert video.announced >= 24
        lost += video.decoded < 24
        assert video.decoded <= video.announced
    assert lost > 10


def test_damage_in_the_middle_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.webm", codec="libx264", container="mp4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # an mp4 has its index at the end
    with pytest.raises(VideoError, match="not a video, or damaged"):
        decode(path, fps=12, size=8)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty .0 bytes."),
        (b"This is no video.\n" * 50, "not a video"),
        (b"\x1b[31mcolours\x1b[0m\n" * 50, "not a video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.webm\n", "not a video"),
        (b"ffconcat version 1.0\nfile other.webm\n", "not a video"),
        (bytes(range(256)) * 20, "not a video"),
    ],
)
def test_refuses_what_is_no_video(tmp_path: Path, webm: Path, data: bytes, reason: str) -> None:
    (tmp_path / "other.webm").write_bytes(webm.read_bytes())
    path = tmp_path / "v.webm"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=rf"v\.webm: {reason}"):
        decode(path, fps=12, size=8)


def test_refuses_sound(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "v.webm")
    with pytest.raises(VideoError, match=r"no video stream in it .found: audio."):
        decode(path, fps=12, size=8)


def test_refuses_sound_with_a_cover_picture(tmp_path: Path) -> None:
    path = tmp_path / "v.webm"
    with av.open(path, "w", format="mp3") as out:
        sound = out.add_stream("libmp3lame", rate=44100, layout="mono")
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        out.mux([*cover.encode(picture.reformat(format="yuvj420p")), *cover.encode(None)])
        samples = np.zeros((1, 44100), np.float32)
        silence = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        silence.sample_rate = 44100
        out.mux([*sound.encode(silence), *sound.encode(None)])
    with pytest.raises(VideoError, match=r"no video stream in it .found: audio, cover picture."):
        decode(path, fps=12, size=8)


def test_refuses_a_video_without_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.webm", frames=0)
    with pytest.raises(VideoError):
        decode(path, fps=12, size=8)


def test_refuses_missing_files(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        decode(tmp_path / "v.webm", fps=12, size=8)
    with pytest.raises(VideoError, match="not a file"):
        decode(tmp_path, fps=12, size=8)
    with pytest.raises(VideoError, match="cannot be read"):
        decode(tmp_path / ("v" * 999), fps=12, size=8)


def test_slides_may_stand_for_minutes_if_the_file_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slides.webm", frames=3, pts=[0, 12 * 90, 12 * 180])
    video = decode(path, fps=0.1, size=8)
    np.testing.assert_array_equal(video.indices, [0] * 5 + [1] * 9 + [2] * 5)


def test_refuses_timestamps_that_jump_beyond_the_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.webm", frames=2, pts=[0, 12 * 3600])
    data = path.read_bytes()
    duration = struct.pack(">d", 3_600_083.0)
    assert data.count(duration) == 1
    path.write_bytes(data.replace(duration, struct.pack(">d", 10_000.0)).replace(
        b"01:00:00.083000000", b"00:00:10.000000000"))  # fmt: skip
    with pytest.raises(VideoError, match=r"jump by 3600 s after frame 0, .* an end at 10 s"):
        decode(path, fps=12, size=8)


def test_refuses_more_samples_than_memory_holds(
    webm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MOST_BYTES", 20 * 8 * 8 * 3)
    with pytest.raises(VideoError, match=r"too long: with 12 frames a second of 8 × 8 pixels"):
        decode(webm, fps=12, size=8)


def test_a_colon_in_a_path_is_no_protocol(
    webm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pipe:0").write_bytes(webm.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(decode(Path("pipe:0"), fps=12, size=8).frames) == 24


@pytest.mark.parametrize(("fps", "size"), [(0, 8), (-1, 8), (float("inf"), 8), (12, 0)])
def test_refuses_nonsense_arguments(webm: Path, fps: float, size: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        decode(webm, fps=fps, size=size)


def test_errors_travel_between_processes(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(VideoError(tmp_path, "no good")))
    assert (error.path, error.reason, str(error)) == (tmp_path, "no good", f"{tmp_path}: no good")


@pytest.mark.parametrize("workers", [1, 2])
def test_many_come_in_order_with_errors_in_their_places(
    webm: Path, tmp_path: Path, workers: int
) -> None:
    short = write_video(tmp_path / "short.webm", frames=3)
    paths = [webm, tmp_path / "missing.webm", short, webm]
    videos = list(decode_many(paths, fps=12, size=8, workers=workers))
    error = videos.pop(1)
    assert isinstance(error, VideoError)
    assert error.reason == "the file does not exist"
    lengths = [len(video.frames) for video in videos if isinstance(video, DecodedVideo)]
    assert lengths == [24, 3, 24]


def test_decoding_many_reads_only_a_little_ahead(webm: Path) -> None:
    asked = 0

    def paths() -> Iterator[Path]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield webm

    videos = decode_many(paths(), fps=1, size=8, workers=2)
    next(videos)
    assert asked <= 5
    videos.close()  # type: ignore[attr-defined]


def test_one_scaler_serves_a_whole_video(webm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []
    made = []

    class Counting:
        def __init__(self) -> None:
            self.scaler = VideoReformatter()
            made.append(self)

        def reformat(self, frame: av.VideoFrame, **options: object) -> av.VideoFrame:
            converted.append(frame)
            return self.scaler.reformat(frame, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "VideoReformatter", Counting)
    decode(webm, fps=6, size=8)
    assert (len(made), len(converted)) == (1, 12)
