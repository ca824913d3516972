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

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

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
        """What has been ordered so far, which can be gone back to."""
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
