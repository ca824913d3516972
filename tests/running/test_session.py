"""Runs from Python: from threads, from running event loops, with what they are given, and in sessions that stay."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

import orchestrator
from orchestrator import Session, arun, ask, astream, llm, map_, run, stream, tool, workflow
from orchestrator.errors import RunError, TraceError, UsageError
from orchestrator.events import Text
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.tools.threads import ToolThreads
from orchestrator.testing import fake
from tests.running.answering import Counted, answer, double, echo
from tests.runtime.engines.chat_server import chat_server


def test_a_run_gives_value_usage_and_id() -> None:
    result = run(answer, "why", engine=ScriptedEngine(["because"]), run_id="first")
    assert (result.value, result.run_id, result.simulated) == ("because", "first", True)
    assert result.usage.output_tokens > 0


def test_without_an_engine_a_workflow_without_model_calls_runs() -> None:
    assert run(double, 4).value == 8


async def test_it_blocks_on_a_running_event_loop_and_has_engines_of_its_own_thread() -> None:
    engine = Counted(echo)
    assert run(answer, "why", engine=engine).value == "kind why"
    assert (await arun(answer, "why", engine=engine)).value == "kind why"
    assert id(asyncio.get_running_loop()) not in engine.loops


def test_engines_start_once_and_stay() -> None:
    engine = Counted(echo)
    with Session(engine=engine) as session:
        assert engine.starts == 0
        with ThreadPoolExecutor(8) as threads:
            values = list(threads.map(lambda n: session.run(answer, str(n)).value, range(40)))

        async def many() -> list[str]:
            return [each.value for each in await asyncio.gather(*(session.arun(answer, str(n)) for n in range(40)))]

        assert values == asyncio.run(many()) == asyncio.run(many()) == [f"kind {n}" for n in range(40)]
    assert engine.starts == 1
    assert len(engine.loops) == 1
    assert engine.closes == 0  # whoever lends an engine closes it


def test_runs_see_the_context_they_are_called_in() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")

    @tool(effects="idempotent")
    def me() -> str:
        return who.get()

    @workflow
    def flow() -> str:
        return me()

    with Session() as session:
        who.set("Ada")
        assert session.run(flow).value == "Ada"


def test_waiting_on_its_own_event_loop_is_refused() -> None:
    with Session(engine=ScriptedEngine(echo)) as session:

        @tool(effects="idempotent")
        async def blocks(text: str) -> str:
            return session.run(answer, text).value

        @tool(effects="idempotent")
        async def awaits(text: str) -> str:
            return (await session.arun(answer, text)).value

        @tool(effects="idempotent")
        def waits(text: str) -> str:
            return session.run(answer, text).value

        @workflow
        def wrong(text: str) -> str:
            return blocks(text)

        @workflow
        def right(text: str) -> list[str]:
            return [awaits(text), waits(text)]

        assert session.run(right, "x").value == ["kind x", "kind x"]
        with pytest.raises(RunError) as caught:
            session.run(wrong, "x")
        assert caught.value.code == "ORCH-R073"


def test_nothing_is_run_while_a_workflow_is_traced() -> None:
    @workflow
    def outer(text: str) -> str:
        return run(answer, text).value

    with pytest.raises(TraceError) as caught:
        run(outer, "x", engine="sim")
    assert caught.value.code == "ORCH-R045"
    assert caught.value.diagnostics[0].fix == "call it: answer(...)"


def test_store_observers_tenant_and_budget_reach_the_run() -> None:
    store, session_wide, own = MemoryStore(), Subscription(), Subscription()
    with Session(engine=ScriptedEngine(echo), store=store, observers=[session_wide]) as session:
        session.run(answer, "x", run_id="r1", tenant="t", observers=[own])
        found = asyncio.run(store.load("r1"))
        assert found is not None
        assert (found.head.status, found.head.tenant) == ("done", "t")
        assert own.drain()
        assert session_wide.drain()
        with pytest.raises(RunError) as caught:
            session.run(answer, "x", run_id="r1")
        assert caught.value.code == "ORCH-R029"
        with pytest.raises(RunError) as caught:
            session.run(answer, "x", budget="1 token")
        assert caught.value.code == "ORCH-R010"


@workflow
def order(what: str) -> str:
    return ask(f"Buy {what}?", choices=["yes", "no"], name="approve")


class Clerk:
    async def ask(self, id: str, question: str, type: Any, choices: Any) -> object:  # noqa: A002
        return "no"


@pytest.mark.parametrize(("answers", "found"), [({"approve": "yes"}, "yes"), (Clerk(), "no")])
def test_people_answer_ahead_or_are_asked(answers: Any, found: str) -> None:
    assert run(order, "tea", answers=answers).value == found
    with fake():
        assert run(order, "tea", answers=answers).value == found


@pytest.mark.parametrize(
    "options",
    [{"run_id": 3}, {"run_id": ""}, {"tenant": 3}, {"observers": print}, {"observers": [print]}, {"answers": ["yes"]}],
    ids=str,
)
async def test_options_that_make_no_sense_are_said_at_once(options: dict[str, Any]) -> None:
    for call in (run, arun, stream, astream):
        with pytest.raises(RunError) as caught:
            made = call(answer, "x", engine="sim", **options)
            await made  # type: ignore[misc]
        (told,) = caught.value.diagnostics
        assert told.code == "ORCH-R074"
        assert told.fix
        assert told.where is not None
        assert told.where.file == __file__


def test_what_is_wrong_with_a_run_stands_where_it_is_called() -> None:
    with Session(engine=ScriptedEngine(echo)) as session:
        session.run(answer, "x", run_id="r")
        for options, code in (({"run_id": "r"}, "ORCH-R029"), ({"budget": "cheap"}, "ORCH-R028")):
            with pytest.raises(RunError) as caught:
                session.run(answer, "x", **options)  # type: ignore[arg-type]
            assert caught.value.code == code
            assert caught.value.diagnostics[0].where.file == __file__  # type: ignore[union-attr]


def test_an_answer_that_nobody_asks_for() -> None:
    with pytest.raises(UsageError) as caught:
        run(order, "tea", answers={"aprove": "yes"})
    (told,) = caught.value.diagnostics
    assert (told.code, told.fix) == ("ORCH-U012", "did you mean `approve`?")
    assert told.where is not None
    assert told.where.file == __file__


@pytest.mark.parametrize("make", [lambda: Session(model="./nowhere"), lambda: Session(engine="http://127.0.0.1:1/v1")])
def test_in_a_fake_block_it_runs_on_that(make: Callable[[], Session]) -> None:
    with fake(["one", "two", "three"]) as engine, make() as session:
        assert session.run(answer, "x").value == "one"
        assert asyncio.run(session.arun(answer, "y")).value == "two"
        with session.stream(answer, "z") as events:
            list(events)
        assert events.result.value == "three"
    assert [each.messages[-1].content for each in engine.requests] == ["kind x", "kind y", "kind z"]


def test_one_made_in_a_fake_block_is_for_all_threads_and_for_that_block() -> None:
    @tool(effects="idempotent")
    def fetch(url: str) -> str:
        raise AssertionError(url)

    @workflow
    def page(url: str) -> str:
        return llm(fetch(url), name="sum_up")

    with fake({"sum_up": lambda messages: messages[-1].content}, tools={"fetch": lambda url: url.upper()}):
        session = Session(model="./nowhere")
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda url: session.run(page, url).value, ["a", "b", "c"]))
    assert found == ["A", "B", "C"]
    with session, pytest.raises(TraceError) as caught:
        session.run(page, "d")
    assert caught.value.code == "ORCH-D041"


def test_the_package_offers_all_of_it() -> None:
    assert {"Session", "run", "arun", "stream", "astream", "RunResult"} <= set(orchestrator.__all__)


def test_an_engine_that_did_not_start_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Counted):
        async def start(self) -> None:
            self.starts += 1
            if self.starts == 1:
                raise OSError("not yet")

    engine = Late(echo)
    monkeypatch.setattr("orchestrator.runtime.engines.registry.create", lambda spec, ray=None: engine)
    with Session(engine="sim") as session:
        with pytest.raises(OSError, match="not yet"):
            session.run(answer, "x")
        assert session.run(answer, "x").value == "kind x"
    assert (engine.starts, engine.closes) == (2, 1)


def test_where_there_is_no_event_loop_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(work: Any) -> None:
        work.close()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("orchestrator.running.loop_thread.run", no_more)
    with Session() as session, pytest.raises(OSError, match="Too many open files"):
        session.run(double, 2)


def test_first_runs_at_once_start_an_engine_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Counted):
        async def start(self) -> None:
            self.starts += 1
            await asyncio.sleep(0.05)

    engine = Slow(echo)
    monkeypatch.setattr("orchestrator.runtime.engines.registry.create", lambda spec, ray=None: engine)
    with Session(engine="sim") as session, ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda n: session.run(answer, str(n)).value, range(8)))) == 8
    assert (engine.starts, engine.closes) == (1, 1)


def test_over_real_http() -> None:
    with chat_server(ScriptedEngine(echo)) as url, Session(engine=url, model="scripted") as session:
        assert session.run(answer, "why").value == "kind why"
        with session.stream(answer, "who") as events:
            assert "".join(each.delta for each in events if isinstance(each, Text)) == "kind who"
        assert asyncio.run(session.arun(answer, "what")).value == "kind what"


def test_a_model_that_is_a_value_is_found_among_all_engines() -> None:
    @workflow
    def pick(question: str, which: str) -> str:
        return llm(question, model=which)

    models = [EngineSpec(name=f"on_{each}", kind="scripted", model=each, options={"replies": [each]}) for each in "ab"]
    with Session(cluster=Cluster(engines=tuple(models))) as session:
        assert [session.run(pick, "x", each).value for each in "ab"] == ["a", "b"]


def test_it_is_not_sent_to_another_process() -> None:
    with Session() as session, pytest.raises(RunError) as caught:
        pickle.dumps(session.run)
    assert caught.value.code == "ORCH-R071"


def test_tools_that_wait_for_runs_leave_threads_to_the_tools_of_those(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ToolThreads.__init__.__kwdefaults__, "most_running", 2)  # type: ignore[arg-type]

    @tool(effects="idempotent")
    def inner(n: int) -> int:
        return n + 1

    @workflow
    def small(n: int) -> int:
        return inner(n)

    with Session() as session:

        @tool(effects="idempotent")
        def outer(n: int) -> int:
            return session.run(small, n).value

        @workflow
        def large(ns: list[int]) -> list[int]:
            return map_(outer, ns, limit=9)

        assert session.run(large, list(range(6))).value == list(range(1, 7))
