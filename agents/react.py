"""ReAct: think, act, observe, until the model answers ("ReAct: Synergizing Reasoning and Acting", Yao et al. 2023).

The pattern is an ordinary workflow: a bounded ``loop`` over a ``chat``, in which the model answers or calls tools, by
the engine's own function calling where it has it; a ``map_`` over the calls, and a ``switch`` over the tools. So the
planner knows the most a run can cost, the engine is told that the conversation comes back, and a crash repeats no
finished step::

    @workflow
    def assistant(question: str) -> str:
        return react(question, tools=[search, run_sql], max_steps=6)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Unpack

from orchestrator.agents.steps import Toolbox, perform
from orchestrator.dsl.declared.policy import is_count
from orchestrator.dsl.models.llm import CallOptions, Chat, Turn, chat
from orchestrator.dsl.models.messages import Message, Reply, user
from orchestrator.dsl.regions.control import branch, loop, map_
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tool import Tool, tool
from orchestrator.dsl.tracing.constants import shown
from orchestrator.errors import TraceError

MOST_CALLS: Final = 32
"""One turn may have so many calls."""
_SYSTEM: Final = "Answer the question. Use the tools where they help, and then give the answer alone."
_OUT_OF_STEPS: Final = "No steps are left. Answer the question with what you know."


def react(
    question: str,
    tools: Sequence[Tool[..., Any] | Callable[..., Any]],
    *,
    max_steps: int = 8,
    system: str = _SYSTEM,
    deps: Mapping[str, Any] | None = None,
    **options: Unpack[CallOptions],
) -> str:
    """Answer ``question`` with the help of ``tools`` in at most ``max_steps`` model calls, and one more to conclude.

    The model is told what went wrong and may react: a tool that raises, or exceeds its timeout, after the retries that
    it declares; a call of an unknown tool or with wrong arguments; a reply that is neither an answer nor a call. Each
    costs a step. A tool that must run at most once and of which nobody knows whether it ran ends the run, as
    everywhere.

    ``deps={"db": db}`` gives parameters that the model does not see; each may be an object or a value. ``system`` may
    contain ``{tools}``, which becomes a line per tool. ``options`` are those of ``llm`` for every turn. Must be called
    inside a workflow.
    """
    box = Toolbox.of("react", tools, deps)
    if not is_count(max_steps):
        fix = "max_steps is a Python int of 1 or more"
        raise TraceError("ORCH-D041", f"react: max_steps={shown(max_steps)}", where=user_location(), fix=fix)
    start = chat(system.replace("{tools}", box.offered.listing), model=options.pop("model", None))
    name = options.pop("name", None)
    side_by_side = MOST_CALLS if all(each.effects == "pure" for each in box.tools) else 1
    given: dict[str, Any] = {**options, "tools": box.offered}

    def step(state: tuple[Chat, list[Message], str, bool]) -> tuple[Chat, list[Message], str, bool]:
        conversation, observed, _, _ = state
        turn = conversation.say(observed, **given)
        reply: Reply = turn.reply
        results = map_(lambda call: perform(call, box), reply.calls, limit=MOST_CALLS, concurrency=side_by_side)
        return turn.chat, next_turn(results, reply.problem), reply.text, reply.is_final

    begun = (start, [user(f"{question}")], "", False)
    conversation, observed, answer, finished = loop(step, begun, max=max_steps, until=lambda s: s[3], name=name)

    def conclude() -> str:
        asked: Any = observed + [user(_OUT_OF_STEPS)]  # noqa: RUF005 - it is a value
        answered: Turn[str] = conversation.say(asked, tool_choice="none", **given)
        return answered.reply

    return branch(finished, then=lambda: answer, otherwise=conclude)


def _next_turn(results: list[Message], problem: str) -> list[Message]:
    return [*results, *([Message("user", problem)] if problem else [])]


next_turn = tool(_next_turn, name="builtin.next_turn", effects="pure", cheap=True)
