"""Stages of the study of neurons."""
