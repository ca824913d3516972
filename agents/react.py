"""ReAct: think, act, observe, until the model answers ("ReAct: Synergizing Reasoning and Acting", Yao et al. 2023).

The pattern is an ordinary workflow: a bounded ``loop`` over a ``chat``, in which each turn is decoded into one of the
typed calls that the tools' signatures allow, and a ``branch`` per tool dispatches it. So the planner knows the most a
run can cost, the engine is told that the conversation comes back, and a crash repeats no finished step::

    @workflow
    def assistant(question: str) -> str:
        return react(question, tools=[search, run_sql], max_steps=6)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.dsl.control import branch, loop
from orchestrator.dsl.expressions import narrow
from orchestrator.dsl.llm import Chat, chat
from orchestrator.dsl.tool import Tool, tool
from orchestrator.dsl.typing import union

if TYPE_CHECKING:
    from pydantic import BaseModel

_SYSTEM = """Answer the question. In each turn give a thought and one action: call a tool, or finish with the answer.
Tools:
{tools}"""
_OUT_OF_STEPS = "No steps are left. Answer the question with what you know."


def react(
    question: str,
    tools: Sequence[Tool[..., Any] | Callable[..., Any]],
    *,
    max_steps: int = 8,
    model: str | None = None,
    system: str = _SYSTEM,
    temperature: float | None = None,
) -> str:
    """Answer ``question`` with the help of ``tools`` in at most ``max_steps`` model calls, and one more to conclude.

    ``system`` may contain ``{tools}``, which becomes a line per tool. Must be called inside a workflow.
    """
    known = tuple(each if isinstance(each, Tool) else tool(each) for each in tools)
    schema = step_model(known)
    listing = "\n".join(f"- {signature(each)}" for each in known)
    start = chat(system.replace("{tools}", listing), model=model)

    def step(state: tuple[Chat, str, bool]) -> tuple[Chat, str, bool]:
        conversation, observation, _ = state
        turn = conversation.say(observation, returns=schema.model, temperature=temperature)
        action: Any = turn.reply.action  # type: ignore[attr-defined]
        return turn.chat, _dispatch(action, schema.calls, schema.finish), action.tool == "finish"

    conversation, answer, finished = loop(step, (start, f"{question}", False), max=max_steps, until=lambda s: s[2])
    return branch(finished, then=lambda: answer, otherwise=lambda: conversation.say(_OUT_OF_STEPS).reply)


class StepModel:
    """The pydantic models of one step: ``{"thought": ..., "action": {"tool": ..., "args": {...}}}``."""

    def __init__(self, model: type[BaseModel], calls: dict[Tool[..., Any], type[BaseModel]], finish: Any) -> None:
        self.model = model
        self.calls = calls
        self.finish = finish


@cache
def step_model(tools: tuple[Tool[..., Any], ...]) -> StepModel:
    """Models that allow exactly the calls that type-check, one object per set of tools."""
    from pydantic import Field, create_model

    calls: dict[Tool[..., Any], type[BaseModel]] = {}
    for each in tools:
        parameters: dict[str, Any] = {name: (tp, ...) for name, tp in each.boundary.params.items()}
        arguments = create_model(f"{each.name}_arguments", **parameters)
        calls[each] = _tagged(f"{each.name}_call", each.name, args=arguments)
    finish = _tagged("finish", "finish", answer=str)
    fields: dict[str, Any] = {
        "thought": (str, ...),
        "action": (union(*calls.values(), finish), Field(discriminator="tool") if calls else ...),
    }
    return StepModel(create_model("_".join(["step", *(each.name for each in tools)]), **fields), calls, finish)


def _tagged(name: str, tag: str, **fields: Any) -> type[BaseModel]:
    from pydantic import create_model

    members: dict[str, Any] = {"tool": (Literal[tag], ...), **{field: (tp, ...) for field, tp in fields.items()}}
    return create_model(name, **members)


def signature(each: Tool[..., Any]) -> str:
    """A line that tells the model about a tool: name, parameters, and the first line of its docstring."""
    import inspect

    about = (each.__doc__ or "").strip().splitlines()
    return f"{each.name}{inspect.signature(each.fn)}" + (f": {about[0]}" if about else "")


def _dispatch(action: Any, calls: dict[Tool[..., Any], type[BaseModel]], finish: Any) -> str:
    """A branch per tool; what remains is the answer."""
    if not calls:
        answer: str = narrow(action, finish).answer
        return answer
    (each, call), *rest = calls.items()

    def observe() -> str:
        arguments: Any = narrow(action, call).args  # type: ignore[attr-defined]
        return f"{each(**{name: getattr(arguments, name) for name in each.boundary.params})}"

    return branch(action.tool == each.name, then=observe, otherwise=lambda: _dispatch(action, dict(rest), finish))
