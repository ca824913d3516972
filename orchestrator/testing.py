"""Testing workflows without a model, a cluster or a network::

    def test_answer():
        with fake(["SELECT 1", "One."], tools={"run_sql": lambda query: [1]}) as engine:
            assert answer(question="How many?") == "One."
        assert "SELECT" in engine.requests[1].messages[-1].content

Inside the ``with`` block a workflow is traced, compiled, planned and executed as always; only the engine, the named
tools and the human are substitutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.dsl.tool import substituted
from orchestrator.dsl.workflow import Workflow, running_with

if TYPE_CHECKING:
    from orchestrator.runtime.engines.base import Message
    from orchestrator.runtime.engines.scripted import Reply, ScriptedEngine

__all__ = ["fake"]


@contextmanager
def fake(
    engine: Iterable[Reply] | Callable[[tuple[Message, ...]], Reply] = (),
    *,
    tools: Mapping[str, Callable[..., Any]] | None = None,
    answers: Mapping[str, Any] | None = None,
) -> Iterator[ScriptedEngine]:
    """Run the workflows that are called in the block, sync or async, on a scripted engine.

    ``engine`` is a list of replies in the order of the model calls, or a function from messages to a reply; a reply is
    a text, a model instance, or an exception to raise. ``tools`` replaces tools by name, ``answers`` gives the human's
    answer to the ``ask`` of each id. Gives the engine, whose ``requests`` hold what was asked.
    """
    from orchestrator.runtime.engines.scripted import ScriptedEngine

    script = (lambda request: engine(request.messages)) if callable(engine) else list(engine)
    scripted = ScriptedEngine(script)

    async def run(workflow: Workflow[..., Any], inputs: dict[str, object]) -> Any:
        from orchestrator.compiler import compile as compile_workflow
        from orchestrator.planner.cluster import Cluster, EngineSpec
        from orchestrator.runtime.human import Answers
        from orchestrator.runtime.run import Runtime

        cluster = Cluster(engines=(EngineSpec(name="scripted", kind="scripted", model="scripted"),))
        compiled = compile_workflow(workflow, cluster=cluster)
        return await Runtime({"scripted": scripted}, human=Answers(answers or {})).run(compiled, inputs)

    with substituted(tools or {}), running_with(run):
        yield scripted
