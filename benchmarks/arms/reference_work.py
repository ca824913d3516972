"""A fixed piece of pure Python, of the kind that a compiler does, to measure the speed of the machine at the moment.

Seconds depend on the machine and on who else uses it; the ratio of a measurement to this, taken in the same process
right before and after, hardly does. Never change it: every recorded ratio is to this workload.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeVar

T = TypeVar("T")

NODES: Final = 20_000
REPEATS: Final = 3
"""Times the reference is run before a measurement, and after it."""


@dataclass(slots=True)
class _Node:
    name: str
    operands: tuple[int, ...]
    attributes: dict[str, object]


def reference_work() -> int:
    """Build a graph of records, walk it twice, and write it down as text: about a tenth of a second of CPU."""
    nodes = [_Node(f"op_{n}", (n // 2, n // 3), {"id": f"op_{n}", "kind": n % 7, "opts": {}}) for n in range(NODES)]
    users: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        for operand in node.operands:
            users.setdefault(operand, []).append(number)
    depths: dict[int, int] = {}
    for number, node in enumerate(nodes):
        depths[number] = 1 + max((depths[each] for each in node.operands if each < number), default=0)
    lines = [f"{node.name} {node.attributes['kind']!r} {users.get(n, [])} {depths[n]}" for n, node in enumerate(nodes)]
    return sum(map(len, lines))


def with_ratio(work: Callable[[], T]) -> tuple[T, float, float]:
    """What ``work`` gives, the CPU seconds that it took, and how many times the reference that is.

    Without the garbage collector, whose time depends on all that the process holds.
    """
    gc.collect()
    gc.disable()
    try:
        reference = [_cpu_seconds(reference_work)[1] for _ in range(REPEATS)]
        result, seconds = _cpu_seconds(work)
        reference += [_cpu_seconds(reference_work)[1] for _ in range(REPEATS)]
    finally:
        gc.enable()
    return result, seconds, seconds / median(reference)


def _cpu_seconds(work: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    result = work()
    return result, time.process_time() - began
