"""Limits of control groups, in trees of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.planner import cgroup


def tree(folder: Path, own: str, **files: str) -> tuple[Path, Path]:
    """A hierarchy with these files (``__`` for ``/``), and the process's own place in it."""
    for name, text in files.items():
        path = folder / "cgroup" / name.replace("__", "/").replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (folder / "own").write_text(own)
    return folder / "cgroup", folder / "own"


@pytest.mark.parametrize(
    ("own", "files", "memory", "cores"),
    [
        ("0::/\n", {"memory_max": "1000", "cpu_max": "250000 100000"}, 1000, 3),
        ("0::/\n", {"memory_max": "max", "cpu_max": "max 100000"}, None, None),
        ("0::/a/b\n", {"a__memory_max": "500", "a__b__memory_max": "700", "a__b__cpu_max": "50000 100000"}, 500, 1),
        ("0::/gone\n", {"memory_max": "0", "cpu_max": "0 0"}, None, None),
        ("0::/../up\n", {"memory_max": "garbage", "cpu_max": ""}, None, None),
        ("4:memory:/a\n", {"memory__a__memory.limit_in_bytes": "300"}, 300, None),
        ("", {"cpu__cpu_cfs_quota_us": "-1", "cpu__cpu_cfs_period_us": "100000"}, None, None),
        ("", {"cpu__cpu_cfs_quota_us": "400000", "cpu__cpu_cfs_period_us": "100000"}, None, 4),
    ],
)
def test_limits(tmp_path: Path, own: str, files: dict[str, str], memory: int | None, cores: int | None) -> None:
    root, place = tree(tmp_path, own, **files)
    assert cgroup.memory_bytes(root, place) == memory
    assert cgroup.cores(root, place) == cores


def test_a_system_without_control_groups_or_proc(tmp_path: Path) -> None:
    assert cgroup.memory_bytes(tmp_path / "none", tmp_path / "own") is None
    assert cgroup.cores(tmp_path / "none", tmp_path / "own") is None
