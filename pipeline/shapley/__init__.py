"""Shapley values from games or from tables of values; knows no model and no file."""

from pipeline.shapley.exact import SizeSums as SizeSums
from pipeline.shapley.exact import block_sums as block_sums
from pipeline.shapley.exact import marginals_by_size as marginals_by_size
from pipeline.shapley.exact import shapley_values as shapley_values
