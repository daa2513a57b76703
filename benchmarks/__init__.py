"""Measurements of what the pipeline's parts cost, beside what one would use instead."""
