"""A run that only waits is given back to its store, and what is sent to it reaches it, wherever it is executed then."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import Error, ask, attempt, map_, sleep, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import JournalError, RunError, SuspendedError
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.attended import Attended
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.human import Answers
from orchestrator.runtime.journal.stores.base import Change, Head, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from tests.runtime.journal.stores.keeping import durable

CALLS: list[str] = []
GATE: dict[str, asyncio.Event] = {}


@tool(effects="idempotent")
async def note(text: str) -> str:
    CALLS.append(text)
    return text


@workflow
def review(title: str) -> str:
    noted = note(title)
    verdict = ask(f"Publish {noted}?", choices=["yes", "no"], name="verdict")
    return note(f"{verdict}: {noted}")


@pytest.fixture(autouse=True)
def anew() -> None:
    CALLS.clear()
    GATE.update({name: asyncio.Event() for name in ("begun", "started", "may end")})


async def head_of(store: Store) -> Head:
    loaded = await store.load("r")
    assert loaded is not None
    return loaded.head


async def suspended(store: Store, compiled: Compiled, inputs: dict[str, object], **options: Any) -> SuspendedError:
    async with Runner(store=store, **options) as runtime:
        with pytest.raises(SuspendedError) as failure:
            await asyncio.wait_for(runtime.run(compiled, inputs, run_id="r"), 20)
    return failure.value


async def resumed(store: Store, compiled: Compiled, **options: Any) -> Any:
    async with Runner(store=store, **options) as runtime:
        return (await asyncio.wait_for(runtime.resume(compiled, "r"), 20)).value


async def test_a_question_that_nobody_is_there_to_answer_gives_the_run_back() -> None:
    store = MemoryStore()
    failure = await suspended(store, compile_workflow(review), {"title": "Ducks"})
    assert (failure.code, failure.run_id, failure.status) == ("ORCH-R034", "r", "waiting")
    assert failure.questions == ["verdict"]
    assert "answer `verdict`" in str(failure)
    head = await head_of(store)
    assert (head.status, head.owner, head.wake_at) == ("waiting", None, None)
    assert head.why == "`verdict` asks: Publish Ducks?"


async def test_an_answer_goes_on_in_another_runtime_and_repeats_nothing() -> None:
    store, compiled = MemoryStore(), compile_workflow(review)
    await suspended(store, compiled, {"title": "Ducks"})
    await notices.answer(store, "r", "verdict", "yes", by="Ada")
    assert (await head_of(store)).status == "ready"
    assert await resumed(store, compiled) == "yes: Ducks"
    assert CALLS == ["Ducks", "yes: Ducks"]
    assert (await head_of(store)).notices == 0
    lines = b"".join([row.data async for row in store.history("r")])
    assert b'"Ada"' in lines


async def test_a_run_that_is_resumed_without_an_answer_waits_again_and_asks_once() -> None:
    store, compiled = MemoryStore(), compile_workflow(review)
    await suspended(store, compiled, {"title": "Ducks"})
    with pytest.raises(SuspendedError):
        await resumed(store, compiled)
    assert len(await notices.questions(store, "r")) == 1
    assert sum([row.data.count(b'["asked"') async for row in store.history("r")]) == 1


async def test_whoever_is_at_hand_answers_and_the_log_has_it() -> None:
    store, compiled = MemoryStore(), compile_workflow(review)
    async with Runner(store=store, human=Answers({"verdict": "no"})) as runtime:
        assert (await runtime.run(compiled, {"title": "Ducks"}, run_id="r")).value == "no: Ducks"
    assert sum([row.data.count(b'["answered"') async for row in store.history("r")]) == 1


class Absent:
    """Somebody who is at hand, and does not answer."""

    async def ask(self, id: str, question: str, type: Any, choices: Any) -> object:  # noqa: A002
        await asyncio.get_running_loop().create_future()
        return None


async def test_an_answer_reaches_a_run_while_it_is_executed() -> None:
    store, compiled = MemoryStore(), compile_workflow(review)
    async with Runner(store=store, human=Absent()) as runtime:
        running = asyncio.create_task(runtime.run(compiled, {"title": "Ducks"}, run_id="r"))
        while not (await store.load("r") and await notices.questions(store, "r")):
            await asyncio.sleep(0)
        await notices.answer(store, "r", "verdict", "yes")
        assert (await asyncio.wait_for(running, 20)).value == "yes: Ducks"


@workflow
def graded(title: str) -> int:
    return ask(f"Grade {title}", returns=int, name="grade")


async def test_an_answer_that_does_not_fit_leaves_the_question_open() -> None:
    store, compiled = MemoryStore(), compile_workflow(graded)
    await suspended(store, compiled, {"title": "Ducks"})
    (question,) = await notices.questions(store, "r")
    await store.send("r", notices.written(notices.Answer(question.path, "good", "Ada", 1.0)))
    await store.send("r", b"no notice")
    await store.send("r", notices.written(notices.Answer("nowhere", 1, "Ada", 1.0)))
    with pytest.raises(SuspendedError):
        await resumed(store, compiled)
    head = await head_of(store)
    assert (head.status, head.notices) == ("waiting", 0)
    await notices.answer(store, "r", "grade", 3)
    assert await resumed(store, compiled) == 3


@tool(effects="idempotent")
async def counted(title: str) -> str:
    CALLS.append("counted")
    return title


def reviewed_anew() -> Compiled:
    """The workflow of another day: its op has another name, another call stands before it, and what is behind it has
    changed."""

    @workflow
    def review(title: str) -> str:
        counted(title)
        noted = note(title)
        verdict = ask(f"Publish {noted}?", choices=["yes", "no"], name="decision")
        return note(f"{verdict}! {noted}")

    return compile_workflow(review)


@pytest.mark.parametrize("is_answered_before", [True, False])
async def test_an_answer_may_come_before_and_after_an_upgrade_of_the_code(is_answered_before: bool) -> None:
    store, anew = MemoryStore(), reviewed_anew()
    await suspended(store, compile_workflow(review), {"title": "Ducks"})
    if not is_answered_before:
        with pytest.raises(SuspendedError):
            await resumed(store, anew)
    await notices.answer(store, "r", "verdict" if is_answered_before else "decision", "yes")
    assert await resumed(store, anew) == "yes! Ducks"
    assert CALLS == ["Ducks", "counted", "yes! Ducks"]


@workflow
def both(title: str) -> list[str]:
    def one(name: str) -> str:
        return note(ask(f"Publish {name}?", name="verdict"))

    return map_(one, [f"{title} 1", f"{title} 2"], name="each")


async def test_questions_in_parallel_are_answered_one_by_one() -> None:
    store, compiled = MemoryStore(), compile_workflow(both)
    failure = await suspended(store, compiled, {"title": "Ducks"})
    assert failure.questions == ["each[0]/verdict", "each[1]/verdict"]
    with pytest.raises(RunError, match="several open questions"):
        await notices.answer(store, "r", "verdict", "yes")
    await notices.answer(store, "r", "each[1]/verdict", "second")
    with pytest.raises(SuspendedError) as again:
        await resumed(store, compiled)
    assert again.value.questions == ["each[0]/verdict"]
    assert CALLS == ["second"]
    await notices.answer(store, "r", "verdict", "first")
    assert await resumed(store, compiled) == ["first", "second"]
    assert CALLS == ["second", "first"]


@tool(effects="pure")
async def slow(text: str) -> str:
    await asyncio.sleep(0.1)
    CALLS.append(text)
    return text


@workflow
def beside(title: str) -> tuple[str, str]:
    return ask(title, name="verdict"), slow(slow(slow(title)))


async def test_what_can_go_on_beside_a_question_goes_on_first() -> None:
    store, compiled = MemoryStore(), compile_workflow(beside)
    await suspended(store, compiled, {"title": "Ducks"})
    assert len(CALLS) == 3
    await notices.answer(store, "r", "verdict", "yes")
    assert await resumed(store, compiled) == ("yes", "Ducks")


@workflow
def cleaning(title: str) -> str:
    return attempt(
        lambda: note(ask(title, name="verdict")), lambda e: note("caught"), cleanup=lambda: note("cleaned"), name="a"
    )


async def test_no_handler_and_no_cleanup_runs_for_a_run_that_waits() -> None:
    store, compiled = MemoryStore(), compile_workflow(cleaning)
    await suspended(store, compiled, {"title": "Ducks"})
    assert CALLS == []
    await notices.answer(store, "r", "verdict", "yes")
    assert await resumed(store, compiled) == "yes"
    assert CALLS == ["yes", "cleaned"]


async def test_a_cancelled_run_cleans_up_and_is_over() -> None:
    store, compiled = MemoryStore(), compile_workflow(cleaning)
    await suspended(store, compiled, {"title": "Ducks"})
    await notices.cancel(store, "r", by="Ada")
    with pytest.raises(RunError) as failure:
        await resumed(store, compiled)
    assert failure.value.code == "ORCH-R024"
    assert failure.value.message.startswith("the run was cancelled by Ada, 20")
    assert CALLS == ["cleaned"]
    assert (await head_of(store)).status == "cancelled"


@workflow
def reminded(title: str, days: float) -> str:
    sleep(days * 86400.0)
    return note(title)


async def test_a_long_sleep_gives_the_run_back_until_its_moment() -> None:
    store, compiled = MemoryStore(), compile_workflow(reminded)
    failure = await suspended(store, compiled, {"title": "Ducks", "days": 14.0}, longest_sleep_s=10.0)
    head = await head_of(store)
    assert head.status == "waiting"
    assert head.wake_at == failure.wake_at
    assert head.wake_at is not None
    left = datetime.fromtimestamp(head.wake_at, UTC) - datetime.now(UTC)
    assert timedelta(days=13) < left < timedelta(days=14)
    assert "sleeps until" in (head.why or "")


async def test_a_short_sleep_is_waited_for() -> None:
    store, compiled = MemoryStore(), compile_workflow(reminded)
    async with Runner(store=store, longest_sleep_s=10.0) as runtime:
        assert (await runtime.run(compiled, {"title": "Ducks", "days": 1e-7}, run_id="r")).value == "Ducks"


@workflow
def expiring(title: str) -> str:
    def late(error: Error) -> str:
        return note("too late")

    return attempt(lambda: ask(title, timeout="50 ms", name="verdict"), late, name="a")


async def test_a_question_expires_once_however_often_the_run_is_taken_up() -> None:
    store, compiled = MemoryStore(), compile_workflow(expiring)
    failure = await suspended(store, compiled, {"title": "Ducks"})
    assert failure.wake_at is not None
    await asyncio.sleep(0.06)
    assert await resumed(store, compiled) == "too late"


@workflow
def paying(title: str) -> str:
    return note(pay(title))


@workflow
def paying_twice(title: str) -> str:
    return pay(pay(title))


@tool(effects="once")
async def pay(title: str) -> str:
    CALLS.append("pay")
    GATE["started"].set()
    await GATE["may end"].wait()
    return title


async def test_a_run_is_paused_when_a_tool_that_must_run_once_has_ended() -> None:
    store, compiled = MemoryStore(), compile_workflow(paying_twice)
    async with Runner(store=store) as runtime:
        running = asyncio.create_task(runtime.run(compiled, {"title": "Ducks"}, run_id="r"))
        await GATE["started"].wait()
        await notices.pause(store, "r", by="Ada")
        await asyncio.sleep(0.1)
        assert not running.done()
        await durable(store, "r")
        assert (await head_of(store)).notices == 1, "whoever goes on takes it, should this process die now"
        GATE["may end"].set()
        with pytest.raises(SuspendedError, match="paused"):
            await asyncio.wait_for(running, 20)
    head = await head_of(store)
    assert head.notices == 0
    assert (head.status, head.why, head.owner) == ("paused", "paused by Ada", None)
    assert await resumed(store, compiled) == "Ducks"
    assert CALLS == ["pay", "pay"]


async def test_who_has_lost_its_run_stops_though_it_writes_nothing() -> None:
    store, compiled = MemoryStore(), compile_workflow(paying)
    async with Runner(store=store, lease_s=0.05) as runtime:
        running = asyncio.create_task(runtime.run(compiled, {"title": "Ducks"}, run_id="r"))
        await GATE["started"].wait()
        assert runtime.owner is not None
        ((claim, _),) = await store.claim(runtime.owner.name, run_id="r")  # as if another had been given it
        store.append(claim, b"", change=Change("ready"))
        await durable(store, "r")
        assert await store.claim("another", run_id="r")
        with pytest.raises(JournalError) as failure:
            await asyncio.wait_for(running, 20)
    assert failure.value.code == "ORCH-R103"


async def test_what_a_person_settles_is_taken_by_whoever_goes_on() -> None:
    store, compiled = MemoryStore(), compile_workflow(paying)
    async with Runner(store=store) as runtime:
        running = asyncio.create_task(runtime.run(compiled, {"title": "Ducks"}, run_id="r"))
        await GATE["started"].wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError) as failure:
            await runtime.resume(compiled, "r")
    assert failure.value.code == "ORCH-R020"
    assert (await head_of(store)).status == "suspended"
    with pytest.raises(RunError, match="cannot be settled"):
        await notices.settle(store, "r", "nothing", result="x")
    await notices.settle(store, "r", "pay_1", result="paid")
    assert await resumed(store, compiled) == "paid"
    assert CALLS == ["pay", "paid"]


@tool(effects="reads")
async def tidy() -> str:
    CALLS.append("tidies")
    GATE["started"].set()
    await GATE["may end"].wait()
    CALLS.append("has tidied")
    return ""


@tool(effects="reads")
async def endless(title: str) -> str:
    GATE["begun"].set()
    await asyncio.Event().wait()
    return title


@workflow
def tidying(title: str) -> str:
    return attempt(lambda: endless(title), lambda e: note("caught"), cleanup=tidy, name="a")


async def test_a_run_that_is_cancelled_twice_cleans_up_once_and_to_the_end() -> None:
    store, compiled = MemoryStore(), compile_workflow(tidying)
    async with Runner(store=store) as runtime:
        running = asyncio.create_task(runtime.run(compiled, {"title": "Ducks"}, run_id="r"))
        await GATE["begun"].wait()
        await notices.cancel(store, "r", by="Ada")
        await GATE["started"].wait()
        await notices.cancel(store, "r", by="Bob")
        await asyncio.sleep(0.1)
        GATE["may end"].set()
        with pytest.raises(RunError, match="cancelled by Ada"):
            await asyncio.wait_for(running, 20)
    assert CALLS == ["tidies", "has tidied"]
    head = await head_of(store)
    assert (head.status, head.notices) == ("cancelled", 0)


async def test_a_run_whose_process_ends_while_it_cleans_up_is_cancelled_by_whoever_goes_on() -> None:
    store, compiled = MemoryStore(), compile_workflow(tidying)
    async with Runner(store=store) as runtime:
        running = asyncio.create_task(runtime.run(compiled, {"title": "Ducks"}, run_id="r"))
        await GATE["begun"].wait()
        await notices.cancel(store, "r", by="Ada")
        await GATE["started"].wait()
        assert runtime.owner is not None
        await runtime.owner.hand_over("its owner has ended")
        with pytest.raises(SuspendedError):
            await running
    assert (await head_of(store)).status == "ready"
    GATE["may end"].set()
    with pytest.raises(RunError, match="cancelled by Ada"):
        await resumed(store, compiled)
    assert CALLS == ["tidies", "tidies", "has tidied"]
    head = await head_of(store)
    assert (head.status, head.notices) == ("cancelled", 0)


@workflow
def noting(title: str) -> str:
    return note(note(title))


@pytest.mark.parametrize("tell", [notices.cancel, notices.pause])
async def test_nothing_begins_of_a_run_that_was_told_to_end_before(tell: Any) -> None:
    store, compiled = MemoryStore(), compile_workflow(noting)
    await submit(store, compiled, {"title": "Ducks"}, run_id="r")
    ((claim, _),) = await store.claim("dying", run_id="r", lease_s=60)
    await tell(store, "r", by="Ada")
    store.append(claim, b"", change=Change("ready"))
    await durable(store, "r")
    with pytest.raises(RunError if tell is notices.cancel else SuspendedError, match="by Ada"):
        await resumed(store, compiled)
    assert CALLS == []
    head = await head_of(store)
    assert (head.status, head.notices) == ("cancelled" if tell is notices.cancel else "paused", 0)


async def test_a_run_whose_watch_fails_is_put_aside_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_self: Attended) -> bool:
        raise ZeroDivisionError("a defect")

    store, compiled = MemoryStore(), compile_workflow(review)
    with monkeypatch.context() as broken:
        broken.setattr(Attended, "_only_waits", fails)
        async with Runner(store=store) as runtime:
            with pytest.raises(JournalError) as failure:
                await asyncio.wait_for(runtime.run(compiled, {"title": "Ducks"}, run_id="r"), 20)
    assert failure.value.code == "ORCH-R108"
    head = await head_of(store)
    assert (head.status, head.owner) == ("suspended", None)
    assert "ZeroDivisionError: a defect" in str(head.why)
    with pytest.raises(SuspendedError):
        await resumed(store, compiled)
    assert CALLS == ["Ducks"]
