"""The order of effects in a region: which tokens an op with effects waits for.

A write waits for the write before it and the reads since; a read waits for the write before it. What is pure, and what
asks a model, waits for its values alone. An op with regions counts as a write if anything in them writes, and as a read
if something in them reads; inside a region order starts anew::

    a = read()          # waits for nothing
    write_1(1)          # waits for a
    b, c = read(), read()  # wait for write_1, and not for each other
    write_2(2)          # waits for write_1, b and c

A sleep is a write that model calls keep their order with, too: it waits for those before it, and those behind it wait
for it, as in Python. So does an op with a sleep in one of its regions, but for a race, where it is a time limit::

    a = llm(...)
    sleep(60)   # waits for a
    b = llm(...)  # waits for the sleep

The clock is asked behind all that is before it, reads and model calls too (:data:`EVERYTHING`), or else it could not
tell how long that took; only writes, and the clock, wait for it in turn.

``with parallel():`` lifts the order within: what is in the block waits for what is in front of it, and what is behind
it waits for all that is in it. A workflow that is called in it keeps its own order. Data is waited for in any case.
``after=value`` has one op wait for a value that it does not take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

Effect = Literal["write", "read"]
EVERYTHING: Final = ("all that acts, or asks a model",)
"""As ``after=`` of a read, it has the read wait for all that stands before it."""


class Tokens(NamedTuple):
    """What has happened so far in a region: the last write (several, after a parallel block), and the reads since; and
    the last sleep, and values of the model calls since."""

    writes: tuple[Any, ...] = ()
    reads: tuple[Any, ...] = ()
    sleeps: tuple[Any, ...] = ()
    asked: tuple[Any, ...] = ()


NOTHING: Final = Tokens()


class Order:
    """The tokens so far of effects that keep their order."""

    __slots__ = ("asked", "reads", "sleeps", "writes")

    def __init__(self, so_far: Tokens = NOTHING) -> None:
        self.go_back(so_far)

    @property
    def so_far(self) -> Tokens:
        """What has been ordered so far, which can be gone back to."""
        return Tokens(tuple(self.writes), tuple(self.reads), tuple(self.sleeps), tuple(self.asked))

    def go_back(self, so_far: Tokens) -> None:
        """Forget what has happened since."""
        self.writes, self.reads, self.sleeps, self.asked = map(list, so_far)

    @property
    def outside(self) -> Order:
        """The order of what the next op waits for."""
        return self

    def before(self, effect: Effect | None) -> Sequence[Any]:
        """The tokens that the next such op waits for; without an effect it asks a model."""
        around = self.outside
        if effect is None:
            return around.sleeps
        return [*around.writes, *around.reads] if effect == "write" else around.writes

    def add(self, effect: Effect, token: Any, *, sleeps: bool = False) -> None:
        """The token of the next such op."""
        if effect == "write":
            self.writes, self.reads = [token], []
        else:
            self.reads.append(token)
        if sleeps:
            self.sleeps, self.asked = [token], []

    def join(self, within: Order, before: Tokens) -> None:
        """Add what has happened ``within`` a part, which began with ``before`` and is not ordered with the others."""
        wrote, slept = tuple(within.writes) != before.writes, tuple(within.sleeps) != before.sleeps
        self.writes += within.writes if wrote else []
        self.reads += within.reads if wrote else within.reads[len(before.reads) :]
        self.sleeps += within.sleeps if slept else []
        self.asked += within.asked if slept else within.asked[len(before.asked) :]


class Unordered(Order):
    """The tokens of effects that wait for what is ``around`` them and not for each other."""

    __slots__ = ("around",)

    def __init__(self, around: Order) -> None:
        super().__init__()
        self.around = around

    @property
    def outside(self) -> Order:
        """The order of what was there before all of them."""
        return self.around

    def add(self, effect: Effect, token: Any, *, sleeps: bool = False) -> None:
        """One more."""
        (self.writes if effect == "write" else self.reads).append(token)
        if sleeps:
            self.sleeps.append(token)
