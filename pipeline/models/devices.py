"""Where computations run."""

import platform
from pathlib import Path

import torch

from pipeline.core.blocks import available_bytes
from pipeline.core.errors import InputError


def resolve(device: str) -> torch.device:
    """The device for a parameter value.

    Args:
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:<number>``.

    Raises:
        InputError: the GPU does not exist, or the value is invalid.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"device: {device!r}: must be auto, cpu, cuda or cuda:<number>") from None
    if chosen.type == "cuda":
        count = torch.cuda.device_count()
        if (chosen.index or 0) >= count:
            raise InputError(
                f"device: {device} is requested, but {count} CUDA device(s) can be used here; "
                "set device: auto or cpu"
            )
    return chosen


def describe(device: torch.device) -> str:
    """Name of the device, for records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "cpu"


def working_memory(device: torch.device) -> int:
    """Memory in bytes for a batch of evaluations: 1 GiB on the CPU.

    On a GPU it is a quarter of the GPU's memory, or half of what is free if that is less. So it is
    the same in every run, unless others use more than half of the GPU: the last bits of results
    depend on the size of a batch.
    """
    if device.type == "cuda":
        return min(torch.cuda.mem_get_info(device)[1] // 4, available_bytes(device) // 2)
    return 1 << 30


def cpu_name() -> str:
    """The processor's name, as far as the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
