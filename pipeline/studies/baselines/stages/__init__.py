"""Stages of the study of baselines."""
