"""What looks as if it ran with the workflow, and runs while it is traced, is an error that names what to write."""

from __future__ import annotations

import datetime as dt
import random as chance
import time
import uuid as ids
from datetime import UTC, datetime
from random import choice
from typing import Any

import pytest

from orchestrator import now, random, tool, uuid, workflow
from orchestrator.errors import TraceError

SEEN: list[str] = []
COUNTS: dict[str, int] = {}


def errors_of(function: Any) -> list[tuple[str, str]]:
    with pytest.raises(TraceError) as caught:
        workflow(function).trace()
    return [(each.code[5:], (each.fix or "").partition(",")[0]) for each in caught.value.diagnostics]


def test_a_generator_with_a_seed_draws_the_same_in_each_run() -> None:
    def seeded(text: str) -> str:
        return f"{text}{chance.Random(7).random()}"

    def unseeded(text: str) -> str:
        return f"{text}{chance.Random()}{chance.Random(None)}"

    drawn = f"a{chance.Random(7).random()}"
    assert workflow(seeded)("a") == drawn
    assert [code for code, _ in errors_of(unseeded)] == ["D057"] * 2


def test_clocks_and_chance() -> None:
    def flow(text: str) -> str:
        a = [time.time_ns(), time.perf_counter(), dt.date.today(), datetime.now(), datetime.utcnow()]
        b = [chance.randint(1, 6), choice(["a", "b"]), ids.uuid4()]
        later = lambda: dt.datetime.now(dt.timezone.max)  # noqa: E731
        return f"{text}{len(a)}{len(b)}{later}"

    found = errors_of(flow)
    assert [code for code, _ in found] == ["D057"] * 9
    assert [fix for _, fix in found[:5]] == ["use now()"] * 5
    assert found[5:8] == [
        ("D057", "use random() or uuid()"),
        ("D057", "use random() or uuid()"),
        ("D057", "use uuid()"),
    ]


def waited(text: str) -> str:
    time.sleep(2)
    return f"{text} {chance.random()} {time.time()} {datetime.now(UTC)}"


def test_what_a_workflow_may_do_is_refused_in_the_functions_that_it_calls() -> None:
    def flow(text: str) -> str:
        time.sleep(2)
        return waited(f"{text} {chance.random()} {time.time()} {datetime.now(UTC)}")

    found = ["use sleep()", "use random() or uuid()", "use now()", "use now()"]
    assert errors_of(flow) == [("D057", fix) for fix in found]


def stamp_of(text: str) -> str:
    return f"{text} {today()}"


def today() -> str:
    SEEN.append("today")
    return f"{datetime.now():%d.%m.} {stamp_of.__name__}"


def test_what_functions_of_the_user_ask_that_are_called() -> None:
    def flow(text: str) -> str:
        return stamp_of(text) + today()

    with pytest.raises(TraceError) as caught:
        workflow(flow).trace()
    (only,) = caught.value.diagnostics
    assert (only.code, only.where.function) == ("ORCH-D057", "today")


def test_what_the_workflow_imports_itself() -> None:
    def flow(text: str) -> str:
        import random as dice
        import time
        from datetime import datetime as clock

        def later() -> float:
            import secrets

            return secrets.randbelow(6) + time.monotonic()

        return f"{text}{dice.randint(1, 6)}{clock.now()}{later()}"

    def own(text: str) -> str:
        import time

        time = now()  # noqa: F811
        return f"{text}{time.time()}"

    assert [code for code, _ in errors_of(flow)] == ["D057"] * 4
    workflow(own).trace()


def test_the_replacements_and_tools_may_ask() -> None:
    @tool
    def stamped(text: str) -> str:
        return f"{text} {time.time()}"

    @workflow
    def flow(text: str) -> str:
        @tool
        def inner(text: str) -> str:
            return f"{text} {chance.random()}"

        return f"{stamped(text)} {inner(text)} {now()} {random()} {uuid()}"

    flow.trace()


def test_changes_of_what_is_not_the_workflows() -> None:
    def appended(text: str) -> str:
        SEEN.append(text)
        return text

    def assigned(text: str) -> str:
        COUNTS[text] = 1
        return text

    def counted(text: str) -> str:
        global SEEN  # noqa: PLW0603
        SEEN = [text]
        return text

    for function in (appended, assigned, counted):
        assert errors_of(function)[0][0] == "D052"
    assert not SEEN
    assert not COUNTS


def test_a_workflows_own_lists_may_change() -> None:
    @workflow
    def flow(text: str) -> list[str]:
        found: list[str] = []

        def add(more: str) -> None:
            found.append(more)

        add(text)
        add("x")
        return found

    flow.trace()
