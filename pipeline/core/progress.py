"""Progress of long work: a bar with rate and time left on a terminal, log lines elsewhere.

Jobs that run at the same time share one terminal. Only the job that holds the lock of the terminal
draws a bar; the others write to their logs. On systems without locks all jobs draw.
"""

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipeline.core.digits import significant

log = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 10.0


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(rate_text(speed, self.unit) if speed else "", style="cyan")


def _quantity(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return significant(value / limit * (10 if suffix == "k" else 1)) + suffix
    return significant(value)


def rate_text(per_second: float, unit: str) -> str:
    """Units per second; for small rates, per minute or per hour."""
    for seconds, name in ((1, "s"), (60, "min")):
        if per_second * seconds >= 0.1 or not per_second:
            return f"{_quantity(per_second * seconds)} {unit}/{name}"
    return f"{_quantity(per_second * 3600)} {unit}/h"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _terminal() -> AbstractContextManager[Any] | None:
    """Lock this terminal for drawing; None if stderr is not a terminal or another job draws."""
    if not sys.stderr.isatty():
        return None
    try:
        terminal = os.ttyname(sys.stderr.fileno()).replace("/", "-")
        name = f"coalition-pipeline-{os.getuid()}{terminal}.lock"
        return FileLock(Path(tempfile.gettempdir(), name), blocking=False).acquire()
    except Timeout:
        return None
    except (AttributeError, NotImplementedError, OSError):
        # The system has no names for terminals, or no locks.
        return nullcontext()


@contextmanager
def progress(description: str, total: int | None, unit: str) -> Iterator[Callable[..., None]]:
    """Show the progress of a block of work.

    Args:
        description: what is being done, e.g. ``"frames_features: validation clips"``.
        total: total number of units, or None if unknown.
        unit: what is counted, in the plural, e.g. ``"clips"``.

    Yields:
        ``advance(n=1, note="")``: report that ``n`` more units are done; ``note`` (such as a loss)
        is shown after the bar.
    """
    start = time.monotonic()
    done = 0
    last_logged = start
    terminal = _terminal()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=14),
        MofNCompleteColumn(),
        _RateColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True),
        transient=True,
        disable=terminal is None,
        refresh_per_second=4,
    )
    task = bar.add_task(description, total=total, note="")

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal done, last_logged
        done += n
        bar.update(task, advance=n, note=note)
        now = time.monotonic()
        if now - last_logged >= LOG_EVERY_SECONDS:
            last_logged = now
            rate = done / (now - start)
            left = f", {_duration((total - done) / rate)} left" if total and rate else ""
            amount = f"{done}/{total}" if total else f"{done}"
            tail = f" ({note})" if note else ""
            text = f"{description}: {amount} {unit}, {rate_text(rate, unit)}{left}{tail}"
            log.info(text, extra={"is_progress": True})

    with terminal or nullcontext(), bar:
        yield advance
    seconds = time.monotonic() - start
    rate = done / seconds if seconds else float("inf")
    text = f"{description}: {done} {unit} in {_duration(seconds)}, {rate_text(rate, unit)}"
    log.info("%s", text)
