"""Stage: pictures with their attributions (Figs. 3–7)."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.studies.baselines.figures.pictures import draw_attributions
from pipeline.studies.baselines.params import DrawnParams
from pipeline.studies.baselines.picture_attributions import read_attributions

VERSION = 1


def main(
    *,
    attributions: list[Path],
    params: DrawnParams,
    out: Path,
    figures: Path,
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Draw the first pictures of each model below ``figures``; ``out`` (JSON) says which.

    Of a classifier ``pictures_classifier``, of a distance ``pictures_distance_positive`` and
    ``pictures_distance_negative``, since the two parts hide each other when they are mixed.
    """
    drawn = {}
    with figure_style():
        for path in attributions:
            found = read_attributions(path)
            chosen = range(min(params.pictures, len(found.instances)))
            parts = ("all",) if found.seconds is None else ("positive", "negative")
            for part in parts:
                name = f"pictures_{found.model}" + ("" if part == "all" else f"_{part}")
                save(draw_attributions(found, chosen, part), figures / f"{name}.png")
            drawn[found.model] = [found.instances[i] for i in chosen]
    write_json(out, {"pictures": drawn})
