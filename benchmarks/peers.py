"""Shapley values by shapiq and shap, on games that ``benchmarks.estimators`` wrote to a file.

shapiq's newest version needs Python 3.12, so this file runs in an environment of its own and
imports nothing of the pipeline. ``python peers.py games.npz JOB`` prints one JSON object per
estimate. JOB is JSON: {"budgets": [evaluations per player], "repeats": number}.
"""

import importlib.metadata
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import shap
from shapiq import approximator
from threadpoolctl import threadpool_limits

by: Any = approximator  # whose classes differ between versions

Estimate = Callable[[Any, int, int, int], Any]
"""(game, players, budget, seed) → values (player,)"""


def shapiqs(make: Callable[[int, int], Any]) -> Estimate:
    """Estimate by one of shapiq's approximators."""

    def estimate(game: Any, n: int, budget: int, seed: int) -> Any:
        found = make(n, seed).approximate(budget, game)
        return np.array([found[(player,)] for player in range(n)])

    return estimate


def shap_kernel(game: Any, n: int, budget: int, seed: int) -> Any:
    """shap's KernelExplainer, without its selection of features."""
    np.random.seed(seed)  # noqa: NPY002
    explainer = shap.KernelExplainer(game, np.zeros((1, n)))
    return explainer.shap_values(np.ones((1, n)), nsamples=budget - 2, l1_reg=False, silent=True)[0]


def shap_permutation(game: Any, n: int, budget: int, seed: int) -> Any:
    """shap's PermutationExplainer."""
    rounds = max(1, (budget - 2) // (2 * n))
    masker = shap.maskers.Independent(np.zeros((1, n)), max_samples=1)
    explainer = shap.PermutationExplainer(game, masker, seed=seed)
    return explainer(np.ones((1, n)), max_evals=rounds * (2 * n + 1), silent=True).values[0]


PEERS: dict[str, Estimate] = {
    "shapiq KernelSHAP, paired": shapiqs(
        lambda n, seed: by.KernelSHAP(n, pairing_trick=True, random_state=seed)
    ),
    "shapiq LeverageSHAP": shapiqs(lambda n, seed: by.LeverageSHAP(n, random_state=seed)),
    "shapiq PolySHAP": shapiqs(
        lambda n, seed: by.PolySHAP(n, max_order=2, pairing_trick=True, random_state=seed)
    ),
    "shapiq kADD-SHAP": shapiqs(lambda n, seed: by.kADDSHAP(n, max_order=2, random_state=seed)),
    "shapiq SVARM": shapiqs(lambda n, seed: by.SVARM(n, random_state=seed)),
    "shapiq SVARM, paired": shapiqs(
        lambda n, seed: by.SVARM(n, pairing_trick=True, random_state=seed)
    ),
    "shapiq permutations": shapiqs(lambda n, seed: by.PermutationSamplingSV(n, random_state=seed)),
    "shapiq RegressionMSR": shapiqs(lambda n, seed: by.RegressionMSR(n, "SV", random_state=seed)),
    "shapiq RegressionMSR, 5 folds": shapiqs(
        lambda n, seed: by.RegressionMSR(n, "SV", k_folds=5, random_state=seed)
    ),
    "shapiq ProxySHAP": shapiqs(
        lambda n, seed: by.ProxySHAP(n, max_order=1, index="SV", random_state=seed)
    ),
    "shapiq OddSHAP": shapiqs(lambda n, seed: by.OddSHAP(n, random_state=seed)),
    "shap KernelExplainer": shap_kernel,
    "shap PermutationExplainer": shap_permutation,
}


def played(table: Any) -> Any:
    """A table of values in mask order (2**n,) as a function of coalitions (…, player)."""
    bits = 1 << np.arange(len(table).bit_length() - 1)

    def game(coalitions: Any) -> Any:
        return np.atleast_1d(table[np.asarray(coalitions, dtype=np.int64) @ bits] - table[0])

    return game


def main() -> None:
    """Estimate, and print what was found."""
    warnings.filterwarnings("ignore")
    tables, job = np.load(sys.argv[1]), json.loads(sys.argv[2])
    versions = {name: importlib.metadata.version(name) for name in ("shapiq", "shap")}
    total = len(tables.files) * len(job["budgets"]) * len(PEERS) * job["repeats"]
    print(json.dumps({"versions": versions, "total": total}), flush=True)
    for name in tables.files:
        table = tables[name]
        game, n = played(table), len(table).bit_length() - 1
        for each in job["budgets"]:
            for method, estimate in PEERS.items():
                for seed in range(job["repeats"]):
                    start = time.process_time()
                    try:
                        values = np.asarray(estimate(game, n, each * n, seed)).tolist()
                    except Exception as error:  # what a library refuses is told, and left out
                        said: dict[str, Any] = {"refused": f"{type(error).__name__}: {error}"[:200]}
                    else:
                        said = {"values": values, "seconds": time.process_time() - start}
                    about = {"game": name, "budget": each, "method": method, "seed": seed}
                    print(json.dumps(about | said), flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
