"""orchestrator: a compiler for agent and LLM workflows.

The public names are imported on first use, so that ``import orchestrator`` costs next to nothing and loads neither MLIR
nor Ray nor an engine.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` costs more than all else here
if TYPE_CHECKING:
    from orchestrator.agents.react import react
    from orchestrator.agents.vote import vote
    from orchestrator.dsl.declared.once import Happened
    from orchestrator.dsl.declared.policy import Budget, Retry
    from orchestrator.dsl.logprobs import Logprobs, Scored
    from orchestrator.dsl.models.llm import Chat, Turn, Turns, ask, chat, llm, options
    from orchestrator.dsl.models.messages import Message, Reply, ToolCall, assistant, system, user
    from orchestrator.dsl.models.offered import Hidden
    from orchestrator.dsl.models.parts import Part, file, image
    from orchestrator.dsl.observing import now, random, uuid
    from orchestrator.dsl.operations.expressions import narrow
    from orchestrator.dsl.regions.control import branch, loop, map_, race
    from orchestrator.dsl.regions.failing import attempt
    from orchestrator.dsl.regions.switching import switch
    from orchestrator.dsl.sleeping import sleep
    from orchestrator.dsl.static import Static
    from orchestrator.dsl.symbol import Symbol as Value
    from orchestrator.dsl.tool import Tool, call, tool
    from orchestrator.dsl.tracing.parallel import parallel
    from orchestrator.dsl.workflow import Workflow, workflow
    from orchestrator.errors import Error, OrchError
    from orchestrator.running.calling import arun, astream, run, stream
    from orchestrator.running.session import Session
    from orchestrator.runtime.result import RunResult

__version__ = "0.1.0"

_HOME = {
    "orchestrator.agents.react": ("react",),
    "orchestrator.agents.vote": ("vote",),
    "orchestrator.dsl.regions.control": ("branch", "loop", "map_", "race"),
    "orchestrator.dsl.regions.failing": ("attempt",),
    "orchestrator.dsl.models.llm": ("Chat", "Turn", "Turns", "ask", "chat", "llm", "options"),
    "orchestrator.dsl.logprobs": ("Logprobs", "Scored"),
    "orchestrator.dsl.models.messages": ("Message", "Reply", "ToolCall", "assistant", "system", "user"),
    "orchestrator.dsl.models.offered": ("Hidden",),
    "orchestrator.dsl.observing": ("now", "random", "uuid"),
    "orchestrator.dsl.declared.once": ("Happened",),
    "orchestrator.dsl.operations.expressions": ("narrow",),
    "orchestrator.dsl.tracing.parallel": ("parallel",),
    "orchestrator.dsl.models.parts": ("Part", "file", "image"),
    "orchestrator.dsl.declared.policy": ("Budget", "Retry"),
    "orchestrator.dsl.regions.switching": ("switch",),
    "orchestrator.dsl.sleeping": ("sleep",),
    "orchestrator.dsl.static": ("Static",),
    "orchestrator.dsl.tool": ("Tool", "call", "tool"),
    "orchestrator.dsl.tracing.tracer": ("Value",),
    "orchestrator.dsl.workflow": ("Workflow", "workflow"),
    "orchestrator.errors": ("Error", "OrchError"),
    "orchestrator.running.calling": ("arun", "astream", "run", "stream"),
    "orchestrator.running.session": ("Session",),
    "orchestrator.runtime.result": ("RunResult",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Budget", "Chat", "Error", "Happened", "Hidden", "Logprobs", "Message", "OrchError", "Part", "Reply", "Retry",
    "RunResult", "Scored", "Session", "Static", "Tool", "ToolCall", "Turn", "Turns", "Value", "Workflow", "arun", "ask",
    "assistant", "astream", "attempt", "branch", "call", "chat", "file", "image", "llm", "loop", "map_", "narrow",
    "now", "options", "parallel", "race", "random", "react", "run", "sleep", "stream", "switch", "system", "tool",
    "user", "uuid", "vote", "workflow",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "text":
        return import_module("orchestrator.text")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
