"""Compares the fast paths over frames with the definition, for all sizes, scores and blocks."""

import numpy as np
import oracle
import pytest
import torch
from small_networks import SCORES, make_game, make_input, make_model

from pipeline.core import blocks
from pipeline.core.errors import InputError
from pipeline.shapley import shapley_values
from pipeline.studies.frames import coalition_scores, element_shapley

devices = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
        ),
    ],
)


def oracle_table(kind, model, features, empty, score):
    n = features.shape[1]
    result = np.empty((len(features), 2**n, model.n_classes))
    for index, frames in enumerate(features):
        v = make_game(kind)(model, frames, empty, score)
        for mask in range(2**n):
            result[index, mask] = v(tuple(i for i in range(n) if mask >> i & 1))
    return result


@devices
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("kind", "n_max", "n"),
    [
        ("trn", 1, 4),
        ("trn", 2, 6),
        ("trn", 5, 5),
        ("trn", 8, 4),
        ("trn", 3, 1),
        ("trn", 8, 8),
        ("tsn", 1, 1),
        ("tsn", 1, 7),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_tables_and_values_agree_with_brute_force(kind, n_max, n, score, dtype, tolerance, device):
    model = make_model(kind, n_max=n_max, seed=n)
    features, empty = make_input(model, 2, n)
    expected = oracle_table(kind, model, features, empty, score)
    model, features = model.to(device, dtype), features.to(device, dtype)
    found = coalition_scores.table(model, features, empty, score).cpu().numpy()
    np.testing.assert_allclose(found, expected, atol=tolerance)

    values = element_shapley.element_shapley_values(model, features, empty, score).cpu().numpy()
    marginals = element_shapley.marginals_by_size(model, features, empty, score).cpu().numpy()
    for index in range(2):

        def v(players, table=expected[index]):
            return table[oracle.mask_of(players)]

        np.testing.assert_allclose(values[index], oracle.shapley_values(v, n), atol=tolerance)
        np.testing.assert_allclose(marginals[index], oracle.mean_marginals(v, n), atol=tolerance)

    whole = coalition_scores.whole_scores(model, features, score).cpu().numpy()
    np.testing.assert_allclose(whole, expected[:, -1], atol=tolerance)


def test_one_class():
    model = make_model("trn", n_classes=1)
    features, empty = make_input(model, 1, 4)
    values = element_shapley.element_shapley_values(model, features, empty)
    np.testing.assert_allclose(values.numpy(), 0, atol=1e-12)


def test_averaging_logits_have_a_closed_form_at_40_frames():
    model = make_model("tsn").double()
    features, empty = make_input(model, 2, 40)
    found = element_shapley.element_shapley_values(model, features, empty, "logit").numpy()
    logits = model.classifier(features).detach().numpy()
    for index in range(2):
        expected = oracle.averaging_closed_form(logits[index], empty.numpy())
        np.testing.assert_allclose(found[index], expected, atol=1e-12)


def test_averaging_closed_form_holds_where_coalitions_can_be_enumerated():
    model = make_model("tsn")
    features, empty = make_input(model, 1, 12)
    table = coalition_scores.table(model, features, empty, "logit")
    logits = model.classifier(features).detach().double().numpy()
    expected = oracle.averaging_closed_form(logits[0], empty.numpy())
    np.testing.assert_allclose(shapley_values(table)[0], expected, atol=1e-6)


@pytest.mark.parametrize("score", ["logit", "mean_of_softmax"])
def test_linear_scores_are_exact_beyond_listed_coalitions(score):
    """23 frames: the polynomial path unranks its subsequences; the table walks all 2**23."""
    model = make_model("trn", n_max=2, dim=2, hidden=3, n_classes=1)
    features, empty = make_input(model, 1, 23)
    found = element_shapley.marginals_by_size(model, features, empty, score)
    table = coalition_scores.table(model, features, empty, score)
    expected = shapley_values(table)
    np.testing.assert_allclose(found.mean(dim=1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_results_do_not_depend_on_batch_or_block(kind, monkeypatch):
    model = make_model(kind, n_max=4)
    features, empty = make_input(model, 5, 9)
    together = coalition_scores.table(model, features, empty)
    values = element_shapley.element_shapley_values(model, features, empty)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", {"cpu": 1})
    one_by_one = torch.cat([coalition_scores.table(model, f[None], empty) for f in features])
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    again = element_shapley.element_shapley_values(model, features, empty)
    np.testing.assert_allclose(values, again, atol=1e-6)


def test_values_sum_to_the_score_of_all_frames_minus_that_of_none():
    model = make_model("trn", n_max=8)
    features, empty = make_input(model, 3, 13)
    values = element_shapley.element_shapley_values(model, features, empty)
    expected = coalition_scores.whole_scores(model, features) - empty
    np.testing.assert_allclose(values.sum(dim=1), expected, atol=1e-6)


def test_equal_frames_of_an_averaging_model_share_equally():
    model = make_model("tsn")
    features, empty = make_input(model, 1, 6)
    features[:, 4] = features[:, 1]
    values = element_shapley.element_shapley_values(model, features, empty)
    np.testing.assert_allclose(values[:, 4], values[:, 1], atol=1e-7)


def test_unusable_features_are_refused():
    model = make_model("trn")
    features, empty = make_input(model, 3, 4)
    with pytest.raises(InputError, match=r"\(sequence, frame, 5\)"):
        coalition_scores.table(model, features[..., :4], empty)
    features[1, 2, 0] = float("nan")
    with pytest.raises(InputError, match=r"NaN or Inf in sequence\(s\) \[1\]"):
        coalition_scores.table(model, features, empty)
    with pytest.raises(InputError, match="30 players"):
        element_shapley.marginals_by_size(model, torch.zeros(1, 30, 5), empty)


def test_memory_budget_sets_the_number_of_sequences():
    model = make_model("trn", n_classes=4)
    assert coalition_scores.sequences_at_once(model, 8, 0) == 1
    each = 4 * 4 * (2**8 + 2 * 70)
    assert coalition_scores.sequences_at_once(model, 8, 10 * each) == 10


@pytest.mark.parametrize("score", ["probability", "logit"])
def test_results_do_not_depend_on_threads(monkeypatch, score):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", {"cpu": 2000})
    model = make_model("trn", n_max=4)
    features, empty = make_input(model, 2, 11)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(
                (
                    coalition_scores.table(model, features, empty, score),
                    element_shapley.element_shapley_values(model, features, empty, score),
                    coalition_scores.whole_scores(model, features, score),
                )
            )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("n_frames", "sequences", "expected"), [(8, 40, 3), (13, 1, 3), (13, 40, 1)]
)
def test_operations_outside_blocks_take_one_thread_where_blocks_are_most_of_the_work(
    n_frames, sequences, expected
):
    model = make_model("tsn", n_classes=10)
    features, empty = make_input(model, sequences, n_frames)
    before, found = torch.get_num_threads(), []
    model.classifier.register_forward_hook(lambda *_: found.append(torch.get_num_threads()))
    try:
        torch.set_num_threads(3)
        element_shapley.element_shapley_values(model, features, empty)
        coalition_scores.table(model, features, empty)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(found) == {expected}


def test_a_failure_in_a_block_is_raised_and_threads_are_given_back(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", {"cpu": 2000})
    model = make_model("trn")
    features, _ = make_input(model, 1, 10)
    before = torch.get_num_threads()

    def fail(block):
        if block.size == 5:
            raise RuntimeError("in a block")
        return block.size

    with pytest.raises(RuntimeError, match="in a block"):
        list(coalition_scores.map_scores(model, features, "probability", fail))
    assert torch.get_num_threads() == before


def test_what_would_take_for_ever_or_all_memory_is_refused(monkeypatch):
    model = make_model("trn", n_max=8)
    features, empty = make_input(model, 1, 60)
    for score in ("logit", "mean_of_softmax"):
        with pytest.raises(InputError, match=r"60 frames have .* subsequences of up to 8"):
            element_shapley.element_shapley_values(model, features, empty, score)
        with pytest.raises(InputError, match=r"60 frames have .* subsequences of up to 8"):
            coalition_scores.whole_scores(model, features, score)
    monkeypatch.setattr(coalition_scores, "available_bytes", lambda device: 10_000_000)
    with pytest.raises(InputError, match=r"22 players: 0.3 GiB of memory are needed and 0.0 GiB"):
        element_shapley.element_shapley_values(model, features[:, :22], empty)


@pytest.mark.parametrize("score", SCORES)
def test_the_ways_of_a_gpu_have_the_same_results(monkeypatch, score):
    """They run here on the CPU: one product for all positions, large blocks, rows in order."""
    model = make_model("trn", n_max=4)
    features, empty = make_input(model, 3, 9)
    classes = torch.tensor([[0, 1], [2, 0], [1, 1]])

    def found():
        return (
            coalition_scores.table(model, features, empty, score),
            coalition_scores.table(model, features, empty, score, classes),
            element_shapley.element_shapley_values(model, features, empty, score),
        )

    usual = found()
    monkeypatch.setattr(coalition_scores, "on_cpu", lambda tensor: False)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", {"cpu": 1 << 28})
    for one, two in zip(found(), usual, strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_memory_is_checked_for_few_frames_of_many_sequences(monkeypatch):
    model = make_model("trn", n_max=2, n_classes=4)
    features, empty = torch.zeros(100_000, 8, 5), torch.full((4,), 0.25)
    monkeypatch.setattr(coalition_scores, "available_bytes", lambda device: 10_000_000)
    with pytest.raises(InputError, match=r"8 players: 0.2 GiB of memory are needed and 0.0 GiB"):
        coalition_scores.table(model, features, empty)


def test_memory_that_pytorch_keeps_on_a_gpu_counts_as_available(monkeypatch):
    amounts = {"memory_reserved": 700, "memory_allocated": 200, "mem_get_info": (1000, 5000)}
    for name, amount in amounts.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, amount=amount: amount)
    assert blocks.available_bytes(torch.device("cuda")) == 1500


def test_many_frames_are_indexed_size_by_size(monkeypatch):
    model = make_model("trn", n_max=3)
    features, empty = make_input(model, 2, 9)
    usual = coalition_scores.table(model, features, empty)
    whole = coalition_scores.whole_scores(model, features)
    monkeypatch.setattr(coalition_scores, "_MAX_INDEXED", 5)
    assert torch.equal(coalition_scores.table(model, features, empty), usual)
    assert torch.equal(coalition_scores.whole_scores(model, features), whole)


def test_memory_that_caches_files_counts_as_available(monkeypatch, tmp_path):
    fields = {"MemTotal": 4000, "MemFree": 10, "MemAvailable": 3000, "Buffers": 1, "Cached": 2900}
    more = {"Shmem": 1, "Active": 1, "Inactive": 1, "Slab": 1}
    text = "".join(f"{name}: {amount} kB\n" for name, amount in (fields | more).items())
    (tmp_path / "meminfo").write_text(text)
    monkeypatch.setattr("psutil.PROCFS_PATH", str(tmp_path))
    assert blocks.available_bytes(torch.device("cpu")) == 3000 * 1024
