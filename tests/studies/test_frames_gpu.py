"""What the evaluation of coalitions does on a GPU: tensors of a GPU without values, on any machine.

PyTorch's fake tensors are on a GPU by name and hold no values. What needs a value on the host, such
as ``item()``, ``bool(tensor)`` or a mask as an index, raises an error. :class:`NoWaiting` refuses
the copies for which the host would wait.
"""

import numpy as np
import pytest
import torch
from small_networks import make_input, make_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.core import blocks
from pipeline.core.blocks import moved
from pipeline.core.errors import TooLittleMemory
from pipeline.models import devices
from pipeline.models.sequences import Averaging, MultiScale, SingleScale
from pipeline.shapley import SizeSums, block_sums
from pipeline.studies.frames import coalition_scores, halves
from pipeline.studies.frames.tables import Batches, scorer

GPU = torch.device("cuda:0")


class NoWaiting(TorchDispatchMode):
    """Refuses copies between the host and a GPU for which the host would wait.

    Attributes:
        copies: how many copies were queued without waiting.
    """

    copies = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operation is torch.ops.aten._to_copy.default:
            source, target = args[0].device.type, kwargs.get("device", args[0].device)
            if source != torch.device(target).type:
                if source == "cuda" or not kwargs.get("non_blocking"):
                    raise AssertionError(f"the host waits for a copy from {source} to {target}")
                self.copies += 1
        return operation(*args, **kwargs)


@pytest.fixture
def gpu(monkeypatch):
    """Tensors of a GPU without values; blocks so small that each size has several."""
    # Only memory of a real GPU can be pinned.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setitem(blocks.BLOCK_BYTES, "cuda", 2000)
    kept = (
        coalition_scores._kept_sizes,
        coalition_scores._places,
        coalition_scores._binomials,
        halves._subsets,
    )
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
    for each in kept:
        each.cache_clear()


def on_gpu(kind, n):
    with GPU:
        if kind == "trn":
            model = MultiScale([SingleScale(s, 5, 6, 4) for s in (1, 2, 3)])
        else:
            model = Averaging(5, 4)
        return model.eval(), torch.empty(3, n, 5)


WAITING = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool(x.sum() > 0),
    "mask": lambda x: x[x > 0],
    "nonzero": torch.nonzero,
    "cpu": lambda x: x.cpu(),
    "pageable": lambda x: torch.from_numpy(np.zeros(3)).to(x.device),
}


@pytest.mark.parametrize("name", WAITING)
def test_waiting_is_noticed(gpu, name):
    tensor = torch.empty(3, 4, device=GPU)
    refused = pytest.raises(Exception, match=r"host waits|data-dependent|aten\.(_local|nonzero)")
    with refused, NoWaiting():
        WAITING[name](tensor)


@pytest.mark.parametrize("score", ["probability", "logit", "mean_of_softmax"])
@pytest.mark.parametrize("kind", ["trn", "tsn"])
@pytest.mark.parametrize("most_indexed", [20, 3])
def test_the_host_never_waits_between_sizes(gpu, monkeypatch, kind, score, most_indexed):
    monkeypatch.setattr(coalition_scores, "_MAX_INDEXED", most_indexed)
    n = 9
    model, features = on_gpu(kind, n)
    sums = SizeSums(n, (3, 4), GPU)
    bits = torch.arange(n, dtype=torch.int32, device=GPU).unsqueeze(1)

    def reduce(block):
        assert block.scores.device == GPU
        membership = ((block.masks.int() >> bits) & 1).to(features.dtype)
        return block.size, *block_sums(membership, block.scores)

    found = []
    for _ in range(2):
        with NoWaiting() as watching:
            for size, holding, total in coalition_scores.map_scores(model, features, score, reduce):
                sums.add_sums(size, holding, total)
                found.append(size)
    assert len(found) > 2 * n  # several blocks of a size
    # Indices stay on the GPU for the next batch, unless there are too many.
    assert watching.copies == (0 if most_indexed == 20 else 3 * n)


@pytest.mark.parametrize("most_indexed", [20, 3])
def test_the_host_never_waits_between_subsequences(gpu, monkeypatch, most_indexed):
    monkeypatch.setattr(coalition_scores, "_MAX_INDEXED", most_indexed)
    model, features = on_gpu("trn", 9)
    monkeypatch.setattr(coalition_scores, "check", lambda *arguments: None)
    for _ in range(2):
        with NoWaiting() as watching:
            coalition_scores.whole_scores(model, features)
    assert watching.copies == 0


def test_the_host_never_waits_between_halves(gpu):
    _, features = on_gpu("tsn", 9)
    empty = torch.empty(5, device=GPU)
    for _ in range(2):
        with NoWaiting() as watching:
            halves.averaging_sums(features, empty)
    assert watching.copies == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_a_real_gpu_does_not_wait_either(kind):
    model = make_model(kind)
    features, _ = make_input(model, 3, 9)

    def scores(some):
        found = coalition_scores.map_scores(
            model, some, "probability", lambda block: block.scores.clone()
        )
        return torch.cat(list(found))

    expected = scores(features)
    model, features = model.to(GPU), features.to(GPU)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = scores(features)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found.cpu(), expected, atol=1e-6, rtol=1e-5)


def test_an_array_is_moved():
    array = np.arange(3)
    tensor = moved(array, torch.device("cpu"))
    array[0] = 7
    assert tensor.tolist() == [7, 1, 2]


@pytest.mark.parametrize(
    ("free", "kept", "expected"),
    [(7000, 0, 2000), (4000, 0, 2000), (3000, 500, 1750), (100, 0, 50)],
)
def test_a_batch_takes_a_quarter_of_a_gpu_or_half_of_what_is_free(
    monkeypatch, free, kept, expected
):
    amounts = {"memory_reserved": kept, "memory_allocated": 0, "mem_get_info": (free, 8000)}
    for name, amount in amounts.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, amount=amount: amount)
    assert devices.working_memory(GPU) == expected
    assert devices.working_memory(torch.device("cpu")) == 1 << 30


def lacking(most, error):
    """The tables of sequences; fails with more than ``most`` at once, and notes each attempt."""
    tried = []

    def tables(chosen):
        tried.append(chosen.tolist())
        if len(chosen) > most:
            raise error
        return torch.from_numpy(10.0 * chosen[:, None])

    return tables, tried


TOO_LITTLE_MEMORY = [
    torch.OutOfMemoryError("no. room. here. advice"),
    TooLittleMemory("no. room. here. advice"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
]


@pytest.mark.parametrize("error", TOO_LITTLE_MEMORY)
def test_a_batch_is_halved_until_it_fits(caplog, error):
    batches = Batches(8)
    tables, tried = lacking(2, error)
    found = batches.evaluate(7, tables)
    np.testing.assert_array_equal(found[:, 0], 10.0 * np.arange(7))
    assert tried == [[0, 1, 2, 3, 4, 5, 6, 6], [0, 1, 2, 3], [0, 1], [2, 3], [4, 5], [6, 6]]
    problem = str(error).removesuffix(". advice")
    assert [record.message.partition("): from")[0] for record in caplog.records] == [
        f"memory does not suffice ({problem}"
    ] * 2
    assert "2 sequences are evaluated at once" in caplog.text
    # It stays at that size, without further attempts.
    tried.clear()
    np.testing.assert_array_equal(batches.evaluate(1, tables), [[0.0]])
    assert tried == [[0, 0]]


def test_other_errors_are_raised_at_once():
    tables, tried = lacking(0, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side"):
        Batches(4).evaluate(3, tables)
    assert len(tried) == 1


def test_a_sequence_that_does_not_fit_alone_is_an_error():
    tables, _ = lacking(0, torch.OutOfMemoryError("no room"))
    with pytest.raises(TooLittleMemory, match=r"a single sequence .* \(no room\)\. Use fewer"):
        Batches(4).evaluate(3, tables)
    tables, _ = lacking(0, TooLittleMemory("22 players: 1.0 GiB are needed"))
    with pytest.raises(TooLittleMemory, match=r"^22 players: 1.0 GiB are needed$"):
        Batches(4).evaluate(3, tables)


@pytest.mark.parametrize("kind", ["trn", "tsn"])
def test_values_after_too_little_memory_are_the_same_within_1e_6(monkeypatch, kind):
    model = make_model(kind)
    features, empty = make_input(model, 6, 7)
    usual = scorer(model, empty, "probability", 8)(features.numpy(), None)
    evaluate = coalition_scores.table

    def of_small_memory(model, batch, *rest):
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return evaluate(model, batch, *rest)

    monkeypatch.setattr("pipeline.studies.frames.tables.table", of_small_memory)
    found = scorer(model, empty, "probability", 8)(features.numpy(), None)
    np.testing.assert_allclose(found, usual, atol=1e-6)
