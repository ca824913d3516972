"""Time and chance: functions outside of a workflow, journaled tools within."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from orchestrator import now, random, uuid, workflow
from orchestrator.testing import fake


@workflow
def observed() -> tuple[datetime, float, str]:
    return now(), random(), uuid()


def test_outside_of_a_workflow_they_are_functions() -> None:
    assert now().utcoffset() == timedelta(0)
    assert 0 <= random() < 1
    assert UUID(uuid()).version == 4


def test_in_a_workflow_they_are_ops() -> None:
    with fake():
        moment, number, name = observed()
    assert moment.tzinfo is not None
    assert 0 <= number < 1
    assert str(UUID(name)) == name


def test_calls_are_not_shared() -> None:
    @workflow
    def twice() -> tuple[str, str]:
        return uuid(), uuid()

    with fake():
        first, second = twice()
    assert first != second


def test_tests_choose_what_is_observed() -> None:
    then = datetime(2000, 1, 1, tzinfo=UTC)
    with fake(tools={"now": lambda: then, "random": lambda: 0.25, "uuid": lambda: "an id"}):
        assert observed() == (then, 0.25, "an id")
