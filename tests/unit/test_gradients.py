"""Compares gradient attributions with closed forms and autograd, and whole models with sums."""

from itertools import combinations

import numpy as np
import oracle
import pytest
import torch
from small_networks import SCORES, make_model
from torch import nn

from pipeline.core import blocks
from pipeline.core.errors import InputError
from pipeline.models.gradients import baseline_features, gradcam, integrated_gradients
from pipeline.models.sequences import Averaging
from pipeline.studies.frames.coalition_scores import whole_scores
from pipeline.studies.frames.line_gradients import gradients_on_lines
from pipeline.studies.frames.whole_model import WholeModel

SIZES = [
    ("trn", 3, 1),
    ("trn", 1, 4),
    ("trn", 2, 5),
    ("trn", 4, 4),
    ("trn", 5, 3),
    ("trn", 5, 7),
    ("tsn", 1, 1),
    ("tsn", 1, 5),
]


def make_features(model, n_sequences, n_frames, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (n_sequences, n_frames, model.feature_dim)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def plain_forward(model, features, score):
    """f(X) by its definition, in PyTorch: one subsequence after another."""
    n = features.shape[1]
    scales = []
    for s in range(1, (1 if isinstance(model, Averaging) else min(n, model.n_max)) + 1):
        outputs = []
        for chosen in combinations(range(n), s):
            taken = features[:, list(chosen)]
            if isinstance(model, Averaging):
                outputs.append(model.classifier(taken[:, 0]))
            else:
                outputs.append(model.scale(s)(taken))
            if score == "mean_of_softmax":
                outputs[-1] = outputs[-1].softmax(dim=-1)
        scales.append(torch.stack(outputs).mean(dim=0))
    mean = torch.stack(scales).mean(dim=0)
    return mean.softmax(dim=-1) if score == "probability" else mean


class Plain(nn.Module):
    def __init__(self, model, score):
        super().__init__()
        self.model, self.score = model, score

    def forward(self, features):
        return plain_forward(self.model, features, self.score)


class Linear(nn.Module):
    """w · x for whole sequences; counts its input rows."""

    def __init__(self, n_elements, dim, n_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_classes, n_elements, dim, dtype=torch.float64))
        self.rows = []

    def forward(self, features):
        self.rows.append(len(features))
        return torch.einsum("bed,ced->bc", features, self.weight) + 3.0


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("kind", "n_max", "n"), SIZES)
def test_forward_agrees_with_whole_scores_and_with_the_definition(kind, n_max, n, score):
    model = make_model(kind, n_max=n_max, seed=n).double()
    features = make_features(model, 6, n)
    found = WholeModel(model, score)(features).numpy()
    np.testing.assert_allclose(found, whole_scores(model, features, score).numpy(), atol=1e-12)
    game = oracle.multi_scale_game if kind == "trn" else oracle.averaging_game
    for index, frames in enumerate(features):
        expected = game(model, frames, None, score)(tuple(range(n)))
        np.testing.assert_allclose(found[index], expected, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("kind", "n_max", "n"), SIZES)
@pytest.mark.parametrize("block_bytes", [1, 1 << 21])
def test_gradients_agree_with_those_of_the_definition(
    monkeypatch, kind, n_max, n, score, block_bytes
):
    monkeypatch.setitem(blocks.BLOCK_BYTES, "cpu", block_bytes)
    model = make_model(kind, n_max=n_max, seed=n).double()
    features = make_features(model, 2, n).requires_grad_()
    weights = torch.randn(2, model.n_classes, dtype=torch.float64)
    scores = WholeModel(model, score)(features)
    (found,) = torch.autograd.grad((scores * weights).sum(), features)
    plain = plain_forward(model, features, score)
    (expected,) = torch.autograd.grad((plain * weights).sum(), features)
    np.testing.assert_allclose(scores.detach().numpy(), plain.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_numerical_gradients(score):
    whole = WholeModel(make_model("trn").double(), score)
    features = make_features(whole.model, 2, 5).requires_grad_()
    assert torch.autograd.gradcheck(whole, (features,))
    assert all(parameter.grad is None for parameter in whole.parameters())


@pytest.mark.parametrize("score", ["probability", "mean_of_softmax"])
def test_the_number_of_threads_changes_nothing(score):
    whole = WholeModel(make_model("trn").double(), score)
    features = make_features(whole.model, 9, 6)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaf = features.clone().requires_grad_()
            scores = whole(leaf)
            found.append((scores.detach(), *torch.autograd.grad(scores[:, 1].sum(), leaf)))
    finally:
        torch.set_num_threads(before)
    for scores, grads in found[1:]:
        assert torch.equal(scores, found[0][0]) and torch.equal(grads, found[0][1])


@pytest.mark.parametrize("n", [27, 34])
def test_long_sequences(n):
    model = make_model("trn").double()
    features = make_features(model, 2, n)
    found = WholeModel(model, "logit")(features)
    np.testing.assert_allclose(
        found.numpy(), whole_scores(model, features, "logit").numpy(), atol=1e-12
    )


def test_one_class_and_float32():
    model = make_model("trn", n_classes=1)
    features = make_features(model, 2, 5).float()
    found = WholeModel(model, "logit")(features)
    np.testing.assert_allclose(found.numpy(), whole_scores(model, features, "logit"), atol=1e-6)
    values = integrated_gradients(
        WholeModel(model, "logit"),
        features,
        torch.tensor([0, 0]),
        baseline=torch.zeros(5),
    )
    difference = found - WholeModel(model, "logit")(torch.zeros_like(features))
    np.testing.assert_allclose(values.values.sum(dim=1), difference[:, 0], atol=0.02)
    assert values.values.dtype == torch.float64


@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_sequences_at_once_follow_the_budget(kind):
    whole = WholeModel(make_model(kind).double())
    assert whole.sequences_at_once(8, 1) == 1
    few, many = whole.sequences_at_once(8, 1 << 20), whole.sequences_at_once(8, 1 << 24)
    assert 16 * few <= many < 16 * (few + 1)
    assert whole.sequences_at_once(16, 1 << 24) < many


def test_a_linear_model_has_a_closed_form():
    torch.manual_seed(0)
    module = Linear(6, 4, 3)
    features = torch.randn(5, 6, 4, dtype=torch.float64)
    targets = torch.tensor([0, 2, 1, 1, 0])
    for baseline in (torch.zeros(4), torch.randn(4), torch.randn(6, 4), torch.randn(5, 6, 4)):
        found = integrated_gradients(module, features, targets, baseline=baseline)
        weight = module.weight.detach()[targets]
        expected = (weight * (features - baseline)).sum(dim=2)
        np.testing.assert_allclose(found.values.numpy(), expected.numpy(), atol=1e-6)
        np.testing.assert_allclose(found.gap.numpy(), 0, atol=1e-6)
    map_expected = (weight.mean(dim=1, keepdim=True) * features).sum(dim=2)
    found_map = gradcam(module, features, targets)
    np.testing.assert_allclose(found_map.numpy(), map_expected.numpy(), atol=1e-12)


def integrated_by_hand(forward, x, start, target, steps, *, rounded=True):
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    weights = weights / 2
    if rounded:
        # captum rounds the weights to float32.
        weights = weights.astype(np.float32).astype(np.float64)
    total = torch.zeros_like(x)
    for node, weight in zip((nodes + 1) / 2, weights, strict=True):
        point = (start + node * (x - start)).requires_grad_()
        (grad,) = torch.autograd.grad(forward(point[None])[0, target], point)
        total += weight * grad
    return ((x - start) * total).sum(dim=1)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("kind", "n", "steps"), [("trn", 5, 1), ("trn", 5, 7), ("tsn", 4, 5)])
def test_integrated_gradients_agree_with_the_sum_by_hand(kind, n, steps, score):
    model = make_model(kind).double()
    features = make_features(model, 3, n)
    targets = torch.tensor([3, 0, 2])
    baseline = baseline_features("mean", features.flatten(end_dim=1))
    found = integrated_gradients(
        WholeModel(model, score), features, targets, baseline=baseline, steps=steps
    )
    forward = Plain(model, score)
    start = baseline.expand(n, -1)
    for index, target in enumerate(targets.tolist()):
        expected = integrated_by_hand(forward, features[index], start, target, steps)
        np.testing.assert_allclose(found.values[index], expected, atol=1e-12)
        with torch.no_grad():
            gained = forward(features[index][None]) - forward(start[None])
        gap = expected.sum() - gained[0, target]
        np.testing.assert_allclose(found.gap[index], gap, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("internal_batch", [1, 5, 64])
@pytest.mark.parametrize(("n_max", "n"), [(4, 1), (1, 4), (4, 4), (5, 3), (3, 6)])
def test_gradients_with_one_projection_agree_with_the_sum_by_hand(n_max, n, internal_batch, score):
    model = make_model("trn", n_max=n_max).double()
    features = make_features(model, 3, n)
    targets = torch.tensor([3, 0, 2])
    baseline = baseline_features("mean", make_features(model, 9, 1, seed=2).flatten(end_dim=1))
    found = gradients_on_lines(
        WholeModel(model, score),
        features,
        targets,
        baseline=baseline,
        steps=7,
        internal_batch=internal_batch,
    )
    forward, start = Plain(model, score), baseline.expand(n, -1)
    for index, target in enumerate(targets.tolist()):
        expected = integrated_by_hand(forward, features[index], start, target, 7, rounded=False)
        np.testing.assert_allclose(found.values[index], expected, atol=1e-13)
        with torch.no_grad():
            gained = forward(features[index][None]) - forward(start[None])
        gap = expected.sum() - gained[0, target]
        np.testing.assert_allclose(found.gap[index], gap, atol=1e-12)
    assert not features.requires_grad


def test_gradients_with_one_projection_need_a_multi_scale_model():
    model = make_model("tsn").double()
    with pytest.raises(InputError, match="model: a Averaging; a MultiScale"):
        gradients_on_lines(
            WholeModel(model),
            make_features(model, 1, 4),
            torch.zeros(1).long(),
            baseline=torch.zeros(5),
        )


@pytest.mark.parametrize("score", SCORES)
def test_values_become_complete_with_more_steps(score):
    model = make_model("trn").double()
    features = make_features(model, 4, 6)
    targets = torch.arange(4)

    def gap(steps):
        found = integrated_gradients(
            WholeModel(model, score), features, targets, baseline=torch.zeros(5), steps=steps
        )
        return found.gap.abs().max().item()

    assert gap(2) > 10 * gap(200)
    assert gap(200) < 2e-3


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_gradcam_agrees_with_autograd_by_hand(kind, score):
    model = make_model(kind).double()
    features = make_features(model, 3, 5)
    targets = torch.tensor([1, 3, 0])
    leaf = features.clone().requires_grad_()
    scores = plain_forward(model, leaf, score)
    (grads,) = torch.autograd.grad(scores[torch.arange(3), targets].sum(), leaf)
    expected = (grads.mean(dim=1, keepdim=True) * features).sum(dim=2).numpy()
    whole = WholeModel(model, score)
    found = gradcam(whole, features, targets)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert (expected < 0).any()
    positive = gradcam(whole, features, targets, relu=True, internal_batch=2)
    np.testing.assert_allclose(positive.numpy(), np.maximum(expected, 0), atol=1e-12)


def test_for_averaged_logits_both_attributions_are_the_frames_logits():
    model = make_model("tsn").double()
    features = make_features(model, 3, 8)
    targets = torch.tensor([1, 3, 0])
    whole = WholeModel(model, "logit")
    with torch.no_grad():
        logits = model.classifier(features) - model.classifier.bias
    expected = logits[torch.arange(3), :, targets].numpy() / 8
    found = integrated_gradients(whole, features, targets, baseline=torch.zeros(5)).values
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(gradcam(whole, features, targets).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("internal_batch", [1, 3, 7, 14, 100])
def test_no_more_rows_at_once_than_allowed(internal_batch):
    torch.manual_seed(0)
    module = Linear(6, 4, 3)
    features = torch.randn(5, 6, 4, dtype=torch.float64)
    targets = torch.tensor([0, 2, 1, 1, 0])
    baseline = torch.zeros(4)
    expected = integrated_gradients(module, features, targets, baseline=baseline, steps=7)
    expected_map = gradcam(module, features, targets)
    module.rows.clear()
    found = integrated_gradients(
        module, features, targets, baseline=baseline, steps=7, internal_batch=internal_batch
    )
    found_map = gradcam(module, features, targets, internal_batch=internal_batch)
    assert max(module.rows) <= internal_batch
    np.testing.assert_allclose(found.values, expected.values, atol=1e-12)
    np.testing.assert_allclose(found_map, expected_map, atol=1e-12)


def test_callers_tensors_and_grad_mode_are_left_alone():
    model = make_model("trn").double()
    features = make_features(model, 2, 4)
    targets = torch.tensor([1, 2])
    whole = WholeModel(model)
    expected = integrated_gradients(whole, features, targets, baseline=torch.zeros(5)).values
    with torch.no_grad():
        found = integrated_gradients(whole, features, targets, baseline=torch.zeros(5)).values
        assert torch.equal(gradcam(whole, features, targets), gradcam(whole, features, targets))
    assert torch.equal(found, expected)
    assert not features.requires_grad and not found.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_baselines():
    rows = torch.tensor([[1.0, 5.0], [2.0, 7.0]])
    assert baseline_features("mean", rows).tolist() == [1.5, 6.0]
    assert baseline_features("zero", rows).tolist() == [0.0, 0.0]
    assert baseline_features("mean", rows).dtype == torch.float32
    with pytest.raises(InputError, match="'middle': must be one of zero, mean"):
        baseline_features("middle", rows)
    with pytest.raises(InputError, match="at least one row"):
        baseline_features("mean", rows[:0])


def test_bad_input_is_refused():
    whole = WholeModel(make_model("trn").double())
    features, zero = make_features(whole.model, 2, 4), torch.zeros(5)
    classes = torch.tensor([0, 1])
    broken = features.clone()
    broken[1, 2, 3] = np.nan
    for explain in (lambda *a: integrated_gradients(*a, baseline=zero), gradcam):
        with pytest.raises(InputError, match=r"sequence\(s\) \[1\]"):
            explain(whole, broken, classes)
        with pytest.raises(InputError, match="from 0 to 4; the model has classes 0 to 3"):
            explain(whole, features, torch.tensor([0, 4]))
        with pytest.raises(InputError, match="from -1 to 0"):
            explain(whole, features, torch.tensor([0, -1]))
        with pytest.raises(InputError, match="integer for each of 2"):
            explain(whole, features, torch.tensor([0]))
        with pytest.raises(InputError, match="integer for each of 2"):
            explain(whole, features, classes.double())
        with pytest.raises(InputError, match="shape"):
            explain(whole, features[0], classes)
        with pytest.raises(InputError, match="shape"):
            explain(whole, features[:0], classes[:0])
    with pytest.raises(InputError, match="cannot be broadcast"):
        integrated_gradients(whole, features, classes, baseline=torch.zeros(4))
    with pytest.raises(InputError, match="baseline holds NaN"):
        integrated_gradients(whole, features, classes, baseline=zero / 0)
    with pytest.raises(InputError, match="steps 0"):
        integrated_gradients(whole, features, classes, baseline=zero, steps=0)
    with pytest.raises(InputError, match="internal_batch 0"):
        gradcam(whole, features, classes, internal_batch=0)
    with pytest.raises(InputError, match="no sequence"):
        whole(features[:0])
    with pytest.raises(InputError, match="the model takes"):
        whole(features[..., :4])
