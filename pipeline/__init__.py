"""Explains models' outputs by Shapley values of frames, baselines, neurons and features."""
