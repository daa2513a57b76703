"""Players that are groups of features: areas of a picture, or any partition of a model's input.

A partition is an index map: an array of integers that holds, for every feature, the number of its
player. Players are counted from 0, and each has at least one feature. The map has the shape of the
picture (channel, height, width), or of its last axes, such as (height, width), if all channels of a
pixel belong to one player.

A coalition is evaluated by masking: the features of its members keep their values, all others get
those of a baseline (Effective Coalitions of Shapley Value for Integrated Gradients, section 4.3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.arguments import array, whole
from pipeline.core.errors import InputError
from pipeline.models.arguments import called, finite, tensor, weight_of
from pipeline.shapley import coalitions
from pipeline.shapley.games import names_of

Areas = NDArray[np.int64]
"""The player of every feature."""

Scores = Callable[[Tensor], Tensor]
"""A model, or some of its outputs: (batch, *shape) → (batch, output), or (batch,) of one output."""


def square_areas(height: int, width: int, side: int) -> Areas:
    """Cut a picture into areas of ``side`` × ``side`` pixels, row after row.

    If a side of the picture is no multiple of ``side``, the last areas are smaller.

    Returns:
        (height, width) int64.

    Raises:
        InputError: a size less than 1.
    """
    height, width, side = whole("height", height), whole("width", width), whole("side", side)
    per_row = -(-width // side)
    rows, columns = np.arange(height) // side, np.arange(width) // side
    return (rows[:, None] * per_row + columns).astype(np.int64)


def from_membership(membership: NDArray[np.bool_]) -> Areas:
    """The index map of a partition given as membership (player, *shape), shaped (*shape) int64.

    Raises:
        InputError: a feature belongs to no player, or to several; a player has no feature.
    """
    table = array("membership", membership)
    if table.ndim < 2 or table.dtype != np.bool_ or 0 in table.shape:
        raise InputError(
            f"membership of shape {table.shape}, {table.dtype}: (player, feature) bool, with at "
            "least one of each, is needed"
        )
    owners = table.sum(axis=0)
    if (owners != 1).any():
        where = tuple(map(int, np.argwhere(owners != 1)[0]))
        raise InputError(
            f"feature {where} belongs to {int(owners[where])} players; in a partition each feature "
            "belongs to exactly one"
        )
    areas = table.argmax(axis=0).astype(np.int64)
    count_players(areas, len(table))
    return areas


def membership_of(areas: Areas) -> NDArray[np.bool_]:
    """Which features belong to each player: (player, *shape) bool."""
    given = checked_areas(areas)
    players = np.arange(count_players(given)).reshape(-1, *([1] * given.ndim))
    return np.asarray(given == players)


def count_players(areas: Areas, expected: int | None = None) -> int:
    """The number of players of a partition.

    Args:
        areas: the index map.
        expected: the expected number; by default the highest number in the map, plus 1.

    Raises:
        InputError: as :func:`checked_areas`, and if a player has no features.
    """
    found = checked_areas(areas)
    n_players = int(found.max()) + 1 if expected is None else whole("expected", expected)
    counts = np.bincount(found.ravel(), minlength=n_players)
    if (counts == 0).any():
        raise InputError(
            f"player {int(np.argmin(counts))} of {n_players} has no features; each needs one at "
            "least"
        )
    return n_players


def checked_areas(areas: Areas) -> Areas:
    """An index map as an array; tensors and lists are accepted too.

    Raises:
        InputError: no integers, no feature, negative numbers, more players than features.
    """
    found = array("areas", areas)
    if found.dtype.kind not in "iu" or found.size == 0:
        raise InputError(
            f"areas of shape {found.shape}, {found.dtype}: the number of a player for each of at "
            "least one feature is needed"
        )
    if found.min() < 0:
        raise InputError(f"areas hold player {int(found.min())}; players are counted from 0")
    if found.max() >= found.size:
        raise InputError(
            f"areas hold player {int(found.max())}, and have {found.size} features; players are "
            "counted from 0, and each needs a feature"
        )
    return found.astype(np.int64, copy=False)


def as_membership(masks: NDArray[Any], n_players: int) -> NDArray[np.bool_]:
    """Membership (coalition, player) of coalitions given as masks.

    Args:
        masks: (m,) integers, player i being bit i; beyond 64 players (m, byte) uint8.
        n_players: number of players.

    Raises:
        InputError: another shape or type; a mask that holds a player who does not exist.
    """
    given, n_players = array("coalitions", masks), whole("n_players", n_players)
    n_bytes = -(-n_players // 8)
    if n_players > 64:
        if given.ndim != 2 or given.shape[1] != n_bytes or given.dtype != np.uint8:
            raise InputError(
                f"coalitions of shape {given.shape}, {given.dtype}: (m, {n_bytes}) uint8 is needed "
                f"for {n_players} players"
            )
        bits = np.unpackbits(given, axis=1, bitorder="little").astype(np.bool_)
        if bits[:, n_players:].any():
            raise InputError(f"coalitions hold a player beyond the {n_players} that there are")
        return bits[:, :n_players]
    given = given.astype(np.uint64) if given.shape == (0,) else given
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise InputError(
            f"coalitions of shape {given.shape}, {given.dtype}: a row of integers is needed"
        )
    if given.dtype.kind == "i" and (given < 0).any():
        raise InputError(f"coalition {int(given.min())}: masks are not negative")
    words = given.astype(np.uint64)
    highest = int(words.max()) if len(words) else 0
    if highest >> n_players:
        raise InputError(
            f"coalition {hex(highest)} holds a player beyond the {n_players} there are"
        )
    return coalitions.to_bool(words, n_players)


def masked_pictures(
    picture: Tensor, baseline: Tensor, areas: Areas, membership: NDArray[np.bool_]
) -> Tensor:
    """Pictures that keep the areas of a coalition's members and replace all others.

    Args:
        picture: (*shape) floats.
        baseline: what absent areas show; its shape must broadcast to the picture's.
        areas: the player of every feature, (*shape) or its last axes.
        membership: (m, player), which players are present; :func:`as_membership` makes it.

    Returns:
        (m, *shape), of the picture's dtype and on its device.

    Raises:
        InputError: shapes that do not go together.
    """
    picture = tensor("picture", picture)
    present = presence(picture, checked_areas(areas), array("membership", membership))
    return torch.where(present, picture, fitted_baseline(picture, baseline))


def presence(picture: Tensor, areas: Areas, membership: NDArray[np.bool_]) -> Tensor:
    """Which features of a picture each coalition keeps: (m, *shape) bool, on its device.

    Axes of the picture that the areas lack have length 1.

    Raises:
        InputError: shapes that do not go together.
    """
    n_players = count_players(areas)
    if membership.ndim != 2 or membership.shape[1] != n_players or membership.dtype != np.bool_:
        raise InputError(
            f"membership of shape {membership.shape}, {membership.dtype}: (coalition, {n_players}) "
            f"bool is needed for {n_players} areas"
        )
    if areas.ndim > picture.dim() or tuple(picture.shape[picture.dim() - areas.ndim :]) != (
        areas.shape
    ):
        raise InputError(
            f"areas of shape {areas.shape} for a picture of shape {tuple(picture.shape)}: they "
            "must have the shape of the picture, or of its last axes"
        )
    table = torch.from_numpy(np.ascontiguousarray(membership)).to(picture.device)
    index = torch.from_numpy(areas.astype(np.int64).ravel()).to(picture.device)
    ones = [1] * (picture.dim() - areas.ndim)
    return table[:, index].view(len(membership), *ones, *areas.shape)


def fitted_baseline(picture: Tensor, baseline: Tensor) -> Tensor:
    """A baseline in the picture's shape, dtype and device.

    Raises:
        InputError: a shape that cannot be broadcast to the picture's; NaN or Inf.
    """
    baseline = tensor("the baseline", baseline)
    try:
        fitted = baseline.detach().to(picture).expand_as(picture)
    except RuntimeError:
        raise InputError(
            f"a baseline of shape {tuple(baseline.shape)} cannot be broadcast to a picture of "
            f"shape {tuple(picture.shape)}"
        ) from None
    if not torch.isfinite(fitted).all():
        raise InputError("the baseline holds NaN or Inf")
    return fitted


def area_sums(values: Tensor, areas: Areas, *, leading: int = 0) -> Tensor:
    """Sums over the features of each player, e.g. of attributions.

    Args:
        values: (*lead, *shape), the last axes being those of the areas; axes between, such as
            channels that the areas share, are summed over.
        areas: the player of every feature.
        leading: how many leading axes (e.g. of several pictures) are kept.

    Returns:
        (*lead, player) float64.

    Raises:
        InputError: shapes that do not go together.
    """
    values, areas = tensor("values", values), checked_areas(areas)
    n_players = count_players(areas)
    beyond, leading = values.dim() - areas.ndim, whole("leading", leading, 0)
    if beyond < leading or tuple(values.shape[beyond:]) != areas.shape:
        raise InputError(
            f"values of shape {tuple(values.shape)} with {leading} leading axes, for areas of "
            f"shape {areas.shape}: the last axes must be those of the areas"
        )
    flat = values.detach().double().reshape(*values.shape[:leading], -1, areas.size).sum(dim=-2)
    index = torch.from_numpy(areas.astype(np.int64).ravel()).to(values.device)
    # A product rather than a scattered sum: its order of summation is the same each time.
    return flat @ torch.nn.functional.one_hot(index, n_players).double()


@dataclass(frozen=True, eq=False)
class PictureGame:
    """The game of one picture's areas with a model's scores. Made by :func:`picture_game`."""

    picture: Tensor
    baseline: Tensor
    areas: Areas
    scores: Scores
    outputs: tuple[str, ...]
    batch_size: int
    n_players: int

    def __call__(self, masks: NDArray[Any], /) -> NDArray[np.floating[Any]]:
        """Values of coalitions, from masks (m,): (m, output) in the model's dtype."""
        parts = []
        membership = as_membership(masks, self.n_players)
        with torch.no_grad():
            for start in range(0, len(membership), self.batch_size):
                rows = membership[start : start + self.batch_size]
                pictures = masked_pictures(self.picture, self.baseline, self.areas, rows)
                parts.append(_columns(self.scores(pictures), len(rows)).cpu())
            if not parts:
                empty = torch.zeros(0, len(self.outputs), dtype=self.picture.dtype)
                return np.asarray(empty.numpy())
            return np.asarray(torch.cat(parts).numpy())


def picture_game(
    scores: Scores,
    picture: Tensor,
    areas: Areas,
    *,
    baseline: Tensor | None = None,
    outputs: Sequence[str] | None = None,
    batch_size: int = 256,
) -> PictureGame:
    """The game in which a coalition's value is a model's score of the masked picture.

    Args:
        scores: (batch, *shape) → (batch, output), or (batch,) of one output; in evaluation mode,
            on the picture's device; a row's scores must not depend on the other rows.
        picture: (*shape) floats.
        areas: the player of every feature, (*shape) or its last axes.
        baseline: what absent areas show; its shape must broadcast to the picture's; None: zero.
        outputs: their names; None: "0", "1", ….
        batch_size: the most pictures in one call of the model.

    Raises:
        InputError: shapes that do not go together, NaN or Inf, a model that does not accept such
            pictures, a batch size less than 1, a wrong number of names.
    """
    batch_size = whole("batch size", batch_size)
    shown, areas = checked_picture(picture, scores), checked_areas(areas)
    absent = fitted_baseline(shown, torch.zeros(()) if baseline is None else baseline)
    n_players = count_players(areas)
    with torch.no_grad():
        everybody = np.ones((1, n_players), dtype=np.bool_)
        probe = masked_pictures(shown, absent, areas, everybody)
        found = _columns(called(scores, probe, "pictures"), 1)
        n_outputs = finite("the model's scores", found).shape[1]
    names = names_of(outputs, n_outputs, "a model")
    return PictureGame(shown, absent, areas, scores, names, batch_size, n_players)


def checked_picture(picture: Tensor, scores: Scores | None = None) -> Tensor:
    """The picture without its history; raises InputError unless it is finite floats.

    An array is accepted too; it gets the dtype and device of the model behind ``scores``.
    """
    picture = tensor("picture", picture, weight_of(scores))
    if not picture.is_floating_point() or picture.dim() < 1 or picture.numel() == 0:
        raise InputError(
            f"a picture of shape {tuple(picture.shape)}, {picture.dtype}: floats, at least one "
            "feature, are needed"
        )
    if not torch.isfinite(picture).all():
        raise InputError("the picture holds NaN or Inf")
    return picture.detach()


def _columns(values: Tensor, n_rows: int) -> Tensor:
    columns = values[:, None] if values.dim() == 1 else values
    if columns.dim() != 2 or len(columns) != n_rows:
        raise InputError(
            f"the model gave values of shape {tuple(values.shape)} for {n_rows} pictures; "
            f"({n_rows}, output) is needed"
        )
    return columns
