"""Blocks of rows mapped in threads: their order, and what happens if one fails."""

import threading

import pytest
import torch

from pipeline.core.blocks import map_blocks, threads_for_blocks

BLOCKS = [slice(i, i + 1) for i in range(9)]


@pytest.fixture(params=[1, 2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_are_in_the_order_of_the_blocks(threads):
    found = list(map_blocks(lambda rows: 2 * rows.start, BLOCKS, torch.device("cpu")))
    assert found == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert torch.get_num_threads() == threads


@pytest.fixture
def meeting(threads):
    """A step in which each thread waits, in its first block, until all threads are in one."""
    barrier, own = threading.Barrier(threads), threading.local()

    def step(_):
        if not hasattr(own, "met"):
            own.met = True
            barrier.wait(timeout=60)
        return torch.get_num_threads(), torch.is_grad_enabled()

    return step


def test_threads_work_at_the_same_time(meeting):
    found = list(map_blocks(meeting, BLOCKS, torch.device("cpu")))
    assert set(found) == {(1, False)}
    assert torch.is_grad_enabled()


def test_operations_between_maps_take_one_thread_and_maps_all(threads, meeting):
    with threads_for_blocks():
        assert torch.get_num_threads() == 1
        with threads_for_blocks():
            found = list(map_blocks(meeting, BLOCKS, torch.device("cpu")))
        assert set(found) == {(1, False)}
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads
    with pytest.raises(ValueError, match="within"), threads_for_blocks():
        raise ValueError("within")
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("failing", range(9))
def test_a_failure_in_any_block_is_raised_and_ends_the_others(threads, failing):
    done = []

    def step(rows):
        if rows.start == failing:
            raise ValueError(f"block {failing}")
        done.append(rows.start)

    with pytest.raises(ValueError, match=f"block {failing}"):
        list(map_blocks(step, BLOCKS, torch.device("cpu")))
    assert torch.get_num_threads() == threads
    assert failing not in done
    assert list(map_blocks(lambda rows: rows.stop, BLOCKS, torch.device("cpu")))[-1] == 9
