"""Walks along orders of removal that recompute only the rest of the network.

Removing a unit changes nothing in the modules that run before it. So each walk keeps the outputs
that later layers need, and recomputes them from the unit's own layer on. Many walks are under way
at once. Each step takes the layer that most walks wait for, and advances these walks together.
Batches are therefore full although every walk has its own order.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from pipeline.core.arguments import array
from pipeline.core.errors import InputError
from pipeline.models import devices
from pipeline.models.arguments import called, check_kind
from pipeline.models.units import (
    CONVOLUTIONS,
    Masked,
    Site,
    at_once,
    check_evaluating,
    check_sites,
    checked_images,
)

log = logging.getLogger(__name__)

MOVED = 40
"""Number of multiplications that take as long as storing or fetching one number."""

SLOTS = 32
"""Walks under way, as a multiple of the walks that take a step together."""


@dataclass(frozen=True, eq=False)
class Suffixes:
    """A network as a list of steps, and the places (cuts) from which it can be run."""

    interpreter: fx.Interpreter
    nodes: tuple[fx.Node, ...]
    site_of: dict[fx.Node, tuple[str, int]]
    """node → site's name, and how many times its module has run before"""
    cut_of: NDArray[np.intp]
    """(site,) index of the cut from which the network is run when a unit of the site is removed"""
    cuts: tuple[int, ...]
    """(cut,) the place of the last node that is not run again"""
    needed: tuple[tuple[fx.Node, ...], ...]
    """(cut,) nodes up to there that later ones use"""
    kept: frozenset[fx.Node]
    """nodes whose outputs are needed by any cut"""
    at_once: tuple[float, ...]
    """(cut,) batch size from this cut on, as a multiple of that of a whole run"""
    cost: float
    """multiplications of a whole run, for one image"""
    saved: float
    """estimated multiplications of a walk by whole runs, as a multiple of those of this walk"""


def suffixes_of(network: nn.Module, sites: Sequence[Site], image: Tensor) -> Suffixes | None:
    """The steps of a network from its sites on; None if tracing fails or units are of other kinds.

    Not every site is a cut: running slightly less can cost more in the outputs to keep.

    Args:
        network: in evaluation mode.
        sites: sites of its units.
        image: (1, channel, …), an example input.

    Raises:
        InputError: the network is in training mode, sites belong to another network, or the network
            rejects the image.
    """
    image = _checked(network, sites, image)
    if any(site.kind != "filters" for site in sites):
        return None
    traced = _traced(network)
    if traced is None:
        return None
    nodes = tuple(traced.graph.nodes)
    names = [site.name for site in sites]
    times: dict[str, int] = {}
    site_of: dict[fx.Node, tuple[str, int]] = {}
    for node in nodes:
        if node.op == "call_module" and node.target in names:
            number = times.get(str(node.target), 0)
            times[str(node.target)] = number + 1
            site_of[node] = (str(node.target), number)
    if len(times) < len(names):
        return None
    place_of = {node: place for place, node in enumerate(nodes)}
    first = [
        min(place_of[node] for node, (name, _) in site_of.items() if name == each) for each in names
    ]
    interpreter = fx.Interpreter(traced)
    costs, numbers, is_kept = _costs(interpreter, nodes, image)
    units = [site.n_units for site in sites]
    chosen = _chosen(nodes, place_of, first, units, costs, numbers)
    cuts = tuple(first[site] for site in chosen)
    cut_of = np.searchsorted(np.array(cuts), np.array(first), side="right") - 1
    needed = tuple(_needed(nodes, place_of, cut) for cut in cuts)
    if not all(is_kept[place_of[node]] for each in needed for node in each):
        kind = type(network).__name__
        log.info("%s passes on data that is not per sample: each removal runs it whole", kind)
        return None
    rest = np.array([costs[cut + 1 :].sum() for cut in cuts])
    run = costs.sum() + (np.array(units) * rest[cut_of]).sum()
    return Suffixes(
        interpreter=interpreter,
        nodes=nodes,
        site_of=site_of,
        cut_of=cut_of,
        cuts=cuts,
        needed=needed,
        kept=frozenset(node for each in needed for node in each),
        at_once=tuple(numbers.sum() / numbers[cut + 1 :].sum() for cut in cuts),
        cost=float(costs.sum()),
        saved=float(costs.sum() * (sum(units) + 1) / run),
    )


@torch.inference_mode()
def _checked(network: nn.Module, sites: Sequence[Site], image: Tensor) -> Tensor:
    check_evaluating(network)
    check_sites(network, sites)
    image = checked_images(network, image)[:1]
    called(network, image, "images")
    return image


def _traced(network: nn.Module) -> fx.GraphModule | None:
    try:
        return fx.symbolic_trace(network)
    except Exception as error:  # the network's own code may fail in any way on a placeholder
        kind = type(network).__name__
        log.info("%s cannot be traced (%s): each removal runs it whole", kind, error)
        return None


def _needed(
    nodes: Sequence[fx.Node], place_of: dict[fx.Node, int], cut: int
) -> tuple[fx.Node, ...]:
    """Nodes up to a cut whose outputs later nodes use."""
    return tuple(
        node
        for node in nodes[: cut + 1]
        if node.op != "get_attr" and any(place_of[user] > cut for user in node.users)
    )


def _chosen(
    nodes: Sequence[fx.Node],
    place_of: dict[fx.Node, int],
    first: Sequence[int],
    units: Sequence[int],
    costs: NDArray[np.float64],
    numbers: NDArray[np.float64],
) -> list[int]:
    """Sites that are cuts: all but those that are estimated to slow a walk down."""
    order = np.argsort(first)
    needed = {site: [place_of[n] for n in _needed(nodes, place_of, first[site])] for site in order}

    def estimate(chosen: Sequence[int]) -> float:
        kept = np.zeros(len(nodes), dtype=bool)
        for site in chosen:
            kept[needed[site]] = True
        total, cut = 0.0, -1
        for site in order:
            cut = site if site in chosen else cut
            moved = numbers[needed[cut]].sum() + (numbers * kept)[first[cut] + 1 :].sum()
            total += units[site] * (costs[first[cut] + 1 :].sum() + MOVED * moved)
        return total

    chosen = [int(site) for site in order]
    best = estimate(chosen)
    while len(chosen) > 1:
        tried = [(estimate([c for c in chosen if c != site]), site) for site in chosen[1:]]
        least, site = min(tried)
        if least > best:
            break
        best = least
        chosen.remove(site)
    return chosen


def walks(
    masked: Masked,
    images: Tensor,
    orders: NDArray[np.integer],
    *,
    references: Tensor | None = None,
    say: Callable[[Tensor, NDArray[np.intp]], Tensor],
    suffixes: Suffixes | None = None,
) -> Tensor:
    """Outputs for images while their units are removed one by one.

    Args:
        masked: the network.
        images: (walk, channel, …).
        orders: (walk, removal) players in the order in which they are removed: all, or some.
        references: (walk,) indices of reference images, where units are resampled.
        say: function of scores (m, class) and the indices of their walks (m,) that returns
            (m, output).
        suffixes: steps of the network from its sites on; None runs it whole for each removal.

    Returns:
        (walk, removal + 1, output): row k is the output after the first k players were removed.

    Raises:
        InputError: orders or references do not match, the network rejects the images, or ``say``
            does not return one row per sample.
    """
    check_kind("masked", masked, Masked)
    if suffixes is not None:
        check_kind("suffixes", suffixes, Suffixes, ", which suffixes_of gives, or None")
    if not callable(say):
        raise InputError(f"say: a {type(say).__name__}; a function of scores is needed")
    images, orders = checked_images(masked.network, images), array("orders", orders)
    n = len(masked.players)
    fit = orders.ndim == 2 and len(orders) == len(images) and orders.dtype.kind in "iu"
    ascending = np.sort(orders, axis=-1) if fit else orders
    fit = fit and bool((np.diff(ascending) > 0).all())
    if not fit or (orders.size and (ascending.min() < 0 or ascending.max() >= n)):
        raise InputError(
            f"orders of shape {orders.shape} for {len(images)} images and {n} players: each row "
            "must name players by number, each at most once"
        )
    if masked.replaced_by.absent == "resample":
        references = masked.checked_references(references, len(images))
    if suffixes is None:
        return _whole(masked, images, orders, references, say)
    return _Walk(masked, images, orders, references, say, suffixes).run()


def _whole(
    masked: Masked,
    images: Tensor,
    orders: NDArray[np.integer],
    references: Tensor | None,
    say: Callable[[Tensor, NDArray[np.intp]], Tensor],
) -> Tensor:
    n = orders.shape[1]
    places = np.full((len(orders), len(masked.players)), n)
    np.put_along_axis(places, orders, np.arange(n)[None], axis=1)
    owners = np.repeat(np.arange(len(images)), n + 1)
    removed = np.tile(np.arange(n + 1), len(images))
    found = []
    size = at_once(masked.network, masked.sites, images[:1])
    for start in range(0, len(owners), size):
        some = owners[start : start + size]
        there = places[some] >= removed[start : start + size, None]
        index = torch.from_numpy(some).to(images.device)
        of = None if references is None else references[index]
        scores = masked(images[index], torch.from_numpy(there).to(images.device), of)
        found.append(_said(say, scores, some))
    return torch.cat(found).reshape(len(images), n + 1, -1)


def _said(
    say: Callable[[Tensor, NDArray[np.intp]], Tensor], scores: Tensor, walks: NDArray[np.intp]
) -> Tensor:
    found = say(scores, walks)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(walks):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"say gives {shape} for {len(walks)} samples: a tensor (m, output) needed")
    return found


class _Walk:
    """Walks under way, each in a slot that holds its outputs so far."""

    def __init__(
        self,
        masked: Masked,
        images: Tensor,
        orders: NDArray[np.integer],
        references: Tensor | None,
        say: Callable[[Tensor, NDArray[np.intp]], Tensor],
        suffixes: Suffixes,
    ) -> None:
        self.masked, self.images, self.orders = masked, images, orders
        self.references, self.say, self.steps = references, say, suffixes
        counts = [site.n_units for site in masked.sites]
        unit_site = np.repeat(np.arange(len(counts)), counts)
        if len(masked.players) == len(counts) != len(unit_site):
            unit_site = np.arange(len(counts))
        self.cut_of_player = suffixes.cut_of[unit_site]
        self.at_once = at_once(masked.network, masked.sites, images[:1])
        self.n_slots = min(len(images), SLOTS * self.at_once, self._most_slots())
        # A later cut computes less per sample, so it takes larger batches.
        self.most = [max(1, int(self.at_once * share)) for share in suffixes.at_once]
        self.kept: dict[fx.Node, Tensor] = {}
        self.present = torch.ones(
            (self.n_slots, len(masked.players)), dtype=torch.bool, device=images.device
        )
        self.found: Tensor | None = None

    @torch.inference_mode()
    def run(self) -> Tensor:
        n_walks, n = self.orders.shape
        owner, done = np.empty(self.n_slots, dtype=np.intp), np.full(self.n_slots, n)
        begun = 0
        while begun < n_walks or (done < n).any():
            free = np.flatnonzero(done == n)[: n_walks - begun]
            for start in range(0, len(free), self.at_once):
                fresh = free[start : start + self.at_once]
                owner[fresh] = np.arange(begun, begun + len(fresh))
                begun += len(fresh)
                done[fresh] = 0
                self.present[torch.from_numpy(fresh).to(self.images.device)] = True
                self._advance(fresh, owner, done, None)
            active = np.flatnonzero(done < n)
            if not len(active):
                continue
            players = self.orders[owner[active], done[active]]
            cuts = self.cut_of_player[players]
            cut = int(np.bincount(cuts).argmax())
            some = np.flatnonzero(cuts == cut)[: self.most[cut]]
            slots, removed = active[some], players[some]
            index = torch.from_numpy(slots).to(self.images.device)
            self.present[index, torch.from_numpy(removed).to(self.images.device)] = False
            done[slots] += 1
            self._advance(slots, owner, done, cut)
        assert self.found is not None
        return self.found

    def _advance(
        self,
        slots: NDArray[np.intp],
        owner: NDArray[np.intp],
        done: NDArray[np.int64],
        cut: int | None,
    ) -> None:
        """Run the network for some slots, from a cut or (None) from the beginning."""
        steps, index = self.steps, torch.from_numpy(slots).to(self.images.device)
        walks = torch.from_numpy(owner[slots]).to(self.images.device)
        units = self.masked.units(self.present[index])
        references = None if self.references is None else self.references[walks]
        env: dict[fx.Node, Any] = {}

        def seen(node: fx.Node, output: Any) -> Any:
            """A node's output, as later nodes get it."""
            if node not in steps.site_of:
                return output
            name, number = steps.site_of[node]
            there = units[:, self.masked.spans[name]]
            return self.masked.mixed(name, number, output, there, references)

        if cut is not None:
            for node in steps.needed[cut]:
                env[node] = seen(node, self.kept[node].index_select(0, index))
        steps.interpreter.env = env
        start = 0 if cut is None else steps.cuts[cut] + 1
        scores = self._run_from(start, env, seen, index, self.images, walks)
        said = _said(self.say, scores, owner[slots])
        if self.found is None:
            shape = (len(self.orders), self.orders.shape[1] + 1, said.shape[1])
            self.found = said.new_zeros(shape)
        self.found[walks, torch.from_numpy(done[slots]).to(self.images.device)] = said

    def _run_from(
        self,
        start: int,
        env: dict[fx.Node, Any],
        seen: Callable[[fx.Node, Any], Any],
        index: Tensor,
        images: Tensor,
        walks: Tensor,
    ) -> Tensor:
        steps = self.steps
        for place, node in enumerate(steps.nodes):
            if place < start and node.op != "get_attr":
                continue
            if node.op == "output":
                scores: Any = fx.node.map_arg(node.args[0], env.__getitem__)
                return torch.as_tensor(scores)
            if node.op == "placeholder":
                output: Any = images[walks]
            else:
                output = steps.interpreter.run_node(node)
            if node in steps.kept and isinstance(output, Tensor):
                self._keep(node, index, output)
            env[node] = seen(node, output)
        raise AssertionError("a graph ends in its output")

    def _keep(self, node: fx.Node, index: Tensor, output: Tensor) -> None:
        if node not in self.kept:
            shape = (self.n_slots, *output.shape[1:])
            self.kept[node] = output.new_empty(shape)
        self.kept[node].index_copy_(0, index, output)

    def _most_slots(self) -> int:
        """Number of walks whose kept outputs fit into the memory of a batch."""
        image = self.images[:1]
        _, numbers, _ = _costs(self.steps.interpreter, self.steps.nodes, image)
        kept = [node in self.steps.kept for node in self.steps.nodes]
        room = devices.working_memory(image.device) / (image.element_size() * numbers[kept].sum())
        return max(1, int(room))


@torch.inference_mode()
def _costs(
    interpreter: fx.Interpreter, nodes: Sequence[fx.Node], image: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Cost of each node for one image: multiplications (convolutions, linear layers) and outputs.

    The third array says whether a node's output has one row per sample, so that it can be kept.
    """
    costs, numbers = np.zeros(len(nodes)), np.zeros(len(nodes))
    is_kept = np.zeros(len(nodes), dtype=bool)
    two = image.expand(2, *image.shape[1:])
    env: dict[fx.Node, Any] = {}
    interpreter.env = env
    modules = dict(interpreter.module.named_modules())
    for place, node in enumerate(nodes):
        if node.op == "output":
            break
        output = two if node.op == "placeholder" else interpreter.run_node(node)
        env[node] = output
        is_kept[place] = isinstance(output, Tensor) and output.ndim > 0 and len(output) == 2
        numbers[place] = output.numel() / 2 if is_kept[place] else 0
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, CONVOLUTIONS):
            costs[place] = numbers[place] * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            costs[place] = numbers[place] * module.in_features
    return costs, numbers, is_kept
