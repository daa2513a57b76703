"""The studies. Each is a folder here and a section of ``params.yaml`` of the same name."""

STUDIES = (
    "frames",
    "baselines",
    "neurons",
    "shapnets",
)
