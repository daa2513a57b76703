"""The command of every job: ``python -m pipeline.core.job <rule> --option value …``.

It passes the job to the run's warm process (:mod:`pipeline.core.warm`), which has loaded the
libraries, and exits with the job's status. Without a warm process, for example on another machine,
the stage runs here. This module imports little, so it starts in a moment.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WARM = "PIPELINE_WARM"
"""Environment variable that holds the socket of the run's warm process."""


def hand_over(arguments: Sequence[str], address: str) -> int | None:
    """Have the warm process run a job.

    Args:
        arguments: rule and options.
        address: of its socket.

    Returns:
        The job's exit status, negative for the number of the signal that ended it; None if no
        warm process took the job.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        job: dict[str, Any] = {"arguments": list(arguments), "folder": str(Path.cwd())}
        job |= {"environment": {**os.environ}}
        message = json.dumps(job).encode()
        try:
            connection.connect(address)
            # A job needs all its streams. If one is closed, the warm process does not begin it.
            socket.send_fds(connection, [len(message).to_bytes(8, "big")], [0, 1, 2])
        except OSError:
            return None
        connection.sendall(message)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(16)
    # Without an answer, the warm process has ended, and the job with it.
    return int(answer) if answer else -signal.SIGTERM


def main() -> None:
    """Run the job of the command line; exit with its status."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m pipeline.core.job <rule> [--option value …]")
    address = os.environ.get(WARM)
    status = hand_over(sys.argv[1:], address) if address else None
    if status is None:
        from pipeline.core.stage import run  # noqa: PLC0415  slow to load

        status = run(sys.argv[1], sys.argv[2:])
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL cannot be handled
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
