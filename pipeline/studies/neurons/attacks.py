"""Adversarial images, changed so that a network predicts a class that the attacker chose."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.core.progress import progress
from pipeline.studies.neurons.images import Images, Part
from pipeline.studies.neurons.networks import AT_ONCE
from pipeline.studies.neurons.params import AttackParams


@dataclass(frozen=True, eq=False)
class Attack:
    """Attacked images, in the order of the original images of a part."""

    pixels: NDArray[np.float32]
    """(image, channel, height, width) in 0…1"""
    targets: NDArray[np.int64]
    """(image,) the attacker's target class, always different from the true class"""


def attacked(network: nn.Module, images: Images, params: AttackParams, part: int) -> Attack:
    """Attack images by projected gradient descent towards random classes (Appendix C).

    Args:
        network: network under attack, in evaluation mode.
        images: images to attack.
        params: largest change of a pixel, change of a step, and number of steps.
        part: number of the part, for the seed.
    """
    rng = np.random.default_rng([params.seed, part])
    n_classes = len(images.classes)
    targets = (images.labels + rng.integers(1, n_classes, len(images))) % n_classes
    noise = rng.uniform(-params.size, params.size, images.pixels.shape).astype(np.float32)
    found = np.empty_like(images.pixels)
    with progress("attack", len(images), "images") as advance:
        for start in range(0, len(images), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            found[some] = _descended(
                network, images.pixels[some], targets[some], noise[some], params
            )
            advance(len(targets[some]))
    return Attack(found, targets)


def _descended(
    network: nn.Module,
    pixels: NDArray[np.float32],
    targets: NDArray[np.int64],
    noise: NDArray[np.float32],
    params: AttackParams,
) -> NDArray[np.float32]:
    device = next(network.parameters()).device
    clean, wanted = torch.from_numpy(pixels).to(device), torch.from_numpy(targets).to(device)
    least, most = (clean - params.size).clamp(min=0), (clean + params.size).clamp(max=1)
    now: Tensor = (clean + torch.from_numpy(noise).to(device)).clamp(least, most)
    for _ in range(params.steps):
        now = now.detach().requires_grad_()
        loss = nn.functional.cross_entropy(network(now), wanted, reduction="sum")
        (slope,) = torch.autograd.grad(loss, now)
        now = (now.detach() - params.step * slope.sign()).clamp(least, most)
    return now.detach().cpu().numpy()


def write_attacks(path: Path, attacks: Mapping[Part, Attack]) -> None:
    """Write attacks as HDF5, a group for each part."""
    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        for part, attack in attacks.items():
            group = file.create_group(part)
            group.create_dataset("pixels", data=attack.pixels)
            group.create_dataset("targets", data=attack.targets)


def read_attack(path: Path, part: Part) -> Attack:
    """Read what :func:`write_attacks` wrote. Raises InputError for anything else."""
    try:
        with h5py.File(path) as file:
            return Attack(file[f"{part}/pixels"][:], file[f"{part}/targets"][:])
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: is no file of attacked images: {error}; make it again") from None
