"""Which frames, baselines, neurons and features a model's output is owed to, by Shapley values."""
