"""A turn of a session in an engine, and what became of the one before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.prefixes import Prefix

MOST_SESSIONS: Final = 65_536
"""Sessions that are remembered: clients choose their names."""


@dataclass(slots=True, eq=False)
class Turn:
    """A request with a hint, from its arrival until its blocks are freed."""

    session: str
    hint: KvHint
    arrival_s: float
    """It is when its program arrived, on the engine's clock."""
    queued_s: float
    blocks: int
    """That it leaves behind at most."""
    pinned: bool
    """Its session's blocks were pinned when it arrived."""
    returns: bool
    """Its session has had a turn before."""
    prefix: Prefix | None = None
    """What it begins with and others hold now."""
    admitted_s: float | None = None
    """When it stopped being held back."""
    refused: bool = False
    """It found no memory when it was first in the queue."""
    begun: bool = False
    prompt_tokens: int = 0
    predicted_output_tokens: float = 0.0
    repeated_tokens: int = 0
    """So many tokens of the session's last turn the prompt begins with."""
    is_over: bool = False
    """It is set if, while it ran, its session was said to be over."""

    @property
    def ready_s(self) -> float:
        """When it came: like the rest below, what an order of the planner's policies asks of a stage
        (:class:`~orchestrator.planner.policies.view.StageView`)."""
        return self.queued_s

    @property
    def started_s(self) -> float:
        """When its program arrived."""
        return self.arrival_s

    @property
    def deadline_s(self) -> float:
        """When its program should be done, as long after its arrival as it says itself; ``inf``: it does not say."""
        due_s, said_s = self.hint.deadline_s, self.hint.program_arrival_s
        return inf if due_s is None or said_s is None else self.arrival_s + due_s - said_s

    @property
    def predicted_s(self) -> float:
        """Expected seconds of the turn alone."""
        return self.hint.call_s or 0.0

    @property
    def remaining_s(self) -> float:
        """Expected seconds from its end to the end of its program."""
        return self.hint.critical_path_s or 0.0


@dataclass(frozen=True, slots=True)
class _Left:
    """What a session's last turn left in full blocks."""

    tokens: int
    marks: tuple[tuple[int, Hashable], ...]
    """Hashes of the prefixes of so many blocks; none where the engine does not tell them."""


class LastTurns:
    """What the last turn of each session left, and so what of it a next prompt repeats."""

    def __init__(self) -> None:
        self.block_tokens = 1
        """A KV block has so many tokens, which is known once a turn has ended."""
        self._left: OrderedDict[str, _Left] = OrderedDict()

    def __contains__(self, session: str) -> bool:
        return session in self._left

    def repeated(self, session: str, prompt_tokens: int, hashes: Sequence[Hashable] | None) -> int:
        """Tokens of the session's last turn that the prompt begins with: clients cut, summarise and tokenise anew.

        ``hashes`` are those of the prompt's prefixes, block by block; without them it is taken to repeat everything.
        """
        left = self._left.get(session)
        if left is None:
            return 0
        if hashes is None:
            return min(left.tokens, prompt_tokens)
        repeated = (blocks for blocks, name in left.marks if blocks <= len(hashes) and hashes[blocks - 1] == name)
        return max(repeated, default=0) * self.block_tokens

    def ended(self, turn: Turn, tokens: int, blocks: int, hashes: Sequence[Hashable] | None) -> None:
        """The turn leaves ``tokens`` tokens in ``blocks`` full blocks; none if it was preempted last.

        Remembered are the hashes of what a next prompt may begin with: all of it, or all but the reply.
        """
        if not blocks:
            return
        self.block_tokens = max(tokens // blocks, 1)
        self._left.pop(turn.session, None)
        prompt = turn.prompt_tokens // self.block_tokens
        places = {each for each in (blocks, prompt, prompt - 1) if 0 < each <= blocks}  # its end may differ, too
        marks = () if hashes is None else tuple((each, hashes[each - 1]) for each in places)
        self._left[turn.session] = _Left(tokens, marks)
        if len(self._left) > MOST_SESSIONS:
            self._left.popitem(last=False)

    def over(self, session: str) -> None:
        """No turn of the session follows."""
        self._left.pop(session, None)

    def reset(self) -> None:
        """Nothing is left of any."""
        self._left.clear()
