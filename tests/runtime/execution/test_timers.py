"""A sleep is over at a moment that is set once, and a resumed run waits for what is left until then."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import Retry, branch, race, sleep, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import BudgetError, RunError
from orchestrator.runtime.execution import timers
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import run_to_end
from orchestrator.runtime.journal.events import Event, OpDone, OpStarted, RunDone, RunFailed, TimerSet
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.services import Engines, Services
from tests.runtime.executing import execute
from tests.runtime.journal.text import Codec

DAY = 86_400.0


class Clock:
    """A clock that only sleeps move, and that anybody may set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1e9
        """The time of the wall clock."""
        self.slept: list[float] = []
        self.is_stopped = False
        """Whether sleeps never end."""
        monkeypatch.setattr(timers, "time", lambda: self.at)
        monkeypatch.setattr(timers, "monotonic", lambda: 0.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.is_stopped:
            await asyncio.Event().wait()
        self.at += seconds

    @property
    def services(self) -> Services:
        return Services(Engines({}), sleep=self.sleep)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def program(wf: Workflow[..., Any]) -> Program:
    return compile_workflow(wf).program


async def journaled(events: Sequence[Event]) -> MemoryJournal:
    """A journal that holds these events of the run ``r``."""
    journal = MemoryJournal()
    for event in events:
        journal.append("r", event)
    return journal


@tool(effects="idempotent")
async def send(text: str) -> str:
    return f"sent {text}"


@workflow
def remind(text: str) -> str:
    sleep("14 days")
    return send(text)


async def interrupted(clock: Clock, wf: Workflow[..., Any], *inputs: object) -> list[Event]:
    """What a process has written that died in the run's first sleep."""
    clock.is_stopped = True
    journal = MemoryJournal()
    run = asyncio.create_task(execute(program(wf), inputs, clock.services, journal, "r"))
    while not clock.slept:
        await asyncio.sleep(0)
    written = list(await journal.load("r"))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    clock.is_stopped = False
    return written


async def test_the_moment_is_written_down_before_the_wait_and_the_end_behind_it(clock: Clock) -> None:
    journal = MemoryJournal()
    result = await execute(program(remind), ("hi",), clock.services, journal, "r")
    events = list(await journal.load("r"))
    assert (result.value, clock.slept) == ("sent hi", [14 * DAY])
    kinds = [type(event) for event in events]
    at = kinds.index(TimerSet)
    assert events[at] == TimerSet("", "sleep_1", 1e9 + 14 * DAY, 1e9)
    assert kinds[at - 1] is OpStarted
    done = events[at + 1]
    assert isinstance(done, OpDone)
    assert (done.op, done.values) == ("sleep_1", (None,))


async def test_it_is_durable_before_it_waits(clock: Clock) -> None:
    seen: list[str] = []

    class Slow(MemoryJournal):
        def append(self, run_id: str, event: Event) -> None:
            super().append(run_id, event)
            seen.append(type(event).__name__)

        def barrier(self, run_id: str) -> Any:  # type: ignore[override]
            return self._sync()

        async def _sync(self) -> None:
            await asyncio.sleep(0)
            seen.append("durable")

    async def slept(seconds: float) -> None:
        seen.append("slept")

    services = Services(Engines({}), sleep=slept)
    await execute(program(remind), ("hi",), services, Slow(), "r")
    at = seen.index("slept")
    assert seen[at - 2 : at] == ["TimerSet", "durable"]


async def test_a_resumed_run_waits_for_the_rest_and_sets_no_other_timer(clock: Clock) -> None:
    written = await interrupted(clock, remind, "hi")
    assert isinstance(written[-1], TimerSet)
    clock.at += 5 * DAY
    clock.slept.clear()
    journal = await journaled(written)
    result = await execute(program(remind), (), clock.services, journal, "r", resume=True)
    assert (result.value, clock.slept) == ("sent hi", [9 * DAY])
    assert sum(isinstance(event, TimerSet) for event in await journal.load("r")) == 1
    clock.slept.clear()  # and again, behind its end: nothing is waited for
    events = [event for event in await journal.load("r") if not isinstance(event, RunDone)]
    await execute(program(remind), (), clock.services, await journaled(events), "r", resume=True)
    assert clock.slept == []


async def test_a_moment_that_is_past_is_no_wait(clock: Clock) -> None:
    written = await interrupted(clock, remind, "hi")
    clock.at += 30 * DAY
    clock.slept.clear()
    await execute(program(remind), (), clock.services, await journaled(written), "r", resume=True)
    assert clock.slept == [0.0]

    @workflow
    def at(moment: datetime) -> None:
        sleep(until=moment)

    clock.slept.clear()
    now = datetime.fromtimestamp(clock.at, UTC)
    for moment in (now - timedelta(days=1), now, now + timedelta(days=1)):
        await execute(program(at), (moment,), clock.services, MemoryJournal(), "r")
    assert clock.slept == [0.0, 0.0, DAY]


async def test_a_clock_that_is_set_back_makes_no_wait_longer_than_it_was(clock: Clock) -> None:
    @workflow
    def flow() -> None:
        sleep(60)

    written = await interrupted(clock, flow)
    clock.at -= 3600
    clock.slept.clear()
    await execute(program(flow), (), clock.services, await journaled(written), "r", resume=True)
    assert clock.slept == [60.0]


async def test_a_process_waits_by_its_monotonic_clock(clock: Clock) -> None:
    """The wall clock is set back an hour between the moment that is set and the wait."""

    class Setting(MemoryJournal):
        def barrier(self, run_id: str) -> None:
            clock.at -= 3600

    await execute(program(remind), ("hi",), clock.services, Setting(), "r")
    assert clock.slept == [14 * DAY]


@pytest.mark.parametrize("seconds", [-1.0, -1e-9, float("nan"), float("inf"), 1e12, 10.0**300])
async def test_a_value_that_is_no_duration_is_an_error_of_the_run_that_can_be_caught(
    clock: Clock, seconds: float
) -> None:
    @workflow
    def flow(seconds: float) -> str:
        try:
            sleep(seconds)
        except ValueError as error:
            return f"{error}"
        return "slept"

    result = await execute(program(flow), (seconds,), clock.services, MemoryJournal(), "r")
    assert "a sleep of" in result.value
    assert clock.slept == []


async def test_what_a_value_may_be(clock: Clock) -> None:
    @workflow
    def flow(n: int, span: timedelta) -> None:
        sleep(n)
        sleep(span)

    await execute(program(flow), (0, timedelta(minutes=1)), clock.services, MemoryJournal(), "r")
    assert clock.slept == [0.0, 60.0]
    with pytest.raises(RunError, match="a sleep of 1000"):
        await execute(program(flow), (10**400, timedelta(0)), clock.services, MemoryJournal(), "r2")


async def test_a_moment_without_a_time_zone_is_an_error_of_the_run(clock: Clock) -> None:
    @workflow
    def flow(moment: datetime) -> None:
        sleep(until=moment)

    with pytest.raises(RunError, match="no time zone"):
        await execute(program(flow), (datetime(2030, 1, 1),), clock.services, MemoryJournal(), "r")


@tool(effects="reads")
async def never(x: str) -> str:
    await asyncio.Event().wait()
    return x


@tool(effects="reads")
async def at_once(x: str) -> str:
    return x


@workflow
def limited(x: str) -> str:
    found = race(lambda: never(x), lambda: sleep(0.01))
    return "too late" if found is None else found


@workflow
def unlimited(x: str) -> str:
    found = race(lambda: at_once(x), lambda: sleep("100 days"))
    return "too late" if found is None else found


async def test_in_a_race_it_is_a_time_limit() -> None:
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(limited), {"x": "a"})).value == "too late"
        assert (await runtime.run(compile_workflow(unlimited), {"x": "a"})).value == "a"


async def test_a_race_goes_on_with_the_time_limit_that_it_had(clock: Clock) -> None:
    written = await interrupted(clock, limited, "a")
    assert isinstance(written[-1], TimerSet)
    clock.at += 3600
    clock.slept.clear()
    result = await execute(program(limited), (), clock.services, await journaled(written), "r", resume=True)
    assert (result.value, clock.slept) == ("too late", [0.0])


async def test_the_seconds_of_a_budget_count_a_sleep_that_a_process_waits_for() -> None:
    @workflow(budget="0.01s")
    def whole() -> None:
        sleep("1 day")

    @workflow
    def part(n: int) -> None:
        branch(n > 0, lambda: sleep("1 day"), lambda: None, budget="0.01s")

    @workflow
    def timed(n: int) -> None:
        branch(n > 0, lambda: sleep("1 day"), lambda: None, timeout=0.01)

    async with Runner() as runtime:
        with pytest.raises(BudgetError):
            await runtime.run(compile_workflow(whole), {})
        with pytest.raises(BudgetError):
            await runtime.run(compile_workflow(part), {"n": 1})
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(timed), {"n": 1})
    assert caught.value.code == "ORCH-R004"


async def test_each_attempt_at_a_structure_sleeps_anew(clock: Clock) -> None:
    failures = iter([OSError("down")])

    @tool(effects="reads")
    async def shaky(n: int) -> int:
        for error in failures:
            raise error
        return n

    def body() -> int:
        sleep(5)
        return shaky(1)

    @workflow
    def flow(n: int) -> int:
        return branch(n > 0, body, lambda: 0, retry=Retry(2, backoff_s=0))

    journal = MemoryJournal()
    await execute(program(flow), (1,), clock.services, journal, "r")
    assert [event.frame for event in await journal.load("r") if isinstance(event, TimerSet)] == [
        "branch_1.then/",
        "branch_1#2.then/",
    ]


async def test_turns_of_a_loop_and_items_of_a_map_have_timers_of_their_own(clock: Clock) -> None:
    @workflow(max_iterations=5)
    def flow(xs: list[int]) -> int:
        n = 0
        for x in xs:
            sleep(x)
            n = n + x
        while n < 10:
            sleep(n)
            n = n * 2
        return n

    made = program(flow)
    whole = MemoryJournal()
    result = await execute(made, ([1, 2],), clock.services, whole, "r")
    assert (result.value, clock.slept) == (12, [1.0, 2.0, 3.0, 6.0])
    events = [Codec(made).loads(Codec(made).dumps(event)) for event in await whole.load("r")]
    ends = [at for at, event in enumerate(events) if isinstance(event, (RunDone, RunFailed))]
    for end in range(1, ends[0] + 1):
        journal = await journaled(events[:end])
        assert (await execute(made, (), clock.services, journal, "r", resume=True)).value == 12
        set_at = [(event.frame, event.op) for event in await journal.load("r") if isinstance(event, TimerSet)]
        assert len(set_at) == len(set(set_at)) == 4


async def test_a_run_knows_what_it_sleeps_for_and_until_when(clock: Clock) -> None:
    @workflow
    def flow(n: int) -> None:
        sleep(3600, name="long")

    found: list[dict[str, float]] = []
    execution: Execution

    async def look(seconds: float) -> None:
        found.append(dict(execution.activity.sleeping))

    services = Services(Engines({}), sleep=look)
    execution = Execution(program(flow), services, MemoryJournal(), "r")
    await run_to_end(execution, (1,))
    assert found == [{"long": 1e9 + 3600}]
    assert execution.activity.sleeping == {}


async def test_what_is_slept_for_is_part_of_what_is_known_of_a_run(clock: Clock) -> None:
    written = await interrupted(clock, remind, "hi")
    timer = TimerSet("", "sleep_1", 1e9 + 14 * DAY, 1e9)
    assert replay(program(remind), written).timers == {("", "sleep_1"): timer}
    done = OpDone("", "sleep_1", (None,), 2e9)
    assert replay(program(remind), [*written, done]).timers == {}


async def test_a_program_that_sleeps_can_be_sent_to_a_worker(clock: Clock) -> None:
    @workflow
    def flow(n: int) -> int:
        sleep(n)
        sleep(2)
        return n + 1

    sent = pickle.loads(pickle.dumps(program(flow)))
    assert (await execute(sent, (1,), clock.services, MemoryJournal(), "r")).value == 2
    assert clock.slept == [1.0, 2.0]
