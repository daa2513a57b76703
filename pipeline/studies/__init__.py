"""The studies. Each is a folder here and a section of ``params.yaml`` of the same name."""

STUDIES = (
    "frames",
    "baselines",
    "neurons",
    "shapnets",
)

SECTIONS = (*STUDIES, "report")
"""The studies, and the page of all their results, which is built like one."""
