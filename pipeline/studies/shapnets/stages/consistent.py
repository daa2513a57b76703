"""Stage: train networks for a table whose explanations are drawn to Shapley values."""

from pathlib import Path

from pipeline.studies.shapnets.params import (
    ConsistentParams,
    NetworksParams,
    OwnTableParams,
    TablesParams,
    TrainingParams,
)
from pipeline.studies.shapnets.stages import networks

VERSION = 2
"""Raise it when the stage ``networks``, which does the work, changes how it trains them."""


def main(
    *,
    game: str,
    tables: TablesParams,
    training: TrainingParams,
    sizes: NetworksParams,
    section: ConsistentParams,
    out: Path,
    numbers: Path,
    table: Path,
    yeast: str | None = None,
    own: OwnTableParams | None = None,
) -> None:
    """Train them on the table ``game``; files are like those of the stage ``networks``."""
    networks.main(
        source=game,
        group="consistent",
        tables=tables,
        training=training,
        sizes=sizes,
        section=section,
        out=out,
        numbers=numbers,
        table=table,
        yeast=yeast,
        own=own,
    )
