"""Figures of the study of baselines."""
