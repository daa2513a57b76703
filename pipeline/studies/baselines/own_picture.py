"""Shapley values of one picture's areas for any picture model, beside Integrated Gradients."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from pipeline.core.errors import InputError
from pipeline.models import devices
from pipeline.models.own import PictureModel, load_picture_model
from pipeline.shapley.estimate import Estimate
from pipeline.store.explanations import Effort, estimated, explained_game, explained_record
from pipeline.studies.baselines.areas import Areas, count_players, picture_game
from pipeline.studies.baselines.effective import effective_shapley
from pipeline.studies.baselines.integrated import (
    integrated_gradients,
    shapley_integrated_gradients,
)

VERSION = 1
"""Version of the evaluation; raised when values change."""

Absent = Literal["zero", "mean", "blur"]
"""What absent areas show: zeros after the preprocessing, the picture's mean colour, or the blurred
picture."""

STEPS = 20
"""Points of a line of Integrated Gradients; a quarter of that on each line of SIG."""

SIG_PER_SIZE, SIG_KEPT = 2, 4
"""Coalitions drawn of each size, and kept for each player, for SIG."""

MOST_AREAS = 64

BATCH = {"cpu": 16, "cuda": 256}
"""Pictures in a call of the model."""


@dataclass(frozen=True)
class PictureExplanation:
    """Scores of a picture and the attributions that explain them."""

    shown: NDArray[np.float32]
    """(height, width, 3) the picture as the model sees it, from 0 to 1"""
    areas: Areas
    """(height, width) the player of each pixel"""
    classes: tuple[str, ...]
    """names of the explained classes, the predicted one first"""
    scores: NDArray[np.float64]
    """(class,) of the whole picture"""
    empty: NDArray[np.float64]
    """(class,) without any area"""
    estimate: Estimate
    """values (area, class), with standard errors if not exact"""
    gradients: NDArray[np.float64]
    """(height, width) Integrated Gradients of the predicted class, summed over channels"""
    shapley_gradients: NDArray[np.float64]
    """(height, width) Shapley Integrated Gradients, both proposals"""

    @property
    def is_exact(self) -> bool:
        """Whether all coalitions were evaluated."""
        return not self.estimate.standard_errors.any()

    def of_areas(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of pixels' values over areas: (area,)."""
        sums = np.bincount(self.areas.ravel(), weights=values.ravel())
        return sums.astype(np.float64)


def read_picture(path: Path) -> Tensor:
    """A picture's pixels, upright: (3, height, width) uint8.

    Raises InputError if the file is no picture.
    """
    try:
        with Image.open(path) as image:
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a picture: {error}") from None
    return torch.from_numpy(pixels).permute(2, 0, 1)


def partition(text: str, shown: NDArray[np.float32]) -> Areas:
    """The areas of a picture (height, width, 3).

    Args:
        text: ``<rows>x<columns>``, a grid; or ``segments:<n>``, about n superpixels (SLIC).
        shown: the picture, from 0 to 1.

    Raises:
        InputError: another text, more rows or columns than pixels, fewer than two areas, or more
            than 64.
    """
    areas = _cut(text, shown)
    if areas.max() >= MOST_AREAS:
        raise InputError(
            f"areas: {text} makes {areas.max() + 1} areas; at most {MOST_AREAS} can be explained"
        )
    return areas


def _cut(text: str, shown: NDArray[np.float32]) -> Areas:
    height, width = shown.shape[:2]
    if grid := re.fullmatch(r"(\d+)x(\d+)", text):
        rows, columns = map(int, grid.groups())
        if not (1 <= rows <= height and 1 <= columns <= width and rows * columns > 1):
            raise InputError(
                f"areas: {text} of a picture of {height} × {width} pixels; give at least two, "
                "and no more rows or columns than pixels"
            )
        of_row = np.arange(height) * rows // height
        return (of_row[:, None] * columns + np.arange(width) * columns // width).astype(np.int64)
    if found := re.fullmatch(r"segments:(\d+)", text):
        from skimage.segmentation import slic  # noqa: PLC0415  slow to load

        count = max(1, int(found[1]))
        labels = slic(shown, n_segments=count, compactness=20, sigma=1, start_label=0)
        _, areas = np.unique(labels, return_inverse=True)
        if areas.max() < 1:
            raise InputError(f"areas: {text} makes one area of this picture; ask for more")
        return areas.reshape(labels.shape).astype(np.int64)
    raise InputError(f"areas: {text!r}; give <rows>x<columns>, such as 4x4, or segments:<n>")


def absent_picture(picture: Tensor, absent: Absent) -> Tensor:
    """What absent areas show: (channel, height, width), from the preprocessed picture."""
    if absent == "zero":
        return torch.zeros_like(picture)
    if absent == "mean":
        return picture.mean(dim=(1, 2), keepdim=True).expand_as(picture)
    side = min(picture.shape[1:])
    return gaussian_blur(picture, [max(3, side // 4 * 2 + 1)] * 2, [side / 8] * 2)


def explain_own_picture(
    path: Path,
    model: str,
    *,
    areas: str = "4x4",
    absent: Absent = "mean",
    score: str = "probability",
    weights: Path | None = None,
    class_name: str | None = None,
    effort: Effort | None = None,
    results: Path = Path("results"),
    device: str = "auto",
) -> PictureExplanation:
    """Values of a picture's areas, Integrated Gradients and Shapley Integrated Gradients.

    Args:
        path: a picture.
        model: as for :func:`pipeline.models.own.load_picture_model`.
        areas: as for :func:`partition`.
        absent: what absent areas show, also the baseline of both kinds of gradients.
        score: for torchvision's models, ``probability`` or ``logit``.
        weights: for torchvision's models, a file of weights.
        class_name: explained besides the predicted class; None: the runner-up.
        effort: budget and tolerance.
        results: the folder of results.
        device: auto, cpu, cuda or cuda:<number>.

    Raises:
        InputError: a file that is no picture, a model that cannot be loaded or returns unusable
            scores, areas that do not fit, an unknown class.
    """
    target = devices.resolve(device)
    network = load_picture_model(model, weights=weights, score=score, device=target)
    picture = network.prepare(read_picture(path)).to(target)
    shown = _shown(picture)
    of_pixel, baseline = partition(areas, shown), absent_picture(picture, absent)
    whole = _checked_scores(network, picture)
    chosen = _chosen_classes(network.classes, whole, class_name)
    names = tuple(network.classes[c] for c in chosen)
    if len(set(names)) < len(names):  # ImageNet has two classes "crane"
        names = tuple(f"{name} ({c})" for name, c in zip(names, chosen, strict=True))

    def scores(pictures: Tensor) -> Tensor:
        return network(pictures)[:, chosen]

    n = count_players(of_pixel)
    game = picture_game(
        scores,
        picture,
        of_pixel,
        baseline=baseline,
        outputs=names,
        batch_size=BATCH.get(target.type, 16),
    )
    record = explained_record(
        f"{model}_{absent}",
        n,
        names,
        player="an area of the picture",
        value=f"score of the picture; absent areas: {absent}",
        specification={"absent": absent, "areas": areas, "classes": chosen},
        digest=getattr(network, "digest", None),
        version=VERSION,
    )
    digest = hashlib.sha256(picture.cpu().numpy().tobytes() + of_pixel.tobytes()).hexdigest()
    with explained_game(record, path.name, digest, game, results) as remembered:
        estimate = estimated(remembered, effort or Effort())
        empty, _ = remembered(np.array([0, 2**n - 1], dtype=np.uint64)).astype(np.float64)
        sampled = effective_shapley(
            remembered, per_size=SIG_PER_SIZE, n_kept=SIG_KEPT, bins=20
        ).samples
    batch = BATCH.get(target.type, 16)
    gradients = integrated_gradients(scores, picture, baseline[None], steps=STEPS, batch_size=batch)
    shapley_gradients = shapley_integrated_gradients(
        scores,
        picture,
        of_pixel,
        [player.coalitions for player in sampled],
        baseline=baseline,
        proposal="both",
        batch_size=batch,
    )
    return PictureExplanation(
        shown=shown,
        areas=of_pixel,
        classes=names,
        scores=whole[chosen].astype(np.float64),
        empty=empty,
        estimate=estimate,
        gradients=gradients.values.sum(dim=0).cpu().numpy(),
        shapley_gradients=shapley_gradients.values.sum(dim=0).cpu().numpy(),
    )


def _shown(picture: Tensor) -> NDArray[np.float32]:
    """A preprocessed picture (channel, height, width) as one to look at, from 0 to 1."""
    if picture.dim() != 3 or picture.shape[0] not in (1, 3) or not picture.is_floating_point():
        raise InputError(
            f"the model's prepare returns {tuple(picture.shape)}, {picture.dtype}; floats of shape "
            "(channel, height, width) with one or three channels are needed"
        )
    pixels = picture.detach().float().cpu().permute(1, 2, 0).expand(-1, -1, 3).numpy()
    low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    return (pixels - low) / np.maximum(high - low, 1e-6)


def _checked_scores(network: PictureModel, picture: Tensor) -> NDArray[np.float32]:
    """Scores (class,) of the whole picture, the same in two calls."""
    with torch.no_grad():
        first, second = network(picture[None]), network(picture[None])
    expected = (1, len(network.classes))
    if not isinstance(first, Tensor) or tuple(first.shape) != expected:
        shape = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise InputError(
            f"the model returns {shape} for one picture; scores of shape {expected} "
            "(picture, class) are needed"
        )
    if not torch.isfinite(first).all():
        raise InputError("the model returns NaN or Inf; check its weights and its preprocessing")
    if not torch.allclose(first, second, rtol=1e-4, atol=1e-4):
        difference = float((first - second).abs().max())
        raise InputError(
            f"the model's scores change from call to call (by {difference:.2g} for the same "
            "picture): switch off dropout and other randomness, for example with model.eval()"
        )
    return first[0].float().cpu().numpy()


def _chosen_classes(
    classes: Sequence[str], scores: NDArray[np.float32], class_name: str | None
) -> list[int]:
    """The predicted class, and the named one or the runner-up."""
    best = np.argsort(-scores, kind="stable")[:2].tolist()
    if class_name is None:
        return best
    if class_name not in classes:
        from difflib import get_close_matches  # noqa: PLC0415

        close = get_close_matches(class_name, classes, n=1, cutoff=0)
        raise InputError(f"--class: there is no class {class_name!r}; did you mean {close[0]!r}?")
    return list(dict.fromkeys([best[0], list(classes).index(class_name)]))
