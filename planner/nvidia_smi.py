"""The GPUs that ``nvidia-smi`` tells of, whatever it says: it may be missing, hang, or print sentences for figures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from contextlib import suppress
from typing import Final

from orchestrator.planner.catalogue import DeviceType, catalogue
from orchestrator.planner.cluster import Device

MEASURED: Final = "this machine"
TIMEOUT_S: Final = 10.0
_PROGRAM: Final = "nvidia-smi"
_MIB: Final = 2**20
_MOST_MIB: Final = 2**30
_MOST_SHOWN: Final = 3
"""Lines that make no sense, repeated to the user."""


def detect_gpus() -> tuple[list[Device], list[str]]:
    """A device for each model of GPU, and what could not be found out; no ``nvidia-smi`` at all is nothing to tell."""
    if shutil.which(_PROGRAM) is None:
        return [], []
    modes = _asked("name,memory.total,mig.mode.current")
    report = modes if isinstance(modes, str) else _asked("name,memory.total")  # drivers before 2020 know no MIG
    if not isinstance(report, str):
        return [], [f"no GPU used: {report[0]}"]
    return read_nvidia_smi(report)


def read_nvidia_smi(report: str) -> tuple[list[Device], list[str]]:
    """Devices out of lines ``name, MiB`` or ``name, MiB, MIG mode``; what is left out is named in the second list."""
    types = {alias: each for each in catalogue().values() for alias in each.nvidia_smi}
    counts: Counter[tuple[str, int]] = Counter()
    left_out: Counter[str] = Counter()
    senseless: list[str] = []
    for line in filter(None, map(str.strip, report.splitlines())):
        name, *rest = (part.strip() for part in line.split(","))
        mib = _mib(rest[0]) if rest else None
        if not rest:
            senseless.append(line)
        elif mib is None:
            left_out[f"{name} left out: nvidia-smi tells no memory of its own ({rest[0][:40] or 'nothing'})"] += 1
        elif rest[1:2] == ["Enabled"]:
            left_out[f"{name} left out: it is split by MIG; describe a slice in a cluster file"] += 1
        elif name not in types:
            left_out[f"{name} left out: not in the device catalogue; describe it in a cluster file"] += 1
        else:
            counts[name, mib] += 1
    devices = [_gpu(types[name], f"gpu{at}", n, mib) for at, ((name, mib), n) in enumerate(counts.items())]
    said = [f"no GPU in what nvidia-smi says: {line[:120]}" for line in senseless[:_MOST_SHOWN]]
    return devices, [f"{count} x {what}" for what, count in left_out.items()] + said


def _mib(text: str) -> int | None:
    """Of memory; machines whose CPU and GPU share one memory say ``[N/A]``."""
    digits = text.removesuffix("MiB").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
        return None
    return mib if 0 < (mib := int(digits)) < _MOST_MIB else None


def _gpu(device_type: DeviceType, name: str, count: int, memory_mib: int) -> Device:
    gpu = device_type.device(name, count=count, memory_bytes=float(memory_mib * _MIB))
    return gpu.model_copy(update={"sources": {**gpu.sources, "memory_bytes": MEASURED}})


def _asked(fields: str) -> str | tuple[str]:
    """What it prints, or the problem.

    It writes to a file: a pipe would stay open, and be waited for, as long as any child of a hanging one lives.
    """
    command = [_PROGRAM, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as failed:
            return (f"nvidia-smi cannot be started ({failed.strerror or failed})",)
        try:
            code = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _end(process)
            return (f"nvidia-smi did not answer within {TIMEOUT_S:g} s",)
        output.seek(0)
        text = output.read(1_000_000).decode(errors="replace")
    if code:
        lines = text.strip().splitlines()
        return (f"nvidia-smi failed ({lines[0][:120] if lines else f'exit status {code}'})",)
    return text


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with its children; one that hangs in the driver cannot be, and is not waited for."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
