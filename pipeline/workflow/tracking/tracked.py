"""A stage as DVC sees it."""

from dataclasses import dataclass
from typing import Any

from pipeline.studies.frames.paths import figures


@dataclass(frozen=True)
class Tracked:
    """A stage as DVC sees it. Paths are relative to the folder that holds ``dvc.yaml``."""

    files: tuple[str, ...]
    """what the Snakefile's rule gives out, file by file"""
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    """what is kept: directories where their files depend on parameters"""
    params: tuple[str, ...]
    """dotted names in params.yaml"""
    versions: tuple[str, ...]
    """dotted names in versions.yaml"""
    rules: tuple[str, ...] = ()
    """rules that make the files, if they are more than the one that the stage is named for"""
    metrics: tuple[str, ...] = ()
    """those of ``outs`` that are metrics"""


class Stages:
    """Stages of one study, collected one after another."""

    def __init__(self, study: str) -> None:
        self.study = study
        self.found: dict[str, Tracked] = {}

    def add(
        self, name: str, files: list[str], deps: list[str] | tuple[str, ...], **more: Any
    ) -> None:
        """List a stage; what is not given of :class:`Tracked` is what most stages have."""
        fields = {"outs": files, "params": (), "versions": (f"{self.study}.{name}",), **more}
        fields = {k: tuple(v) for k, v in fields.items()}
        self.found[f"{self.study}_{name}"] = Tracked(
            files=tuple(files), deps=tuple(dict.fromkeys(deps)), **fields
        )


def drawn(*names: str, study: str) -> list[str]:
    """Figures of a study, each as PNG and as SVG."""
    return [
        path
        for name in names
        for kind in ("png", "svg")
        for path in figures(name, kind=kind, study=study)
    ]
