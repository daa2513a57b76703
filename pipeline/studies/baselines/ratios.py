"""Effective Shapley values compared with permutation sampling at equal evaluations (Fig. 2).

All values are read from the stores of complete tables: an estimator that evaluates a coalition gets
the stored value, and its distinct coalitions are counted. A network's estimates are compared with
the exact values of that network, rather than those of the function that it replaces.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.progress import progress
from pipeline.shapley import shapley_values
from pipeline.shapley.coalitions import Masks
from pipeline.store import CoalitionStore
from pipeline.store.stored_game import StoredGame
from pipeline.studies.baselines.effective import Counts, EffectiveShapley, ratios
from pipeline.studies.baselines.estimates import (
    EFFECTIVE,
    GRADIENTS,
    PERMUTATION,
    PLAIN,
    Found,
    errors,
    estimates,
    gradient_estimates,
    paired_difference,
    repeated_errors,
    sampled_both_ways,
    stacked,
)
from pipeline.studies.baselines.params import RatiosParams
from pipeline.studies.baselines.surrogate import Surrogate
from pipeline.studies.baselines.tables import UTILITY, game_of

RANDOM_BASELINES = 10
"""Random coalitions over which Integrated Gradients are averaged."""
NULL_TOLERANCE = 1e-9
"""Values of the utility function up to this size are 0 up to rounding."""

MEASURES = ("ratio_distance", "pearson", "kendall", "null_error")
COLUMNS = (
    "game",
    "players",
    "of",
    "method",
    "per_size",
    "evaluations",
    "repeats",
    "undefined",
    *(column for measure in MEASURES for column in (measure, f"{measure}_sd", f"{measure}_se")),
    "less_permutation",
    "less_permutation_error",
    "verdict",
    "less_effective",
    "less_effective_error",
    "verdict_effective",
)
VALUE_COLUMNS = (
    "game",
    "instance",
    "player",
    "method",
    "exact_value",
    "exact_ratio",
    "ratio",
    "ratio_sd",
)
COUNT_COLUMNS = (
    "game",
    "player",
    "mean_marginal",
    "size",
    "available",
    "kept_weighted",
    "kept_printed",
)

Floats = NDArray[np.float64]
Estimated = list[list[dict[str, Found]]]
"""[instance][repeat][method]"""


@dataclass(frozen=True)
class Compared:
    """One game's exact values and all estimates."""

    game: str
    instances: tuple[str, ...]
    exact: Floats
    """(instance, player)"""
    sampled: Mapping[int, Estimated]
    """by number of coalitions per size"""
    gradients: Estimated
    """empty for the utility function"""
    counts: list[dict[str, Any]]
    """rows of COUNT_COLUMNS"""

    def indices(self, of: str) -> list[int]:
        """The instances of a kind: the utility function, or the networks."""
        return [i for i, name in enumerate(self.instances) if (name == UTILITY) == (of == UTILITY)]


def compare(
    store: CoalitionStore, networks: Mapping[str, Surrogate], params: RatiosParams
) -> Compared:
    """Exact values and estimates of each instance of a store of complete tables.

    Args:
        store: of one utility function and its networks.
        networks: by instance.
        params: repeats, numbers of coalitions and the rest.
    """
    game, n = game_of(store), store.record.n_players
    exact, gradients = [], []
    cells: list[dict[str, Any]] = []
    sampled: dict[int, Estimated] = {per_size: [] for per_size in params.per_size}
    total = len(store) * len(sampled) * params.repeats
    with progress(f"baselines_ratios {game}", total, "draws") as advance:
        for i, instance in enumerate(store.instances):
            playable = StoredGame(store, i)
            exact.append(shapley_values(store.read(i))[:, 0])
            is_utility = instance == UTILITY
            # An instance's draws depend only on its name and game, not on the other instances.
            root = [params.seed, zlib.crc32(f"{game} {instance}".encode())]
            kept: list[list[Masks]] = []
            for per_size, of_size in sampled.items():
                of_size.append([])
                for repeat in range(params.repeats):
                    seed = np.random.SeedSequence([*root, per_size, repeat])
                    effective = sampled_both_ways(
                        playable,
                        per_size=per_size,
                        n_kept=params.kept,
                        tolerance=params.tolerance if is_utility else params.network_tolerance,
                        bins=params.bins,
                        seed=seed,
                    )
                    of_size[-1].append(estimates(playable, effective, seed=seed))
                    if per_size == max(params.per_size):
                        kept.append([one.coalitions for one in effective["weighted"].samples])
                    if is_utility and repeat == 0 and per_size == max(params.per_size):
                        cells += _cells(game, effective)
                    advance(1)
            gradients.append(
                []
                if is_utility
                else [
                    gradient_estimates(
                        networks[instance].network,
                        n,
                        random_baselines=RANDOM_BASELINES,
                        effective=kept[repeat],
                        seed=np.random.SeedSequence([*root, repeat]),
                    )
                    for repeat in range(params.repeats)
                ]
            )
    return Compared(game, store.instances, np.stack(exact), sampled, gradients, cells)


def _cells(game: str, found: Mapping[Counts, EffectiveShapley]) -> list[dict[str, Any]]:
    """Algorithm 1's counts: |d_jk| and C_jk, by size and by their class's mean marginal."""
    pairs = zip(found["weighted"].samples, found["printed"].samples, strict=True)
    return [
        {
            "game": game,
            "player": player,
            "mean_marginal": float(weighted.classes[row]),
            "size": int(size),
            "available": int(weighted.available[row, size]),
            "kept_weighted": int(weighted.counts[row, size]),
            "kept_printed": int(printed.counts[row, size]),
        }
        for player, (weighted, printed) in enumerate(pairs)
        for row, size in np.argwhere(weighted.available)
    ]


def error_rows(compared: Compared) -> list[dict[str, Any]]:
    """One row for each kind of instance, number of coalitions per size and method."""
    utility = compared.exact[compared.instances.index(UTILITY)]
    is_null = np.abs(utility) <= NULL_TOLERANCE
    rows = []
    for of in (UTILITY, "networks"):
        chosen = compared.indices(of)
        if not chosen:
            continue
        exact = compared.exact[chosen]
        kinds: list[tuple[int | None, Estimated]] = [*compared.sampled.items()]
        if of != UTILITY:
            kinds.append((None, compared.gradients))
        for per_size, everything in kinds:
            estimated = [everything[i] for i in chosen]
            by_method = {name: stacked(estimated, name) for name in _in_all(estimated)}
            by_repeat = {
                name: repeated_errors(found, exact, is_null)["ratio_distance"]
                for name, (found, _) in by_method.items()
            }
            for name, (found, evaluations) in by_method.items():
                row = {
                    "game": compared.game,
                    "players": len(utility),
                    "of": of,
                    "method": name,
                    "per_size": per_size,
                    "evaluations": evaluations,
                    "repeats": found.shape[1],
                    **errors(found, exact, is_null),
                    **_less(by_repeat, name, PERMUTATION, "verdict"),
                    **_less(by_repeat, name, "effective", "verdict_effective"),
                }
                rows.append(row)
    return rows


def _less(
    by_repeat: Mapping[str, Floats], method: str, against: str, verdict: str
) -> dict[str, Any]:
    """Columns that compare a method's errors with another's; None if there is no other."""
    columns = f"less_{against}", f"less_{against}_error", verdict
    if method == against or against not in by_repeat:
        return dict.fromkeys(columns)
    less = paired_difference(by_repeat[method], by_repeat[against])
    return dict(zip(columns, (less.mean, less.standard_error, less.verdict), strict=True))


def _in_all(estimated: Estimated) -> list[str]:
    """Methods within the budget in every repeat."""
    names = [set(of_repeat) for of_game in estimated for of_repeat in of_game]
    return [name for name in estimated[0][0] if all(name in some for some in names)]


def verdicts(rows: list[dict[str, Any]], column: str) -> dict[str, dict[str, dict[str, int]]]:
    """How often each method was better or worse than another one, by kind of instance."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        if row[column] is not None:
            counts = result.setdefault(row["of"], {}).setdefault(
                row["method"], {"better": 0, "equal": 0, "worse": 0}
            )
            counts[row[column]] += 1
    return result


def _at_largest(compared: Compared, instance: int) -> dict[str, Floats]:
    """Ratios of one instance by each method, at the most coalitions: (repeat, player)."""
    largest = compared.sampled[max(compared.sampled)][instance]
    result = {}
    for of_repeats in (largest, compared.gradients[instance]):
        if of_repeats:
            for name in _in_all([of_repeats]):
                result[name] = ratios(stacked([of_repeats], name)[0][0])
    return result


def value_rows(compared: Compared) -> list[dict[str, Any]]:
    """One row per instance, method and player: its ratio at the most coalitions, over repeats."""
    rows = []
    for i, instance in enumerate(compared.instances):
        exact = ratios(compared.exact[i])
        for method, found in _at_largest(compared, i).items():
            spread = found.std(axis=0, ddof=1)
            rows += [
                {
                    "game": compared.game,
                    "instance": instance,
                    "player": player,
                    "method": method,
                    "exact_value": float(compared.exact[i, player]),
                    "exact_ratio": float(exact[player]),
                    "ratio": float(found[:, player].mean()),
                    "ratio_sd": float(spread[player]),
                }
                for player in range(len(exact))
            ]
    return rows


def everything(found: Sequence[Compared]) -> dict[str, Any]:
    """All results on the estimates, for a JSON file."""
    rows = [row for compared in found for row in error_rows(compared)]
    return {
        "methods": EFFECTIVE | PLAIN | GRADIENTS,
        "compared_with": "exact values of the same instance",
        "evaluations": "distinct coalitions; of gradients, points at which they were evaluated",
        "standard_deviation": "over repeats of one instance, a mean over instances",
        "standard_error": "of the mean over instances and repeats, over repeats",
        "verdicts_against_permutation": verdicts(rows, "verdict"),
        "verdicts_against_effective": verdicts(rows, "verdict_effective"),
        "rows": rows,
        "values": [row for compared in found for row in value_rows(compared)],
    }
