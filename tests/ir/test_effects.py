"""What may be shared, and what may be left out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import branch, chat, llm, map_, narrow, options, sleep, tool, workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.ir.walk import nodes, op_id, tree
from orchestrator.passes.canonicalise import Canonicalise
from orchestrator.passes.fold_prompts import FoldPrompts


class Row(BaseModel):
    name: str
    size: int


@tool(effects="pure")
def compute(x: str) -> str:
    return x


@tool(effects="pure")
def rows(x: str) -> list[Row]:
    return []


@tool(effects="reads")
def read(x: str) -> str:
    return x


@tool(effects="idempotent")
def write(x: str) -> str:
    return x


def left(wf: Workflow[..., Any]) -> list[str]:
    """The ids of what is left but for constants."""
    module = wf.trace().module
    root = tree(module)
    for each in (Canonicalise(), FoldPrompts()):
        each.run(root)
    found = [op_id(node.op) for node in nodes(tree(module).bodies[0])]
    return [name for name in found if not name.startswith("const")]


def test_each_sleep_is_one_and_stays_though_nobody_reads_it() -> None:
    @workflow
    def flow(q: str) -> str:
        sleep(60)
        sleep(60)
        branch(q == "x", lambda: sleep(1), lambda: None)
        return q

    assert left(flow) == ["sleep_1", "sleep_2", "eq_1", "branch_1", "sleep_3"]


def test_what_can_neither_fail_nor_do_anything_goes_when_nobody_reads_it() -> None:
    @workflow(rewrite=False)
    def flow(q: str, row: Row, n: int, ok: bool) -> str:
        chat("system")
        row.name  # noqa: B018
        (row.size == 3) & ~ok
        n + 1 < 2  # noqa: B015
        branch(ok, lambda: row.name, lambda: q)
        return q

    assert left(flow) == []


def test_what_can_fail_stays() -> None:
    @workflow(rewrite=False)
    def flow(q: str, row: Row, n: int, names: list[str], maybe: Row | None, ok: bool) -> str:
        compute(q)
        names[0]
        names[n]
        n / 2
        narrow(maybe, Row)
        branch(ok, lambda: compute("x"), lambda: q)
        map_(lambda name: name, names, limit=3)
        return q

    kept = left(flow)
    assert [name for name in kept if name != "tuple_1"] == [
        "compute_1", "field_1", "getitem_1", "truediv_1", "narrow_1", "branch_1", "compute_2", "map_1"
    ]  # fmt: skip


def test_equal_pure_calls_are_one_even_if_they_can_fail_and_effects_are_not() -> None:
    @workflow(rewrite=False)
    def flow(q: str) -> list[str]:
        return [compute(q), compute(q), read(q), read(q), write(q), write(q)]

    assert left(flow) == ["compute_1", "read_1", "read_2", "write_1", "write_2", "list_1"]


@pytest.mark.parametrize(("cached", "temperature"), [(False, 0.0), (False, 0.7), (True, 0.0), (True, 0.7)])
def test_equal_model_calls_are_one_only_with_cache(cached: bool, temperature: float) -> None:
    @workflow(rewrite=False)
    def flow(q: str) -> list[str]:
        with options(temperature=temperature, cache=cached):
            return [llm(q), llm(q)]

    calls = [name for name in left(flow) if name.startswith("llm")]
    assert calls == (["llm_1"] if cached else ["llm_1", "llm_2"])


def test_a_model_call_that_nobody_reads_is_made() -> None:
    @workflow(rewrite=False)
    def flow(q: str) -> str:
        llm(q, temperature=0)
        llm(f"{q}!", cache=True)
        return q

    assert [name for name in left(flow) if name.startswith("llm")] == ["llm_1", "llm_2"]


def test_a_prompt_that_is_folded_into_another_goes() -> None:
    @workflow(rewrite=False)
    def flow(row: Row) -> str:
        inner = f"Row: {row}"
        return compute(f"{inner}!")

    assert [name for name in left(flow) if name.startswith("prompt")] in (["prompt_1"], ["prompt_2"])
