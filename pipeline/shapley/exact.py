"""Exact Shapley values of all players and outputs at once, from complete tables of values.

Both the values and the mean marginal contributions by size of coalition follow from two sums per
size: over the coalitions that hold a player, and over all coalitions. With M_k,i the mean value of
the coalitions of size k that hold i, and M_k,¬i that of those that do not hold it,

    marginal_s,i = M_(s+1),i − M_s,¬i        and        φ_i = mean over s = 0 … n−1 of marginal_s,i

which is the conditional-expectation form of the Shapley value (Play Fair, supplement, Eq. 22).
"""

from math import comb

import numpy as np
import torch
from torch import Tensor

from pipeline.core.blocks import moved
from pipeline.core.errors import InputError
from pipeline.shapley import coalitions

_BLOCK_BYTES = 1 << 23

_ROWS = 2048
"""Coalitions that are summed in their own type; sums of these are added in float64."""


class SizeSums:
    """Sums over the coalitions of each size, to which a stream of values is reduced.

    Args:
        n_players: number of players.
        shape: shape of one coalition's value, e.g. (instance, output).
        device: device of the values; sums are kept there, in float64.
    """

    def __init__(
        self, n_players: int, shape: tuple[int, ...], device: torch.device | str = "cpu"
    ) -> None:
        self.n_players = n_players
        self.totals = torch.zeros((n_players + 1, *shape), dtype=torch.float64, device=device)
        self.holding = torch.zeros(
            (n_players + 1, n_players, *shape), dtype=torch.float64, device=device
        )

    def add(self, size: int, membership: Tensor, values: Tensor) -> None:
        """Add coalitions of one size.

        Args:
            size: how many players each of them has.
            membership: (n_players, coalition), 1 where the player is present, in values' dtype.
            values: (coalition, *shape).
        """
        self.add_sums(size, *block_sums(membership, values))

    def add_sums(self, size: int, holding: Tensor, total: Tensor) -> None:
        """Add the sums that :func:`block_sums` made from coalitions of one size."""
        self.holding[size] += holding
        self.totals[size] += total

    def marginals(self) -> Tensor:
        """Mean marginal contribution by size of coalition: (size, player, *shape) float64.

        Row ``s`` is the mean over the coalitions of ``s`` players that do not hold the player,
        s = 0 … n − 1.
        """
        n = self.n_players
        count = [comb(n - 1, s) for s in range(n)]
        per_size = torch.tensor(count, dtype=torch.float64, device=self.totals.device)
        per_size = per_size.view(n, *([1] * self.totals.dim()))
        without = self.totals[:-1].unsqueeze(1) - self.holding[:-1]
        return (self.holding[1:] - without) / per_size


def block_sums(membership: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the coalitions that hold each player, and over all.

    Args:
        membership: (n_players, coalition), 1 where the player is present, in values' dtype.
        values: (coalition, *shape).

    Returns:
        (n_players, *shape) and (*shape), in values' dtype up to 2048 coalitions. Of more, sums of
        2048 are added in float64: float32 alone would lose digits.
    """
    flat = values.reshape(len(values), -1)
    whole = len(flat) // _ROWS * _ROWS
    if len(flat) <= _ROWS or flat.dtype == torch.float64:
        holding, total = membership @ flat, flat.sum(dim=0)
    else:
        parts = flat[:whole].view(-1, _ROWS, flat.shape[1])
        members = membership[:, :whole].view(len(membership), -1, _ROWS).transpose(0, 1)
        holding = torch.bmm(members, parts).sum(dim=0, dtype=torch.float64)
        total = parts.sum(dim=1).sum(dim=0, dtype=torch.float64)
        holding += membership[:, whole:] @ flat[whole:]
        total += flat[whole:].sum(dim=0)
    shape = values.shape[1:]
    return holding.view(len(membership), *shape), total.view(shape)


def marginals_by_size(values: np.ndarray | Tensor) -> np.ndarray:
    """Mean marginal contribution of every player to coalitions of every size.

    Args:
        values: (..., 2**n, output), complete tables in mask order, float32 or float64.

    Returns:
        (..., size, player, output) float64, size = 0 … n − 1. The mean over sizes is the Shapley
        value.

    Raises:
        InputError: the values are not a table of numbers, the number of coalitions is not a power
            of two, or a value is NaN or Inf.
    """
    table = complete_table(values)
    n_players = table.shape[-2].bit_length() - 1
    leading, n_outputs = table.shape[:-2], table.shape[-1]
    table = table.reshape(-1, *table.shape[-2:])
    sums = SizeSums(n_players, (len(table), n_outputs), table.device)
    block = max(1, _BLOCK_BYTES // max(1, len(table) * n_outputs * table.element_size()))
    for size in range(n_players + 1):
        masks = coalitions.of_size(n_players, size)
        for start in range(0, len(masks), block):
            chosen = masks[start : start + block]
            membership = moved(coalitions.to_bool(chosen, n_players).T.copy(), table.device)
            rows = table[:, moved(chosen.astype(np.int64), table.device)]
            sums.add(size, membership.double(), rows.transpose(0, 1).double())
    result = sums.marginals().permute(2, 0, 1, 3)
    return result.reshape(*leading, n_players, n_players, n_outputs).cpu().numpy()


def shapley_values(values: np.ndarray | Tensor) -> np.ndarray:
    """Shapley values of every player for every output.

    Args:
        values: (..., 2**n, output), complete tables in mask order, float32 or float64.

    Returns:
        (..., player, output) float64. They sum over players to v(N) − v(∅).

    Raises:
        InputError: as :func:`marginals_by_size`.
    """
    return marginals_by_size(values).mean(axis=-3)


def complete_table(values: np.ndarray | Tensor) -> Tensor:
    """Values (..., 2**n, output) as a tensor of floats.

    Raises:
        InputError: the values are not a table of numbers, the number of coalitions is not a power
            of two, or a value is NaN or Inf.
    """
    try:
        table = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"values are not a table of numbers: {error}") from None
    if table.dim() < 2 or table.is_complex() or table.dtype == torch.bool:
        raise InputError(
            f"values are {table.dtype} of shape {tuple(table.shape)}; a complete table has real "
            "numbers and the shape (…, 2**n, output). For one output give values[:, None]"
        )
    n_coalitions = table.shape[-2]
    if n_coalitions < 2 or n_coalitions.bit_count() != 1:
        raise InputError(f"a complete table has 2**n rows with n ≥ 1; this one has {n_coalitions}")
    if not torch.isfinite(table).all():
        raise InputError("the table of coalition values holds NaN or Inf: no Shapley value exists")
    return table if table.is_floating_point() else table.double()
