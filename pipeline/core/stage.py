"""Runs a stage with the options of a command line (:mod:`pipeline.core.job`).

Rule ``frames_features`` runs ``main`` of ``pipeline/studies/frames/stages/features.py``. If the
study has no such file, the rule runs ``main`` of the file in ``pipeline/store/stages/``. Options
follow from main's signature: paths and lists of paths are given as they are, everything else as
text or JSON that fits the annotation.
"""

import ctypes
import importlib
import importlib.util
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
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from threadpoolctl import threadpool_limits

from pipeline.core.digits import significant
from pipeline.core.errors import InputError
from pipeline.core.fields import explain_validation_error

log = logging.getLogger("pipeline")

SCHEDULER = "PIPELINE_SCHEDULER"
"""Environment variable with the id of the process that starts jobs. Jobs end when it ends."""

DEVICE = "PIPELINE_DEVICE"
"""Environment variable with the device for stages that take ``device``; default: ``auto``."""

SET_BY_RUNNER = ("threads", "device")


def module_of(rule: str) -> str:
    """Name of the module that a rule runs. Raises InputError if there is none."""
    study, _, stage = rule.partition("_")
    for place in (f"pipeline.studies.{study}.stages", "pipeline.store.stages"):
        name = f"{place}.{stage}"
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is not None:
            return name
    raise InputError(
        f"{rule}: there is neither pipeline/studies/{study}/stages/{stage}.py nor "
        f"pipeline/store/stages/{stage}.py"
    )


def run(rule: str, arguments: Sequence[str]) -> int:
    """Run a rule's stage with these options; return the exit status.

    Options besides main's own: ``--log FILE`` (also log to this file, replacing it) and ``--threads
    N`` (passed to main if it takes ``threads``).

    The status is 1 after an :class:`InputError` (message only) or any other exception (traceback
    in the log), and 2 for options that main does not have.
    """
    scheduler = os.environ.get(SCHEDULER)
    if scheduler == str(os.getppid()):
        end_with_parent(os.getppid())
    try:
        module = module_of(rule)
        main = importlib.import_module(module).main
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if module.startswith("pipeline.store.") and "device" in inspect.signature(main).parameters:
        # Import torch, if the game needs it, before threads and determinism are set up.
        importlib.import_module(f"pipeline.studies.{rule.partition('_')[0]}.game")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name=rule)(_command(rule, main))
    try:
        app(list(arguments), prog_name=rule)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


def _command(rule: str, main: Callable[..., None]) -> Callable[..., None]:
    """``main`` as a function whose signature Typer reads its options from."""
    hints = typing.get_type_hints(main)
    own = inspect.signature(main).parameters

    def command(log: Path | None, threads: int, **given: Any) -> None:
        _start_logging(log)
        _limit_blas(threads)
        _set_up_torch(threads)
        set_here = {"threads": threads, "device": os.environ.get(DEVICE) or "auto"}
        arguments = {name: set_here[name] for name in SET_BY_RUNNER if name in own}
        start = time.monotonic()
        try:
            for name, value in given.items():
                if hints[name] == list[Path]:
                    arguments[name] = value or []
                elif value is not None:
                    arguments[name] = _parsed(name, value, hints[name])
            main(**arguments)
        except InputError as error:
            logging.getLogger("pipeline").error("%s: %s", rule, error)
            raise typer.Exit(1) from None
        except Exception:
            logging.getLogger("pipeline").exception("%s failed", rule)
            raise typer.Exit(1) from None
        seconds = time.monotonic() - start
        logging.getLogger("pipeline").info("%s: done in %s s", rule, significant(seconds))

    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter("log", keyword, annotation=Path | None, default=None),
        inspect.Parameter("threads", keyword, annotation=int, default=os.cpu_count() or 1),
    ]
    for name, parameter in own.items():
        if name in SET_BY_RUNNER:
            continue
        kind: Any = list[Path] if hints[name] == list[Path] else str
        is_required = parameter.default is parameter.empty and hints[name] != list[Path]
        flag = f"--{name.replace('_', '-')}"
        options.append(
            inspect.Parameter(
                name,
                keyword,
                annotation=Annotated[kind if is_required else kind | None, typer.Option(flag)],
                default=parameter.empty if is_required else None,
            )
        )
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__doc__ = inspect.getdoc(main)
    # Typer reads annotations here.
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


def _parsed(name: str, value: str, kind: Any) -> Any:
    """An option's text as the type of main's annotation. Raises InputError if it does not fit."""
    adapter = TypeAdapter(kind)
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    is_text = str in kinds or Path in kinds
    try:
        if not is_text and value[:1] in ("{", "["):
            return adapter.validate_json(value)
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InputError(f"--{name}: {explain_validation_error(error, kind)}") from None


def end_with_parent(parent: int) -> None:
    """Make the system end this process when the process that started it ends.

    A killed scheduler cannot stop its jobs. They would go on to write the same files as the jobs
    of the next run.
    """
    if not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if parent != os.getppid():
        # The parent ended before the signal was set.
        sys.exit(1)


def _start_logging(log_file: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(logging.Formatter("%(message)s"))
    if SCHEDULER in os.environ:
        # A run prints one line per job; everything else is in the job's log.
        handlers[0].setLevel(logging.WARNING)
    if sys.stderr.isatty():
        # The terminal shows a progress bar instead of these lines.
        handlers[0].addFilter(lambda record: not getattr(record, "is_progress", False))
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w", encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("pipeline").setLevel(logging.INFO)
    logging.captureWarnings(True)


def _limit_blas(threads: int) -> None:
    """Make NumPy and SciPy use only the job's cores.

    Their threads wait for one another after every product. With more threads than free cores small
    products take many times as long.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)  # for libraries that are loaded later
    threadpool_limits(threads, user_api="blas")


def _set_up_torch(threads: int) -> None:
    """Make PyTorch use only the job's cores, and deterministic algorithms on a GPU."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.set_num_threads(threads)
        if torch.cuda.is_available():
            # Without this, matrix products on a GPU may differ between runs. The CPU operations
            # used here are deterministic anyway, and the setting takes a second to load.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
            # By default this also fills every new tensor with NaN, before anything is written.
            torch.utils.deterministic.fill_uninitialized_memory = False
