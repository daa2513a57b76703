"""The sampled estimators of Shapley values, by name."""

from pipeline.shapley import adjusted, kernel, msr, permutation, regression, stratified
from pipeline.shapley.estimate import Method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        permutation.METHOD,
        stratified.METHOD,
        regression.METHOD,
        adjusted.METHOD,
        kernel.METHOD,
        msr.METHOD,
    )
}
"""The methods by name."""

TITLES = {
    "permutation": "permutation sampling",
    "stratified": "stratified sampling",
    "regression": "regression (Leverage SHAP)",
    "regression_adjusted": "regression, error corrected",
    "kernel": "kernel regression",
    "msr": "maximum sample reuse",
}
"""Their names in figures."""
