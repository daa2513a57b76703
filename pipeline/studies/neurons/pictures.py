"""Pictures of filters: the images that activate them most and least, and dreams (Figs. 1 and 2b).

An image activates a filter by the filter's mean output over the image. A dream is an image made
from noise by gradient ascent on this activation ("Deep Dream", as in the paper). Each step shifts
it by a few pixels and blurs it a little, so that patterns emerge instead of single pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.studies.neurons.competitors import per_image, per_player, strength
from pipeline.studies.neurons.filters import Filters
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.params import PicturesParams
from pipeline.studies.neurons.removal import largest_first

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Portraits:
    """Pictures of some filters."""

    of: tuple[str, ...]
    """(filter,) the metric that each filter was chosen for"""
    filters: tuple[str, ...]
    """their names"""
    values: NDArray[np.float64]
    """(filter,) Shapley values for that metric"""
    standard_errors: NDArray[np.float64]
    most: Floats
    """(filter, image, channel, height, width) in 0…1, the most activating first"""
    least: Floats
    """the same for the least activating images, the least first"""
    dreams: Floats
    """(filter, 2, channel, height, width) by gradient ascent, and by gradient descent"""
    strengths: NDArray[np.float64]
    """(filter, 4) mean outputs for the first of ``most``, of ``least``, and both dreams"""


@dataclass(frozen=True)
class Chosen:
    """A filter to show."""

    player: int
    of: str
    value: float
    standard_error: float


def largest_of_layers(
    filters: Filters, of: str, values: NDArray[np.float64], errors: NDArray[np.float64], most: int
) -> list[Chosen]:
    """Up to ``most`` filters: those of largest values in each layer, first layer first.

    If there are few layers, each gives several filters. If there are many, some are skipped.
    """
    layers, n = filters.layers(), len(filters.masked.sites)
    shown = range(n) if n <= most else np.linspace(0, n - 1, most).round().astype(int)
    found = []
    for layer in shown:
        others = np.flatnonzero(layers != layer)
        found += largest(of, values, errors, max(1, most // n), others)
    return found


def largest(
    of: str,
    values: NDArray[np.float64],
    errors: NDArray[np.float64],
    most: int,
    left_out: NDArray[np.intp] | None = None,
) -> list[Chosen]:
    """The ``most`` filters of largest values, without those in ``left_out``."""
    order = largest_first(values)
    players = (order if left_out is None else order[~np.isin(order, left_out)])[:most]
    return [Chosen(int(p), of, float(values[p]), float(errors[p])) for p in players]


def portraits(
    filters: Filters, images: Images, chosen: Sequence[Chosen], params: PicturesParams
) -> Portraits:
    """Pictures of the chosen filters, made from some images.

    Raises:
        InputError: fewer images than are shown for each filter.
    """
    if len(images) < params.images:
        raise InputError(
            f"neurons.pictures.images: {params.images} images per filter are to be shown, but "
            f"there are only {len(images)}; show fewer"
        )
    players = np.array([each.player for each in chosen])
    strengths = per_image(filters, images, np.arange(len(images)), strength)[:, players]
    most = np.argsort(-strengths, axis=0, kind="stable")[: params.images].T
    least = np.argsort(strengths, axis=0, kind="stable")[: params.images].T
    dreams, reached = dream(filters, images.pixels.shape[1:], players, params)
    own = np.arange(len(players))
    ends = strengths[most[:, 0], own], strengths[least[:, 0], own]
    return Portraits(
        of=tuple(each.of for each in chosen),
        filters=tuple(filters.players[each.player] for each in chosen),
        values=np.array([each.value for each in chosen]),
        standard_errors=np.array([each.standard_error for each in chosen]),
        most=images.pixels[most],
        least=images.pixels[least],
        dreams=dreams,
        strengths=np.column_stack([*ends, reached]),
    )


def dream(
    filters: Filters, shape: Sequence[int], players: NDArray[np.integer], params: PicturesParams
) -> tuple[Floats, NDArray[np.float64]]:
    """Make images that activate filters as much, and as little, as possible.

    All are made at once: the gradient of a sum over images contains the gradient of each image.

    Args:
        filters: the network with its filters as players.
        shape: (channel, height, width) of its images.
        players: (filter,) players to make dreams of.
        params: number and size of steps, shifts and blur.

    Returns:
        Images in 0…1 by ascent and by descent, (filter, 2, channel, height, width), and the
        filters' mean outputs for them, (filter, 2).
    """
    rng = np.random.default_rng(params.seed)
    noise = rng.normal(0.5, 0.1, (len(players), 2, *shape)).clip(0, 1).astype(np.float32)
    pixels = torch.from_numpy(noise).flatten(0, 1).to(filters.device)
    of_each, signs = players.repeat(2), torch.tensor([1.0, -1.0], device=filters.device)
    for step in range(params.steps):
        jumps = [int(x) for x in rng.integers(-params.jitter, params.jitter + 1, 2)]
        moved = torch.roll(pixels, jumps, (2, 3))
        moved = blurred(moved, params.blur if step < params.steps - 1 else 0.0)
        moved = moved.detach().requires_grad_()
        reached = _own_strengths(filters, moved, of_each)
        total = (reached * signs.repeat(len(players))).sum()
        (gradient,) = torch.autograd.grad(total, moved)
        scale = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        moved = (moved.detach() + params.step * gradient / scale).clamp(0, 1)
        pixels = torch.roll(moved, [-jump for jump in jumps], (2, 3))
    with torch.inference_mode():
        reached = _own_strengths(filters, pixels, of_each)
    dreams = pixels.unflatten(0, (len(players), 2)).cpu().numpy()
    return dreams, reached.reshape(-1, 2).double().cpu().numpy()


def blurred(pixels: Tensor, sd: float) -> Tensor:
    """Blur images (…, height, width) with a Gaussian of ``sd`` pixels, cut off at two pixels."""
    if sd == 0:
        return pixels
    places = torch.arange(-2, 3, device=pixels.device, dtype=pixels.dtype)
    weights = torch.exp(-0.5 * (places / sd) ** 2)
    weights = weights / weights.sum()
    height, width = pixels.shape[-2:]
    planes = pixels.reshape(-1, 1, height, width)
    padded = torch.nn.functional.pad(planes, (2, 2, 2, 2), mode="replicate")
    across = torch.nn.functional.conv2d(padded, weights.reshape(1, 1, 1, 5))
    both = torch.nn.functional.conv2d(across, weights.reshape(1, 1, 5, 1))
    return both.reshape(pixels.shape)


def _own_strengths(filters: Filters, pixels: Tensor, players: NDArray[np.integer]) -> Tensor:
    """(image,) how much each image activates its own player."""
    own = torch.from_numpy(players).to(pixels.device)[:, None]
    return per_player(filters, pixels, strength).gather(1, own)[:, 0]


def write_portraits(path: Path, portraits: Portraits | None) -> None:
    """Write pictures of filters as HDF5; None writes a file without any."""
    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        for field in fields(Portraits) if portraits is not None else ():
            value = getattr(portraits, field.name)
            kind = h5py.string_dtype() if isinstance(value, tuple) else None
            file.create_dataset(field.name, data=value, dtype=kind)


def read_portraits(path: Path) -> Portraits | None:
    """Read what :func:`write_portraits` wrote. Raises InputError for anything else."""
    try:
        with h5py.File(path) as file:
            if not file.keys():
                return None
            found: dict[str, Any] = {
                name: tuple(file[name].asstr()[:]) for name in ("of", "filters")
            }
            names = (field.name for field in fields(Portraits))
            return Portraits(
                **{name: file[name][:] for name in names if name not in found}, **found
            )
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: holds no pictures of filters: {error}; make it again") from None
