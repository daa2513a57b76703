"""The training loop shared by the studies."""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from pipeline.core.digits import significant
from pipeline.core.errors import InputError
from pipeline.core.progress import progress

log = logging.getLogger(__name__)


def fit(
    network: nn.Module,
    loss: Callable[[Any], Tensor],
    batches: Callable[[int], Iterable[Any]],
    *,
    epochs: int,
    batches_per_epoch: int,
    learning_rate: float,
    description: str,
    schedule: Literal["constant", "one_cycle"] = "constant",
    weight_decay: float = 0.0,
    at_once: int | None = None,
) -> list[float]:
    """Train a network with Adam.

    Args:
        network: trained in place; left in evaluation mode.
        loss: scalar loss of one batch.
        batches: function of an epoch's number that returns its batches.
        epochs: passes over ``batches``.
        batches_per_epoch: for the progress bar and the schedule.
        learning_rate: constant, or the peak of the one-cycle schedule.
        description: text of the progress bar.
        schedule: ``constant``, or ``one_cycle`` (warm-up, then cosine to zero).
        weight_decay: decoupled (AdamW).
        at_once: most samples per gradient computation; None: the whole batch. Batches must be
            tuples of tensors with samples first, and the loss a mean over samples. On a CPU, few
            samples whose intermediate values fit its cache can take a quarter of the time.
    Returns:
        Mean loss of each epoch.

    Raises:
        InputError: the loss becomes NaN or Inf, or an epoch has no batch.
    """
    # One fused call per step: small networks would spend a tenth of the time on calls per tensor.
    optimizer = torch.optim.AdamW(
        network.parameters(), learning_rate, weight_decay=weight_decay, fused=True
    )
    total = epochs * batches_per_epoch
    scheduler = None
    if schedule == "one_cycle" and total > 0:
        # The schedule divides by the steps of each of its two parts, so each needs at least one.
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            learning_rate,
            total_steps=max(total, 3),
            pct_start=max(0.2, 2 / max(total, 3)),
        )
    history: list[float] = []
    network.train()
    with progress(description, total, "steps") as advance:
        for epoch in range(epochs):
            note = f"epoch {epoch + 1}/{epochs}" + _last(history)
            # Losses stay on the device until the epoch ends, because reading one waits for it.
            # They are in one tensor: one of its own for each, between the large ones of a step,
            # would keep the allocator from using the gaps again.
            losses, count = torch.empty(0), 0
            for batch in batches(epoch):
                found = _step(loss, batch, at_once, optimizer, scheduler)
                if count == len(losses):
                    losses = torch.cat([losses.to(found), found.new_empty(max(count, 1024))])
                losses[count] = found
                count += 1
                advance(1, note=note)
            history.append(_mean(losses[:count], description, epoch, learning_rate))
            log.debug("%s: epoch %d/%d, loss %.4g", description, epoch + 1, epochs, history[-1])
    network.eval()
    if history:
        log.info("%s: loss %s after %d epochs", description, significant(history[-1]), epochs)
    return history


def _step(
    loss: Callable[[Any], Tensor],
    batch: Any,
    at_once: int | None,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler | None,
) -> Tensor:
    """One optimizer step; returns the batch's loss without its graph."""
    optimizer.zero_grad(set_to_none=True)
    if at_once is None:
        found = loss(batch)
        found.backward()
    else:
        size = len(batch[0])
        found = batch[0].new_zeros(())
        for part in zip(*(tensor.split(at_once) for tensor in batch), strict=True):
            own = loss(part) * (len(part[0]) / size)
            own.backward()
            found = found + own.detach()
    optimizer.step()
    if scheduler is not None:
        scheduler.step()
    return found.detach()


def _mean(losses: Tensor, description: str, epoch: int, learning_rate: float) -> float:
    """Mean loss of an epoch; raises InputError if there is none, or it is NaN or Inf."""
    if not len(losses):
        raise InputError(
            f"{description}: there was nothing to train on; the log names what was left out"
        )
    mean = float(losses.mean())
    if not math.isfinite(mean):
        raise InputError(
            f"{description}: the loss became {mean} in epoch {epoch + 1}; lower the learning rate "
            f"(now {learning_rate})"
        )
    return mean


def _last(history: list[float]) -> str:
    return f", loss {significant(history[-1])}" if history else ""
