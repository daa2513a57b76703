"""Which attributions of the same pictures are alike, and where (Figs. 4 and 5).

The paper judges by eye. Here correlations and shares over areas are computed, picture by picture.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.statistics import known_mean, known_mean_and_error
from pipeline.shapley.agreement import pearson
from pipeline.studies.baselines import quality
from pipeline.studies.baselines.areas import area_sums
from pipeline.studies.baselines.attribution_files import Attributions

Floats = NDArray[np.float64]

SIG = "sig_baselines"
BASELINES = ("zero", "mean", "random")


def likeness(found: Attributions) -> dict[str, Any]:
    """How Shapley Integrated Gradients (proposal 1) relate to Integrated Gradients.

    Returns:
        Means over pictures, with standard errors over pictures (``_se``); NaN if undefined:

        * ``zero``, ``mean``, ``random``: r over areas between SIG and Integrated Gradients from
          that baseline; ``random_less_zero``, ``random_less_mean``: differences of two of these;
        * ``focus``: the share of SIG's absolute values on areas that are in the upper half of
          Integrated Gradients from zero and from the mean, but in the lower half of those from
          random pictures; ``focus_even``: the share of these areas among all areas;
          ``focus_gain``: the former minus the latter; ``focus_pictures``: number of pictures with
          such areas;
        * ``signs``: r over areas between the positive part of SIG's values and the negative one;
          ``signs_others``: the same with the negative part in other pictures; ``signs_gain``: the
          former minus the latter.
    """
    own = found.of_areas(SIG)
    each = {name: known_mean(pearson(own, found.of_areas(f"ig_{name}"))) for name in BASELINES}
    measures: dict[str, Floats] = {
        **each,
        "random_less_zero": each["random"] - each["zero"],
        "random_less_mean": each["random"] - each["mean"],
        **_focus(found, own),
        **_signs(found),
    }
    row: dict[str, Any] = {"model": found.model, "pictures": own.shape[1]}
    row["focus_pictures"] = int((~np.isnan(measures["focus"])).sum())
    for name, values in measures.items():
        mean, error = known_mean_and_error(values)
        row[name], row[f"{name}_se"] = float(mean), float(error)
    return row


def _focus(found: Attributions, own: Floats) -> dict[str, Floats]:
    """The measures ``focus…`` of :func:`likeness` for each picture: (picture,)."""
    upper = {name: _upper_half(found.of_areas(f"ig_{name}")) for name in BASELINES}
    chosen = upper["zero"][0] & upper["mean"][0] & ~upper["random"]
    shares = np.abs(quality.normalised(own))
    some = chosen.any(axis=-1)
    focus = np.where(some, (shares * chosen).sum(axis=-1), np.nan)
    even = np.where(some, chosen.mean(axis=-1), np.nan)
    each = {"focus": focus, "focus_even": even, "focus_gain": focus - even}
    return {name: known_mean(values) for name, values in each.items()}


def _upper_half(values: Floats) -> NDArray[np.bool_]:
    """Which areas are among the half of largest absolute values: (repeat, picture, player)."""
    n = values.shape[-1]
    order = np.argsort(-np.abs(values), axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return np.asarray(rank < n // 2)


def _signs(found: Attributions) -> dict[str, Floats]:
    """The measures ``signs…`` of :func:`likeness` for each picture: (picture,)."""
    positive, negative = (
        area_sums(torch.from_numpy(part), found.areas, leading=2).numpy()
        for part in quality.parts(found.methods[SIG].values)
    )
    # (repeat, picture, other picture)
    crossed = pearson(positive[:, :, None], negative[:, None])
    same = np.eye(crossed.shape[1], dtype=np.bool_)
    own = known_mean(np.diagonal(crossed, axis1=1, axis2=2))
    others = known_mean(known_mean(np.where(same, np.nan, crossed)).T)
    return {"signs": own, "signs_others": others, "signs_gain": own - others}
