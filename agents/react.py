"""ReAct: think, act, observe, until the model answers ("ReAct: Synergizing Reasoning and Acting", Yao et al. 2023).

The pattern is an ordinary workflow: a bounded ``loop`` over a ``chat``, in which each turn is read as one of the typed
calls that the tools' signatures allow, and a switch over the tools dispatches it. So the planner knows the
most a run can cost, the engine is told that the conversation comes back, and a crash repeats no finished step::

    @workflow
    def assistant(question: str) -> str:
        return react(question, tools=[search, run_sql], max_steps=6)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Unpack

from orchestrator.agents.steps import Parameter, Steps, steps_of
from orchestrator.dsl.constants import is_symbolic, named
from orchestrator.dsl.control import branch, loop
from orchestrator.dsl.expressions import narrow
from orchestrator.dsl.failing import attempt
from orchestrator.dsl.llm import CallOptions, Chat, chat, say_json
from orchestrator.dsl.location import underlying, user_location
from orchestrator.dsl.policy import is_count
from orchestrator.dsl.switching import switch
from orchestrator.dsl.tool import Tool, tool
from orchestrator.dsl.typing import type_string
from orchestrator.dsl.value import Value
from orchestrator.errors import TraceError

_SYSTEM = """Answer the question. In each turn give a thought and one action: call a tool, or finish with the answer.
Tools:
{tools}"""
LONGEST_FAILURE: Final = 2000
"""Characters of what the model is told of a failure."""
_OUT_OF_STEPS = "No steps are left. Answer the question with what you know."


def react(
    question: str,
    tools: Sequence[Tool[..., Any] | Callable[..., Any]],
    *,
    max_steps: int = 8,
    system: str = _SYSTEM,
    **options: Unpack[CallOptions],
) -> str:
    """Answer ``question`` with the help of ``tools`` in at most ``max_steps`` model calls, and one more to conclude.

    The model is told what went wrong and may react: a tool that raises, or exceeds its timeout, after the retries that
    it declares; a call of an unknown tool or with wrong arguments; a reply that is no step at all. Each costs a step. A
    tool that must run at most once and of which nobody knows whether it ran ends the run, as everywhere.

    ``system`` may contain ``{tools}``, which becomes a line per tool. ``options`` are those of ``llm`` for every turn.
    Must be called inside a workflow.
    """
    known = _tools(tools)
    if not is_count(max_steps):
        fix = "max_steps is a Python int of 1 or more"
        raise TraceError("ORCH-D041", f"react: max_steps={max_steps!r}", where=user_location(), fix=fix)
    steps = steps_of(known)
    listing = "\n".join(f"- {signature(each, own)}" for each, own in zip(known, steps.parameters, strict=True))
    start = chat(system.replace("{tools}", listing), model=options.pop("model", None))
    name = options.pop("name", None)

    def step(state: tuple[Chat, str, bool]) -> tuple[Chat, str, bool]:
        conversation, observation, _ = state
        turn = say_json(conversation, observation, steps.schema, **options)
        decision = steps.read(turn.reply)
        observed = _dispatch(decision, known, steps)
        return turn.chat, observed, decision.position == len(known)

    final = loop(step, (start, f"{question}", False), max=max_steps, until=lambda s: s[2], name=name)
    conversation, answer, finished = final
    conclude = lambda: conversation.say(_OUT_OF_STEPS, **options).reply  # noqa: E731
    return branch(finished, then=lambda: answer, otherwise=conclude)


def signature(each: Tool[..., Any], parameters: Sequence[Parameter]) -> str:
    """A line that tells the model about a tool: name, the parameters to give, and the first line of its docstring."""
    shown = ", ".join(
        f"{p.name}: {type_string(p.type)}{'' if p.is_required else f' = {p.default!r}'}" for p in parameters
    )
    about = (getattr(underlying(each.fn), "__doc__", None) or "").strip().splitlines()
    return f"{each.name}({shown}) -> {type_string(each.boundary.returns)}" + (f": {about[0]}" if about else "")


def _dispatch(decision: Any, tools: Sequence[Tool[..., Any]], steps: Steps) -> str:
    """What comes of a decision: one case for each tool, one for the answer, and else what was wrong with the reply."""
    action: Any = decision.action

    def called(position: int) -> str:
        each = tools[position]
        arguments: Any = narrow(action, steps.calls[position]).args  # type: ignore[attr-defined]
        given = {p.name: getattr(arguments, p.field) for p in steps.parameters[position]}
        return attempt(
            lambda: f"{each(**given)}",
            lambda error: f"{each.name} failed: {error.kind}: {error.message[:LONGEST_FAILURE]}",
        )

    cases: dict[int, Callable[[], str]] = {position: partial(called, position) for position in range(len(tools))}
    cases[len(tools)] = lambda: narrow(action, steps.finish).answer  # type: ignore[attr-defined]
    return switch(decision.position, cases, lambda: narrow(action, steps.invalid).problem)  # type: ignore[attr-defined, no-any-return]


def _tools(tools: Any) -> list[Tool[..., Any]]:
    if not isinstance(tools, (list, tuple)) or any(isinstance(each, Value) or not callable(each) for each in tools):
        shown = named(tools) if isinstance(tools, Value) else "…" if is_symbolic(tools) else repr(tools)
        raise TraceError(
            "ORCH-D041",
            f"react: tools={shown}",
            where=user_location(),
            why="the tools are known before the workflow runs",
            fix="pass a list of tools or functions: react(question, tools=[search, run_sql])",
        )
    return [each if isinstance(each, Tool) else tool(each) for each in tools]
