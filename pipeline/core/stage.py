"""How a stage is run as a command: its options, its log, its errors.

A stage module has a ``main`` with keyword-only parameters and ends in ``run(main)``. The command
line is read off main's signature: one option a parameter, of the type that its annotation says.
"""

import argparse
import ctypes
import inspect
import logging
import os
import signal
import sys
import time
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.core.errors import InputError
from pipeline.workflow.params import explain_validation_error

log = logging.getLogger("pipeline")

SCHEDULER = "PIPELINE_SCHEDULER"
"""Environment variable that tells a job the process that started it and that it ends with."""


def run(main: Callable[..., None], argv: Sequence[str] | None = None) -> None:
    """Run a stage's main with the arguments of the command line, then exit.

    Options beyond main's own: ``--log FILE`` (what is logged goes there too, replacing what an
    earlier run left), ``--threads N`` (also passed to main if it takes ``threads``).

    Exits with status 1 after an :class:`InputError` (message only) or any other exception
    (traceback in the log, its last line on the terminal).
    """
    sys.exit(_run(main, sys.argv[1:] if argv is None else argv))


def _run(main: Callable[..., None], argv: Sequence[str]) -> int:
    _end_with_scheduler()
    name = Path(inspect.getfile(main)).stem
    study = Path(inspect.getfile(main)).parent.name
    try:
        arguments, threads, log_file = _parse(main, argv, prog=f"{study}_{name}")
    except InputError as error:
        print(f"error: {study}_{name}: {error}", file=sys.stderr)
        return 1
    _start_logging(log_file)
    _set_up_torch(threads)
    if "threads" in inspect.signature(main).parameters:
        arguments["threads"] = threads
    start = time.monotonic()
    try:
        main(**arguments)
    except InputError as error:
        log.error("%s_%s: %s", study, name, error)
        return 1
    except Exception:
        log.exception("%s_%s failed", study, name)
        return 1
    log.info("%s_%s: done in %.1f s", study, name, time.monotonic() - start)
    return 0


def _end_with_scheduler() -> None:
    """Have the system end this process when the scheduler that started it is gone.

    A killed scheduler cannot stop its jobs. Left alone they would write the same files as those of
    the next run.
    """
    scheduler = os.environ.get(SCHEDULER)
    if scheduler != str(os.getppid()) or not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if scheduler != str(os.getppid()):
        # It was gone before that took effect.
        sys.exit(1)


def _parse(
    main: Callable[..., None], argv: Sequence[str], prog: str
) -> tuple[dict[str, Any], int, Path | None]:
    parser = argparse.ArgumentParser(prog=prog, description=inspect.getdoc(main))
    parser.add_argument("--log", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    hints = typing.get_type_hints(main)
    for name, parameter in inspect.signature(main).parameters.items():
        if name == "threads":
            continue
        kind = hints[name]
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        options: dict[str, Any] = {"required": required, "default": default}
        if isinstance(kind, types.UnionType):  # Optional[X]: None is the default, X is what is read
            kind = next(k for k in typing.get_args(kind) if k is not type(None))
        if typing.get_origin(kind) is list:
            options["nargs"] = "+"
            kind = typing.get_args(kind)[0]
        is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=str if is_model else kind, **options
        )
    arguments = vars(parser.parse_args(argv))
    threads, log_file = arguments.pop("threads"), arguments.pop("log")
    for name, kind in hints.items():
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            arguments[name] = _model(kind, arguments[name])
    return arguments, threads, log_file


def _model(model: type[BaseModel], text: str) -> BaseModel:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InputError(explain_validation_error(error, model)) from None


def _start_logging(log_file: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(logging.Formatter("%(message)s"))
    if sys.stderr.isatty():
        # There the bar tells the progress; in the log it stands in lines.
        handlers[0].addFilter(lambda record: not getattr(record, "is_progress", False))
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w", encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("pipeline").setLevel(logging.INFO)
    logging.captureWarnings(True)


def _set_up_torch(threads: int) -> None:
    """Keep PyTorch to the cores that the scheduler gave to this job, and to repeatable results."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.set_num_threads(threads)
        if torch.cuda.is_available():
            # Without this matrix products on a GPU may differ from run to run. On the CPU nothing
            # that is used here does, and the setting takes a second to load.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
