"""Stage: pictures with their attributions (Figs. 3–7)."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.plotting import figure_style, save
from pipeline.studies.baselines.attribution_files import read_attributions
from pipeline.studies.baselines.figures.pictures import draw_attributions
from pipeline.studies.baselines.params import DrawnParams

VERSION = 4


def main(*, attributions: list[Path], params: DrawnParams, figures: list[Path], out: Path) -> None:
    """Draw the first pictures of each model; ``out`` (JSON) lists them.

    A classifier gets ``pictures_classifier``. A distance gets ``pictures_distance_positive`` and
    ``pictures_distance_negative``, because the two parts hide each other when they are mixed.
    """
    found = {known.model: known for known in map(read_attributions, attributions)}
    chosen = {
        model: range(min(params.pictures, len(known.instances))) for model, known in found.items()
    }
    with figure_style():
        for path in figures:
            model, part = [*path.stem.split("_")[1:], "all"][:2]
            save(draw_attributions(found[model], chosen[model], part), path)
    drawn = {model: [known.instances[i] for i in chosen[model]] for model, known in found.items()}
    write_json(out, {"pictures": drawn})
