"""Measurements of the cost of the pipeline's parts, compared with the usual alternatives."""
