"""Measures this machine's CPU and keeps the result as a device file that planning here uses from then on.

The file is ``$XDG_DATA_HOME/orchestrator/devices/CPU-N-cores.toml`` (``~/.local/share`` where that is not set), named
after the CPU's model and the cores this process may use, since neither another machine with the same home folder nor a
container with fewer cores should take it for its own. Bandwidth is that of one core with that of all cores as the
limit; FLOP/s are those of all cores together divided by their number, so that a clock that drops under load is in them.

===========  =====================================
ORCH-P080    the device file cannot be written
ORCH-P081    a measuring process failed
===========  =====================================
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Positive
from orchestrator.planner.machine import cpu_name, measured_file, usable_cores, usable_memory_bytes
from orchestrator.whole_file import write_whole

SECONDS_PER_KERNEL: Final = 0.7
BUSY: Final = 0.1
"""Above this share of cores used by others a measurement is worth repeating."""
_WATCH_S: Final = 0.5
_TIMEOUT_S: Final = 60.0
_MOST_ARRAY_BYTES: Final = 2**29
_LEAST_ARRAY_BYTES: Final = 2**26
_CACHES: Final = Path("/sys/devices/system/cpu/cpu0/cache")
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


class Speed(BaseModel):
    """What :mod:`orchestrator.planner.cpu_speed` measured: bytes/s, and FLOP/s by dtype."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes_per_s: Positive
    flops: dict[str, Positive]


@dataclass(frozen=True, slots=True)
class Calibration:
    """One core's speed and that of all ``cores`` together."""

    cpu: str
    cores: int
    one: Speed
    all: Speed
    measured_on: str
    """UTC date."""
    busy: float
    """Share of all cores that other processes used just before: the figures are that much too low, or more."""


def measure(seconds: float = SECONDS_PER_KERNEL, array_bytes: int | None = None) -> Calibration:
    """Measure one core, then all cores, each in a process of its own; about 10 seconds.

    ``seconds`` is the time for each kernel and ``array_bytes`` the size of the triad's arrays, by default the last
    cache's, within 64 and 512 MiB and an eighth of the memory. Raises :class:`PlanError` ORCH-P081.
    """
    import psutil  # type: ignore[import-untyped, unused-ignore]

    cores, size = usable_cores(), array_bytes or _array_bytes()
    busy = psutil.cpu_percent(interval=_WATCH_S) / 100
    one = _speed(1, seconds, size)
    return Calibration(
        cpu=cpu_name(),
        cores=cores,
        one=one,
        all=_speed(cores, seconds, size) if cores > 1 else one,
        measured_on=datetime.now(UTC).date().isoformat(),
        busy=busy,
    )


def write(calibration: Calibration) -> Path:
    """Write the device file and return its path; raises :class:`PlanError` ORCH-P080."""
    path = measured_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, device_file(calibration))
    except OSError as refused:
        raise PlanError(
            "ORCH-P080",
            f"cannot write {path}: {refused.strerror or refused}",
            why="the measured CPU is kept there for later plans",
            fix="make the folder writable, or set XDG_DATA_HOME to one that is",
        ) from refused
    return path


def device_file(calibration: Calibration) -> str:
    """The text of the device file, in the form of :class:`orchestrator.planner.catalogue.DeviceType`."""
    one, every, cores = calibration.one, calibration.all, calibration.cores
    where = f"on {calibration.measured_on}, {calibration.cpu}"
    product = "measured by `orch doctor --calibrate` as a matrix product"
    triad = "measured by `orch doctor --calibrate` as a STREAM-like triad"
    tables = [
        _table("memory_bytes_per_s", one.memory_bytes_per_s, f"{triad} of one core {where}"),
        _table("memory_bytes_per_s_limit", every.memory_bytes_per_s, f"{triad} of {cores} cores {where}"),
        _table("node_devices", 1, "A machine is one device: its sockets share their memory"),
    ]
    for dtype, flops in every.flops.items():
        alone = f"one core alone {one.flops[dtype] / 1e9:,.0f} GFLOP/s"
        source = f"{product}, {cores} cores together divided by {cores} ({alone}), {where}"
        tables.append(_table(f"flops.{dtype}", flops / cores, source))
    for dtype in ("bf16", "fp16"):
        if dtype not in every.flops:
            source = f"not measured, taken as fp32: {product}, {where}"
            tables.append(_table(f"flops.{dtype}", every.flops["fp32"] / cores, source))
    head = f'# {_plain(calibration.cpu)}. FLOP/s and bandwidth are per core.\nkind = "cpu"\nnvidia_smi = []\n'
    return "\n".join([head, *tables])


def _table(field: str, value: float, source: str) -> str:
    return f"[{field}]\nvalue = {value:.4g}\nsource = {json.dumps(_plain(source))}\n"


def _plain(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)


def _speed(threads: int, seconds: float, array_bytes: int) -> Speed:
    words = [sys.executable, "-m", "orchestrator.planner.cpu_speed", str(threads), str(seconds), str(array_bytes)]
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        return Speed.model_validate_json(done.stdout)
    except subprocess.CalledProcessError as failed:
        reason = (failed.stderr.strip().splitlines() or [f"exit status {failed.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        reason = f"no result after {_TIMEOUT_S:.0f} s"
    except (OSError, ValueError) as failed:
        reason = str(failed)
    raise PlanError(
        "ORCH-P081",
        f"measuring {threads} of this machine's cores failed: {reason}",
        why="a process of its own multiplies matrices with NumPy, and with torch where that is installed",
        fix="free memory, or plan with the generic CPU of the catalogue, which needs no measurement",
    )


def _array_bytes() -> int:
    most = min(_MOST_ARRAY_BYTES, usable_memory_bytes() // 8)
    return min(max(_last_cache_bytes(), _LEAST_ARRAY_BYTES), most)


def _last_cache_bytes() -> int:
    """The largest cache of the first core; 0 where the system does not tell."""
    sizes = [path.read_text(encoding="utf-8").strip() for path in _CACHES.glob("index*/size")]
    return max((int(size[:-1]) * 1024 for size in sizes if re.fullmatch(r"\d+K", size)), default=0)
