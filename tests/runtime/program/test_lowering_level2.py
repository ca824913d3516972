"""Level-2 modules: prefill and decode become one call, and KV hints travel with it."""

from __future__ import annotations

from torch_mlir import ir

from orchestrator.dsl.models.llm import Chat
from orchestrator.dsl.tool import tool
from orchestrator.dsl.trace import Bindings
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.specs import Generate, Pause, Release, ToolCall
from orchestrator.runtime.runner import Runner


@tool(effects="idempotent")
def shout(text: str) -> str:
    return text.upper()


MODULE = """
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %s = "op.call"() {id = "prompt_1", kind = "prompt", opts = {parts = ["be brief"]}, place = "inline"}
      : () -> !agent.value<"str">
  %c = "op.call"(%s) {id = "chat_1", kind = "chat", opts = {}, place = "inline"}
      : (!agent.value<"str">) -> !agent.value<"Chat">
  "op.kv_prefetch"(%c) {id = "prefetch_1", opts = {}, place = "engine:main"} : (!agent.value<"Chat">) -> ()
  %kv = "op.prefill"(%q, %c) {id = "llm_1.prefill", model = "default", opts = {}, place = "engine:main"}
      : (!agent.value<"str">, !agent.value<"Chat">) -> !op.kv
  %r, %d = "op.decode"(%kv) {id = "llm_1", model = "default", returns = "str", samples = 1 : i64,
      opts = {max_tokens = 7 : i64}, place = "engine:main"}
      : (!op.kv) -> (!agent.value<"str">, !agent.value<"Chat">)
  "op.kv_pin"(%d) {id = "pin_1", ttl_s = 2.5 : f64, opts = {}, place = "engine:main"} : (!agent.value<"Chat">) -> ()
  %t = "op.call"(%r) {id = "shout_1", kind = "tool", callee = "shout", params = ["text"], effects = "idempotent",
      opts = {}, place = "thread"} : (!agent.value<"str">) -> !agent.value<"str">
  %kv2 = "op.prefill"(%t, %d) {id = "llm_2.prefill", model = "default", opts = {}, place = "engine:main"}
      : (!agent.value<"str">, !agent.value<"Chat">) -> !op.kv
  %r2, %d2 = "op.decode"(%kv2) {id = "llm_2", model = "default", returns = "str", samples = 1 : i64,
      opts = {}, place = "engine:main"} : (!op.kv) -> (!agent.value<"str">, !agent.value<"Chat">)
  "op.kv_release"(%d2) {id = "release_1", opts = {}, place = "engine:main"} : (!agent.value<"Chat">) -> ()
  "agent.yield"(%r2) : (!agent.value<"str">) -> ()
}) {sym_name = "demo", opts = {params = ["question"], budget_tokens = 1000 : i64}} : () -> ()
"""


class Recording(ScriptedEngine):
    """Also keeps the sessions that were released."""

    released: list[str]
    refuses = False

    async def release(self, session: str) -> None:
        if self.refuses:
            raise ConnectionError("gone")
        self.released = [*getattr(self, "released", []), session]


async def test_pairs_pins_and_releases() -> None:
    context = ir.Context()
    context.allow_unregistered_dialects = True
    graph = read(ir.Module.parse(MODULE, context))
    program = lower(graph, Bindings({"shout": shout}, {"str": str, "Chat": Chat}), returns=str, program_hash="hash")
    specs = {op.id: op.spec for op in program.body.ops()}
    assert set(specs) == {"llm_1", "shout_1", "llm_2", "release_1"}
    first = specs["llm_1"]
    assert isinstance(first, Generate)
    assert (first.engine, first.sampling.max_tokens, first.pause) == ("main", 7, Pause(ttl_s=2.5))
    assert isinstance(specs["shout_1"], ToolCall)
    assert isinstance(specs["release_1"], Release)
    assert program.budget is not None
    assert program.budget.tokens == 1000

    engine = Recording(lambda request: f"{len(request.messages)}")
    async with Runner({"main": engine}) as runtime:
        result = await runtime.run_program(program, ("hello",))
    assert result.value == "4"
    assert [request.messages[-1].content for request in engine.requests] == ["hello", "2"]
    assert engine.requests[0].kv is not None
    assert engine.requests[0].kv.pin_ttl_s == 2.5
    assert engine.released == [engine.requests[1].session]

    engine = Recording(lambda request: f"{len(request.messages)}")
    engine.refuses = True
    async with Runner({"main": engine}) as runtime:
        result = await runtime.run_program(program, ("hello",))
    assert result.value == "4"
    assert "could not release" in result.warnings[0]
