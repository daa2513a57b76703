"""Networks in which some units can be absent: filters, hidden units, or attention heads.

A *site* is a module whose outputs are units. The units of a convolution are its output channels,
those of a multi-head attention its heads, and those of an activation after a linear layer its
hidden units. The outputs of an absent unit are replaced, wherever the module runs, by

* ``mean``: their mean over reference images and positions (Neuron Shapley, Section 2);
* ``zero``;
* ``resample``: the outputs for one reference image, chosen for each image.

Outputs are replaced directly after the module. With the mean of a convolution's output it makes no
difference whether a following batch norm is folded into the convolution.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.core.arguments import one_of
from pipeline.core.errors import InputError
from pipeline.models import devices
from pipeline.models.arguments import called, check_kind, finite, tensor, weight_of

Kind = Literal["filters", "hidden", "heads"]
Absent = Literal["mean", "zero", "resample"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.PReLU, nn.Tanh, nn.Hardswish, nn.ELU)
WEIGHTED = (*CONVOLUTIONS, nn.Linear, nn.MultiheadAttention)

AT_ONCE = 256
"""Reference images evaluated in one batch."""

MOST_AT_ONCE = 4096
"""Most samples evaluated in one batch."""

CACHED = 1 << 26
"""Bytes of outputs up to which larger batches are not slower on a CPU."""


@dataclass(frozen=True)
class Site:
    """A module whose outputs are units."""

    name: str
    """the module's name"""
    n_units: int
    kind: Kind


@dataclass(frozen=True, eq=False)
class Replacement:
    """Outputs that replace those of absent units."""

    absent: Absent
    outputs: Mapping[str, tuple[Tensor, ...]]
    """by site, for each time that the module runs: (unit, …), with length 1 along axes where it is
    constant; for ``resample`` (reference, unit, …)"""


def find_sites(
    network: nn.Module,
    example: Tensor,
    *,
    kind: Kind = "filters",
    modules: Sequence[str] | None = None,
) -> tuple[Site, ...]:
    """The sites of a network, in the order in which they run.

    The last module with weights gives the classes' scores, so its outputs are not players. Modules
    that do not run in evaluation mode are not found.

    Args:
        network: in evaluation mode.
        example: a batch of images.
        kind: ``filters`` of convolutions, ``hidden`` units (outputs of an activation that follows a
            linear layer), or ``heads`` of ``nn.MultiheadAttention``.
        modules: names of modules, as patterns such as ``layer3.*``; for ``filters`` these may be
            any modules with channels, such as a ReLU. None: all modules of the kind.

    Raises:
        InputError: the network is in training mode or rejects the example, a pattern matches
            nothing, or there is no site at all.
    """
    check_evaluating(network)
    one_of("kind", kind, Kind)
    example = checked_images(network, example)
    if isinstance(modules, str) or not isinstance(modules, Sequence | None):
        raise InputError(f"modules {modules!r}: give a list of names or patterns, or None")
    ran = _modules_that_run(network, example)
    last = max((i for i, (_, m, _) in enumerate(ran) if isinstance(m, WEIGHTED)), default=-1)
    found: dict[str, Site] = {}
    for place, (name, module, output) in enumerate(ran[: max(last, 0)]):
        before = ran[place - 1][1] if place else None
        if name not in found and _is_site(name, module, before, kind, modules):
            found[name] = Site(name, _count(module, output, kind), kind)
    if modules is not None:
        for pattern in modules:
            if not any(fnmatchcase(name, pattern) for name in found):
                names = ", ".join(dict.fromkeys(name for name, _, _ in ran[:8]))
                raise InputError(
                    f"modules: {pattern!r} fits no module that runs before the classifier and has "
                    f"{kind}; the first modules are {names}"
                )
    if not found:
        raise InputError(
            f"the network ({type(network).__name__}) has no {kind} before its last layer; name "
            "modules whose outputs are units, or take another network"
        )
    return tuple(found.values())


def players_of(sites: Sequence[Site], *, grouped: bool = False) -> tuple[str, ...]:
    """Names of the players: ``<module>:<number>`` for each unit, or one player per site."""
    for site in sites if isinstance(sites, Iterable) else [sites]:
        check_kind("sites", site, Site, "; find_sites lists a network's")
    if grouped:
        return tuple(site.name for site in sites)
    return tuple(f"{site.name}:{number}" for site in sites for number in range(site.n_units))


@torch.inference_mode()
def replacement(
    network: nn.Module, sites: Sequence[Site], references: Tensor, absent: Absent = "mean"
) -> Replacement:
    """Replacements for absent units, from reference images on the network's device.

    Means are taken in float64, over images and positions.

    Raises:
        InputError: the network is in training mode or rejects the references, sites belong to
            another network, or outputs are NaN or Inf.
    """
    check_evaluating(network)
    check_sites(network, sites)
    one_of("absent", absent, Absent)
    references = checked_images(network, references)
    seen: dict[str, list[Tensor]] = {site.name: [] for site in sites}
    kinds = {site.name: site.kind for site in sites}
    for start in range(0, len(references), AT_ONCE):
        some = references[start : start + AT_ONCE]
        for name, outputs in outputs_of(network, sites, some).items():
            told = [_told(output, absent, kinds[name]) for output in outputs]
            if not seen[name]:
                seen[name] = told
            elif absent == "resample":
                seen[name] = [torch.cat(pair) for pair in zip(seen[name], told, strict=True)]
            else:
                seen[name] = [a + b for a, b in zip(seen[name], told, strict=True)]
    dtype = next(network.parameters()).dtype
    count = 1 if absent == "resample" else len(references)
    given = {name: tuple((t / count).to(dtype) for t in told) for name, told in seen.items()}
    for name, times in given.items():
        for each in times:
            finite(f"the outputs of {name}", each)
    return Replacement(absent, given)


def _told(output: Tensor, absent: Absent, kind: Kind) -> Tensor:
    """The summand of one batch of reference images, from outputs (image, unit, …)."""
    if absent == "resample":
        return output
    # A head's output at a place is a vector.
    positions = (2,) if kind == "heads" else tuple(range(2, output.ndim))
    mean = output.double().mean(dim=positions, keepdim=True) if positions else output.double()
    total = mean.sum(dim=0)
    return torch.zeros_like(total) if absent == "zero" else total


class Masked:
    """A network whose units can be absent, with one mask per sample.

    Attributes:
        players: their names.
        sites: sites of the units.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Sequence[Site],
        replaced_by: Replacement,
        *,
        grouped: bool = False,
    ) -> None:
        """A network in evaluation mode; ``grouped`` makes each site one player.

        Raises InputError if the sites or the replacements belong to another network.
        """
        check_evaluating(network)
        check_sites(network, sites)
        _check_replacement(sites, replaced_by)
        self.network, self.sites, self.replaced_by = network, tuple(sites), replaced_by
        self.players = players_of(sites, grouped=grouped)
        counts = [site.n_units for site in sites]
        ends = list(itertools.accumulate(counts, initial=0))
        self.spans = {
            site.name: slice(a, b) for site, a, b in zip(sites, ends, ends[1:], strict=False)
        }
        of_site = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        self._player_of = of_site if grouped else None

    @torch.inference_mode()
    def __call__(self, images: Tensor, present: Tensor, references: Tensor | None = None) -> Tensor:
        """Scores with some units absent.

        Args:
            images: (sample, channel, …) on the network's device.
            present: (sample, player) bool.
            references: (sample,) indices of reference images, where units are resampled.

        Returns:
            (sample, class)

        Raises:
            InputError: masks do not match, or the network rejects the images.
        """
        images, present = tensor("images", images), tensor("masks", present)
        if present.shape != (len(images), len(self.players)) or present.dtype != torch.bool:
            raise InputError(
                f"masks of shape {tuple(present.shape)}, {present.dtype}; for {len(images)} images "
                f"and {len(self.players)} players ({len(images)}, {len(self.players)}) bool is "
                "needed"
            )
        if self.replaced_by.absent == "resample":
            references = self.checked_references(references, len(images))
        units = self.units(present)
        with _replaced(self.network, self.sites, self._edit(units, references)):
            return run(self.network, images)

    def checked_references(self, references: Tensor | None, count: int) -> Tensor:
        """References where units are resampled. Raises InputError unless each sample has one."""
        if references is None:
            raise InputError("units are resampled: give the reference image of each sample")
        given = tensor("references", references)
        held = len(self.replaced_by.outputs[self.sites[0].name][0])
        whole = not (given.is_floating_point() or given.dtype == torch.bool)
        if given.shape != (count,) or not whole or not ((given >= 0) & (given < held)).all():
            raise InputError(
                f"references of shape {tuple(given.shape)}, {given.dtype}; for each of {count} "
                f"samples the number of a reference image, 0 to {held - 1}, is needed"
            )
        return given

    def units(self, present: Tensor) -> Tensor:
        """Masks of units (sample, unit), from masks of players."""
        if self._player_of is None:
            return present
        return present[:, self._player_of.to(present.device)]

    def mixed(
        self, name: str, number: int, output: Tensor, there: Tensor, references: Tensor | None
    ) -> Tensor:
        """Outputs (sample, unit, …) of a site, with those of absent units replaced.

        Args:
            name: the site's name.
            number: how often the module has already run for these samples.
            output: the site's outputs.
            there: (sample, unit of the site) bool.
            references: (sample,) indices of reference images, where units are resampled.
        """
        instead = self.replaced_by.outputs[name][number]
        if self.replaced_by.absent == "resample":
            assert references is not None
            instead = instead[references]
        mask = there.reshape(*there.shape, *([1] * (output.ndim - 2)))
        if not isinstance(self.network.get_submodule(name), CONVOLUTIONS):
            return torch.where(mask, output, instead)
        # A convolution's output has no other user, and replacing in place takes barely any time.
        shift = torch.where(mask, torch.zeros((), dtype=output.dtype, device=mask.device), instead)
        return output.mul_(mask.to(output.dtype)).add_(shift)

    def _edit(self, units: Tensor, references: Tensor | None) -> "Edit":
        """The function that replaces outputs; it returns None where no sample lacks a unit."""
        ends = [units[:, self.spans[site.name]].all() for site in self.sites]
        complete = torch.stack(ends).tolist()
        whole = {
            site.name for site, all_there in zip(self.sites, complete, strict=True) if all_there
        }

        def edit(name: str, number: int, output: Tensor) -> Tensor | None:
            if name in whole:
                return None
            return self.mixed(name, number, output, units[:, self.spans[name]], references)

        return edit


Edit = Callable[[str, int, Tensor], Tensor | None]


def run(network: nn.Module, images: Tensor) -> Tensor:
    """The network's scores (sample, class). Raises InputError if its output has another shape."""
    scores = called(network, tensor("images", images, weight_of(network)), "images")
    if scores.ndim != 2:
        raise InputError(
            f"the network ({type(network).__name__}) gives no scores (image, class); wrap it in "
            "a module that gives them"
        )
    return scores


def rows(scores: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """The quantities that are computed from scores, one row per sample.

    Args:
        scores: (sample, class), before the softmax.
        labels: (sample,) true classes.
        targets: (sample,) classes that an attacker wants.

    Returns:
        (sample, output) float32: 1 where the class with the highest score is the true one and 0
        elsewhere; the probability of the true class; the class with the highest score; and, with
        targets, the targets' probabilities.

    Raises:
        InputError: scores are NaN or Inf, or labels or targets are not classes.
    """
    scores = tensor("scores", scores)
    labels = _checked_classes("labels", labels, scores)
    if not torch.isfinite(scores).all():
        raise InputError("the network gives NaN or Inf scores; no value can be computed from them")
    probabilities = scores.float().softmax(dim=1)
    predicted = scores.argmax(dim=1)
    said = [(predicted == labels).float(), _of(probabilities, labels), predicted.float()]
    if targets is not None:
        said.append(_of(probabilities, _checked_classes("targets", targets, scores)))
    return torch.stack(said, dim=1)


@torch.inference_mode()
def at_once(network: nn.Module, sites: Sequence[Site], image: Tensor) -> int:
    """Best number of samples per batch of a network: a power of two.

    On a CPU, the sites' outputs should stay in the processor's cache; on a GPU, fit its memory.

    Args:
        network: in evaluation mode.
        sites: sites of its units.
        image: (1, channel, …).

    Raises:
        InputError: sites belong to another network, or the network rejects the image.
    """
    check_sites(network, sites)
    image = checked_images(network, image)
    outputs = outputs_of(network, sites, image).values()
    size = image.element_size() * sum(each.numel() for times in outputs for each in times)
    room = CACHED if image.device.type == "cpu" else devices.working_memory(image.device) // 8
    return 1 << int(max(16, min(MOST_AT_ONCE, room // size))).bit_length() - 1


def check_evaluating(network: nn.Module) -> None:
    """Raise InputError if a network is in training mode, where dropout would remove other units."""
    check_kind("network", network, nn.Module)
    if network.training:
        raise InputError(
            f"the network ({type(network).__name__}) is in training mode; call network.eval()"
        )


def check_sites(network: nn.Module, sites: Sequence[Site]) -> None:
    """Raise InputError unless there are sites and all are modules of the network."""
    check_kind("network", network, nn.Module)
    if not players_of(sites):
        raise InputError("sites: none are given; find_sites lists a network's")
    names = dict(network.named_modules())
    for site in sites:
        if site.name not in names:
            raise InputError(
                f"sites: the network ({type(network).__name__}) has no module {site.name!r}; "
                "find_sites lists its modules"
            )


def checked_images(network: nn.Module, images: Tensor) -> Tensor:
    """Images for a network; arrays are converted. Raises InputError for no image, NaN or Inf."""
    given = tensor("images", images, weight_of(network))
    if 0 in given.shape or not given.ndim:
        raise InputError(f"images of shape {tuple(given.shape)}: (image, …) of at least one needed")
    return finite("the images", given)


def _check_replacement(sites: Sequence[Site], replaced_by: Replacement) -> None:
    check_kind("replaced_by", replaced_by, Replacement, ", which replacement makes")
    axis = 1 if replaced_by.absent == "resample" else 0
    for site in sites:
        times = replaced_by.outputs.get(site.name, ())
        if not times or any(output.shape[axis] != site.n_units for output in times):
            raise InputError(
                f"replaced_by: holds nothing for the {site.n_units} units of {site.name}; make it "
                "for the same sites"
            )


def _checked_classes(name: str, classes: Tensor, scores: Tensor) -> Tensor:
    """Classes as int64. Raises InputError unless each sample has one class that exists."""
    given = tensor(name, classes)
    whole = not (given.is_floating_point() or given.dtype == torch.bool)
    if scores.ndim != 2 or given.shape != scores.shape[:1] or not whole:
        raise InputError(
            f"{name} of shape {tuple(given.shape)}, {given.dtype}, for scores of shape "
            f"{tuple(scores.shape)}: integers (sample,) and scores (sample, class) are needed"
        )
    wrong = given[(given < 0) | (given >= scores.shape[1])]
    if len(wrong):
        raise InputError(
            f"{name} hold class {int(wrong[0])}; the network has {scores.shape[1]} classes, "
            "counted from 0"
        )
    return given.to(scores.device, torch.int64)


def _of(probabilities: Tensor, classes: Tensor) -> Tensor:
    return probabilities.gather(1, classes[:, None])[:, 0]


def _is_site(
    name: str,
    module: nn.Module,
    before: nn.Module | None,
    kind: Kind,
    patterns: Sequence[str] | None,
) -> bool:
    if patterns is not None:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            return False
        return kind != "heads" or isinstance(module, nn.MultiheadAttention)
    if kind == "filters":
        return isinstance(module, CONVOLUTIONS)
    if kind == "heads":
        return isinstance(module, nn.MultiheadAttention)
    return isinstance(module, ACTIVATIONS) and isinstance(before, nn.Linear)


def _count(module: nn.Module, output: Any, kind: Kind) -> int:
    if isinstance(module, nn.MultiheadAttention):
        return module.num_heads
    return int(output.shape[-1] if kind == "hidden" else output.shape[1])


@torch.inference_mode()
def _modules_that_run(network: nn.Module, example: Tensor) -> list[tuple[str, nn.Module, Any]]:
    """Leaf modules and attentions with their outputs, once for each time that they run."""
    ran: list[tuple[str, nn.Module, Any]] = []
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention) or not any(module.children()):

            def note(module: nn.Module, _arguments: Any, output: Any, name: str = name) -> None:
                ran.append((name, module, output))

            handles.append(module.register_forward_hook(note))
    try:
        run(network, example)
    finally:
        for handle in handles:
            handle.remove()
    return ran


def outputs_of(
    network: nn.Module, sites: Sequence[Site], images: Tensor
) -> dict[str, list[Tensor]]:
    """Outputs (image, unit, …) of all sites, for each time that they run."""
    found: dict[str, list[Tensor]] = {site.name: [] for site in sites}

    def keep(name: str, _number: int, output: Tensor) -> None:
        # Later modules may change the outputs in place.
        found[name].append(output.clone())

    with _replaced(network, sites, keep):
        run(network, images)
    return found


@contextmanager
def _replaced(network: nn.Module, sites: Sequence[Site], edit: Edit) -> Iterator[None]:
    """Edit the outputs of units (sample, unit, …) while the network runs."""
    times = dict.fromkeys((site.name for site in sites), -1)
    handles = []
    for site in sites:
        module = network.get_submodule(site.name)

        def hook(
            module: nn.Module,
            arguments: tuple[Any, ...],
            options: dict[str, Any],
            output: Any,
            site: Site = site,
        ) -> Any:
            times[site.name] += 1
            number = times[site.name]
            if site.kind == "heads":
                return _attended(module, arguments, options, output, partial_edit(site, number))
            if site.kind == "hidden":
                changed = edit(site.name, number, output.movedim(-1, 1))
                return None if changed is None else changed.movedim(1, -1)
            return edit(site.name, number, output)

        handles.append(module.register_forward_hook(hook, with_kwargs=True))

    def partial_edit(site: Site, number: int) -> Callable[[Tensor], Tensor | None]:
        return lambda heads: edit(site.name, number, heads)

    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attended(
    module: Any,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    output: Any,
    edit: Callable[[Tensor], Tensor | None],
) -> Any:
    """Output of a multi-head attention with its heads' outputs edited.

    PyTorch's forward passes the heads' outputs to the last projection within one fused function, so
    they are computed again here. This covers self-attention and cross-attention without masks.
    """
    query, key, value = (
        argument if argument is not None else options[name]
        for argument, name in itertools.zip_longest(arguments[:3], ("query", "key", "value"))
    )
    if not module.batch_first:
        query, key, value = (t.transpose(0, 1) for t in (query, key, value))
    if options.get("attn_mask") is not None or options.get("key_padding_mask") is not None:
        raise InputError("attention with masks cannot have absent heads yet")
    if module.in_proj_weight is None or module.bias_k is not None:
        raise InputError("attention with keys of another width cannot have absent heads yet")
    biases = [None] * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    projected = [
        nn.functional.linear(t, w, b)
        for t, w, b in zip((query, key, value), module.in_proj_weight.chunk(3), biases, strict=True)
    ]
    q, k, v = (
        t.unflatten(-1, (module.num_heads, module.head_dim)).transpose(1, 2) for t in projected
    )
    heads = nn.functional.scaled_dot_product_attention(q, k, v)  # (sample, head, place, width)
    changed = edit(heads)
    if changed is None:
        return None
    joined = module.out_proj(changed.transpose(1, 2).flatten(2))
    if not module.batch_first:
        joined = joined.transpose(0, 1)
    return (joined, *output[1:])
