"""What a run is computed on: the device, the CPU threads, the precision, and the memory it needs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from mien.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run is computed; on a CPU the same machine and seed give the same numbers."""

    device: str = "cpu"
    threads: int = 1
    torch: str = torch.__version__


def find_machine(device: str = "auto", threads: int | None = None, before: Machine | None = None) -> Machine:
    """The device and the CPU threads to use: those asked for, else those of `before`, else what is free now.

    `before` is where a run that goes on was computed. Raises TrainingError for a device that is not there.
    """
    there = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    if device == "auto":
        device = before.device if before and before.device in there else there[-1]
    if device not in there:
        raise TrainingError(f"there is no device {device!r} here: choose {' or '.join(there)}")
    return Machine(device, threads or (before.threads if before else free_cores()))


def free_cores() -> int:
    """The cores that this process may use and that nothing else uses now: one thread too many halves the speed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        before = _idle_seconds()
        time.sleep(0.5)
        idle = _idle_seconds() - before
    except (OSError, ValueError):  # no /proc/stat: not Linux
        return cores
    return max(1, min(cores, round(idle / 0.5)))


def _idle_seconds() -> float:
    """Seconds that the machine's cores have idled since it started (proc(5): the fourth number of the first line)."""
    return int(Path("/proc/stat").read_text().split()[4]) / os.sysconf("SC_CLK_TCK")


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU and on CPUs with instructions for it, where an epoch takes six tenths of the time.

    It halves the memory traffic and, unlike float16, needs no scaling of the loss.
    """
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.5 does not tell
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or able.get("avx512_bf16", False))


NO_MEMORY = re.compile(
    "can't allocate memory|out of memory|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED"
    "|could not create a (memory|primitive)(?! descriptor)"  # oneDNN, which lacks a descriptor for other reasons
)
"""Words of PyTorch's allocators and of the libraries below it."""


@contextmanager
def enough_memory(otherwise: TrainingError) -> Iterator[None]:
    """Raise `otherwise` in place of what PyTorch raises when memory runs out, a GPU's or the machine's."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)  # a GPU's; Python's and NumPy's
        if not known and not NO_MEMORY.search(str(error)):
            raise
        raise otherwise from None
