"""Claims of the paper on image networks, compared with the study's results.

Each claim is decided by a comparison of measured numbers, with a margin of two standard errors of
the difference. Differences between methods and between networks are taken image by image.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.claims import Claim, all_of, claim, margin
from pipeline.core.digits import apart, significant, with_error
from pipeline.core.statistics import MARGIN, verdict
from pipeline.studies.shapnets.image_attributions import OTHERS, SHAPNET

Content = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

COMPARABLE = 0.02
"""Largest loss of accuracy that counts as "comparable", or "almost the same"."""

MOST = 0.5
"""Share above which values count as "most of the values"."""

EXACT = 1e-4
"""Gaps up to this share of the largest score count as rounding."""

NAMES = {
    SHAPNET: "its own",
    "integrated_gradients": "Integrated Gradients",
    "input_x_gradient": "input × gradient",
    "deep_lift": "DeepLIFT",
    "deep_shap": "Deep SHAP",
    "saliency": "saliency",
    "random": "a random order",
}
"""Names of methods in text."""


def image_claims(content: Content) -> list[Claim]:
    """Every claim on images.

    Args:
        content: of images.json.
    """
    return [
        _accurate(content),
        _local_accuracy(content),
        *(_flips(content, method) for method in OTHERS),
        _top(content),
        _least(content),
        _earlier(content),
        *_robust_to_pruning(content),
        _most_go(content),
        *_concentrated(content),
        _robust_to_removal(content),
    ]


def _accurate(content: Content) -> Claim:
    rows = {row["network"]: row for row in content["accuracies"]}
    own, other = rows["plain"], rows["cnn"]
    lost = other["accuracy"] - own["accuracy"]
    papers = f" (paper: {own['paper']:.4f} and {other['paper']:.4f})" if own["paper"] else ""
    accuracies = apart(own["accuracy"], other["accuracy"], digits=4)
    unsure = margin(own["standard_error"], other["standard_error"])
    return claim(
        "Table 2",
        content["source"],
        "a Deep ShapNet is about as accurate as a comparable CNN",
        f"{' and '.join(accuracies)} for the CNN{papers}",
        True if lost <= COMPARABLE else None if lost - unsure <= COMPARABLE else False,
    )


def _local_accuracy(content: Content) -> Claim:
    found = content["local_accuracy"]
    return claim(
        "Theorem 3",
        content["source"],
        "explanations of Deep ShapNets sum to the score less that of the references",
        f"the largest gap is {found['largest_gap']:.1e}, the largest score "
        f"{significant(found['largest_score'])}",
        found["largest_gap"] <= EXACT * found["largest_score"],
    )


def _flips(content: Content, method: str) -> Claim:
    rows = [row for row in content["flips"]["rows"] if row["method"] == method]
    found = [
        verdict(_number(row["own_more"]), _number(row["own_more_error"]), "high") for row in rows
    ]
    texts = [
        f"{row['source']} → {row['target']} {'–' if row['t'] is None else format(row['t'], 'z.1f')}"
        for row in rows
    ]
    return claim(
        "Table 7, Figs. 4 and 11",
        content["source"],
        f"its own explanation turns a class into another better than {NAMES[method]}",
        f"t-scores: {', '.join(texts)}",
        all_of(each == "better" for each in found),
    )


def _top(content: Content) -> Claim:
    rows = _areas(content, "top")
    others = [rows[method] for method in OTHERS]
    worse = [_verdict(row, "low") for row in others]
    # A method that is better than the network's own leaves less.
    shows = False if "better" in worse else True if all(each == "worse" for each in worse) else None
    return claim(
        "Sec. 3, Fig. 4 right",
        content["source"],
        "removing its top pixels leaves less of the predicted class's output than removing those "
        "of other methods",
        f"mean share that is left: {_in_order(rows)}",
        shows,
    )


def _least(content: Content) -> Claim:
    rows = _areas(content, "least")
    better = sum(_verdict(rows[method], "low") == "better" for method in OTHERS)
    rank = 1 + sum(rows[method]["area"] < rows[SHAPNET]["area"] for method in OTHERS)
    return claim(
        "Sec. 3, Fig. 4 middle",
        content["source"],
        "removing its least pixels changes the output less than removing those of all other "
        "methods except one",
        f"its own is number {rank}; mean change: {_in_order(rows)}",
        True if rank <= 2 else None if better <= 1 else False,
    )


def _earlier(content: Content) -> Claim:
    rows = [row for row in content["pruning"]["areas"] if row["network"] == "plain"]
    # The difference is that of a stage from the one before it.
    held = [_verdict(row, "low") != "worse" for row in rows[1:]]
    return claim(
        "Sec. 3, Fig. 5",
        f"{content['source']}, plain",
        "pruning values of earlier stages hurts at least as much as of later ones",
        "mean loss of accuracy, first stage to last: "
        + ", ".join(apart(*(row["area"] for row in rows))),
        all_of(held),
    )


def _robust_to_pruning(content: Content) -> list[Claim]:
    def said(name: str, than: str, text: str) -> Claim:
        (row,) = (
            row
            for row in content["pruning"]["spared"]
            if (row["network"], row["than"]) == (name, than)
        )
        difference, error = _number(row["difference"]), _number(row["standard_error"])
        return claim(
            "Sec. 3, Fig. 5",
            content["source"],
            text,
            f"in the mean over stages and shares {with_error(difference, error)} less accuracy is "
            "lost",
            bool(difference > MARGIN * error),
        )

    return [
        said("l1", "plain", "ℓ1 regularisation makes a network more robust to pruning"),
        said("l1_all", "l1", "it does so more when it is applied to all stages"),
    ]


def _most_go(content: Content) -> Claim:
    spared: dict[str, list[float]] = {}
    for row in content["pruning"]["areas"]:
        curve = [
            each
            for each in content["pruning"]["curves"]
            if (each["network"], each["stage"]) == (row["network"], row["stage"])
        ]
        spared.setdefault(row["network"], []).append(_spared(curve))
    texts = [
        f"{name} {', '.join(f'{100 * share:.0f} %' for share in shares)}"
        for name, shares in spared.items()
    ]
    return claim(
        "Sec. 3, Fig. 5",
        content["source"],
        "most of the values can be removed, and the accuracy is retained",
        f"pixels that can go from a stage for a loss of {COMPARABLE:.2f}, first to last: "
        + "; ".join(texts),
        all_of(share > MOST for shares in spared.values() for share in shares),
    )


def _spared(curve: Rows) -> float:
    """The largest share up to which accuracy stays comparable."""
    found = 0.0
    for row in curve:
        if row["value"] < curve[0]["value"] - COMPARABLE:
            break
        found = row["share"]
    return found


def _concentrated(content: Content) -> list[Claim]:
    rows = {row["network"]: row for row in content["concentration"]}
    plain = rows["plain"]

    def more(name: str, measure: str) -> bool:
        gained = _number(rows[name][measure]) - _number(plain[measure])
        return gained > margin(rows[name][f"{measure}_error"], plain[f"{measure}_error"])

    def less(name: str, measure: str) -> bool:
        gained = _number(rows[name][measure]) - _number(plain[measure])
        return -gained > margin(rows[name][f"{measure}_error"], plain[f"{measure}_error"])

    def text(name: str) -> str:
        variation, sparsity = (
            apart(plain[measure], rows[name][measure]) for measure in ("variation", "sparsity")
        )
        return (
            f"coefficient of variation {' without and '.join(variation)} with, share of values "
            f"near 0 {' and '.join(sparsity)}"
        )

    return [
        claim(
            "Figs. 6, 8 and 9",
            content["source"],
            "ℓ1 regularisation puts importance on few pixels",
            text("l1"),
            all_of([more("l1", "variation"), more("l1", "sparsity")]),
        ),
        claim(
            "Figs. 6, 8 and 10",
            content["source"],
            "ℓ∞ regularisation spreads it over more of the image",
            text("l_infinity"),
            all_of([less("l_infinity", "variation"), less("l_infinity", "sparsity")]),
        ),
    ]


def _robust_to_removal(content: Content) -> Claim:
    rows = [
        row for row in content["regularised"]["areas"] if row["network"] in ("l1", "l_infinity")
    ]
    found = [_verdict(row, "low") for row in rows]
    gained = apart(*(-row["difference"] for row in rows), sign="+")
    texts = [
        f"{'ℓ1' if row['network'] == 'l1' else 'ℓ∞'}, {row['order']} {gain}"
        for row, gain in zip(rows, gained, strict=True)
    ]
    better, worse = found.count("better"), found.count("worse")
    return claim(
        "Sec. 3, Fig. 7",
        content["source"],
        "either regularisation often makes a network more robust to missing pixels",
        f"in {better} of {len(found)} orders, less in {worse}; accuracy kept, more than without: "
        + "; ".join(texts),
        True if better > len(found) / 2 else None if better > worse else False,
    )


def _verdict(row: Mapping[str, Any], best: Any) -> str | None:
    return verdict(_number(row["difference"]), _number(row["difference_error"]), best)


def _areas(content: Content, kind: str) -> dict[str, Mapping[str, Any]]:
    return {row["method"]: row for row in content["removal"]["areas"] if row["kind"] == kind}


def _in_order(rows: Mapping[str, Mapping[str, Any]]) -> str:
    ordered = sorted(rows.values(), key=lambda row: _number(row["area"]))
    areas = apart(*(row["area"] for row in ordered))
    return ", ".join(f"{NAMES[row['method']]} {a}" for row, a in zip(ordered, areas, strict=True))


def _number(value: float | None) -> float:
    """The number, or NaN for None: no claim holds for NaN."""
    return float("nan") if value is None else value
