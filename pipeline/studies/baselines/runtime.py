"""Stage: how long Shapley Integrated Gradients take beside Integrated Gradients on this machine."""

from pipeline.studies.baselines.timing import METHODS, TOGETHER

COLUMNS = (
    "model",
    "method",
    "description",
    "pictures",
    "runs",
    "gradient_evaluations",
    "model_evaluations",
    "seconds",
    "fastest",
    "slowest",
    "ratio_to_plain",
)
RATIOS: dict[str, tuple[tuple[str, ...], str]] = {
    "sig_to_ig": (("sig",), "ig"),
    "sig_with_algorithm_1_to_ig": (("sig", "algorithm_1"), "ig"),
    "sig_to_captum": (("sig",), "captum"),
    "sig_to_plain": (("sig",), "plain"),
    "sig_with_algorithm_1_to_plain": (("sig", "algorithm_1"), "plain"),
    "sig_inputs_to_sig": (("sig_inputs",), "sig"),
}


def described() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every row's description and the tasks whose seconds it adds up, by method."""
    return {**{name: (text, (name,)) for name, text in METHODS.items()}, **TOGETHER}
