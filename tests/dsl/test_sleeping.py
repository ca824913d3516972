"""Sleeping: what it takes, and what is no duration or moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import now, sleep, tool, workflow
from orchestrator.errors import TraceError
from orchestrator.testing import fake
from tests.dsl.recording import Op, record


@tool(effects="reads")
def deadline() -> datetime:
    return datetime.now(UTC)


@tool(effects="reads")
def span() -> timedelta:
    return timedelta(1)


def slept(function: Any) -> list[Op]:
    return [op for op in record(workflow(function)).ops if op.kind == "sleep"]


def test_a_known_duration_is_seconds() -> None:
    def flow() -> None:
        sleep(2)
        sleep(0)
        sleep("1h30m")
        sleep(timedelta(days=14))
        sleep(100 * 365.25 * 86_400)

    ops = slept(flow)
    assert [op.opts["seconds"] for op in ops] == [2.0, 0.0, 5400.0, 14 * 86_400.0, 100 * 365.25 * 86_400]
    assert not any(op.operands for op in ops)


def test_a_value_is_taken_as_seconds_or_by_its_type() -> None:
    def flow(minutes: int) -> None:
        sleep(60 * minutes)
        sleep(span())
        sleep(until=deadline() + timedelta(hours=1))
        sleep(until=datetime(2030, 1, 1, tzinfo=UTC))

    ops = slept(flow)
    assert [[each.type for each in op.operands] for op in ops] == [["int"], ["float"], ["datetime"], ["datetime"]]
    assert not any("seconds" in op.opts for op in ops)


def test_it_gives_nothing_and_has_a_name() -> None:
    def flow() -> None:
        sleep(1, name="a_while", after=deadline())

    (op,) = slept(flow)
    assert (op.id, [each.type for each in op.results]) == ("a_while", ["None"])
    assert "after_1" in {each.producer.id for each in op.behind if each.producer}


@pytest.mark.parametrize(
    "wrong",
    [-1, -0.5, float("nan"), float("inf"), 10**400, 10**12, True, "soon", "", "-2s", timedelta(-1), timedelta.max, [1]],
)
def test_what_is_no_duration(wrong: Any) -> None:
    def flow() -> None:
        sleep(wrong)

    with pytest.raises(TraceError) as caught:
        workflow(flow).trace()
    (only,) = caught.value.diagnostics
    assert (only.code, only.where and only.where.function) == ("ORCH-D041", "flow")
    assert only.fix


def test_misuses_are_reported_together() -> None:
    def flow(n: int, said: str) -> None:
        sleep()
        sleep(3, until=now())
        sleep(f"{n} min")
        sleep(said)  # type: ignore[arg-type]
        sleep(until="tomorrow")  # type: ignore[arg-type]
        sleep(until=datetime(2030, 1, 1))
        sleep(3, name="a/b")

    with pytest.raises(TraceError) as caught:
        workflow(flow).trace()
    found = [(each.code, each.message) for each in caught.value.diagnostics]
    assert [code for code, _ in found] == ["ORCH-D041"] * 3 + ["ORCH-D010"] * 2 + ["ORCH-D041"] * 2
    assert "no time zone" in found[5][1]


def test_a_test_has_the_seconds_pass_at_once() -> None:
    slept: list[float] = []

    @workflow
    def flow(minutes: int) -> str:
        sleep("14 days")
        sleep(60 * minutes)
        return "woken"

    @workflow
    def awake() -> str:
        return "awake"

    with fake(tools={"sleep": slept.append}):
        assert flow(2) == "woken"
    assert slept == pytest.approx([14 * 86_400, 120], abs=1)
    with pytest.raises(TraceError, match="`sleep`, which `awake` never calls"), fake(tools={"sleep": slept.append}):
        awake()


def test_outside_of_a_workflow_there_is_nothing_to_record_it() -> None:
    with pytest.raises(TraceError, match="outside of a workflow"):
        sleep(1)
