"""Neuron Shapley: which filters are responsible for what a network does."""
