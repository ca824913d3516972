"""Who waits for whom among ops with effects, as tracing writes it down."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import ask, branch, llm, loop, map_, parallel, race, tool, workflow
from orchestrator.dsl.tracing.tracer import require_tracer
from orchestrator.errors import TraceError
from tests.dsl.recording import Recording, record


@tool(effects="once")
def write(x: str) -> str:
    return x


@tool(effects="idempotent")
def put(x: str) -> str:
    return x


@tool(effects="reads")
def read(x: str) -> str:
    return x


@tool(effects="pure")
def compute(x: str) -> str:
    return x


def waits(graph: Recording) -> dict[str, set[str]]:
    """By op, the ops whose tokens it takes."""
    return {op.id: {made.producer.id for made in op.behind if made.producer} for op in graph.ops}


def ordered(graph: Recording) -> dict[str, set[str]]:
    """The same for the ops at the top that wait for something."""
    found = waits(graph)
    return {op.id: found[op.id] for op in graph.body.ops if found[op.id]}


def test_writes_wait_for_the_write_and_the_reads_before_them_and_reads_for_the_write() -> None:
    @workflow
    def flow(q: str) -> str:
        read(q)
        write(q)
        read(q)
        read(q)
        put(q)
        return write(q)

    assert ordered(record(flow)) == {
        "write_1": {"read_1"},
        "read_2": {"write_1"},
        "read_3": {"write_1"},
        "put_1": {"write_1", "read_2", "read_3"},
        "write_2": {"put_1"},
    }


def test_what_is_pure_or_asks_a_model_waits_for_its_values_alone() -> None:
    @workflow
    def flow(q: str) -> str:
        write(q)
        compute(q)
        llm(q)
        return write(q)

    assert ordered(record(flow)) == {"write_2": {"write_1"}}


def test_a_question_counts_as_a_write() -> None:
    @workflow
    def flow(q: str) -> str:
        ask(q)
        read(q)
        return ask(q)

    assert ordered(record(flow)) == {"read_1": {"ask_1"}, "ask_2": {"ask_1", "read_1"}}


def test_an_op_with_regions_counts_as_what_is_in_them_and_inside_order_starts_anew() -> None:
    @workflow
    def flow(q: str, go: bool) -> str:
        write(q)
        branch(go, lambda: read(q), lambda: compute(q), name="reads")
        branch(go, lambda: compute(q), lambda: llm(q), name="computes")
        loop(lambda s: branch(go, lambda: write(write(s)), lambda: s, name="inner"), q, max=2, name="writes")
        map_(lambda s: llm(f"{s}!"), [q], name="asks")
        return race(lambda: llm(q), lambda: write(q), name="race")

    graph = record(flow)
    assert ordered(graph) == {"reads": {"write_1"}, "writes": {"write_1", "reads"}, "race": {"writes"}}
    inside = waits(graph)
    assert inside["read_1"] == inside["write_2"] == inside["inner"] == inside["write_4"] == set()
    assert inside["write_3"] == {"write_2"}
    assert not any(op.behind for op in graph.ops if op.kind == "arm")


def test_what_may_raise_in_a_region_holds_up_what_is_ordered_behind_it() -> None:
    """Of two failures Python has the first one, so the second does not start before it is known."""

    @workflow(max_items=3)
    def flow(q: str, rows: list[str], texts: list[str]) -> str:
        for row in rows:
            if row == q:
                raise ValueError(row)
        read(q)
        for text in texts:
            if text == q:
                raise KeyError(text)
        return llm(q)

    graph = record(flow)
    first, second = (op.id for op in graph.ops if op.kind in ("map", "loop"))
    assert ordered(graph)["read_1"] == {first}
    assert ordered(graph)[second] == {first, "read_1"}


def test_a_loop_traced_again_leaves_no_tokens_behind() -> None:
    """The state widens from None to str | None, so the body is traced twice."""

    @workflow
    def flow(q: str) -> str | None:
        write(q)
        found = loop(lambda s: branch(s == None, lambda: write(q), lambda: None), None, max=3, name="twice")  # noqa: E711
        read(q)
        return found

    assert ordered(record(flow)) == {"twice": {"write_1"}, "read_1": {"twice"}}


def test_going_back_in_a_trace_forgets_effects() -> None:
    seen: list[Any] = []

    @workflow(rewrite=False)  # what it notes is of the trace
    def flow(q: str) -> str:
        tracer = require_tracer("flow")
        read(q)
        mark, scope = tracer.mark(), tracer.scope
        write(q)
        seen.append((scope.reads, scope.writes))
        tracer.rollback(mark)
        seen.append((scope.reads, scope.writes))
        return put(q)

    assert ordered(record(flow))["put_1"] == {"read_1"}
    assert seen == [(True, True), (True, False)]


def test_in_a_parallel_block_effects_wait_for_what_is_before_it_alone() -> None:
    @workflow
    def flow(q: str) -> str:
        write(q)
        read(q)
        with parallel():
            write(q)
            read(q)
            write(q)
        read(q)
        return write(q)

    assert ordered(record(flow)) == {
        "read_1": {"write_1"},
        "write_2": {"write_1", "read_1"},
        "read_2": {"write_1"},
        "write_3": {"write_1", "read_1"},
        "read_3": {"write_2", "write_3"},
        "write_4": {"write_2", "write_3", "read_2", "read_3"},
    }


def test_a_parallel_block_of_reads_is_as_without_it() -> None:
    @workflow
    def flow(q: str) -> str:
        write(q)
        with parallel():
            read(q)
        return write(q)

    assert ordered(record(flow)) == {"read_1": {"write_1"}, "write_2": {"write_1", "read_1"}}


def test_parallel_blocks_nest() -> None:
    @workflow
    def flow(q: str) -> str:
        with parallel():
            write(q)
            with parallel():
                write(q)
            write(q)
        return write(q)

    assert ordered(record(flow)) == {"write_4": {"write_1", "write_2", "write_3"}}


def test_a_workflow_and_a_region_in_a_parallel_block_keep_their_own_order() -> None:
    @workflow
    def sub(q: str) -> str:
        write(q)
        with parallel():
            read(q)
            put(q)
        return write(q)

    @workflow
    def looks(q: str) -> str:
        return read(q)

    @workflow
    def flow(q: str, go: bool) -> str:
        put(q)
        with parallel():
            sub(q)
            sub(q)
            looks(q)
            branch(go, lambda: write(write(q)), lambda: q, name="arms")
        return write(q)

    graph = record(flow)
    assert ordered(graph) == {
        "sub/write_1": {"put_1"},
        "sub/read_1": {"sub/write_1"},
        "sub/put_1": {"sub/write_1"},
        "sub/write_2": {"sub/put_1", "sub/read_1"},
        "sub_2/write_1": {"put_1"},
        "sub_2/read_1": {"sub_2/write_1"},
        "sub_2/put_1": {"sub_2/write_1"},
        "sub_2/write_2": {"sub_2/put_1", "sub_2/read_1"},
        "looks/read_1": {"put_1"},
        "arms": {"put_1"},
        "write_3": {"sub/write_2", "sub_2/write_2", "looks/read_1", "arms"},
    }
    assert waits(graph)["write_2"] == {"write_1"}


def test_after_adds_an_edge_and_no_data() -> None:
    @workflow
    def flow(q: str, go: bool) -> str:
        a, b = compute(q), llm(q, name="b")
        write.options(after=a)(q)
        llm(q, after=[a, (b,)], name="asks")
        branch(go, lambda: compute.options(after=b)(q), lambda: q, after={"a": a}, name="either")
        compute.options(after=f"{b}!")(q)
        return ask(q, after=b)

    graph = record(flow)
    made_of = {
        op.id: [
            made.producer.id for made in next(t.producer for t in op.behind if t.producer).operands if made.producer
        ]
        for op in graph.ops
        if op.behind and op.id != "ask_1"
    }
    assert made_of == {
        "write_1": ["compute_1"],
        "asks": ["compute_1", "b"],
        "compute_2": ["b"],
        "either": ["compute_1"],
        "compute_3": ["prompt_1"],
    }
    assert waits(graph)["ask_1"] == {"write_1", "after_6"}
    assert len(graph["write_1"].operands) == 1
    assert "after" not in graph["asks"].opts


@pytest.mark.parametrize("wrong", ["fetch_1", 3, True, [None], ["compute_1"]])
def test_after_takes_values_of_the_workflow_alone(wrong: Any) -> None:
    @workflow
    def flow(q: str) -> str:
        return write.options(after=wrong)(q)

    with pytest.raises(TraceError) as raised:
        record(flow)
    assert raised.value.code == "ORCH-D041"
    assert "which nothing has to wait for" in raised.value.message


def test_after_does_not_reach_into_a_region() -> None:
    @workflow(rewrite=False)
    def flow(q: str, go: bool) -> str:
        inner: list[str] = []

        def arm() -> str:
            inner.append(compute(q))
            return inner[0]

        branch(go, arm, lambda: q)
        return write.options(after=inner)(q)

    with pytest.raises(TraceError) as raised:
        record(flow)
    assert raised.value.code == "ORCH-D033"


def test_after_may_name_a_value_from_around_a_region() -> None:
    @workflow
    def flow(q: str, go: bool) -> str:
        first = write(q)
        return branch(go, lambda: compute.options(after=first)(q), lambda: q)

    graph = record(flow)
    assert waits(graph)["compute_1"] == {"after_1"}
