"""What keeps KV between the turns of a session: the protocol a replica asks.

A *session* is one conversation of a program, a *turn* one model call of it, a *pause* the time between two turns. A
retention decides; the replica holds the memory, as the scheduler plugin of an engine does, and calls in this order::

    retention.arrived(turn, now)            a turn is here
    retention.key(turn, now)                its place in the queue, or that it is held back without one
    retention.due(load, now)                before each step: whose time is over
    retention.released(load, now)           and which turns are not held back any longer, while any is
    retention.victim(turn, load, now)       the first in the queue finds no room: what to give up for it, one at a time
    retention.victim(None, load, now)       a running request finds no block; if nothing is given up, one is preempted
    retention.admitted(turn, hits, now)     a turn begins to run and holds what it found cached; its pin is over
    retention.ended(turn, tokens, blocks, load, now)    how many leading blocks of the session to keep
    retention.keep(turn, held, now)                     they are kept as ``held``

A *step* is a run of steps here where nothing happens in between but what ``next_due_s`` announces. Preempted requests
go before all others, whatever their key. Whatever is handed back is freed: it stays in the prefix cache, as the most
recently used, until its blocks are needed. ``held`` is opaque to a retention but for its ``blocks``; equality is
identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from orchestrator.planner.policies.view import RequestView

PINNED_FIRST_S: Final = 1e9
"""What a key has to be less by to go before all arrivals."""


class TurnView(RequestView, Protocol):
    """A model call as a turn of a session; ``started_s`` is when its program arrived."""

    @property
    def session(self) -> str:
        """The conversation it belongs to, unique in its replica."""

    @property
    def place(self) -> int:
        """Its place among the program's stages, from 0."""

    @property
    def workflow(self) -> str:
        """The workflow of the program."""

    @property
    def next_tool(self) -> str:
        """The tool that runs before the session's next turn; empty when it is not known or none follows."""

    @property
    def turns_left(self) -> int:
        """Turns of the session after this one."""

    @property
    def max_tokens(self) -> int:
        """Tokens that its caller lets the reply have; here the caller knows."""

    @property
    def pause_s(self) -> float:
        """The truth about the pause that follows, as far as tools make it: only an oracle may look. ``inf``: the last
        turn."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """The state of a replica when a decision is made."""

    waiting: int
    """Requests in its queue, those held back too."""
    blocked: bool
    """Whether the first of them found no memory, and none has become free since."""
    running: int
    """Requests that hold memory to run with."""
    free_blocks: int
    """Blocks unused, or cached and wanted by nobody."""
    total_blocks: int


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Memory kept for a session: leading units of its prefix."""

    ids: tuple[int, ...]
    blocks: int

    def cut(self, units: int) -> tuple[Held, Held]:
        """What is left after giving up the last ``units`` units, and these."""
        each, at = self.blocks // len(self.ids), len(self.ids) - units
        return Held(self.ids[:at], each * at), Held(self.ids[at:], each * units)


class Retention(Protocol):
    """Decides what is kept, for one replica."""

    def arrived(self, turn: TurnView, now: float) -> Sequence[Held]:
        """A turn is here; returns what to free (a session it supersedes)."""

    def key(self, turn: TurnView, now: float) -> float | None:
        """Its place in the queue, least first, ties in order of readiness; ``None``: none until :meth:`released`
        returns it, after which it is asked for again."""

    def released(self, load: EngineLoad, now: float) -> Sequence[TurnView]:
        """Before a step, while turns are held back: those that get a place now."""

    def ended(self, turn: TurnView, tokens: int, blocks: int, load: EngineLoad, now: float) -> int:
        """A turn ended that leaves ``tokens`` tokens in ``blocks`` full blocks: how many to keep, from the first on."""

    def keep(self, turn: TurnView, held: Held, now: float) -> Sequence[Held]:
        """What :meth:`ended` decided is kept; returns what to free: an earlier pin of the session."""

    def admitted(self, turn: TurnView, hit_tokens: int, now: float) -> Sequence[Held]:
        """A turn begins to run; returns its session's pin. Asked again if it is preempted and resumes."""

    def due(self, load: EngineLoad, now: float) -> Sequence[Held]:
        """Before a step: what to free because its time is over, or it is not worth its memory any more."""

    def victim(self, turn: TurnView | None, load: EngineLoad, now: float) -> Sequence[Held]:
        """Memory is short for a turn in the queue, or (``None``) for a running one: what to free, a pin or the end of
        one; nothing, and a turn waits, or a running one is preempted."""

    @property
    def next_due_s(self) -> float:
        """When to ask :meth:`due` again at the latest; ``inf``: not before something else happens."""
