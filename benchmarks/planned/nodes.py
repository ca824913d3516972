"""Nodes of a Ray cluster on this machine: a raylet each, with custom resources and a share of a core.

A node's speed is what the kernel's CPU controller lets it have: its raylet is put into a group with a quota, which all
that the raylet starts inherits, engines included. Only the head, which runs nothing, has no group.

>>> with Nodes() as nodes:                                                              # doctest: +SKIP
...     nodes.add("fast", cores=1.0)
...     nodes.add("slow", cores=0.4)
...     nodes.kill("slow")
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

CONTROLLERS: Final = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Where the CPU controller of version 1 and of version 2 is mounted."""
PERIOD_US: Final = 50_000
"""A quota is of so many microseconds: short beside a call, long beside a step."""


class ThrottleError(RuntimeError):
    """This machine gives no control over CPU time: a node's speed cannot be set."""


class Nodes:
    """A head without resources, and nodes that come and go. Ends all of them when it is left."""

    def __init__(self) -> None:
        self._cluster: Any = None
        self._nodes: dict[str, Any] = {}
        self._groups: list[Path] = []

    @property
    def address(self) -> str:
        """``host:port`` to join it at."""
        return str(self._cluster.address)

    def add(self, name: str, cores: float, device: str | None = None) -> None:
        """A node with one device of a kind (``name``, if nothing else is said), whose processes get ``cores`` of CPU.

        Raises :class:`ThrottleError` where the kernel does not let it.
        """
        node = self._cluster.add_node(
            num_cpus=2,
            resources={device or name: 1.0},
            object_store_memory=100 * 2**20,
            include_dashboard=False,
        )
        self._nodes[name] = node
        self._groups.append(throttle(f"orch-{os.getpid()}-{name}", cores, _processes(node)))

    def kill(self, name: str) -> None:
        """End a node and all that runs there as a power cut would."""
        node = self._nodes.pop(name)
        running = [each for process in _processes(node) for each in [process, *process.children(recursive=True)]]
        self._cluster.remove_node(node, allow_graceful=False)
        for each in running:
            with suppress(psutil.NoSuchProcess):
                each.kill()

    def of(self, pid: int) -> str:
        """The node that a process runs on; ``KeyError`` where it runs on none."""
        for name, node in self._nodes.items():
            if any(each.pid == pid for each in _processes(node)):
                return name
        raise KeyError(pid)

    def __enter__(self) -> Self:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 * 2**20},
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._cluster.shutdown()
        for group in self._groups:
            with suppress(OSError):
                group.rmdir()


def throttle(name: str, cores: float, processes: Iterable[psutil.Process]) -> Path:
    """The group that processes are put into, to get so much CPU time together. Raises :class:`ThrottleError`."""
    group = _group(name, cores)
    for each in processes:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            _put(group, each)
    return group


def _processes(node: Any) -> list[psutil.Process]:
    """What Ray has started for a node, and what that has started."""
    found = []
    for infos in node.all_processes.values():
        for info in infos:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(info.process.pid)
                found += [process, *process.children(recursive=True)]
    return found


def _group(name: str, cores: float) -> Path:
    """A group of processes that get so much CPU time together."""
    quota = round(cores * PERIOD_US)
    for root in CONTROLLERS:
        group = root / name
        try:
            if (root / "cgroup.controllers").exists():
                group.mkdir()
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            elif (root / "cpu.cfs_quota_us").exists():
                group.mkdir()
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                continue
        except OSError as error:
            raise ThrottleError(f"no group of processes can be throttled under {root}: {error.strerror}") from error
        return group
    raise ThrottleError("no CPU controller is mounted under /sys/fs/cgroup")


def _put(group: Path, process: psutil.Process) -> None:
    (group / "cgroup.procs").write_text(str(process.pid))
