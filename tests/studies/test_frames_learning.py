"""Tests whether models of frames have learned, compared with a linear classifier."""

import tracemalloc

import numpy as np
import pytest
import torch

from pipeline.models.sequences import MultiScale
from pipeline.studies.frames.accuracy import jointly, learning
from pipeline.studies.frames.feature_files import FeatureSet
from pipeline.studies.frames.params import ScalesParams, TsnParams
from pipeline.studies.frames.sampling import spread
from pipeline.studies.frames.scales import train_jointly, train_scale
from pipeline.studies.frames.tsn import train_averaging

CLASSES, DIM = 9, 16
CPU = torch.device("cpu")


def clips(count, seed):
    """Clips whose mean features reveal their class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(CLASSES, DIM))
    lengths = rng.integers(3, 9, count)
    labels = np.arange(count) % CLASSES
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows = 0.3 * centres[np.repeat(labels, lengths)] + rng.normal(size=(starts[-1], DIM)) / 2
    uids = tuple(map(str, range(count)))
    return FeatureSet(uids, labels.astype(np.int64), rows.astype(np.float32), starts)


def trained(train, **changes):
    usual = {"frames": 4, "dropout": 0.1, "learning_rate": 1e-3, "batch": 512, "draws": 1}
    params = TsnParams.model_validate({**usual, "epochs": 30, "seed": 0, **changes})
    return train_averaging(train, CLASSES, params, device="cpu")


@pytest.mark.parametrize(("least_steps", "has_learned"), [(0, False), (1500, True)])
def test_few_clips_are_trained_on_for_more_epochs(least_steps, has_learned):
    """270 clips are one batch: 30 epochs are 30 steps, after which little has been learned."""
    train, validation = clips(270, 1), clips(90, 2)
    model = trained(train, least_steps=least_steps)
    found = learning(model, train, validation, 5, "probability", CPU)
    assert found.linear_train > 0.9
    assert found.linear_validation > 0.8
    assert found.most_frequent == pytest.approx(1 / CLASSES)
    assert found.has_learned == has_learned
    assert found.told()["has_learned"] == has_learned
    assert (found.train > 0.85) == has_learned


def test_means_of_all_clips_are_not_in_memory():
    train, many = clips(50, 1), clips(10_000, 2)
    model = trained(train, least_steps=0)
    tracemalloc.start()
    learning(model, train, many, 3, "probability", CPU)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20  # of 1.3 MB for the means, in float64


def test_clips_of_one_class():
    train = clips(30, 1)
    alike = FeatureSet(train.uids, np.zeros_like(train.labels), train.rows, train.starts)
    found = learning(trained(train, least_steps=0), alike, train, 3, "logit", CPU)
    assert (found.linear_train, found.most_frequent) == (1, 1)
    assert found.linear_validation == pytest.approx(4 / 30)


def test_scales_trained_jointly_beside_those_trained_apart():
    train, validation = clips(90, 1), clips(45, 2)
    common = {"frames": 4, "dropout": 0.1, "learning_rate": 1e-2, "batch": 512, "draws": 1}
    params = ScalesParams(**common, hidden=8, epochs=30, least_steps=0, seed=0, n_max=3)
    apart = MultiScale([train_scale(train, CLASSES, s, params, device="cpu") for s in (1, 2, 3)])
    joint = train_jointly(train, CLASSES, params, device="cpu")
    found = jointly(apart.eval(), joint.eval(), validation, "probability", CPU)
    rights = {}
    for name, model in (("apart", apart), ("joint", joint)):
        alone = []
        for size in (1, 2, 3):
            index = validation.starts[:-1, None] + spread(validation.lengths, size)
            said = model.scale(size)(torch.from_numpy(validation.rows[index])).argmax(dim=1)
            alone.append(said.numpy() == validation.labels)
        assert found[name]["alone"] == pytest.approx([right.mean() for right in alone])
        assert found[name]["mean_alone"] == pytest.approx(np.mean(alone))
        rights[name] = np.mean(alone, axis=0)
        assert found[name]["together"] > 2 / CLASSES
    gap = rights["apart"] - rights["joint"]
    told = found["differences"]["mean_alone"]
    assert told["difference"] == pytest.approx(gap.mean())
    assert told["error"] == pytest.approx(gap.std(ddof=1) / np.sqrt(45))
