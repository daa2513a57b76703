"""Explain one row of the user's table: a network's own explanation beside exact values."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from rich.table import Table as Printed
from torch import nn

from pipeline.core.arguments import whole
from pipeline.core.digits import signed, significant
from pipeline.core.errors import InputError
from pipeline.core.plotting import BLUE, ORANGE, figure_style, save
from pipeline.data.tables import Table, own
from pipeline.models.harsanyi import HarsanyiNet
from pipeline.models.shapnets import ShapNet
from pipeline.shapley.exact import shapley_values
from pipeline.shapley.methods import METHODS
from pipeline.studies.shapnets import networks
from pipeline.studies.shapnets.explained import Subject, subject_of
from pipeline.studies.shapnets.game import RowGame, values_of
from pipeline.studies.shapnets.params import Params
from pipeline.studies.shapnets.paths import ENUMERABLE
from pipeline.studies.shapnets.table_data import split_of
from pipeline.workflow.params import load

Floats = NDArray[np.float64]

MOST = 30
"""Largest number of features drawn: those of the largest values."""


@dataclass(frozen=True, eq=False)
class ExplainedRow:
    """A network's score of a row, and its explanations; numbers are in the target's own unit."""

    names: tuple[str, ...]
    given: Floats
    """(feature,) values in the file"""
    output: str
    """the predicted class, or the name of the target"""
    score: float
    nobody: float
    """the score with all features at their means"""
    own: Floats
    """(feature,) the network's own explanation"""
    exact: Floats
    """(feature,) Shapley values of the score"""
    error: float | None
    """largest standard error of ``exact``; None where they are exact"""


def explained_row(
    path: str | Path,
    row: int,
    network: str,
    out: str | Path | None,
    params: str | Path,
    results: str | Path,
) -> tuple[Printed, list[str], Path]:
    """Explain a row and draw it; return its table, remarks, and the path of the picture.

    Args:
        path, row, network, results: as for :func:`explain_row`.
        out: path of the picture; None: ``<table's name>.row<row>.<network>.png`` in the working
            directory.
        params: file of parameters.
    """
    found = explain_row(path, row, network, load(Path(params)).shapnets, results)
    target = Path(out or f"{Path(path).name}.row{row}.{network}.png")
    draw_row(found, target)
    remarks = []
    if found.error is not None:
        remarks.append(f"Standard errors are at most {significant(found.error, 2)}.")
    return row_table(found), remarks, target


def explain_row(
    path: str | Path, row: int, network: str, params: Params, results: str | Path
) -> ExplainedRow:
    """Explain a row of a table.

    Args:
        path: a CSV file with the columns of the table that the networks were trained on.
        row: counted from 1, below the header.
        network: name of a network of the study that explains itself.
        params: parameters of the study; ``table`` names the table that networks were trained on.
        results: folder of results.

    Raises:
        InputError: an unknown row, network or table; other columns; no trained networks.
    """
    if params.table is None:
        raise InputError(
            "parameter shapnets.table: names no table; set it to {path: …, target: …} and run the "
            "study to train networks on the table"
        )
    path, results, row = Path(path), Path(results), whole("--row:", row, None)
    known = _read(Path(params.table.path), params)
    table = known if path == Path(params.table.path) else _read(path, params)
    if table.names != known.names:
        differing = sorted(set(table.names) ^ set(known.names))
        raise InputError(
            f"{path}: has other columns or categories than {params.table.path}, which the networks "
            f"were trained on: {', '.join(differing[:5])}"
        )
    if not 1 <= row <= len(table):
        raise InputError(f"--row: {row}; {path} has rows 1 to {len(table)}")
    subject = subject_of("", _network(network, results))
    split = split_of(known, params.tables)
    features = torch.from_numpy(split.scaling(table.features[row - 1])).float()
    with torch.inference_mode():
        both = subject.network(torch.stack([features, subject.references]))
        own_values = networks.own_values(subject.network, features[None])
    assert own_values is not None
    scores, nobody = both.double().numpy()
    output = int(scores.argmax())
    exact, error = _exact(subject, features, split.outputs, params)
    mean, scale = split.target
    return ExplainedRow(
        names=table.names,
        given=table.features[row - 1],
        output=split.outputs[output] if split.n_outputs > 1 else params.table.target,
        score=float(scores[output]) * scale + mean,
        nobody=float(nobody[output]) * scale + mean,
        own=own_values[0, :, output].double().numpy() * scale,
        exact=exact[:, output] * scale,
        error=None if error is None else float(error[:, output].max()) * scale,
    )


def _read(path: Path, params: Params) -> Table:
    assert params.table is not None
    given = params.table
    return own(path, given.target, kind=given.kind, missing=given.missing)


def _network(name: str, results: Path) -> nn.Module:
    folder = results / "shapnets"
    groups = ("compared", "regularised", "learned")
    files = [folder / f"networks/own_{group}.pt" for group in groups]
    files.append(folder / "consistent/own.pt")
    every = {n: net for file in files if file.exists() for n, net in networks.load(file).items()}
    found = {n: net for n, net in every.items() if isinstance(net, ShapNet | HarsanyiNet)}
    if not found:
        raise InputError(
            f"{folder}: there are no networks for your table; make them with `uv run snakemake "
            "--cores all shapnets_all`, with the same parameters"
        )
    if name not in found:
        raise InputError(f"--network: there is no {name!r}; there are {', '.join(found)}")
    return found[name]


def _exact(
    subject: Subject, features: torch.Tensor, outputs: tuple[str, ...], params: Params
) -> tuple[Floats, Floats | None]:
    """Shapley values (feature, output), and their standard errors where they are estimated."""
    if len(features) <= ENUMERABLE:
        in_double = subject_of("", subject.network.double())
        values = values_of(in_double, features.double(), torch.device("cpu"))
        return shapley_values(values), None
    estimate = METHODS["regression"].estimate(
        RowGame(subject, features, outputs), budget=params.explained.coalitions
    )
    return estimate.values, estimate.standard_errors


def row_table(found: ExplainedRow) -> Printed:
    """Features as rows, largest values first."""
    table = Printed(title=f"{found.output}: {significant(found.score)}", title_style="bold")
    exact = "exact" if found.error is None else "estimated"
    for name in ("feature", "in the row", "own explanation", f"{exact} Shapley value"):
        table.add_column(name, justify="left" if name == "feature" else "right")
    largest = float(np.abs([found.own, found.exact]).max())

    def shown(*numbers: float) -> list[str]:
        return [signed(number, largest, 4) for number in numbers]

    for i in np.argsort(-np.abs(found.exact)):
        given = f"{found.given[i]:g}"
        table.add_row(found.names[i], given, *shown(found.own[i], found.exact[i]))
    table.add_section()
    table.add_row("sum", "", *shown(found.own.sum(), found.exact.sum()))
    table.add_row("all features at their means", "", *shown(found.nobody, found.nobody))
    return table


def draw_row(found: ExplainedRow, out: Path) -> None:
    """Write the picture: two bars per feature."""
    order = np.argsort(-np.abs(found.exact))[:MOST]
    with figure_style():
        figure, axes = plt.subplots(figsize=(7, 1.6 + 0.36 * len(order)))
        places = np.arange(len(order))
        exact = "exact" if found.error is None else "estimated"
        for values, shift, colour, hatch, label in (
            (found.own, -0.2, BLUE, "", "the network's own explanation"),
            (found.exact, 0.2, ORANGE, "//", f"{exact} Shapley values"),
        ):
            axes.barh(
                places + shift, values[order], 0.36, color=colour, hatch=hatch, ec="white",
                label=label,
            )  # fmt: skip
        axes.set_yticks(places, [f"{found.names[i]} = {found.given[i]:g}" for i in order])
        axes.invert_yaxis()
        axes.axvline(0, color="black", lw=0.8)
        axes.set(title=f"{found.output}: {significant(found.score)}", xlabel="added to the score")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper center", ncols=2)
        save(figure, out)
