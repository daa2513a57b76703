"""Errors and times of sampled Shapley values: our methods beside shapiq's and shap's.

``python -m benchmarks.estimators`` reads complete tables of games from the stores of a finished
run, and estimates the values of some instances of each from 4, 16, 64 and 256 evaluations per
player. An estimate's error is the norm of its difference from the exact values, relative to their
norm; the table shows the root of the mean square over instances and repeats, with its standard
error. All methods use one thread, and times are the processor's, so other work on the machine
changes them little.

The other libraries run in a Python environment of their own (shapiq's newest version needs Python
3.12), which uv makes unless ``--peers`` names the interpreter of one. Each of their versions is
printed. What a library refuses is told once, and left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks import measuring
from pipeline.core.progress import progress
from pipeline.models import devices
from pipeline.shapley import shapley_values
from pipeline.shapley.adjusted import fit_kernel, regression_adjusted
from pipeline.shapley.estimate import Method
from pipeline.shapley.games import table_game
from pipeline.shapley.methods import METHODS
from pipeline.store import open_store

Floats = NDArray[np.float64]

FAMILIES = {
    "TRN, 16 frames": "frames/trn_convergence",
    "TSN, 20 frames": "frames/tsn_convergence",
    "class of a picture": "baselines/classifier",
    "distance": "baselines/distance",
    "rules": "baselines/rules_20",
    "synergies": "baselines/synergies_20",
    "ShapNet": "shapnets/interactions",
}
"""Stores of complete tables, below results/coalitions."""

RECOMMENDED = "kernel"

OURS: dict[str, Method] = {
    **METHODS,
    "regression_adjusted, kernel": regression_adjusted(fit_kernel),
}

ENVIRONMENT = (
    "uv", "run", "--no-project", "--isolated", "--python", "3.12",
    "--with", "shapiq>=1.8,shap,xgboost,lightgbm,threadpoolctl", "python",
)  # fmt: skip
"""The command that runs Python with the other libraries."""


def read_tables(results: Path, instances: int) -> dict[str, Floats]:
    """Tables (2**n,) of the first instances of each family, named ``family/number``."""
    tables = {}
    for family, name in FAMILIES.items():
        path = results / "coalitions" / f"{name}.zarr"
        if not path.exists():
            raise SystemExit(
                f"{path}: there is no such store. `snakemake --cores all` makes it; --results "
                "names another folder of results"
            )
        store = open_store(str(path))
        for i in range(min(instances, len(store))):
            tables[f"{family}/{i}"] = store.read(i)[:, 0].astype(np.float64)
    return tables


def ours(
    tables: dict[str, Floats], budgets: Sequence[int], repeats: int, methods: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Our estimates."""
    for name, table in tables.items():
        game = table_game(table[:, None])
        for each in budgets:
            budget = each * game.n_players
            for title in methods:
                method = OURS[title]
                if method.smallest(game.n_players) > budget:
                    continue
                for seed in range(repeats):
                    start = time.process_time()
                    values = method.estimate(game, budget=budget, seed=seed).values[:, 0]
                    yield {
                        "game": name, "budget": each, "method": title, "seed": seed,
                        "values": values, "seconds": time.process_time() - start,
                    }  # fmt: skip


def theirs(
    tables: dict[str, Floats], budgets: Sequence[int], repeats: int, python: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The other libraries' estimates, from a process of their own."""
    job = json.dumps({"budgets": list(budgets), "repeats": repeats})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "games.npz")
        np.savez(path, **tables)  # type: ignore[arg-type]
        script = Path(__file__).with_name("peers.py")
        command = [*python, str(script), str(path), job]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                yield json.loads(line)
        if process.returncode:
            raise SystemExit(f"{' '.join(python)}: ended with status {process.returncode}")


def summarised(found: Sequence[dict[str, Any]], exact: dict[str, Floats]) -> list[dict[str, Any]]:
    """One row for each method, family and budget."""
    squares, seconds = defaultdict(list), defaultdict(list)
    for each in found:
        family = each["game"].rsplit("/", 1)[0]
        key, truth = (each["method"], family, each["budget"]), exact[each["game"]]
        difference = np.asarray(each["values"]) - truth
        squares[key].append(float(difference @ difference / (truth @ truth)))
        seconds[key].append(each["seconds"])
    rows = []
    for (method, family, budget), own in squares.items():
        error = float(np.sqrt(np.mean(own)))
        spread = float(np.std(own, ddof=1) / np.sqrt(len(own))) if len(own) > 1 else float("nan")
        rows.append({
            "method": method, "family": family, "budget": budget, "error": error,
            "standard_error": spread / (2 * error) if error else 0.0, "estimates": len(own),
            "seconds": float(np.mean(seconds[(method, family, budget)])),
        })  # fmt: skip
    return rows


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print one table per budget, best methods first, with ratios to the best of the others."""
    for budget in sorted({row["budget"] for row in rows}):
        of_budget = [row for row in rows if row["budget"] == budget]
        errors: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for row in of_budget:
            errors[row["method"]][row["family"]] = row
        families = [f for f in FAMILIES if any(f in of for of in errors.values())]
        peers = [method for method in errors if method not in OURS] or list(errors)
        best = {f: min(errors[m][f]["error"] for m in peers if f in errors[m]) for f in families}

        def ratios(
            method: str, errors: Any = errors, families: Any = families, best: Any = best
        ) -> Floats:
            of = errors[method]
            return np.array([of[f]["error"] / best[f] for f in families if f in of])

        table = Table(
            title=f"{budget} evaluations per player", title_justify="left", box=box.SIMPLE_HEAD
        )
        table.add_column("method")
        for column in (*families, "mean ratio", "largest", "CPU seconds"):
            table.add_column(column, justify="right")
        for method in sorted(errors, key=lambda m: float(np.log(ratios(m) + 1e-300).mean())):
            cells = [
                f"{of['error']:.3g} ± {of['standard_error']:.1g}" if (of := own.get(f)) else "–"
                for own in (errors[method],)
                for f in families
            ]
            found = ratios(method)
            mean = float(np.exp(np.log(found + 1e-300).mean()))
            took = float(np.mean([of["seconds"] for of in errors[method].values()]))
            style = "bold" if method in OURS else None
            table.add_row(
                method, *cells, f"{mean:.2f}", f"{found.max():.2f}", f"{took:.2g}", style=style
            )
        console.print(table)
    console.print(
        "ratio: to the best of the other libraries' methods on a family (to the best of all if no "
        "other ran): geometric mean and largest over families. Ours are in bold."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.estimators", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="FOLDER")
    parser.add_argument("--instances", type=int, default=2, help="of each family")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--budgets", type=int, nargs="+", default=[4, 16, 64, 256], metavar="K")
    parser.add_argument(
        "--methods", nargs="+", choices=OURS, default=list(OURS), metavar="NAME", help="ours"
    )
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has shapiq and shap")
    parser.add_argument("--no-peers", action="store_true", help="our methods alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args(arguments)
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    machine = measuring.machine(devices.resolve("cpu")) | {"threads": 1}
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()))
    tables = read_tables(given.results, given.instances)
    exact = {name: shapley_values(table[:, None])[:, 0] for name, table in tables.items()}
    found = []
    total = len(tables) * len(given.budgets) * given.repeats * len(given.methods)
    with threadpool_limits(1), progress("our estimates", total, "estimates") as advance:
        for each in ours(tables, given.budgets, given.repeats, given.methods):
            found.append(each)
            advance(1)
    versions: dict[str, str] = {}
    refused: dict[tuple[str, int], str] = {}
    if not given.no_peers:
        answers = theirs(
            tables, given.budgets, given.repeats, [given.peers] if given.peers else ENVIRONMENT
        )
        first = next(answers)
        versions = first["versions"]
        with progress("their estimates", first["total"], "estimates") as advance:
            for each in answers:
                advance(1)
                if "refused" in each:
                    refused.setdefault((each["method"], each["budget"]), each["refused"])
                else:
                    found.append(each)
        console.print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for (method, budget), why in refused.items():
        print(f"{method}, {budget} evaluations per player: {why}", file=sys.stderr)
    rows = summarised(found, exact)
    show(rows, console)
    if given.json:
        report = {"machine": machine, "versions": versions, "rows": rows}
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
