"""Stages of the page of results."""
