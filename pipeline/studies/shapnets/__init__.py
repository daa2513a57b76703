"""Shapley explanation networks: networks whose layers pass Shapley values on."""
