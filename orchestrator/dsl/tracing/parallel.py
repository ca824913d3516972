"""Lifting the order of effects (:mod:`.order`) in a block, and putting it back in a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.dsl.tracing.order import NOTHING, Order, Unordered
from orchestrator.dsl.tracing.tracer import Tracer, require_tracer


@contextmanager
def parallel() -> Iterator[None]:
    """The effects in the block keep no order among themselves: ``with parallel(): notify(a); notify(b)``.

    They still come behind all effects in front of the block, and before those behind it; and what takes a value still
    waits for it. A workflow that is called in the block, and each region in it, keeps its own order.
    """
    scope = require_tracer("parallel").scope
    around = scope.order
    if isinstance(around, Unordered):
        yield
        return
    scope.order = within = Unordered(around)
    try:
        yield
    finally:
        scope.order = around
        if within.writes:
            around.writes, around.reads = [], []
        if within.sleeps:
            around.sleeps, around.asked = [], []
        around.join(within, NOTHING)


@contextmanager
def in_sequence(tracer: Tracer) -> Iterator[None]:
    """What is traced in the block keeps its order, also in a parallel block."""
    scope = tracer.scope
    around = scope.order
    if not isinstance(around, Unordered):
        yield
        return
    before = around.around.so_far
    scope.order = within = Order(before)
    try:
        yield
    finally:
        scope.order = around
        around.join(within, before)
