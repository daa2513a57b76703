"""The sampled estimators of Shapley values, by name."""

from pipeline.shapley import adjusted, msr, permutation, regression, stratified
from pipeline.shapley.estimate import Method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        permutation.METHOD,
        stratified.METHOD,
        regression.METHOD,
        adjusted.METHOD,
        msr.METHOD,
    )
}
"""The methods by name."""
