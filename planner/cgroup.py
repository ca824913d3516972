"""The limits of the container, or of the systemd slice, that this process runs in: control groups, versions 1 and 2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")


def memory_bytes(root: Path = ROOT, own: Path = OWN) -> int | None:
    """The lowest limit on memory; None where there is none."""
    found = [
        *(_number(folder / "memory.max") for folder in _folders(root, own)),
        *(_number(folder / "memory.limit_in_bytes") for folder in _folders(root / "memory", own)),
    ]
    return min((each for each in found if each), default=None)


def cores(root: Path = ROOT, own: Path = OWN) -> int | None:
    """The CPU time allowed, in cores, rounded up; None where there is no limit."""
    found = [
        *(_share(*_text(folder / "cpu.max").partition(" ")[::2]) for folder in _folders(root, own)),
        *(
            _share(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))
            for folder in _folders(root / "cpu", own)
        ),
    ]
    return min((each for each in found if each), default=None)


def _folders(root: Path, own: Path) -> Iterator[Path]:
    """The root, which in a container is the container's own group, and every group this process is in below it."""
    yield root
    for line in _text(own).splitlines():
        path = Path(line.rpartition(":")[2].lstrip("/"))
        for each in (path, *path.parents):
            if each.parts and ".." not in each.parts:
                yield root / each


def _share(quota: str, period: str) -> int | None:
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return math.ceil(int(quota) / int(period))


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
