"""What can be asked of Snakemake by name, and small facts that rules need."""

import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from snakemake.io import expand, get_wildcard_names, is_flagged, report

from pipeline.studies import STUDIES


def targets(rules: Iterable[Any], params: Any) -> dict[str, list[str]]:
    """The files of each rule, by the rule's name, and those of each study, by the study's name.

    A study's files are asked for one by one, so that one that was removed is made again even if
    everything else is there. Left out are stages whose files may be removed (``INTERMEDIATE``).

    Args:
        rules: Snakemake's.
        params: all parameters.
    """
    found: dict[str, list[str]] = {}
    of_study: dict[str, list[str]] = {study: [] for study in STUDIES}
    for rule in rules:
        study, _, stage = rule.name.partition("_")
        if study not in STUDIES or all(is_flagged(file, "temp") for file in rule.output):
            continue
        paths = importlib.import_module(f"pipeline.studies.{study}.paths")
        own = getattr(params, study)
        values = {**paths.domains(own), "game": list(paths.games(own))}
        # Snakemake has written the constraints of wildcards into the patterns.
        patterns = [re.sub(r"{(\w+),[^{}]*}", r"{\1}", str(file)) for file in rule.output]
        found[rule.name] = [
            file
            for pattern in patterns
            for file in expand(pattern, **{n: values[n] for n in get_wildcard_names(pattern)})
        ]
        if stage not in paths.INTERMEDIATE:
            of_study[study] += found[rule.name]
    return found | of_study


def drawn(study: str, *names: str) -> list[str]:
    """Figures of a study, as PNG."""
    return [f"results/{study}/figures/{name}.png" for name in names]


def vectors(study: str, *names: str) -> list[str]:
    """The same figures as SVG."""
    return [f"results/{study}/figures/{name}.svg" for name in names]


def reported(study: str, files: str | list[str], caption: str, **more: Any) -> Any:
    """Files that Snakemake's report shows, each under its name, with a caption of the study's."""
    if isinstance(files, list):
        return [reported(study, file, caption, **more) for file in files]
    options = {"labels": {"shows": Path(files).stem.replace("_", " ")}, **more}
    return report(files, caption=f"captions/{caption}.rst", category=study.capitalize(), **options)


def gpus(device: str) -> int:
    """GPUs that a job that uses one asks the scheduler for: 0 where it will run on the CPU."""
    if device == "auto":
        return int(any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev", "dxg").exists())
    return int(device.startswith("cuda"))
