"""Claims of the paper on attributions of pictures, beside the study's own results.

Verdicts follow the rules of :mod:`pipeline.studies.baselines.claims`.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.core.claims import Claim, all_of, claim, margin, rises
from pipeline.core.digits import apart, significant, with_error
from pipeline.studies.baselines.attribution_files import SIG_LARGER, SIG_SMALLER

Results = Mapping[str, Any]

CLOSE = 1.5
"""Ratio of times up to which they count as "close", and from which as "much faster"."""

SIMILAR = 0.5
"""Pearson's r from which distributions that are alike beyond chance count as "similar"."""

PLAIN = ("ig_zero", "ig_mean", "ig_random")
NAMES = {"ig_zero": "zero", "ig_mean": "mean", "ig_random": "random"}
WORDS = {"better": "better than that", "equal": "as good as that", "worse": "worse than that"}
MODELS = ("classifier", "distance")


def of_pictures(results: Results) -> list[Claim]:
    """Every claim on pictures, for the model that the paper names."""
    found = [
        *(_better(results, model) for model in MODELS),
        _on_ink(results),
        *(_part_on_ink(results, part) for part in ("positive", "negative")),
        _signs_alike(results),
        _like_random(results),
        _focuses(results),
        *(_smaller(results, model) for model in MODELS),
        _alike(results, "classifier"),
        _explains_better(results, "distance"),
        *(judge(results, model) for judge in (_takes, _faster) for model in MODELS),
    ]
    return [one for one in found if one is not None]


def _differences(results: Results, model: str, method: str, measure: str) -> dict[str, Any]:
    return {
        row["against"]: row
        for row in results["agreement"]["differences"]
        if (row["model"], row["method"], row["measure"]) == (model, method, measure)
    }


def _row(results: Results, model: str, method: str) -> Mapping[str, Any]:
    rows = results["agreement"]["rows"]
    return next(row for row in rows if (row["model"], row["method"]) == (model, method))


def _against(
    results: Results, model: str, measure: str, said: tuple[str, str, str]
) -> Claim | None:
    found = _differences(results, model, "sig_baselines", measure)
    # One picture has no error, and where nothing was measured there is no verdict.
    if any(a not in found or found[a]["verdict"] is None for a in PLAIN):
        return None
    source, text, unit = said
    own, *others = apart(*(_row(results, model, a)[measure] for a in ("sig_baselines", *PLAIN)))
    return claim(
        source,
        model,
        text,
        f"{unit} {own}; "
        + ", ".join(
            f"{NAMES[a]} {other} ({WORDS[found[a]['verdict']]}: "
            f"{with_error(found[a]['difference'], found[a]['standard_error'], '+')})"
            for a, other in zip(PLAIN, others, strict=True)
        ),
        all_of(found[a]["verdict"] == "better" for a in PLAIN),
    )


def _better(results: Results, model: str) -> Claim | None:
    text = (
        "Shapley Integrated Gradients perform much better than common baselines (are nearer to "
        "Shapley values than Integrated Gradients from zero, mean and random baselines)"
    )
    return _against(results, model, "ratio_distance", ("Abstract", text, "L1 distance"))


def _on_ink(results: Results) -> Claim | None:
    text = "they are more concentrated on what is shown than those from the other baselines"
    return _against(results, "distance", "ink", ("Fig. 3", text, "share on the ink"))


def _part_on_ink(results: Results, part: str) -> Claim | None:
    text = f"the same of their {part} values"
    return _against(results, "distance", f"ink_{part}", ("Fig. 4", text, "share on the ink"))


def _likeness(results: Results, model: str, *needed: str) -> Mapping[str, Any] | None:
    """The row of one model, if it holds all the needed values."""
    found = [row for row in results["agreement"]["likeness"] if row["model"] == model]
    return found[0] if found and all(found[0][name] is not None for name in needed) else None


def _signs_alike(results: Results) -> Claim | None:
    row = _likeness(results, "distance", "signs", "signs_gain_se")
    if row is None:
        return None
    own, others = apart(row["signs"], row["signs_others"], digits=2)
    above_chance = row["signs_gain"] > margin(row["signs_gain_se"])
    return claim(
        "Fig. 4",
        "distance",
        "their positive values are distributed like their negative ones",
        f"r over areas {own}; with the negative values in other pictures {others} (the "
        f"difference is {with_error(row['signs_gain'], row['signs_gain_se'])})",
        (True if row["signs"] >= SIMILAR else None) if above_chance else False,
    )


def _like_random(results: Results) -> Claim | None:
    others = ("zero", "mean")
    errors = [f"random_less_{name}_se" for name in others]
    row = _likeness(results, "classifier", "random", *others, *errors)
    if row is None:
        return None
    return claim(
        "Fig. 5",
        "classifier",
        "they are similar to Integrated Gradients from random baselines (more than to those from "
        "zero and mean)",
        "r over areas {} with random, {} with zero, {} with mean".format(
            *apart(*(row[name] for name in ("random", *others)), digits=2)
        ),
        all_of(row[f"random_less_{o}"] > margin(row[f"random_less_{o}_se"]) for o in others),
    )


def _focuses(results: Results) -> Claim | None:
    row = _likeness(results, "classifier", "focus", "focus_gain_se")
    if row is None:
        return None
    return claim(
        "Fig. 5",
        "classifier",
        "they are more focused on areas to which zero and mean baselines pay attention and random "
        "ones do not",
        f"{100 * row['focus']:.1f} % of their absolute values are on such areas, which are "
        f"{100 * row['focus_even']:.1f} % of all ({row['focus_pictures']} of {row['pictures']} "
        "pictures have some)",
        row["focus_gain"] > margin(row["focus_gain_se"]),
    )


def _smaller(results: Results, model: str) -> Claim | None:
    sizes = {
        SIG_LARGER: "areas of twice the side",
        "sig_baselines": "the areas themselves",
        SIG_SMALLER: "areas of half the side",
    }
    rows = results["agreement"]["rows"]
    known = {row["method"]: row for row in rows if row["model"] == model}
    names = [name for name in sizes if name in known]
    verdicts = {
        (row["method"], row["against"]): row["verdict"]
        for row in results["agreement"]["differences"]
        if (row["model"], row["measure"]) == (model, "ratio_distance")
    }
    if len(names) < 2 or verdicts.get((names[1], names[0])) is None:
        return None

    shown = apart(*(known[name]["ratio_distance"] for name in names))

    def nearer(i: int, j: int) -> bool:
        one, other = names[max(i, j)], names[min(i, j)]
        return verdicts[one, other] == ("better" if j > i else "worse")

    return claim(
        "Section 4.3",
        model,
        "the smaller the areas whose coalitions are baselines, the nearer they come to the ratios "
        "between Shapley values",
        "L1 distance "
        + ", ".join(
            f"{distance} with {sizes[name]}" for distance, name in zip(shown, names, strict=True)
        ),
        rises(len(names), nearer),
    )


def _alike(results: Results, model: str) -> Claim | None:
    """Compare the proposals' difference with that between two draws of coalitions of proposal 1.

    No limit is set by hand. In single pictures a smaller difference would look like another draw.
    """
    found = [row for row in results["agreement"]["between"] if row["model"] == model]
    if not found or found[0]["ratio_distance"] is None:
        return None
    (row,) = found
    if row["ratio_distance_se"] is None or row["ratio_distance_repeats"] is None:
        return None
    return claim(
        "Figs. 6, 7; B.1",
        model,
        "proposals 1 and 2 differ little (from each other)",
        f"L1 distance of their ratios {with_error(row['ratio_distance'], row['ratio_distance_se'])}"
        f"; of two repeats of proposal 1 {significant(row['ratio_distance_repeats'])}"
        f"{_correlations(row)}",
        all_of([row["ratio_distance"] <= row["ratio_distance_repeats"]]),
    )


def _correlations(row: Mapping[str, Any]) -> str:
    names = {"pearson": "areas", "pearson_pixels": "pixels"}
    known = [
        f"r of {of} {significant(row[name])}" for name, of in names.items() if row[name] is not None
    ]
    return "".join(f"; {text}" for text in known)


def _explains_better(results: Results, model: str) -> Claim | None:
    found = _differences(results, model, "sig_baselines", "ratio_distance").get("sig_inputs")
    if found is None or found["verdict"] is None:
        return None
    uses = ("baselines", "inputs", "both")
    first, second, both = apart(
        *(_row(results, model, f"sig_{use}")["ratio_distance"] for use in uses)
    )
    return claim(
        "Fig. 7; B.1",
        model,
        "proposal 1 explains better than proposal 2",
        f"L1 distance to exact ratios {first} and {second} ({WORDS[found['verdict']]}: "
        f"{with_error(found['difference'], found['standard_error'], '+')}), of both together "
        f"{both}",
        all_of([found["verdict"] == "better"]),
    )


def _takes(results: Results, model: str) -> Claim:
    medians = {name: row["median"] for name, row in results["runtime"]["ratios"][model].items()}
    alone, whole = medians["sig_to_ig"], medians["sig_with_algorithm_1_to_ig"]
    plain, whole_plain = medians["sig_to_plain"], medians["sig_with_algorithm_1_to_plain"]
    return claim(
        "Section 5",
        model,
        "Shapley Integrated Gradients take about as long as Integrated Gradients",
        f"{plain:.2f} times as long as from one baseline, {whole_plain:.2f} times with the "
        f"evaluations that find the coalitions; at equal numbers of gradients {alone:.2f} and "
        f"{whole:.2f} times",
        all_of(times <= CLOSE for times in (alone, whole, plain, whole_plain)),
    )


def _faster(results: Results, model: str) -> Claim:
    row = results["runtime"]["ratios"][model]["sig_inputs_to_sig"]
    return claim(
        "B.1",
        model,
        "proposal 1 is much faster than proposal 2",
        f"proposal 2 takes {row['median']:.2f} times as long ({row['lowest']:.2f} to "
        f"{row['highest']:.2f} over runs)",
        all_of([row["median"] >= CLOSE, row["lowest"] > 1]),
    )
