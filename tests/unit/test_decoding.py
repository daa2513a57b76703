"""Videos to arrays: what is sampled, and what is refused."""

import pickle
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
from pipeline.data.decoding import DecodedVideo, VideoError, decode, decode_many

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


def test_timestamps_count_not_frame_numbers(tmp_path: Path) -> None:
    pts = [5, 6, 7, 8, 20, 21]  # starts late, and stands still for a second
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


def test_a_cut_file_is_a_shorter_video_or_an_error(webm: Path, tmp_path: Path) -> None:
    data = webm.read_bytes()
    counts = []
    for number, end in enumerate(range(1, len(data), 97)):
        path = tmp_path / f"{number}.webm"
        path.write_bytes(data[:end])
        try:
            counts.append(len(decode(path, fps=12, size=8).frames))
        except VideoError as error:
            assert error.path == path
            counts.append(0)
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert 0 < counts[len(counts) // 2] < 24


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


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        decode(tmp_path / "v.webm", fps=12, size=8)
    with pytest.raises(VideoError, match="not a file"):
        decode(tmp_path, fps=12, size=8)
    with pytest.raises(VideoError, match="cannot be read"):
        decode(tmp_path / ("v" * 999), fps=12, size=8)


def test_refuses_timestamps_that_jump(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.webm", frames=2, pts=[0, 12 * 3600])
    with pytest.raises(VideoError, match="jump by 3600 s after frame 0"):
        decode(path, fps=12, size=8)


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


def test_many_looks_only_a_little_ahead(webm: Path) -> None:
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
