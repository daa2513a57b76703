"""Stages of the study of Shapley explanation networks."""
