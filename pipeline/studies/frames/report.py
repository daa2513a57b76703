"""Tables of the study of frames for documents."""

from typing import Any

from pipeline.core.claims import claims_by_model
from pipeline.core.digits import significant, with_error
from pipeline.core.tables import NONE, markdown_table
from pipeline.studies.frames.methods import METHODS
from pipeline.studies.frames.paths import MODELS


def runtime_table(runtime: Any) -> str:
    """Time of one video, here and in the paper: means ± standard deviations.

    Args:
        runtime: content of ``frames/runtime.json``.
    """
    gpu = runtime["paper_device"].partition(",")[0].removeprefix("NVIDIA ")
    rows = [
        [
            row["model"].upper(),
            row["frames"],
            row["configuration"],
            _time(row["seconds"], row["sd"]),
            _time(row["paper_seconds"], row["paper_sd"]),
        ]
        for row in runtime["rows"]
    ]
    return markdown_table(["", "frames", "", "here", f"paper ({gpu})"], rows)


def accuracy_table(accuracy: Any) -> str:
    """Accuracy with 8 frames, or with the largest number of frames if 8 is missing.

    Args:
        accuracy: content of ``frames/accuracy.json``.
    """
    frames = accuracy["frames"]
    at = frames.index(8) if 8 in frames else len(frames) - 1
    rows = []
    for key, text in ACCURACIES.items():
        if key not in accuracy["trn"]:
            continue
        chance = accuracy["chance"].get(key)
        shares = [_share(accuracy[model][key][at], accuracy[model], key) for model in MODELS]
        rows.append([text, *shares, NONE if chance is None else f"{100 * chance:.1f} %"])
    heading = "1 frame" if frames[at] == 1 else f"{frames[at]} frames"
    return markdown_table([f"accuracy with {heading}", "TRN", "TSN", "chance"], rows)


ACCURACIES = {
    "top1": "all clips",
    "within_pairs": "clips of paired classes: true class above the other",
    "top1_rest": "clips of the other classes",
    "top1_pair_blind": "all clips, a pair counted as one class",
}


def _share(share: float, of_model: Any, key: str) -> str:
    """A share with its standard error; shares of 0 and 1 have none."""
    clips = of_model["clips"]
    if key == "within_pairs":
        clips = of_model["clips_of_pairs"]
    elif key == "top1_rest":
        clips -= of_model["clips_of_pairs"]
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    error = (share * (1 - share) / clips) ** 0.5
    return f"{with_error(100 * share, 100 * error)} %"


def frames_table(summary: Any) -> str:
    """How often the best frame lies inside the action, and how many frames support the true class.

    Args:
        summary: content of ``frames/figures/summary.json``.
    """
    inside, chances = [], []
    for model in MODELS:
        found = summary[model].get("highest_in_action")
        if found is not None:
            share, error = 100 * found["inside"], 100 * found["standard_error"]
            inside.append(f"{with_error(share, error)} %")
            chances.append(f"{100 * found['chance']:.1f} %")
    rows = []
    if inside:
        text = "the frame of highest value lies inside the action"
        rows.append([text, *inside, " and ".join(dict.fromkeys(chances))])
    supporting = [f"{100 * summary[model]['supporting_share']:.1f} %" for model in MODELS]
    rows.append(["frames that support the true class", *supporting, NONE])
    return markdown_table(["", "TRN", "TSN", "chance"], rows)


def learning_table(accuracy: Any) -> str:
    """How well the models are trained, beside a linear classifier of mean features.

    Args:
        accuracy: content of ``frames/accuracy.json``.
    """
    rows = []
    for model in MODELS:
        found = accuracy[model]["learning"]
        shares = ("train", "validation", "linear_train", "linear_validation")
        told = "" if found["has_learned"] else " (has learned little)"
        rows.append([f"{model.upper()}{told}", *(f"{100 * found[name]:.1f} %" for name in shares)])
    heading = ["", "training clips", "validation clips"]
    return markdown_table([*heading, "linear: training clips", "validation clips"], rows)


def interactions_table(interactions: Any) -> str:
    """What two frames are worth together, by their distance.

    Args:
        interactions: content of ``frames/interactions.json``.
    """
    rows = []
    for game, text in INTERACTING.items():
        of_models = [interactions[model][game] for model in MODELS]
        if not all(found["videos"] and found["mean"] for found in of_models):
            continue
        for place, where in ((0, "neighbours"), (-1, "first and last frame")):
            cells = [with_error(f["mean"][place], f["standard_error"][place]) for f in of_models]
            rows.append([text, where, *cells])
        sizes = [with_error(f["mean_size"][0], f["error"][0]) for f in of_models]
        rows.append([text, "neighbours, without sign", *sizes])
    return markdown_table([interactions["index"], "pair", "TRN", "TSN"], rows)


INTERACTING = {"class": "true class", "order": "order: true class less its reverse"}


def localisation_table(localisation: Any) -> str:
    """How well attributions find the action.

    Args:
        localisation: content of ``frames/localisation.json``.
    """
    found = {(row["model"], row["method"]): row for row in localisation["rows"]}
    rows = []
    for method, name in METHODS.items():
        of_models = [found.get((model, method)) for model in MODELS]
        if any(of_models):
            rows.append([name, *(NONE if r is None else _area(r) for r in of_models)])
    return markdown_table(["area under the ROC curve", "TRN", "TSN"], rows)


def removal_table(removal: Any) -> str:
    """How far values depend on what stands in place of absent frames.

    Args:
        removal: content of ``frames/removal.json``.
    """
    found = {(row["model"], row["first"], row["second"]): row for row in removal["rows"]}
    rows = []
    for first, second in dict.fromkeys(pair[1:] for pair in found):
        of_models = [found[model, first, second] for model in MODELS]
        ranks = [with_error(r["rank_correlation"], r["standard_error"]) for r in of_models]
        same = [f"{with_error(100 * r['same_best_frame'], 100 * r['error'])} %" for r in of_models]
        rows.append([f"{first}, {second}", *ranks, *same])
    heading = ["rank correlation of values: TRN", "TSN", "same best frame: TRN", "TSN"]
    return markdown_table(["absent frames", *heading], rows)


def _area(row: Any) -> str:
    return with_error(row["area"], row["standard_error"])


def _time(seconds: float, sd: float) -> str:
    """Mean to three digits and standard deviation to two; times below one second in ms."""
    factor, unit = (1000, "ms") if seconds < 1 else (1, "s")
    return f"{significant(factor * seconds)} ± {significant(factor * sd, 2)} {unit}"


TABLES = {
    "ACCURACY": ("frames/accuracy.json", accuracy_table),
    "FRAMES": ("frames/figures/summary.json", frames_table),
    "LEARNING": ("frames/accuracy.json", learning_table),
    "CLAIMS": ("frames/claims.json", claims_by_model),
    "RUNTIME": ("frames/runtime.json", runtime_table),
    "INTERACTIONS": ("frames/interactions.json", interactions_table),
    "LOCALISATION": ("frames/localisation.json", localisation_table),
    "REMOVAL": ("frames/removal.json", removal_table),
}
"""Tables that documents may hold, by name: the JSON file below the results folder, and the function
that formats its content as Markdown."""
