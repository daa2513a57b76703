"""A study so small that all of it runs in a test."""

import copy
from pathlib import Path

import yaml

from pipeline.workflow import params

ROOT = Path(__file__).parents[2]

OVERRIDES = {
    "studies": ["frames"],
    "device": "cpu",
    "frames": {
        "dataset": {"max_skipped": 0.2},
        "videos": {"train_clips": 34, "validation_clips": 17, "test_clips": 1, "frames": 16},
        "decoding": {"size": 32},
        "backbone": {"feature_dim": 8, "frames": 3, "epochs": 1, "batch_clips": 17},
        "scales": {"n_max": 3, "frames": 4, "hidden": 6, "epochs": 2, "least_steps": 0, "draws": 1},
        "tsn": {"frames": 4, "epochs": 2, "least_steps": 0, "draws": 1},
        "accuracy": {"max_frames": 5},
        "coalitions": {"n": 5},
        "gradients": {"steps": 4},
        "discard": {"random_orders": 2},
        "patterns": {"draws": 20, "videos_at_least": 1, "classes": 1},
        "interactions": {"videos": 3},
        "localisation": {"m": 2},
        "lengths": {"max_frames": 4, "clips": 5},
        "shift": {"furthest": 2, "clips": 3},
        "removal": {"n": 4, "clips": 6},
        "convergence": {
            "trn_frames": 5,
            "tsn_frames": 6,
            "clips": 2,
            "repeats": 2,
            "m": [1, 4, 1024],
            "iterations": [1, 2],
            "budgets": [16, 24],
        },
        "runtime": {"max_frames": 8, "runs": 2, "grid_runs": 2},
        "figures": {"clips": 2},
    },
    "baselines": {
        "surrogates": {"repeats": 2, "share_of_20": 0.02, "hidden": 8, "layers": 1, "steps": 20},
        "ratios": {"repeats": 2, "per_size": [1, 2], "kept": 20},
        "replace": {"coalitions": 4, "steps": 3},
        "proportions": {"drawn": [2, 4], "simulations": 200},
        "pictures": {"area": 4},
        "classifier": {"width": 4, "hidden": 8, "epochs": 1},
        "embedding": {"width": 4, "hidden": 8, "epochs": 1, "outputs": 4},
        "coalitions": {"explained": 3},
        "attributions": {"repeats": 2, "kept": 3, "plain_steps": 5, "random_baselines": 2},
        "runtime": {"pictures": 1, "runs": 2},
        "figures": {"pictures": 2},
    },
    "neurons": {
        "images": {"train": 200, "ranked": 24, "held_out": 20},
        "training": {"channels": [4, 5], "epochs": 2},
        "networks": {"foreign": {"channels": [3]}},
        "attack": {"steps": 3},
        "coalitions": {"block": 10},
        "pairs": {"count": 4, "rounds": 4},
        "walks": {"orders": 2},
        "shared": {"iterations": 12, "images": 4},
        "removal": {"most": 4, "top": 4, "classes": 2, "random_orders": 2, "steps": 3},
        "pictures": {"steps": 2, "images": 2, "layers": 2, "of_class": 1},
        "search": {"k": 2, "epsilon": 0.2, "most": 4000},
    },
    "shapnets": {
        "tables": {"rows": 60},
        "training": {"folds": 2, "epochs": 1},
        "networks": {"width": 2, "hidden": 3},
        "compared": {"shallow": 3},
        "consistent": {"weights": [1.0], "samples": 2},
        "explained": {"rows": 2, "coalitions": 256, "kernel": [40], "fastshap": 3},
        "learned": {"width": 2, "hidden": 2, "kept": 3, "epochs": 1},
        "timing": {"runs": 2},
        "images": {"train": 60, "test": 40},
        "image_networks": {
            "channels": [3],
            "dilations": [1, 2],
            "epochs": 2,
            "repeats": 1,
        },
        "image_explained": {
            "images": 12,
            "steps": 4,
            "baselines": 2,
            "random_orders": 1,
            "drawn": 2,
        },
    },
}


def merged(base, changes):
    result = copy.deepcopy(base)
    for name, value in changes.items():
        is_section = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if is_section else copy.deepcopy(value)
    return result


def defaults():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def tiny_params(**frames):
    """The tiny parameters, with sections of `frames` changed further."""
    content = merged(defaults(), OVERRIDES)
    return params.validate(merged(content, {"frames": frames}))
