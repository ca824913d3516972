"""The order of effects in a region: which tokens an op with effects waits for.

A write waits for the write before it and the reads since; a read waits for the write before it. What is pure, and what
asks a model, waits for its values alone. An op with regions counts as a write if anything in them writes, and as a read
if something in them reads; inside a region order starts anew::

    a = read()          # waits for nothing
    write_1(1)          # waits for a
    b, c = read(), read()  # wait for write_1, and not for each other
    write_2(2)          # waits for write_1, b and c

``with parallel():`` lifts the order within: what is in the block waits for what is in front of it, and what is behind
it waits for all that is in it. A workflow that is called in it keeps its own order. Data is waited for in any case.
``after=value`` has one op wait for a value that it does not take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from orchestrator.dsl.constants import is_symbolic, shown

if TYPE_CHECKING:
    from orchestrator.dsl.tracer import Scope, Tracer

Effect = Literal["write", "read"]


class Tokens(NamedTuple):
    """What has happened so far in a region: the last write (several, after a parallel block), and the reads since."""

    writes: tuple[Any, ...] = ()
    reads: tuple[Any, ...] = ()


NOTHING: Final = Tokens()


class Order:
    """The tokens so far of effects that keep their order."""

    __slots__ = ("reads", "writes")

    def __init__(self, so_far: Tokens = NOTHING) -> None:
        self.writes, self.reads = list(so_far.writes), list(so_far.reads)

    @property
    def so_far(self) -> Tokens:
        """To go on from, or back to."""
        return Tokens(tuple(self.writes), tuple(self.reads))

    def go_back(self, so_far: Tokens) -> None:
        """Forget what has happened since."""
        self.writes, self.reads = list(so_far.writes), list(so_far.reads)

    def before(self, effect: Effect) -> Sequence[Any]:
        """The tokens that the next such op waits for."""
        return [*self.writes, *self.reads] if effect == "write" else self.writes

    def add(self, effect: Effect, token: Any) -> None:
        """The token of the next such op."""
        if effect == "write":
            self.writes, self.reads = [token], []
        else:
            self.reads.append(token)


class Unordered(Order):
    """The tokens of effects that wait for what is ``around`` them and not for each other."""

    __slots__ = ("around",)

    def __init__(self, around: Order) -> None:
        super().__init__()
        self.around = around

    def before(self, effect: Effect) -> Sequence[Any]:
        """The tokens of what was there before all of them."""
        return self.around.before(effect)

    def add(self, effect: Effect, token: Any) -> None:
        """One more."""
        (self.writes if effect == "write" else self.reads).append(token)


def effect_of(scope: Scope, kind: str, attrs: Mapping[str, object], *, has_regions: bool) -> Effect | None:
    """How an op counts in the order of ``scope``, whose regions that are closed and belong to no op are the op's."""
    if kind == "arm":
        return None
    if has_regions:
        if any(inner.writes for inner in scope.inner):
            return "write"
        return "read" if any(inner.reads for inner in scope.inner) else None
    if kind in ("tool", "retrieve"):
        effects = attrs["effects"]
        return None if effects == "pure" else "read" if effects == "reads" else "write"
    return _OTHERS.get(kind)


_OTHERS: Mapping[str, Effect] = {"ask": "write", "fail": "read"}
"""Nothing is written behind a failure, and what was written before it stays."""


def done(tracer: Tracer, after: object) -> list[Any]:
    """A token that is there once the values in ``after=`` are; none if something is wrong, which is reported."""
    leaves = list(_leaves(after))
    for leaf in leaves:
        if not is_symbolic(leaf):
            fix = "after= takes what ops of the workflow return: after=receipt, or after=[first, second]"
            tracer.report("ORCH-D041", f"after={shown(leaf)}, which nothing has to wait for", fix=fix)
    values = [tracer.lift(leaf) for leaf in leaves]
    if tracer.diagnostics or not values:
        return []
    made = tracer.ir.op(
        "done", [value._ssa for value in values], [], {}, id=tracer.new_id("after"), opts={}, where=tracer.here(),
        ordered=True,
    )  # fmt: skip
    return list(made)


def _leaves(after: object) -> Iterator[object]:
    if isinstance(after, (list, tuple, dict)):
        for each in after.values() if isinstance(after, dict) else after:
            yield from _leaves(each)
    else:
        yield after


@contextmanager
def parallel() -> Iterator[None]:
    """The effects in the block keep no order among themselves: ``with parallel(): notify(a); notify(b)``.

    They still come behind all effects in front of the block, and before those behind it; and what takes a value still
    waits for it. A workflow that is called in the block, and each region in it, keeps its own order.
    """
    from orchestrator.dsl.tracer import require_tracer

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
            around.writes, around.reads = within.writes, within.reads
        else:
            around.reads += within.reads


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
        wrote = tuple(within.writes) != before.writes
        around.writes += within.writes if wrote else []
        around.reads += within.reads if wrote else within.reads[len(before.reads) :]
