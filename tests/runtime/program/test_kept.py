"""What of a workflow cannot be written down is said before it runs: all of it, with its line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from orchestrator.dsl.models.llm import chat
from orchestrator.dsl.regions.control import map_
from orchestrator.dsl.tool import tool
from orchestrator.dsl.workflow import workflow
from orchestrator.planner.graph import read
from orchestrator.runtime.program.kept import check_kept
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program


class Connection:
    pass


class Session(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    lock: threading.Event


@tool(effects="reads")
def connect(address: str) -> Connection:
    return Connection()


@tool(effects="idempotent")
def session(connection: Connection) -> list[Session]:
    return []


@tool(effects="pure")
def vector(text: str) -> np.ndarray:
    return np.zeros(3)


@tool(effects="pure")
def total(array: np.ndarray) -> float:
    return float(array.sum())


@tool(effects="reads")
def rows(text: str) -> Iterator[int]:
    yield 1


@tool(effects="once")
def send(what: Any) -> dict[str, object]:
    return {}


def program(flow: Any) -> Program:
    traced = flow.trace()
    return lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="hash")


def test_every_value_that_cannot_be_kept_is_named_with_its_line() -> None:
    @workflow
    def flow(connection: Connection, addresses: list[str]) -> int:
        sessions = session(connection)
        map_(connect, addresses, limit=3)
        return len(sessions)

    found = check_kept(program(flow))
    assert [each.code for each in found] == ["ORCH-C092"] * 3
    argument, made, inner = found
    assert argument.message == "the argument `connection` of the workflow cannot be written into the journal of a run"
    assert "tests.runtime.program.test_kept.Connection" in str(argument.why)
    assert "`Session.lock` is a `threading.Event`" in str(made.why)
    assert "`session_1`" in made.message or "`session`" in made.message
    assert made.where is not None
    assert inner.where is not None
    assert made.where.file == inner.where.file == __file__
    assert 'effects="pure"' in str(inner.fix)


def test_what_pure_tools_make_may_be_anything() -> None:
    @workflow
    def flow(text: str) -> float:
        return total(vector(text))

    assert check_kept(program(flow)) == []


def test_data_replies_and_conversations_are_kept() -> None:
    @workflow
    def flow(text: str) -> dict[str, object]:
        talk = chat("be brief")
        said, talk = talk.say(text)
        again, talk = talk.say(f"{rows(text)} {said}")
        return send(again)

    assert check_kept(program(flow)) == []
