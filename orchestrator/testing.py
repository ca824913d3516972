"""Testing workflows without a model, a cluster or a network::

    def test_answer():
        with fake(["SELECT 1", "One."], tools={"run_sql": lambda query: [1]}) as engine:
            assert answer(question="How many?") == "One."
        assert "SELECT" in engine.requests[1].messages[-1].content

Inside the ``with`` block a workflow is traced, compiled, planned and executed as always, whether it is called or run by
``orchestrator.run`` or a ``Session``; only the engine, the named tools and the human are substitutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tool import substituted
from orchestrator.dsl.workflow import Workflow, running_with
from orchestrator.errors import TraceError
from orchestrator.running.standing_in import Prepared, prepared_by

if TYPE_CHECKING:
    from orchestrator.dsl.models.messages import Message
    from orchestrator.running.questions import Question
    from orchestrator.runtime.engines.base import GenerateRequest
    from orchestrator.runtime.engines.scripted import Reply, ScriptedEngine
    from orchestrator.runtime.program.program import Program

    Answering = Iterable[Reply] | Callable[[tuple[Message, ...]], Reply]
    """Replies in the order of the calls, or a function from the messages of a call to its reply."""

__all__ = ["fake"]


@contextmanager
def fake(
    engine: Answering | Mapping[str, Answering | Reply] = (),
    *,
    tools: Mapping[str, Callable[..., Any]] | None = None,
    answers: Mapping[str, Any] | None = None,
) -> Iterator[ScriptedEngine]:
    """Run the workflows that are called in the block, sync or async, on a scripted engine.

    ``engine`` gives the replies in the order of the model calls, or is a function from messages to a reply; a reply is
    a text, a model instance, a tool to call (``ToolCall("search", '{"query": "x"}')``), or an exception to raise. A
    mapping does so by op: to the id of a model call, which is its ``name=`` where it has one, either of these, or one
    reply that all its calls get; ``"*"`` to all other calls::

        fake({"classify": "billing", "draft": ["first", "second"], "*": lambda messages: "ok"})

    Model calls are made one after the other as they stand in the program, items of a map and iterations of a loop
    included; only arms of a race run side by side. Every model is answered for. ``tools`` replaces tools by name, and
    what waits for the seconds of a ``sleep()``: ``tools={"sleep": lambda seconds: None}`` has them pass at once.
    ``answers`` gives the human's answer to the ``ask`` of each id.

    Gives the engine, whose ``requests`` hold what was asked. Raises ``TraceError`` ORCH-D041 for a misuse, at the end
    of the block also for a replaced tool, a named op or an answered question that none of its workflows has.
    """
    from orchestrator.runtime.engines.scripted import OTHERS, ScriptedEngine

    given = tools or {}
    _check(engine, given)
    if isinstance(engine, Mapping):
        scripted = ScriptedEngine({op: _of_request(each) for op, each in engine.items()})
    else:
        scripted = ScriptedEngine(_of_request(engine))
    called: set[str] = set()
    asking: set[str] = set()
    asked: list[Question] = []
    ran: list[str] = []
    is_over = False

    def prepare(workflow: Workflow[..., Any]) -> Prepared:
        from orchestrator.compiler import compile as compile_workflow
        from orchestrator.planner.cluster import Cluster, EngineSpec
        from orchestrator.planner.token_price import FREE
        from orchestrator.running.questions import questions_of
        from orchestrator.runtime.human import Answers
        from orchestrator.runtime.runner import Runner

        if is_over:
            raise _misuse("a session made in a fake block is used after it", "make it, and close it, inside the block")
        cluster = Cluster(engines=(EngineSpec(name="scripted", kind="scripted", model="scripted"),))
        compiled = compile_workflow(workflow, cluster=cluster, in_order=True)
        called.update(compiled.bindings.tools, _sleeps(compiled.program))
        asking.update(op.id for op, _ in compiled.program.model_calls)
        asked.extend(questions_of(compiled.program))
        ran.append(compiled.name)
        free = replace(compiled.program, prices={"scripted": FREE})  # so a budget in dollars can be kept
        runtime = Runner({"scripted": scripted}, human=Answers(answers or {}), sleep=_sleeping(given))
        return Prepared(replace(compiled, program=free), runtime)

    async def run(workflow: Workflow[..., Any], inputs: dict[str, object]) -> Any:
        compiled, runtime = prepare(workflow)
        assert runtime is not None
        return await runtime.run(compiled, inputs)

    with substituted(given), running_with(run), prepared_by(prepare):
        try:
            yield scripted
        finally:
            is_over = True
    if not ran:
        return
    asking.update(request.op for request in scripted.requests)  # also in workflows that tools have called
    asking.update([each.rpartition("/")[2] for each in asking])
    named = [op for op in engine if op != OTHERS] if isinstance(engine, Mapping) else []
    _all_known([name for name in given if name not in called], called, ran, "calls", "fake replaces the tool")
    questions = [each for each in answers or {} if not any(question.is_meant_by(each) for question in asked)]
    _all_known(questions, [each.name for each in asked], ran, "asks", "fake answers the question")
    _all_known([op for op in named if op not in asking], asking, ran, "makes", "fake has a reply for the model call")


def _sleeps(program: Program) -> set[str]:
    """What its sleeps are called, if there are any."""
    from orchestrator.runtime.program.specs import Sleep

    ops = (op for region in program.regions.values() for op in region.ops())
    return {"sleep" for op in ops if isinstance(op.spec, Sleep)}


def _sleeping(given: Mapping[str, Callable[..., Any]]) -> Callable[[float], Awaitable[object]]:
    """What waits for the seconds of a sleep: the test's own function, if it has one."""

    async def sleeping(seconds: float) -> object:
        made = given.get("sleep", asyncio.sleep)(seconds)
        return await made if isawaitable(made) else made

    return sleeping


def _of_request(given: Any) -> Any:
    """A function of messages as one of the request; anything else as it is."""
    if not callable(given):
        return given

    def reply(request: GenerateRequest) -> Any:
        return given(request.messages)

    return reply


def _all_known(unknown: Sequence[str], known: Iterable[str], ran: list[str], verb: str, what: str) -> None:
    if not unknown:
        return
    close = get_close_matches(unknown[0], list(known), n=1)
    fix = f"did you mean `{close[0]}`?" if close else "leave it out, or name one as the workflow does"
    raise _misuse(f"{what} `{unknown[0]}`, which {_listed(ran)} never {verb}", fix)


def _check(engine: object, tools: Mapping[str, object]) -> None:
    if isinstance(engine, (str, BaseModel)):
        raise _misuse(f"fake got one reply, {engine!r}", "give a list of replies: fake([...])")
    if not callable(engine) and not isinstance(engine, Iterable):
        raise _misuse(f"fake got {engine!r}", "give a list of replies, or a function from messages to a reply")
    for name, function in tools.items():
        if not callable(function):
            raise _misuse(f"fake replaces the tool `{name}` by {function!r}", "give a function with its parameters")


def _misuse(message: str, fix: str) -> TraceError:
    return TraceError("ORCH-D041", message, where=user_location(), fix=fix)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))
