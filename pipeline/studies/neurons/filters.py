"""A network with its filters as players."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.files import array_digest
from pipeline.models import checkpoints
from pipeline.models.suffix import Suffixes, suffixes_of, walks
from pipeline.models.units import Kind, Masked, at_once, find_sites, replacement, rows
from pipeline.studies.neurons.images import Images
from pipeline.studies.neurons.networks import read_network
from pipeline.studies.neurons.params import CoalitionsParams, PlayersParams

REFERENCES = 64
"""Number of reference images if the outputs of absent filters are resampled."""

WORTH = 2.0
"""Least factor of multiplications saved at which running only the rest of a network is faster."""

SMALL = 3_000_000
"""Multiplications below which a network counts as small. It takes microseconds, so keeping outputs
costs as much as it saves."""


@dataclass(frozen=True, eq=False)
class Filters:
    """A network whose filters can be absent."""

    masked: Masked
    kind: Kind
    """what the players are"""
    grouped: bool
    """whether all units of a module are one player"""
    device: torch.device
    described: dict[str, Any]
    """what defines the network apart from its weights"""
    weights_sha256: str
    seed: int
    at_once: int
    """best number of samples in a batch"""
    suffixes: Suffixes | None

    @property
    def players(self) -> tuple[str, ...]:
        """Names of the filters."""
        return self.masked.players

    def say(
        self,
        images: Images,
        targets: NDArray[np.integer] | None,
        places: NDArray[np.integer],
        present: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """The network's outputs for images while some filters are absent.

        Args:
            images: all images of a part.
            targets: (image,) the attacker's target classes, or None.
            places: (m,) the image of each row.
            present: (m, player) which filters are present.

        Returns:
            (m, output); :data:`pipeline.studies.neurons.metrics.SAYS` names the outputs.
        """
        pixels, found = self._on_device(images.pixels), []
        labels, wanted = self._classes(images, targets)
        shown, all_there = self._on_device(places), self._on_device(present)
        instead = self._references(len(images))
        for some, there in zip(
            shown.split(self.at_once), all_there.split(self.at_once), strict=True
        ):
            scores = self.masked(pixels[some], there, None if instead is None else instead[some])
            found.append(rows(scores, labels[some], None if wanted is None else wanted[some]))
        return torch.cat(found).cpu().numpy()

    def walk(
        self,
        images: Images,
        targets: NDArray[np.integer] | None,
        places: NDArray[np.integer],
        orders: NDArray[np.integer],
    ) -> NDArray[np.float32]:
        """The network's outputs for images while filters are removed one by one.

        Args:
            images: all images of a part.
            targets: as for :meth:`say`.
            places: (walk,) the image of each walk.
            orders: (walk, removal) players in the order in which they are removed.

        Returns:
            (walk, removal + 1, output)
        """
        labels, wanted = self._classes(images, targets)
        some, instead = self._on_device(places), self._references(len(images))

        def said(scores: Tensor, walk: NDArray[np.intp]) -> Tensor:
            of = some[self._on_device(walk)]
            return rows(scores, labels[of], None if wanted is None else wanted[of])

        found = walks(
            self.masked,
            self._on_device(images.pixels)[some],
            orders,
            references=None if instead is None else instead[some],
            say=said,
            suffixes=self.suffixes,
        )
        return found.cpu().numpy()

    def after(
        self,
        images: Images,
        targets: NDArray[np.integer] | None,
        order: NDArray[np.integer],
    ) -> NDArray[np.float32]:
        """Outputs for all images while filters are removed: (image, removal + 1, output)."""
        everywhere = np.broadcast_to(order, (len(images), len(order)))
        return self.walk(images, targets, np.arange(len(images)), everywhere)

    def replaced_digest(self) -> str:
        """sha256 of the outputs that replace those of absent filters."""
        given = self.masked.replaced_by.outputs
        return array_digest(
            [t.cpu().numpy() for site in self.masked.sites for t in given[site.name]]
        )

    def layers(self) -> NDArray[np.intp]:
        """(player,) index of each player's module."""
        counts = [1 if self.grouped else site.n_units for site in self.masked.sites]
        return np.repeat(np.arange(len(counts)), counts)

    def _classes(
        self, images: Images, targets: NDArray[np.integer] | None
    ) -> tuple[Tensor, Tensor | None]:
        wanted = None if targets is None else self._on_device(targets)
        return self._on_device(images.labels), wanted

    def _references(self, n_images: int) -> Tensor | None:
        """(image,) index of each image's reference image, which depends only on the seed."""
        if self.masked.replaced_by.absent != "resample":
            return None
        held = len(next(iter(self.masked.replaced_by.outputs.values()))[0])
        return self._on_device(np.random.default_rng([self.seed, 1]).integers(0, held, n_images))

    def _on_device(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def read_filters(
    checkpoint: Path,
    references: Images,
    params: CoalitionsParams,
    players: PlayersParams | None,
    device: torch.device,
) -> Filters:
    """The network of a checkpoint, with its filters as players.

    Args:
        checkpoint: checkpoint of the network.
        references: images for the outputs that replace those of absent filters.
        params: how absent filters are replaced.
        players: which parts of the network are players; None: filters of all convolutions.
        device: where the network runs.
    """
    network = read_network(checkpoint).to(device)
    pixels = torch.from_numpy(references.pixels).to(device)
    if params.absent == "resample":
        pixels = pixels[:REFERENCES]
    chosen = players or PlayersParams(kind="filters", modules=None, grouped=False)
    sites = find_sites(network, pixels[:1], kind=chosen.kind, modules=chosen.modules)
    suffixes = suffixes_of(network, sites, pixels[:1])
    if suffixes is not None and (suffixes.saved < WORTH or suffixes.cost < SMALL):
        suffixes = None
    description, _ = checkpoints.load(checkpoint)
    return Filters(
        masked=Masked(
            network,
            sites,
            replacement(network, sites, pixels, params.absent),
            grouped=chosen.grouped,
        ),
        kind=chosen.kind,
        grouped=chosen.grouped,
        device=device,
        described=description,
        weights_sha256=checkpoints.state_digest(network),
        seed=params.seed,
        at_once=at_once(network, sites, pixels[:1]),
        suffixes=suffixes,
    )
