"""A process that has loaded the libraries, and forks itself for each job of a run.

Loading PyTorch and other libraries takes seconds, often longer than a stage's work. ``snakemake``
starts one warm process per run, and jobs (:mod:`pipeline.core.job`) are passed to it. Every job is
still a process of its own, with the streams, folder and environment of its command. A job ends with
its command and with the warm process; the warm process ends with the scheduler. This needs Linux
(pidfd). On other systems jobs start by themselves.
"""

import atexit
import contextlib
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.core.job import WARM

NEEDED = ("typer", "pydantic", "numpy", "h5py", "torch", "zarr")
"""What nearly every job needs: loaded before the first one."""

LIBRARIES = (
    *NEEDED,
    "scipy.stats",
    "sklearn.linear_model",
    "matplotlib.pyplot",
    "torchvision.models",
    "captum.attr",
)
"""Libraries to load beforehand if they are installed; those after NEEDED while no job waits."""

FEWEST = 8
"""Least number of jobs for which loading the libraries once saves time."""

IS_POSSIBLE = hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")


def start() -> subprocess.Popen[bytes] | None:
    """Start a warm process that ends with this one, and announce it to jobs by the environment.

    None where that is not possible; then jobs run by themselves.
    """
    if not IS_POSSIBLE:
        return None
    folder = tempfile.mkdtemp(prefix="pipeline-")
    os.environ[WARM] = str(Path(folder, "jobs"))
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.core.warm", os.environ[WARM], str(os.getpid())]
    )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(process.terminate)
    return process


def serve(address: str, scheduler: int) -> None:
    """Take jobs until the scheduler ends.

    Args:
        address: of the socket.
        scheduler: the process that this one ends with.
    """
    from pipeline.core.stage import end_with_parent  # noqa: PLC0415

    end_with_parent(scheduler)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen(128)
    to_load = list(LIBRARIES)
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    while True:
        events = waiting.select(timeout=0 if to_load else None)
        if to_load and (not events or to_load[0] in NEEDED):
            with contextlib.suppress(ImportError):
                importlib.import_module(to_load.pop(0))
            continue
        for key, _ in events:
            if key.fileobj is listening:
                _take(listening, waiting)
            elif key.fileobj in waiting.get_map():
                _end(key, waiting)


def _take(listening: socket.socket, waiting: selectors.BaseSelector) -> None:
    """Fork for a job, and wait for its end and for that of its command."""
    connection, _ = listening.accept()
    try:
        job, streams = _received(connection)
    except (ConnectionError, ValueError):
        connection.close()
        return
    own = os.getpid()
    child = os.fork()
    if child == 0:
        listening.close()
        connection.close()
        waiting.close()
        _become(job, streams, own)
    for stream in streams:
        os.close(stream)
    waiting.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))
    waiting.register(connection, selectors.EVENT_READ, (child, connection))


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, streams, *_ = socket.recv_fds(connection, 8, 3)
    size, message = int.from_bytes(head, "big"), b""
    while len(message) < size:
        part = connection.recv(min(size - len(message), 1 << 16))
        if not part:
            raise ConnectionError("the command ended before its job began")
        message += part
    return json.loads(message), streams


def _become(job: dict[str, Any], streams: list[int], parent: int) -> None:
    """Run a job in this process, as its command would, and end the process."""
    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(job["folder"])
        os.environ.clear()
        os.environ.update(job["environment"])
        from pipeline.core.stage import end_with_parent, run  # noqa: PLC0415

        end_with_parent(parent)
        rule, *options = job["arguments"]
        status = run(rule, options)
    except BaseException:  # a copy of the warm process must end here
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _end(key: selectors.SelectorKey, waiting: selectors.BaseSelector) -> None:
    """End a job whose command was ended, or tell a command how its job ended."""
    child, connection = key.data
    waiting.unregister(key.fileobj)
    if key.fileobj is connection:
        os.kill(child, signal.SIGTERM)
        return
    os.close(key.fd)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    if connection in waiting.get_map():
        waiting.unregister(connection)
    connection.close()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
