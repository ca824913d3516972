"""The load: programs, each an instance of a workflow whose stages are model calls with tools between them.

A stage's prompt may share its beginning with other prompts: ``prefix_ids[i]`` names the content of its tokens
``[i * unit_tokens, (i + 1) * unit_tokens)`` *and everything before them* (a hash chain, as in vLLM and in Mooncake's
traces), so equal ids mean equal KV. Ids may go on past the prompt: those units exist once the reply is written, and the
next turn of a conversation starts with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from orchestrator.planner.deadlines import behind_s

MOONCAKE_UNIT_TOKENS: Final = 512


@dataclass(frozen=True, slots=True)
class Stage:
    """One model call of a program."""

    prompt_tokens: int
    output_tokens: int
    """What the model will write; only the simulator may look."""
    step: str = ""
    """Its name in the workflow; predictions are per step."""
    after: tuple[int, ...] = ()
    """Stages that must be done before it."""
    tool_s: float = 0.0
    """Between the end of the last of those (or the program's arrival) and this call."""
    prefix_ids: tuple[int, ...] = ()
    unit_tokens: int = MOONCAKE_UNIT_TOKENS
    pin_ttl_s: float = 0.0
    """How long its KV is kept from eviction once it is done."""
    model: str = ""
    """Which replicas can run it: those of the same ``model``."""
    session: str = ""
    """Those stages of a program with the same session are turns of one conversation."""
    tool: str = ""
    """What takes ``tool_s``: where to look for pauses like it."""


@dataclass(frozen=True, slots=True)
class Program:
    """An instance of a workflow. ``after`` of a stage may only name earlier stages."""

    id: int
    arrival_s: float
    stages: tuple[Stage, ...]
    workflow: str = ""
    slo_s: float = inf
    """Seconds from arrival within which it should be done."""


def remaining_path_s(stages: Sequence[Stage], seconds: Sequence[float]) -> list[float]:
    """For each stage the longest path from its end to the end of the program, tools included."""
    taken = [own_s + stage.tool_s for own_s, stage in zip(seconds, stages, strict=True)]
    return behind_s(taken, [stage.after for stage in stages])
