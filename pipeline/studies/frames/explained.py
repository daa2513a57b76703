"""One video's explanation for people: a table and a picture."""

import difflib
import re
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from pipeline.core.digits import signed, significant
from pipeline.core.errors import InputError
from pipeline.core.plotting import MODEL_NAMES, figure_style, save
from pipeline.shapley.coalitions import MAX_ENUMERABLE
from pipeline.shapley.methods import TITLES
from pipeline.store.explanations import METHOD, Effort
from pipeline.studies.frames import halves
from pipeline.studies.frames.explain import Explanation, Sampling, explain_video
from pipeline.studies.frames.figures.clips import ExplainedClass, draw_video, frame_pictures
from pipeline.studies.frames.own_video import explain_own_video
from pipeline.studies.frames.removal import Removal
from pipeline.studies.frames.values import unit_of
from pipeline.workflow.params import load


def explained(
    video: Path,
    out: Path | None,
    *,
    model: str,
    n_frames: int | None,
    score: Any,
    class_name: str | None,
    sampled: tuple[int, int] | None,
    removal: Removal,
    effort: Effort,
    params: Path,
    results: Path,
    device: str | None,
) -> tuple[Table, list[str], Path]:
    """Explain a video: draw the picture, and return its table, remarks and the picture's path.

    Args:
        video, model, class_name: what is explained.
        out: the picture; None: ``<video's name>.<model>.<frames>.esv.png`` here.
        n_frames, score, device: None for the values in the parameters.
        sampled: subsequences and iterations of Algorithm 1; None for exact values.
        removal, effort: what the model sees in place of absent frames; budget and tolerance if that
            is other than nothing.
        params, results: the study's parameters, and the folder of its trained models.
    """
    study = load(params)
    settings = study.frames.coalitions
    score = score or settings.score
    n_frames = n_frames or settings.n
    if sampled is None and score != "logit" and n_frames > _most_exact(model, removal):
        raise InputError(
            f"--frames: {n_frames} players are too many for exact values of a {score}: up to "
            f"{_most_exact(model, removal)} are possible. Give fewer, or --subsequences 64 for "
            "approximate values of up to 64, or --score logit"
        )
    found = explain_video(
        video,
        model,
        n_frames=n_frames,
        n_max=study.frames.scales.n_max,
        score=score,
        approximate=None if sampled is None else Sampling(*sampled),
        removal=removal,
        effort=effort,
        results=results,
        device=device or study.device,
    )
    table = explained_table(found, model, score, class_name)
    how = "" if removal == "delete" else f".{removal}"
    target = out or Path(f"{video.name}.{model}.{len(found.frames)}{how}.esv.png")
    draw_explanation(found, video, model, score, class_name, target)
    evaluated = [] if removal == "delete" else [_evaluated(found, removal)]
    return table, evaluated + _remarks(found), target


def _most_exact(model: str, removal: Removal) -> int:
    """The most frames whose values are exact with probabilities."""
    if removal != "delete":
        return 64  # estimated from sampled coalitions
    return halves.MAX_FRAMES if model == "tsn" else MAX_ENUMERABLE


def _evaluated(found: Explanation, removal: Removal) -> str:
    """A remark: how many coalitions were evaluated, and what was shown for absent frames."""
    kind = "exact" if found.is_exact else f"estimated ({TITLES[METHOD]})"
    total = 2 ** len(found.frames)
    return (
        f"Values are {kind}, from {found.evaluations:,} of {total:,} coalitions. Absent frames: "
        f"{removal}."
    )


def explained_with(
    video: Path,
    out: Path | None,
    *,
    model: str,
    n_players: int | None,
    removal: Removal,
    score: str | None,
    class_name: str | None,
    weights: Path | None,
    effort: Effort,
    params: Path,
    results: Path,
    device: str | None,
) -> tuple[Table, list[str], Path]:
    """As :func:`explained`, for any video model.

    Args:
        video, out, class_name, params, results: as there.
        model: as for :func:`pipeline.models.own.load_video_model`.
        n_players: number of segments; None: 8.
        removal: what the model sees in place of absent frames.
        score: ``probability`` (None) or ``logit``, for torchvision's models.
        weights: a file of weights, for torchvision's models.
        effort: budget and tolerance, if not all coalitions can be evaluated.
        device: None for the value in the parameters.
    """
    score = score or "probability"
    if score == "mean_of_softmax":
        raise InputError(f"--score: {score} is of trn and tsn; choose probability or logit")
    found = explain_own_video(
        video,
        model,
        n_players=n_players or OWN_PLAYERS,
        removal=removal,
        score=score,
        weights=weights,
        effort=effort,
        results=results,
        device=device or load(params).device,
    )
    if not model.startswith("torchvision:"):
        score = "score"
    table = explained_table(found, model, score, class_name)
    name = re.sub(r"[^\w.-]+", "-", model)
    target = out or Path(f"{video.name}.{name}.{len(found.frames)}.{removal}.esv.png")
    draw_explanation(found, video, model, score, class_name, target)
    remarks = [_evaluated(found, removal)]
    if found.shortened:
        remarks.append(f"The video is cut short, or damaged: {found.shortened}.")
    return table, remarks, target


OWN_PLAYERS = 8
"""Segments of a video for models other than TRN and TSN."""


def _remarks(found: Explanation) -> list[str]:
    """Remarks that belong beside the table."""
    remarks = []
    if found.shortened:
        remarks.append(f"The video is cut short, or damaged: {found.shortened}.")
    if found.sampled:
        gap = abs(found.esv.sum(axis=0) - (found.scores - found.empty)).max()
        remarks.append(
            "Values are approximate: subsequences were sampled. Over frames they sum to v(all) − "
            f"v(none) up to an error of at most {gap:.2g} in any class."
        )
    if found.fps != found.usual_fps:
        remarks.append(
            f"Frames are sampled at {found.fps:g} a second, so that there are enough; the model "
            f"was trained on {found.usual_fps:g} a second."
        )
    if found.available < len(found.frames):
        remarks.append(f"The video has only {found.available} different frames: some are repeated.")
    known = ", ".join(found.classes[:4])
    remarks.append(
        f"The model knows {len(found.classes)} classes ({known}, …). Whatever a video shows, it "
        "names one of these."
    )
    return remarks


def shown_classes(found: Explanation, class_name: str | None) -> list[int]:
    """Numbers of the predicted class and of ``class_name``, or of the runner-up without a name.

    Raises:
        InputError: if there is no class of that name.
    """
    best = np.argsort(-found.scores, kind="stable")[:2].tolist()
    if class_name is None:
        return best
    if class_name not in found.classes:
        close = difflib.get_close_matches(class_name, found.classes, n=1, cutoff=0)
        raise InputError(f"--class: there is no class {class_name!r}; did you mean {close[0]!r}?")
    return list(dict.fromkeys([best[0], found.classes.index(class_name)]))


def explained_table(
    found: Explanation, model: str, score: str, class_name: str | None = None
) -> Table:
    """Table with frames as rows and ESVs for the shown classes as columns.

    Below the frames: the sum of the values, the score of no frames and that of all frames.
    """
    shown = shown_classes(found, class_name)
    unit = unit_of(score)
    scale = float(np.abs(found.esv[:, shown]).max())
    title = f"Element Shapley Values, {MODEL_NAMES.get(model, model)} ({unit})"
    table = Table(title=title, title_style="bold")
    table.add_column("frame in file", justify="right")
    table.add_column("time (s)", justify="right")
    for number, c in enumerate(shown):
        what = "predicted: " if number == 0 else ""
        table.add_column(f"{what}{found.classes[c]}", justify="right")
    for i, frame in enumerate(found.frames):
        cells = [_coloured(found.esv[i, c], scale) + _error(found, i, c) for c in shown]
        table.add_row(str(frame), f"{found.seconds[i]:.2f}", *cells)
    table.add_section()
    table.add_row("sum", "", *(signed(found.esv[:, c].sum(), scale, 3) for c in shown))
    table.add_row("no frames", "", *(signed(found.empty[c], scale, 3) for c in shown))
    table.add_row(
        "all frames", "", *(f"[bold]{signed(found.scores[c], scale, 3)}[/]" for c in shown)
    )
    return table


def _error(found: Explanation, frame: int, output: int) -> str:
    """The standard error of an estimated value."""
    if found.is_exact or found.standard_errors is None:
        return ""
    return f" ± {significant(float(found.standard_errors[frame, output]), 2)}"


def _coloured(value: float, scale: float) -> str:
    return f"[{'red' if value > 0 else 'blue'}]{signed(value, scale, 3)}[/]"


def draw_explanation(
    found: Explanation,
    video: Path,
    model: str,
    score: str,
    class_name: str | None,
    out: Path,
) -> None:
    """Write the picture: the frames, and under them bars for the shown classes."""
    rows = []
    for number, c in enumerate(shown_classes(found, class_name)):
        which = "predicted class" if number == 0 else "class"
        scored = f"score {significant(found.scores[c])}"
        title = f"{MODEL_NAMES.get(model, model)}, {which}: {found.classes[c]} ({scored})"
        rows.append(ExplainedClass(title, found.esv[:, c]))
    with figure_style():
        pictures = frame_pictures(video, found.frames)
        figure = draw_video(video.name, pictures, found.frames, rows, unit=unit_of(score))
        save(figure, out)
