"""What this machine has: cores this process may use, memory it may take, and NVIDIA GPUs if ``nvidia-smi`` is there.

Only memory and counts are measured here; speeds come from the catalogue, since measuring them takes longer than
planning. ``orch doctor --calibrate`` measures the CPU once (:mod:`orchestrator.planner.calibrate`), and what it wrote
is used from then on.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner import cgroup
from orchestrator.planner.catalogue import DeviceType, load, read_device_type
from orchestrator.planner.cluster import Cluster, Device
from orchestrator.planner.nvidia_smi import MEASURED, detect_gpus
from orchestrator.userdata import data_folder

ASSUMED_MEMORY: Final = 4 * 2**30


def detect() -> Cluster:
    """The machine this runs on: its cores, memory and NVIDIA GPUs; no engines."""
    devices, warnings = detect_devices()
    return Cluster(devices=devices, warnings=warnings)


def detect_devices() -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices (``cpu``, then ``gpu0``, ``gpu1``, … one for each model of GPU), and what could not be found out."""
    kind, warnings = _cpu_type()
    cpu = kind.device("cpu", cores=usable_cores(), memory_bytes=float(usable_memory_bytes()))
    devices = [cpu.model_copy(update={"sources": {**cpu.sources, "memory_bytes": MEASURED}})]
    gpus, left_out = detect_gpus()
    if not _memory_limits():
        warnings.append(f"the memory is a guess of {ASSUMED_MEMORY / 2**30:g} GiB: the system tells none")
    return (*devices, *gpus), (*warnings, *left_out)


def cpu_name() -> str:
    """The CPU's model as the system names it, for example ``Intel(R) Xeon(R) Processor``."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def measured_file() -> Path:
    """Where a measurement of this CPU with this many cores is kept, whether or not there is one."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)", " ", cpu_name().lower()))
    return data_folder() / "devices" / f"{'-'.join(words)}-{usable_cores()}-cores.toml"


def _cpu_type() -> tuple[DeviceType, list[str]]:
    """The measured CPU if there is one, else the generic one with a warning that says so."""
    path, generic = measured_file(), load("x86")
    if not os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file, false for a home that may not be entered
        known = generic.flops["fp32"].source
        return generic, [f"the CPU's speed is a generic figure, `orch doctor --calibrate` measures it: {known}"]
    try:
        return read_device_type(path), []
    except PlanError as broken:
        return generic, [
            f"the CPU's speed is a generic figure, since the measured one is unusable: {broken.message} ({path})"
        ]


def usable_cores() -> int:
    """Cores this process may run on, or the container's share of them where that is less; 1 where nobody tells."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux, or not allowed to ask
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, cgroup.cores() or allowed))


def usable_memory_bytes() -> int:
    """Physical memory, or the container's limit where that is less; ``ASSUMED_MEMORY`` where nobody tells."""
    return min(_memory_limits(), default=ASSUMED_MEMORY)


def available_memory_bytes() -> int:
    """Memory that a new process could take: what is free or can be freed, within the container's limit."""
    import psutil  # type: ignore[import-untyped, unused-ignore]

    try:
        available = psutil.virtual_memory().available
    except (OSError, NotImplementedError):  # no /proc
        return usable_memory_bytes()
    return int(min(available, usable_memory_bytes()))


def _memory_limits() -> list[int]:
    try:
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # a name the system does not know
        pages = page_bytes = -1
    physical = pages * page_bytes if pages > 0 and page_bytes > 0 else None
    return [each for each in (physical, cgroup.memory_bytes()) if each]
