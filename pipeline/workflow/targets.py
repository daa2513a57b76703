"""Snakemake's named targets, and small helpers of the rules."""

import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from snakemake.io import expand, get_wildcard_names, is_flagged, report

from pipeline import studies
from pipeline.studies import SECTIONS

_FOLDER = Path(studies.__file__).parent


def targets(rules: Iterable[Any], params: Any) -> dict[str, list[str]]:
    """The files of each rule and of each study, by the name of the rule or study.

    A study lists all its files, so that a removed file is made again even if all others exist. It
    leaves out stages whose files may be removed (``INTERMEDIATE``).

    Args:
        rules: Snakemake's.
        params: all parameters.
    """
    found: dict[str, list[str]] = {}
    of_study: dict[str, list[str]] = {study: [] for study in SECTIONS}
    for rule in rules:
        study, _, stage = rule.name.partition("_")
        if study not in SECTIONS or all(is_flagged(file, "temp") for file in rule.output):
            continue
        paths = importlib.import_module(f"pipeline.studies.{study}.paths")
        own = getattr(params, study)
        values = {**paths.domains(own), "game": list(paths.games(own))}
        # Strip the constraints of wildcards that Snakemake has written into the patterns.
        patterns = [re.sub(r"{(\w+),[^{}]*}", r"{\1}", str(file)) for file in rule.output]
        found[rule.name] = [
            file
            for pattern in patterns
            for file in expand(pattern, **{n: values[n] for n in get_wildcard_names(pattern)})
        ]
        if stage not in paths.INTERMEDIATE:
            of_study[study] += found[rule.name]
    return found | of_study


def left_out(params: Any) -> list[str]:
    """What studies do not make with these parameters, in words."""
    found = []
    for study in params.studies:
        paths = importlib.import_module(f"pipeline.studies.{study}.paths")
        found.append(paths.left_out(getattr(params, study)) if hasattr(paths, "left_out") else "")
    return [text for text in found if text]


def drawn(study: str, *names: str) -> list[str]:
    """Figures of a study, as PNG."""
    return [f"results/{study}/figures/{name}.png" for name in names]


def vectors(study: str, *names: str) -> list[str]:
    """The same figures as SVG."""
    return [f"results/{study}/figures/{name}.svg" for name in names]


CLAIMS = "Claims of the paper"
"""Group of the report's pages on claims."""


def reported(study: str, files: str | list[str], group: str, **more: Any) -> Any:
    """Mark files of a study for Snakemake's report.

    ``captions/<name of the file>.rst``, beside the study's rules, has a title, which labels the
    file in the report, and the text that the report shows beside the file.
    """
    if isinstance(files, list):
        return [reported(study, file, group, **more) for file in files]
    caption = f"captions/{Path(files).stem}.rst"
    title = Path(_FOLDER, study, caption).read_text(encoding="utf-8").partition("\n")[0]
    options = {"category": study.capitalize(), "subcategory": group, "labels": {"shows": title}}
    return report(files, caption=caption, **options | more)


def gpus(device: str) -> int:
    """Number of GPUs that a job requests from the scheduler: 0 if it will run on the CPU."""
    if device == "auto":
        return int(any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev", "dxg").exists())
    return int(device.startswith("cuda"))
