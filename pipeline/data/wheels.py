"""Files from Python packages that are downloaded but not installed."""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import InputError

TIMEOUT = 15
"""Seconds to wait for an index."""


@dataclass(frozen=True)
class WheelFile:
    """A file in a wheel."""

    requirement: str
    """the package and its version, such as ``name==1.2``"""
    sha256: str
    """digest of the wheel"""
    member: str
    """path of the file in the wheel"""


def fetch(wanted: WheelFile) -> bytes:
    """Content of a file in a wheel, which pip downloads from its configured index.

    Installs nothing, downloads no dependencies, and refuses a wheel with another digest.

    Raises:
        InputError: the wheel cannot be downloaded, has another digest, or lacks the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{wanted.requirement} --hash=sha256:{wanted.sha256}\n")
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-input", "--retries", "1", "--timeout", str(TIMEOUT), "--no-deps"),
            *("--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements)),
            *("--dest", folder),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(folder).glob("*.whl"))
        if done.returncode or len(found) != 1:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            why = (lines or done.stderr.splitlines() or ["pip gave no reason"])[-1]
            raise InputError(f"{wanted.requirement} cannot be fetched: {why}")
        try:
            with zipfile.ZipFile(found[0]) as wheel:
                return wheel.read(wanted.member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise InputError(f"{found[0].name}: has no {wanted.member}: {error}") from None
