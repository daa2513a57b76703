"""Figures of the study of frames."""
