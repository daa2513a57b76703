"""Figures of the study of neurons."""
