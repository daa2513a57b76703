"""Names of the methods that attribute a score to frames, as tables and figures say them."""

METHODS = {
    "esv": "exact ESV",
    "algorithm_1": "Algorithm 1",
    "ig": "Integrated Gradients",
    "gc": "GradCAM",
    "leave_one_out": "leave one out",
    "pairs": "interactions with other frames",
    "centre": "position: near the centre",
    "early": "position: early",
}
