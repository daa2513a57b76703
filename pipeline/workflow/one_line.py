"""What a run prints: one line per finished job with the time left, and what the run made.

Snakemake's own messages, with inputs and reasons of several thousand characters, stay in its log
(``.snakemake/log/``). With ``--printshellcmds`` or ``--verbose``, and in dry runs, they are
printed, too.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

HIDDEN = (
    LogEvent.JOB_INFO,
    LogEvent.JOB_FINISHED,
    LogEvent.PROGRESS,
    LogEvent.RUN_INFO,
    LogEvent.RESOURCES_INFO,
    LogEvent.WORKFLOW_STARTED,
)
BEGINNINGS = ("Select jobs", "Execute ", "Building DAG", "Using shell", "Removing temporary")
"""Beginnings of further messages that are hidden."""

MADE = {"figures": "figures/**/*.png", "tables": "*.csv", "stores of coalitions": "*/*.zarr"}
"""Files that the summary counts, below the folder of a study."""

WIDTH = 20
"""Characters of the bar."""


def begin(workflow: Any) -> Callable[[], None]:
    """Print one line per job from now on; returns a function that prints a summary."""
    settings = workflow.output_settings
    start = time.time()
    if not (settings.verbose or settings.printshellcmds):
        for handler in logger.handlers:
            if handler.name == "DefaultStreamHandler":
                handler.addFilter(short_lines(handler))
    return lambda: logger.info(summary(Path("results"), start))


def short_lines(handler: logging.Handler) -> Callable[[logging.LogRecord], bool]:
    """A filter that prints a line for each finished job in place of Snakemake's messages."""
    begun: dict[int, tuple[str, float]] = {}
    finished: list[int] = []
    first = time.monotonic()

    def is_printed(record: logging.LogRecord) -> bool:
        # Jobs on a cluster fail in threads of their own. Every thread must take this lock before
        # the one that Snakemake's handler takes in `emit`; in another order, two threads would wait
        # for each other.
        handler.acquire()
        try:
            return print_in_short(record)
        finally:
            handler.release()

    def print_in_short(record: logging.LogRecord) -> bool:
        event, now = getattr(record, "event", None), time.monotonic()
        told: Any = record
        if event == LogEvent.JOB_INFO:
            parts = [f"{name} {value}" for name, value in told.wildcards.items()]
            begun[told.jobid] = (f"rule {told.rule_name}: {', '.join(parts) or 'one job'}", now)
        elif event == LogEvent.JOB_FINISHED:
            finished.append(told.job_id)
        elif event == LogEvent.PROGRESS:
            for job in finished:
                name, since = begun.get(job, ("", now))
                if name and not name.partition(":")[0].endswith((" all", "_all")):
                    line = job_line(name, now - since, told.done, told.total, now - first)
                    handler.emit(logging.makeLogRecord({"msg": line, "levelno": logging.INFO}))
            finished.clear()
        elif event == LogEvent.JOB_ERROR:
            name, since = begun.get(told.jobid, (f"rule {told.rule_name}: one job", now))
            line = f"{name}, failed after {duration(now - since)}"
            handler.emit(logging.makeLogRecord({"msg": line, "levelno": logging.INFO}))
        if event in HIDDEN:
            return False
        return record.levelno > logging.INFO or not str(record.msg).startswith(BEGINNINGS)

    return is_printed


def job_line(name: str, seconds: float, done: int, total: int, elapsed: float) -> str:
    """One finished job.

    Args:
        name: rule and wildcards.
        seconds: that it took.
        done: jobs that are finished.
        total: jobs of the run.
        elapsed: seconds since the run began.
    """
    filled = WIDTH * done // max(total, 1)
    bar = "█" * filled + "░" * (WIDTH - filled)
    left = elapsed * (total - done) / max(done, 1)
    soon = f", about {duration(60 * max(1, round(left / 60)))} left" if done < total else ", done"
    # A few long jobs at the beginning tell nothing about the others.
    soon = soon if done >= total / 10 else ""
    took = f"{name}, {duration(seconds)}"
    return f"{took:<60} {bar} {done} of {total}{soon}"


def duration(seconds: float) -> str:
    """Seconds as people read them, such as 4.2 s, 1 min, 1 min 5 s or 2 h 3 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def summary(results: Path, start: float) -> str:
    """What a run made: its time, its evaluations, and where to look first.

    Args:
        results: the folder of results.
        start: when the run began, in seconds since the epoch.
    """
    made = reused = 0
    for path in results.glob("*/receipts/*.json"):
        if path.stat().st_mtime >= start:
            receipt = json.loads(path.read_bytes())
            made += receipt["evaluations_made"]
            reused += receipt["evaluations_reused"]
    lines = [f"Finished in {duration(time.time() - start)}."]
    counts = {kind: _newer(results.glob(f"*/{files}"), start) for kind, files in MADE.items()}
    if any(counts.values()):
        listed = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)
        lines.append(f"Made below {results}/: {listed}.")
    if made or reused:
        lines.append(f"Coalitions: {made:,} evaluated, {reused:,} reused from stores.")
    looked = [
        f"{path}/"
        for path in sorted(results.glob("*/figures"))
        if _newer(path.rglob("*.png"), start)
    ]
    if looked:
        judged = _newer(results.glob("*/claims.csv"), start)
        beside = " and the claims.csv beside them" if judged else ""
        lines.append(f"Look first at {', '.join(looked)}{beside}.")
    return "\n".join(lines)


def _newer(paths: Iterable[Path], start: float) -> int:
    """How many of the files and folders changed after ``start``."""
    return sum(path.stat().st_mtime >= start for path in paths)
