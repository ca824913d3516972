"""Programs that are conversations: each turn's prompt is all that was said before, and what the tools said since.

>>> agent = conversation(0, 0.0, [Turn(100, 20), Turn(30, 20, tool="search", tool_s=0.5)], block_tokens=16)
>>> [(stage.prompt_tokens, stage.output_tokens, stage.tool_s) for stage in agent.stages]
[(100, 20, 0.0), (150, 20, 0.5)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.planner.simulate.arrivals import own_id
from orchestrator.planner.simulate.program import Program, Stage


class Turn(NamedTuple):
    """One model call, and the tool that runs before it."""

    new_tokens: int
    """So many tokens of the prompt stand behind the conversation so far."""
    output_tokens: int
    tool: str = ""
    tool_s: float = 0.0


def conversation(
    number: int, arrival_s: float, turns: Sequence[Turn], *, block_tokens: int, shared_tokens: int = 0,
    shared_id: int = 0, workflow: str = "",
) -> Program:  # fmt: skip
    """The program ``number`` (unique in its load), with prefix ids of whole blocks.

    Its first ``shared_tokens`` tokens are those of every program with the same ``shared_id``, a number that leaves room
    for their blocks to the next one; the rest is its own.
    """
    total = sum(turn.new_tokens + turn.output_tokens for turn in turns)
    shared = min(shared_tokens, turns[0].new_tokens) // block_tokens if turns else 0
    ids = tuple(shared_id + i if i < shared else own_id(number, i) for i in range(total // block_tokens))
    stages: list[Stage] = []
    prompt = 0
    for place, turn in enumerate(turns):
        prompt += turn.new_tokens
        stages.append(
            Stage(
                prompt, turn.output_tokens, f"turn {place}", (place - 1,) if place else (), turn.tool_s,
                ids[: (prompt + turn.output_tokens) // block_tokens], block_tokens, tool=turn.tool,
            )
        )  # fmt: skip
        prompt += turn.output_tokens
    return Program(number, arrival_s, tuple(stages), workflow)
