"""What this machine has: cores this process may use, memory it may take, and NVIDIA GPUs if ``nvidia-smi`` is there.

Only memory and counts are measured here; speeds come from the catalogue, since measuring them takes longer than
planning. ``orch doctor --calibrate`` measures the CPU once (:mod:`orchestrator.planner.calibrate`), and what it wrote
is used from then on.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from orchestrator.errors import PlanError
from orchestrator.planner.catalogue import DeviceType, catalogue, load, read_device_type
from orchestrator.planner.cluster import Device

MEASURED = "this machine"
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
_MIB = 2**20


def detect_devices() -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices (``cpu``, then ``gpu0``, ``gpu1``, … one for each model of GPU), and what could not be found out."""
    kind, warnings = _cpu_type()
    cpu = kind.device("cpu", cores=usable_cores(), memory_bytes=float(usable_memory_bytes()))
    devices = [cpu.model_copy(update={"sources": {**cpu.sources, "memory_bytes": MEASURED}})]
    report, problem = _nvidia_smi()
    if problem:
        warnings.append(problem)
    gpus, unknown = read_nvidia_smi(report)
    return (*devices, *gpus), (*warnings, *unknown)


def cpu_name() -> str:
    """The CPU's model as the system names it, for example ``Intel(R) Xeon(R) Processor``."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def measured_file() -> Path:
    """Where a measurement of this CPU with this many cores is kept, whether or not there is one."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    words = re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)", " ", cpu_name().lower()))
    return home / "orchestrator" / "devices" / f"{'-'.join(words)}-{usable_cores()}-cores.toml"


def _cpu_type() -> tuple[DeviceType, list[str]]:
    """The measured CPU if there is one, else the generic one with a warning that says so."""
    path, generic = measured_file(), load("x86")
    if not path.is_file():
        known = generic.flops["fp32"].source
        return generic, [f"the CPU's speed is a generic figure, `orch doctor --calibrate` measures it: {known}"]
    try:
        return read_device_type(path), []
    except PlanError as broken:
        return generic, [
            f"the CPU's speed is a generic figure, since the measured one is unusable: {broken.message} ({path})"
        ]


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory_bytes() -> int:
    """Physical memory, or the container's limit where that is less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [int(text) for text in map(_text_of, _CGROUP_LIMITS) if text.isdigit()]
    return min([physical, *limits])


def read_nvidia_smi(report: str) -> tuple[list[Device], list[str]]:
    """Devices out of ``name, MiB`` lines; GPUs that the catalogue does not know are named in the second list."""
    types = {alias: each for each in catalogue().values() for alias in each.nvidia_smi}
    counts: dict[tuple[str, int], int] = {}
    for line in filter(str.strip, report.splitlines()):
        name, _, mib = line.rpartition(",")
        key = (name.strip(), int(mib))
        counts[key] = counts.get(key, 0) + 1
    devices: list[Device] = []
    unknown: list[str] = []
    for (gpu, memory_mib), count in counts.items():
        if gpu in types:
            devices.append(_gpu(types[gpu], f"gpu{len(devices)}", count, memory_mib * _MIB))
        else:
            unknown.append(f"{count} x {gpu} left out: not in the device catalogue; describe it in a cluster file")
    return devices, unknown


def _gpu(device_type: DeviceType, name: str, count: int, memory_bytes: int) -> Device:
    gpu = device_type.device(name, count=count, memory_bytes=float(memory_bytes))
    return gpu.model_copy(update={"sources": {**gpu.sources, "memory_bytes": MEASURED}})


def _nvidia_smi() -> tuple[str, str | None]:
    """Its report, and a problem to tell the user; no ``nvidia-smi`` at all is not a problem."""
    if shutil.which(_NVIDIA_SMI[0]) is None:
        return "", None
    try:
        done = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as failed:
        return "", f"no GPU used: nvidia-smi failed ({failed})"
    return done.stdout, None


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
