"""Short clips of handwritten digits that are pushed, turned, covered and so on.

The classes are named like Something-Something's. Most come in pairs that differ only in the order
of the frames: in distribution, a clip of the second class is a clip of the first one played
backwards. The end of one is the start of the other, and the action happens at any time with the
same probability in both directions. Other movement (the camera) and flicker (the noise) have no
direction in time. So neither a single frame nor a shuffled clip reveals the class.

Lengths are given for pictures of 96 x 96 pixels, and scaled for others.
"""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Image = NDArray[np.float32]

PAIRS: tuple[tuple[str, str], ...] = (
    ("Pushing something from left to right", "Pushing something from right to left"),
    ("Moving something up", "Moving something down"),
    ("Moving something closer to the camera", "Moving something away from the camera"),
    ("Making something appear", "Making something disappear"),
    ("Turning something clockwise", "Turning something anticlockwise"),
    (
        "Moving something and something closer to each other",
        "Moving something and something away from each other",
    ),
    ("Covering something with something", "Uncovering something"),
)
ORDER_FREE: tuple[str, ...] = (
    "Squeezing something",
    "Shaking something",
    "Showing something to the camera",
)
CLASSES: tuple[str, ...] = tuple(name for pair in PAIRS for name in pair) + ORDER_FREE

SPLITS = ("train", "validation", "test")
CARDS = {"red": (196, 40, 40), "blue": (40, 80, 200), "green": (30, 130, 60)}
REFERENCE_SIZE = 96
FEWEST_FRAMES = 3

_SHARES = (0.7, 0.2, 0.1)
_CELLS = 10  # a digit's 8 x 8 cells and an empty margin of one cell
_FINE = 16  # samples per cell of a digit
_SUBPIXELS = 4  # the background can be shifted by a quarter of a pixel


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Handwritten digits: ``images`` (N, 8, 8) float32 in 0..1, ``numbers`` (N,) int64."""

    images: NDArray[np.float32]
    numbers: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RenderedClip:
    """A clip.

    ``frames`` is (T, H, W, 3) uint8, RGB. ``interval`` is the first and the last frame (both
    inclusive) of the action, None if nothing happens. ``placeholders`` are the things that replace
    each "something" of the class's name.
    """

    frames: NDArray[np.uint8]
    interval: tuple[int, int] | None
    placeholders: tuple[str, ...]


def split_digits(split: str) -> Digits:
    """The handwritten digits of a split; no two splits share an image.

    Raises:
        ValueError: the split does not exist.
    """
    # Imported here because it takes a second, which workers save that receive the digits.
    from sklearn.datasets import load_digits  # noqa: PLC0415

    if split not in SPLITS:
        raise ValueError(f"split {split!r} does not exist; choose one of {', '.join(SPLITS)}")
    images, numbers = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    ends = np.rint(np.cumsum((0.0, *_SHARES)) * len(images)).astype(int)
    index = SPLITS.index(split)
    chosen = order[ends[index] : ends[index + 1]]
    return Digits(
        (images[chosen].reshape(-1, 8, 8) / 16).astype(np.float32),
        numbers[chosen].astype(np.int64),
    )


def clip_class(clip_index: int) -> int:
    """The class of a clip of a split: classes alternate in order."""
    return clip_index % len(CLASSES)


def clip_rng(seed: int, split: str, clip_index: int) -> np.random.Generator:
    """The random generator of one clip, independent of the number of other clips."""
    return np.random.default_rng([seed, SPLITS.index(split), clip_index])


def template(class_index: int) -> str:
    """The class's name with brackets, as in the rows of a split."""
    return CLASSES[class_index].replace("something", "[something]")


def caption(class_index: int, placeholders: tuple[str, ...]) -> str:
    """The class's name with its placeholders filled in, in lower case."""
    text = CLASSES[class_index]
    for placeholder in placeholders:
        text = text.replace("something", placeholder, 1)
    return text.lower()


def draw_interval(rng: np.random.Generator, frames: int) -> tuple[int, int]:
    """Draw the interval of the action: 30 to 60 % of the clip, anywhere except at its very ends.

    Returns:
        The first and the last frame of the action, both inclusive. (first, last) is as likely as
        its mirror image, (frames - 1 - last, frames - 1 - first).
    """
    if frames < FEWEST_FRAMES:
        raise ValueError(f"a clip needs at least {FEWEST_FRAMES} frames, found {frames}")
    shortest = max(1, math.ceil(0.3 * frames))
    longest = max(shortest, min(math.floor(0.6 * frames), frames - 2))
    length = int(rng.integers(shortest, longest, endpoint=True))
    first = int(rng.integers(1, frames - 1 - length, endpoint=True))
    return first, first + length - 1


def progress_of(interval: tuple[int, int], frames: int) -> Array:
    """Progress of the action in each frame: (T,), 0 before the interval, 1 after it."""
    first, last = interval
    return np.clip((np.arange(frames) - (first - 1)) / (last - first + 2), 0.0, 1.0)


def motion(class_index: int, rng: np.random.Generator, progress: Array) -> Array:
    """Positions of things during a class's action, for a randomly drawn instance of it.

    Args:
        class_index: index into :data:`CLASSES`.
        rng: draws the instance: the same one for both classes of a pair.
        progress: (T,) in 0..1.

    Returns:
        (things, T, 6): y, x, height, width (pixels of a 96 x 96 picture), angle (radians,
        clockwise), opacity. Later things cover earlier ones. The second class of a pair gives the
        first one's result for ``1 - progress``.
    """
    pair, backwards = divmod(class_index, 2)
    if pair < len(PAIRS):
        # Easing in and out is symmetric, so a reversed motion is a motion of the same kind.
        eased = progress * progress * (3 - 2 * progress)
        return _PAIR_MOTIONS[pair](rng, 1 - eased if backwards else eased)
    return _FREE_MOTIONS[class_index - 2 * len(PAIRS)](rng, progress)


def render(
    class_index: int,
    rng: np.random.Generator,
    digits: Digits,
    *,
    frames: int = 36,
    size: int = REFERENCE_SIZE,
    noise: float = 8.0,
    jitter: float = 1.0,
) -> RenderedClip:
    """Render a clip of a class.

    Args:
        class_index: index into :data:`CLASSES`.
        rng: draws the clip: things, time and course of the action, and appearance.
        digits: the handwritten digits to choose from.
        frames: number of frames, at least 3.
        size: height and width in pixels.
        noise: standard deviation of each frame's noise in grey levels.
        jitter: standard deviation of the camera's position in pixels of a 96 x 96 picture.

    Raises:
        ValueError: there are too few frames, or the class does not exist.
    """
    if not 0 <= class_index < len(CLASSES):
        raise ValueError(f"class {class_index} does not exist; choose 0 to {len(CLASSES) - 1}")
    interval = draw_interval(rng, frames)
    states = motion(class_index, rng, progress_of(interval, frames))
    camera = _wobble(rng, frames, jitter)
    states[:, :, :2] += camera
    states[:, :, :4] *= size / REFERENCE_SIZE
    canvas = _background(rng, size, camera * (size / REFERENCE_SIZE))
    name = CLASSES[class_index]
    card = name in PAIRS[-1]
    placeholders = []
    for thing, state in enumerate(states):
        if card and thing == 1:
            texture = _card_texture()
            hue = list(CARDS)[rng.integers(len(CARDS))]
            colour = np.array(CARDS[hue], np.float32)
            placeholders.append(f"a {hue} card")
        else:
            chosen = rng.integers(len(digits.images))
            texture = _digit_texture(digits.images[chosen])
            colour = _bright_colour(rng)
            placeholders.append(f"a handwritten {digits.numbers[chosen]}")
        _paint(canvas, texture, colour, state)
    grain = rng.standard_normal(canvas.shape[:3], np.float32)
    grain *= np.float32(noise)
    canvas += grain[..., None]
    np.clip(canvas, 0, 255, out=canvas)
    happens = name != ORDER_FREE[-1]
    return RenderedClip(
        canvas.astype(np.uint8),
        interval if happens else None,
        tuple(placeholders[: name.count("something")]),
    )


def _states(progress: Array, **columns: Array | float) -> Array:
    """States of one thing, (T, 6): the given columns; defaults for the others."""
    states = np.empty((len(progress), 6))
    height = columns["height"]
    values = {"width": height, "angle": 0.0, "opacity": 1.0, **columns}
    for column, name in enumerate(("y", "x", "height", "width", "angle", "opacity")):
        states[:, column] = values[name]
    return states


def _between(start: float, end: float, progress: Array) -> Array:
    return start + (end - start) * progress


def _somewhere(rng: np.random.Generator) -> dict[str, float]:
    y, x = rng.uniform(34, 62, 2)
    return {"y": y, "x": x, "height": rng.uniform(30, 40)}


def _left_to_right(rng: np.random.Generator, p: Array) -> Array:
    x = _between(rng.uniform(19, 27), rng.uniform(69, 77), p)
    y_start = rng.uniform(30, 66)
    y = _between(y_start, y_start + rng.uniform(-5, 5), p)
    return _states(p, y=y, x=x, height=rng.uniform(28, 36))[None]


def _upwards(rng: np.random.Generator, p: Array) -> Array:
    y = _between(rng.uniform(69, 75), rng.uniform(21, 27), p)
    x_start = rng.uniform(30, 66)
    x = _between(x_start, x_start + rng.uniform(-5, 5), p)
    return _states(p, y=y, x=x, height=rng.uniform(28, 36))[None]


def _closer(rng: np.random.Generator, p: Array) -> Array:
    y = _between(rng.uniform(36, 60), rng.uniform(42, 54), p)
    x = _between(rng.uniform(36, 60), rng.uniform(42, 54), p)
    # Things that approach at a steady pace grow by equal factors, not by equal amounts.
    height = rng.uniform(18, 22) * rng.uniform(2.3, 2.9) ** p
    return _states(p, y=y, x=x, height=height)[None]


def _appear(rng: np.random.Generator, p: Array) -> Array:
    return _states(p, **_somewhere(rng), opacity=p)[None]


def _clockwise(rng: np.random.Generator, p: Array) -> Array:
    angle = np.radians(_between(rng.uniform(-70, -50), rng.uniform(50, 70), p))
    return _states(p, **_somewhere(rng), angle=angle)[None]


def _together(rng: np.random.Generator, p: Array) -> Array:
    middle_y, middle_x = rng.uniform(44, 52, 2)
    half = _between(rng.uniform(26, 31), rng.uniform(13, 15), p)
    axis = rng.uniform(0, 2 * math.pi)
    y, x = half * math.sin(axis), half * math.cos(axis)
    height = rng.uniform(24, 28, 2)
    return np.stack(
        [
            _states(p, y=middle_y - y, x=middle_x - x, height=height[0]),
            _states(p, y=middle_y + y, x=middle_x + x, height=height[1]),
        ]
    )


def _cover(rng: np.random.Generator, p: Array) -> Array:
    height = rng.uniform(26, 30)
    card = height + rng.uniform(6, 10)
    sway = rng.uniform(-8, 8)
    digit_at = rng.uniform(-22, -18)
    card_at = _between(rng.uniform(18, 22), digit_at, p)
    axis = rng.integers(4) * math.pi / 2
    sin, cos = math.sin(axis), math.cos(axis)
    return np.stack(
        [
            _states(
                p,
                y=48 + digit_at * sin + sway * cos,
                x=48 + digit_at * cos - sway * sin,
                height=height,
            ),
            _states(
                p,
                y=48 + card_at * sin + sway * cos,
                x=48 + card_at * cos - sway * sin,
                height=card,
            ),
        ]
    )


def _squeeze(rng: np.random.Generator, p: Array) -> Array:
    place = _somewhere(rng)
    squeezed = np.sin(np.pi * p) ** 2
    height = place["height"] * (1 - rng.uniform(0.5, 0.6) * squeezed)
    width = place["height"] * (1 + rng.uniform(0.15, 0.3) * squeezed)
    return _states(p, y=place["y"], x=place["x"], height=height, width=width)[None]


def _shake(rng: np.random.Generator, p: Array) -> Array:
    place = _somewhere(rng)
    swing = rng.choice([-1, 1]) * rng.uniform(8, 12)
    x = place["x"] + swing * np.sin(2 * np.pi * rng.integers(2, 3, endpoint=True) * p)
    return _states(p, y=place["y"], x=x, height=place["height"])[None]


def _show(rng: np.random.Generator, p: Array) -> Array:
    return _states(p, **_somewhere(rng))[None]


_Motion = Callable[[np.random.Generator, Array], Array]
_PAIR_MOTIONS: tuple[_Motion, ...] = (
    _left_to_right,
    _upwards,
    _closer,
    _appear,
    _clockwise,
    _together,
    _cover,
)
_FREE_MOTIONS: tuple[_Motion, ...] = (_squeeze, _shake, _show)


def _wobble(rng: np.random.Generator, frames: int, jitter: float) -> Array:
    """Smooth random motion around 0 that is the same backwards: (T, 2), sd ``jitter``."""
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    kernel *= jitter / np.linalg.norm(kernel)
    white = rng.standard_normal((frames + len(kernel) - 1, 2))
    # Bounded, so that things stay within the picture.
    path = np.stack([np.convolve(column, kernel, "valid") for column in white.T], axis=1)
    return np.clip(path, -3 * jitter, 3 * jitter)


@cache
def _enlarging(cells: int, samples: int) -> Image:
    """The matrix (samples, cells) that enlarges a row of cells smoothly."""
    identity = np.eye(cells)
    zoom = (samples / cells, 1)
    return ndimage.zoom(identity, zoom, order=3, mode="nearest", grid_mode=True).astype(np.float32)


def _enlarge(cells: Image, matrix: Image) -> Image:
    """Enlarge pictures, (..., cells, cells), on both axes.

    This uses einsum because matrix products start threads, which compete with workers on all cores,
    and round differently for each number of threads.
    """
    rows = np.einsum("si,...ij->...sj", matrix, cells)
    return np.einsum("tj,...sj->...st", matrix, rows)


def _digit_texture(image: Image) -> Image:
    matrix = _enlarging(_CELLS, _CELLS * _FINE)
    smooth = _enlarge(np.pad(image, 1), matrix)
    sharp = np.clip((smooth - 0.2) / 0.3, 0, 1)
    _clear_border(sharp)
    return sharp


@cache
def _card_texture() -> Image:
    texture = np.zeros((_CELLS * _FINE, _CELLS * _FINE), np.float32)
    texture[_FINE:-_FINE, _FINE:-_FINE] = 1
    return texture


def _clear_border(texture: Image) -> None:
    """Clear a texture's border, which is looked up for all points beyond the texture."""
    texture[[0, -1]] = 0
    texture[:, [0, -1]] = 0


def _bright_colour(rng: np.random.Generator) -> Image:
    rgb = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.05, 0.45), rng.uniform(0.92, 1))
    return np.array(rgb, np.float32) * 255


def _background(rng: np.random.Generator, size: int, camera: Array) -> Image:
    """Tinted blotches and a finer weave, seen by a moving camera: (T, H, W, 3) float32."""
    margin = math.ceil(np.abs(camera).max(initial=0)) + 1
    side = (size + 2 * margin) * _SUBPIXELS
    blotches = rng.uniform(-26, 26, (3, 6, 6)).astype(np.float32)
    tint = rng.uniform(45, 105, 3).astype(np.float32)
    weave = rng.normal(0, 9, (36, 36)).astype(np.float32)
    picture = _enlarge(blotches, _enlarging(6, side)) + _enlarge(weave, _enlarging(36, side))
    picture += tint[:, None, None]
    picture = np.ascontiguousarray(picture.transpose(1, 2, 0))
    canvas = np.empty((len(camera), size, size, 3), np.float32)
    corners = np.rint((margin - camera) * _SUBPIXELS).astype(int)
    extent = size * _SUBPIXELS
    for frame, (y, x) in zip(canvas, corners, strict=True):
        frame[:] = picture[y : y + extent : _SUBPIXELS, x : x + extent : _SUBPIXELS]
    return canvas


def _paint(canvas: Image, texture: Image, colour: Image, states: Array) -> None:
    """Draw a thing on every frame; changes ``canvas`` (T, H, W, 3); ``states`` is (T, 6)."""
    samples = len(texture)
    y, x, height, width, angle, opacity = (c[:, None] for c in states.T.astype(np.float32))
    # Use only the part of the picture where the thing is at any time: its diagonal from its middle.
    reach = np.hypot(height, width) / 2 + 1
    top, left = (max(0, math.floor((at - reach).min())) for at in (y, x))
    bottom, right = (max(0, math.ceil((at + reach).max())) for at in (y, x))
    part = canvas[:, top:bottom, left:right]
    down = np.arange(top, top + part.shape[1], dtype=np.float32) + np.float32(0.5) - y
    across = np.arange(left, left + part.shape[2], dtype=np.float32) + np.float32(0.5) - x
    # A thing's size refers to 8 cells; its texture has a margin of one cell around them.
    per_y, per_x = samples * 0.8 / height, samples * 0.8 / width
    cos, sin = np.cos(angle), np.sin(angle)
    middle = np.float32(samples / 2)
    column = (sin * per_x * down + middle)[:, :, None] + (cos * per_x * across)[:, None, :]
    row = (cos * per_y * down + middle)[:, :, None] - (sin * per_y * across)[:, None, :]
    np.clip(column, 0, samples - 1, out=column)
    np.clip(row, 0, samples - 1, out=row)
    place = row.astype(np.int32)
    place *= samples
    place += column.astype(np.int32)
    cover = texture.ravel().take(place)
    cover *= opacity[:, :, None]
    part += cover[..., None] * (colour - part)
