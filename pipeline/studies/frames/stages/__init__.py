"""Stages of the study of frames."""
