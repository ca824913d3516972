"""Which machine a figure was measured on, and how busy it was with other things."""

# mypy: disable-error-code="import-untyped,unused-ignore"

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict


class Machine(BaseModel):
    """Hardware, system and load. Names and paths of the machine are left out on purpose."""

    model_config = ConfigDict(extra="forbid")

    cpu: str
    cores: int
    memory_gib: float
    gpu: str | None = None
    system: str
    python: str
    busy_before: float
    """Share of all cores other processes used in the second before the benchmark: 0 idle, 1 saturated."""
    load_before: float
    load_after: float | None = None
    """One-minute load averages."""

    def finished(self) -> Machine:
        """The same machine with its load at the end."""
        return self.model_copy(update={"load_after": _load()})

    @property
    def short(self) -> str:
        """One line for a table."""
        return ", ".join([f"{self.cores} x {self.cpu}", *([self.gpu] if self.gpu else [])])

    @property
    def loaded(self) -> bool:
        """Whether something else was taking more than a tenth of the machine."""
        return self.busy_before > 0.1


def _load() -> float:
    return round(os.getloadavg()[0], 2)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def describe(gpu: str | None = None) -> Machine:
    """Look at this machine; takes one second to see how busy it is."""
    return Machine(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        gpu=gpu,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_before=_load(),
        busy_before=round(psutil.cpu_percent(interval=1.0) / 100, 2),
    )


def versions(*distributions: str) -> dict[str, str]:
    """Installed versions of the named distributions and of Python; the missing ones are left out."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
