"""What the paper says of each figure, beside what the study's own results show.

A comparison of measured numbers, written here, decides every claim. The margin is two standard
errors of the difference where the results hold any. A claim is left out if the results cannot
decide it, such as a claim about many frames where only one was used.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.core.claims import Claim, all_of, claim, clearly_above, margin, rises
from pipeline.core.digits import apart, with_error
from pipeline.core.plotting import MODEL_NAMES
from pipeline.core.statistics import discoveries
from pipeline.studies.frames.discard import COMPARED

Results = Mapping[str, Any]

HALF = 0.5
"""Fraction of the other classifiers' gain over chance below which a gain is "very poor"."""


def all_claims(results: Results) -> list[Claim]:
    """Every claim, model by model.

    Args:
        results: content of the stages' JSON files, by stage.
    """
    found = []
    for judge in JUDGES:
        for model in ("trn", "tsn"):
            one = judge(results, model)
            learning = results["accuracy"][model]["learning"]
            if one is not None and not learning["has_learned"]:
                one = replace(one, measured=f"{one.measured}; but the model has learned little")
            found.append(one)
    return [one for one in found if one is not None]


def headline(results: Results) -> dict[str, float]:
    """For each model, the share of frames that support the true class."""
    return {model: results["summary"][model]["supporting_share"] for model in MODEL_NAMES}


def _claim(source: str, model: str, text: str, measured: str, shows: bool | None) -> Claim:
    return claim(source, MODEL_NAMES[model], text, measured, shows)


def _curve(results: Results, model: str) -> Claim | None:
    of_model = results["accuracy"][model]["top1"]
    frames = results["accuracy"]["frames"]
    if len(frames) < 2:
        return None
    best = int(np.argmax(of_model))
    clips = results["accuracy"][model]["clips"]
    errors = [math.sqrt(share * (1 - share) / clips) for share in of_model]
    return _claim(
        "Fig. 10",
        model,
        "accuracy rises with the number of frames",
        f"{100 * of_model[0]:.1f} % with {frames[0]}, {100 * of_model[best]:.1f} % with "
        f"{frames[best]} (the most), {100 * of_model[-1]:.1f} % with {frames[-1]}"
        f"{_repeated(results, model, frames[-1])}",
        rises(len(frames), clearly_above(of_model, errors)),
    )


def _orders(results: Results, model: str) -> Claim:
    areas = results["discard"][model]
    up, chance, down = _areas(areas, "esv_ascending", "random", "esv_descending")
    compared = results["discard"]["comparisons"][model]
    gaps = [_clear(compared[f"{a} - {b}"]) for a, b in COMPARED[:2]]
    return _claim(
        "Figs. 3a, 12a",
        model,
        "discarding frames of low ESV first keeps more of the class score than discarding at "
        "random, discarding those of high ESV first keeps less",
        f"area under the score: {up} ascending, {chance} random, {down} descending",
        all_of(gaps),
    )


def _gains(results: Results, model: str) -> Claim:
    rows = {row["order"]: row for row in _best(results, model)}
    whole, most = apart(rows["esv_ascending"]["all"], rows["esv_ascending"]["most"])
    return _claim(
        "Figs. 3a, 12a",
        model,
        "discarding frames of low ESV raises the class score above that of all frames",
        f"{whole} with all frames, at most {most}",
        _clear(results["discard"]["comparisons"][model]["gain"]),
    )


def _other_attributions(results: Results, model: str) -> Claim:
    areas = results["discard"][model]
    ours, gc, ig = _areas(areas, *(f"{name}_ascending" for name in ("esv", "gc", "ig")))
    compared = results["discard"]["comparisons"][model]
    return _claim(
        "Figs. 3c, 12c",
        model,
        "in ascending order ESV keeps more of the class score than GradCAM and Integrated "
        "Gradients",
        f"area: {ours} ESV, {gc} GradCAM, {ig} IG",
        all_of([_clear(compared[f"{a} - {b}"]) for a, b in COMPARED[2:4]]),
    )


def _descending(results: Results, model: str) -> Claim | None:
    if model != "tsn":
        return None
    gaps, errors = {}, []
    for name in ("trn", "tsn"):
        compared = results["discard"]["comparisons"][name]
        nearest = min(
            (compared[f"{a} - {b}"] for a, b in COMPARED[4:]), key=lambda gap: gap["difference"]
        )
        gaps[name] = nearest["difference"]
        errors.append(nearest["error"])
    tsn, trn = apart(gaps["tsn"], gaps["trn"])
    return _claim(
        "Fig. 12c",
        model,
        "in descending order the gap between ESV and the other attributions is smaller for TSN "
        "than for TRN",
        f"best other method's area less ESV's: {tsn} for TSN, {trn} for TRN",
        gaps["trn"] - gaps["tsn"] > margin(*errors),
    )


def _by_scale(results: Results, model: str) -> Claim | None:
    rows = results["patterns"]["contributions"][model]
    if len(rows) < 2:
        return None
    means = [row["mean_of_frames"] for row in rows]
    falls = clearly_above([-mean for mean in means], [r["mean_of_frames_error"] for r in rows])
    spread = [row["upper_quartile"] - row["lower_quartile"] for row in rows]
    none, one, all_others = apart(means[0], means[1], means[-1])
    first, last = apart(spread[0], spread[-1])
    return _claim(
        "Figs. 6a, 11a",
        model,
        "the larger the coalition, the smaller the average marginal contribution of a frame",
        f"{none} to no frame, {one} to one, {all_others} to all others; interquartile range "
        f"{first} to {last}",
        rises(len(rows), falls),
    )


def _supporting(results: Results, model: str) -> Claim | None:
    found, frames = results["lengths"][model], results["lengths"]["frames"]
    if len(frames) < 2:
        return None
    shares = found["supporting_percent"]
    first, last, most = shares[0], shares[-1], int(np.argmax(shares))
    of_two = clearly_above([-share for share in shares], found["standard_error"])

    def fewer(i: int, j: int) -> bool:
        # Differences from the most frames are known video by video.
        return _clear(found["falls"][i]) if j == len(shares) - 1 else of_two(i, j)

    return _claim(
        "Figs. 6b, 11b",
        model,
        "the more frames are looked at, the smaller the percentage of them that support the class",
        f"{first:.1f} % of {frames[0]}, {shares[most]:.1f} % of {frames[most]} (the most), "
        f"{last:.1f} % of {frames[-1]}{_repeated(results, model, frames[-1])}",
        rises(len(frames), fewer),
    )


def _fewer_support(results: Results, model: str) -> Claim | None:
    if model != "tsn":
        return None
    lengths = results["lengths"]
    ours, theirs = (lengths[m]["supporting_percent"][-1] for m in ("tsn", "trn"))
    least = margin(*(lengths[m]["standard_error"][-1] for m in ("tsn", "trn")))
    return _claim(
        "Fig. 11b",
        model,
        "the percentage of supporting frames is much lower for TSN than for TRN",
        f"with {lengths['frames'][-1]} frames {ours:.1f} % for TSN, {theirs:.1f} % for TRN"
        f"{_repeated(results, model, lengths['frames'][-1])}",
        theirs - ours > max(5, least),
    )


def _smooth(results: Results, model: str) -> Claim | None:
    rows = results["shift"][model]["by_shift"]
    if len(rows) < 2:
        return None
    shown = apart(*(row["mean"] for row in rows))
    return _claim(
        "Figs. 6c, 11c",
        model,
        "the further a frame is shifted, the more its ESV changes",
        ", ".join(f"{mean} by {row['shift']}" for mean, row in zip(shown, rows, strict=True)),
        rises(
            len(rows),
            clearly_above([r["mean"] for r in rows], [r["standard_error"] for r in rows]),
        ),
    )


def _positions(results: Results, model: str) -> Claim | None:
    if model != "tsn":
        return None
    found = results["patterns"]["positions"]
    rows = [row for row in found["classes"] if row["drawn"]]
    if not rows:
        return None
    differ = discoveries([row["p_value"] for row in rows])
    rows = sorted(rows, key=lambda row: row["difference"])
    first, last = rows[0], rows[-1]
    return _claim(
        "Figs. 13, 14",
        model,
        "on some classes TRN and TSN value frames of the same positions, on others they do not",
        f"maps differ by {first['difference']:.0f} points ({first['class']}) to "
        f"{last['difference']:.0f} ({last['class']}); {differ} of {len(rows)} classes differ by "
        "more than chance, for the others no difference is shown",
        0 < differ < len(rows),
    )


def _approximate(results: Results, model: str) -> Claim | None:
    rows = [
        row
        for row in results["convergence"]["rows"]
        if row["model"] == model and row["m"] == 1024 and row["iterations"] == 1
    ]
    if not rows:
        return None
    row = rows[0]
    # If all subsequences are sampled, nothing is approximate; equal values have no r.
    if math.comb(row["frames"], row["frames"] // 2) <= row["m"] or row["pearson"] is None:
        return None
    return _claim(
        "Alg. 1",
        model,
        "m = 1024 and one iteration approximate the exact values",
        f"{row['frames']} frames: Pearson r {row['pearson']:.4f}, mean absolute error "
        f"{row['mean_absolute_error']:.2g}{_repeated(results, model, row['frames'])}",
        row["pearson"] > 0.95,
    )


def _exact_in_time(results: Results, model: str) -> Claim | None:
    rows = [
        row
        for row in results["runtime"]["rows"]
        if row["model"] == model and row["configuration"] == "exact"
    ]
    rows = [row for row in rows if row["frames"] == min(16, max(r["frames"] for r in rows))]
    if not rows:
        return None
    row = rows[0]
    return _claim(
        "Supplement D",
        model,
        "exact values of up to 16 frames take less than 10 s a video",
        f"{row['frames']} frames: {with_error(row['seconds'], row['sd'])} s on "
        f"{results['runtime']['device']} ({results['runtime']['threads']} threads)",
        (True if row["frames"] == 16 else None) if row["seconds"] < 10 else False,
    )


def _saves_time(results: Results, model: str) -> Claim | None:
    rows = [row for row in results["runtime"]["rows"] if row["model"] == model]
    sampled = [row for row in rows if row["configuration"] == "m = 1024, i = 1"]
    if not sampled:
        return None
    exact = next(
        r for r in rows if r["configuration"] == "exact" and r["frames"] == sampled[0]["frames"]
    )
    ratio = exact["seconds"] / sampled[0]["seconds"]
    paper = exact["paper_seconds"] / sampled[0]["paper_seconds"]
    saved = exact["seconds"] - sampled[0]["seconds"]
    errors = [row["sd"] / math.sqrt(row["runs"]) for row in (exact, sampled[0])]
    return _claim(
        "Table 1",
        model,
        "Algorithm 1 takes less time than exact values",
        f"{exact['frames']} frames: exact takes {ratio:.2g} times as long (in the paper "
        f"{paper:.2g} times)",
        True if saved > margin(*errors) else None if saved > -margin(*errors) else False,
    )


def _alone(results: Results, model: str) -> Claim | None:
    if model != "trn":
        return None
    found = results["accuracy"]["scales"]
    apart_, joint = found["apart"], found["joint"]
    chance = results["accuracy"]["chance"]["top1"]
    worse = _clear(found["differences"]["mean_alone"])
    poor = joint["mean_alone"] - chance < HALF * (apart_["mean_alone"] - chance)
    return _claim(
        "Supplement C",
        model,
        "trained jointly, the single-scale classifiers perform very poorly in isolation",
        f"accuracy of each alone {_from_to(joint['alone'])}, in the mean "
        f"{100 * joint['mean_alone']:.1f} %; trained one by one {_from_to(apart_['alone'])}, "
        f"{100 * apart_['mean_alone']:.1f} %",
        (True if poor else None) if worse else False,
    )


def _together(results: Results, model: str) -> Claim | None:
    if model != "trn":
        return None
    found = results["accuracy"]["scales"]
    gained = found["differences"]["together"]
    error = gained["error"]
    return _claim(
        "Supplement C",
        model,
        "training the single-scale classifiers one by one improves the whole",
        f"{100 * found['apart']['together']:.1f} % with {found['scales'][-1]} frames, trained "
        f"jointly {100 * found['joint']['together']:.1f} %; the difference is "
        f"{100 * gained['difference']:+.1f} ± {100 * (error or 0):.1f} points",
        _clear(gained),
    )


def _from_to(shares: list[float]) -> str:
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f} %"


def _repeated(results: Results, model: str, n_frames: int) -> str:
    """Text on the share of clips that repeat frames because they have fewer than ``n_frames``."""
    lengths = results["accuracy"][model]["lengths"]
    short = sum(clips for length, clips in lengths.items() if int(length) < n_frames)
    if not short:
        return ""
    return (
        f" ({100 * short / sum(lengths.values()):.0f} % of the validation clips have fewer than "
        f"{n_frames} frames: some of theirs are repeated)"
    )


def _best(results: Results, model: str) -> list[dict[str, Any]]:
    return [
        {"order": order, "all": area["score_of_all"], "most": area["score_at_best"]}
        for order, area in results["discard"][model].items()
    ]


def _areas(areas: Mapping[str, Any], *orders: str) -> list[str]:
    return apart(*(areas[order]["class_score"] for order in orders))


def _clear(compared: Mapping[str, Any]) -> bool:
    """Whether a mean difference is above 0 by more than its margin of two standard errors."""
    return bool(compared["difference"] > margin(compared["error"]))


JUDGES: tuple[Callable[[Results, str], Claim | None], ...] = (
    _curve,
    _alone,
    _together,
    _orders,
    _gains,
    _other_attributions,
    _descending,
    _by_scale,
    _supporting,
    _fewer_support,
    _smooth,
    _positions,
    _approximate,
    _exact_in_time,
    _saves_time,
)
