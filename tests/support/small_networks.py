"""Small models of both kinds with random weights, their inputs, and their games by definition."""

import oracle
import torch

from pipeline.models.sequences import Averaging, MultiScale, SingleScale

SCORES = ["probability", "logit", "mean_of_softmax"]


def make_model(kind, *, n_max=3, dim=5, hidden=6, n_classes=4, seed=0):
    """A TRN or TSN in float32; weights twice as large as usual, so that scores differ."""
    torch.manual_seed(seed)
    if kind == "trn":
        scales = [SingleScale(s, dim, hidden, n_classes) for s in range(1, n_max + 1)]
        model = MultiScale(scales)
    else:
        model = Averaging(dim, n_classes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model.eval()


def make_input(model, n_sequences, n_frames, seed=1):
    """Features and the score without any frame, in the model's dtype."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn((n_sequences, n_frames, model.feature_dim), generator=generator)
    empty = torch.rand(model.n_classes, generator=generator).softmax(0)
    dtype = next(model.parameters()).dtype
    return features.to(dtype), empty.to(dtype)


def make_game(kind):
    """The oracle's game of a kind of model."""
    return oracle.multi_scale_game if kind == "trn" else oracle.averaging_game
