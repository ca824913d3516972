"""Who waits for a sleep, and for whom it waits, as tracing writes it down."""

from __future__ import annotations

from orchestrator import branch, llm, loop, map_, now, parallel, race, random, sleep, tool, workflow
from tests.dsl.recording import Recording, record
from tests.dsl.tracing.test_order import compute, ordered, read, waits, write


@tool(effects="once")
def finish(x: str) -> str:
    return x


def behind(graph: Recording, op: str) -> set[str]:
    """What an op waits for and does not take: tokens, and values that a token is made of."""
    found = set[str]()
    for name in waits(graph)[op]:
        made = graph[name]
        found |= {each.producer.id for each in made.operands if each.producer} if made.kind == "done" else {name}
    return found


def test_a_sleep_is_behind_all_that_acts_or_asks_and_in_front_of_all_that_does() -> None:
    @workflow
    def flow(q: str) -> str:
        llm(q, name="a")
        read(q)
        compute(q)
        sleep(1)
        llm(q, name="b")
        compute(q)
        read(q)
        llm(q, name="c")
        return write(q)

    graph = record(flow)
    assert {op: behind(graph, op) for op in ordered(graph)} == {
        "sleep_1": {"a", "read_1"},
        "b": {"sleep_1"},
        "read_2": {"sleep_1"},
        "c": {"sleep_1"},
        "write_1": {"sleep_1", "read_2"},
    }


def test_two_sleeps_are_one_after_the_other() -> None:
    @workflow
    def flow(q: str) -> str:
        llm(q, name="a")
        sleep(1)
        llm(q, name="b")
        sleep(2)
        return llm(q, name="c")

    graph = record(flow)
    assert [behind(graph, op) for op in ("sleep_1", "b", "sleep_2", "c")] == [
        {"a"},
        {"sleep_1"},
        {"b", "sleep_1"},
        {"sleep_2"},
    ]


def test_an_op_with_a_sleep_inside_counts_as_one() -> None:
    @workflow
    def flow(n: int, q: str) -> str:
        llm(q, name="a")
        branch(n > 2, lambda: sleep(1), lambda: None)
        llm(q, name="b")
        loop(lambda n: (sleep(1), n)[1], n, max=3)
        llm(q, name="c")
        map_(sleep, [n, n])
        return llm(q, name="d")

    graph = record(flow)
    assert [behind(graph, op) for op in ("branch_1", "b", "loop_1", "c", "map_1", "d")] == [
        {"a"},
        {"branch_1"},
        {"b", "branch_1"},
        {"loop_1"},
        {"c", "loop_1"},
        {"map_1"},
    ]


def test_in_a_race_it_is_a_time_limit_which_holds_up_nobody() -> None:
    @workflow
    def flow(q: str) -> str:
        llm(q, name="a")
        race(lambda: llm(q), lambda: sleep(5))
        llm(q, name="b")
        race(lambda: read(q), lambda: sleep(5))
        return write(q)

    graph = record(flow)
    assert {op: behind(graph, op) for op in ordered(graph)} == {"write_1": {"race_2"}}


def test_the_clock_is_asked_behind_all_that_is_before_it_and_holds_up_no_model_call() -> None:
    @workflow
    def flow(q: str) -> str:
        now()
        llm(q, name="a")
        now()
        random()
        llm(q, name="b")
        with parallel():
            now()
            llm(q, name="c")
        now.options(after=read(q))()
        sleep(1)
        now()
        return q

    graph = record(flow)
    assert {op: behind(graph, op) for op in ordered(graph)} == {
        "now_2": {"a", "now_1"},
        "now_3": {"a", "b", "now_1", "now_2", "random_1"},
        "now_4": {"read_1"},
        "sleep_1": {"now_1", "now_2", "now_3", "now_4", "random_1", "read_1", "a", "b", "c"},
        "now_5": {"sleep_1"},
    }


def test_a_parallel_block_with_a_sleep_is_waited_for_as_a_whole() -> None:
    @workflow
    def flow(q: str) -> str:
        llm(q, name="a")
        with parallel():
            sleep(1)
            sleep(2)
            llm(q, name="b")
        llm(q, name="c")
        sleep(3)
        return finish(q)

    graph = record(flow)
    assert {op: behind(graph, op) for op in ordered(graph)} == {
        "sleep_1": {"a"},
        "sleep_2": {"a"},
        "c": {"sleep_1", "sleep_2"},
        "sleep_3": {"sleep_1", "sleep_2", "b", "c"},
        "finish_1": {"sleep_3"},
    }


def test_a_workflow_called_in_a_parallel_block_keeps_its_own_order() -> None:
    @workflow
    def inner(q: str) -> str:
        llm(q, name="in_1")
        sleep(1)
        return llm(q, name="in_2")

    @workflow
    def flow(q: str) -> str:
        llm(q, name="a")
        with parallel():
            inner(q)
            llm(q, name="b")
        return llm(q, name="c")

    graph = record(flow)
    found = {op: behind(graph, op) for op in ordered(graph)}
    assert found == {
        "inner/sleep_1": {"a", "inner/in_1"},
        "inner/in_2": {"inner/sleep_1"},
        "c": {"inner/sleep_1"},
    }


def test_items_with_a_sleep_are_made_one_by_one_where_they_are_written_as_a_loop() -> None:
    @workflow
    def flow(xs: list[str]) -> list[str]:
        found = []
        for x in xs:
            found.append(llm(x))
            sleep(1)
        return found

    assert record(flow)["map_1"].attrs["concurrency"] == 1


def test_a_loop_that_is_traced_again_forgets_the_sleeps_of_the_first_time() -> None:
    @workflow
    def flow(n: int, q: str) -> str | None:
        def turn(state: str | None) -> str | None:
            sleep(1)
            return llm(q)

        return loop(turn, None, max=2)

    graph = record(flow)
    (body,) = [op for op in graph.ops if op.kind == "generate"]
    assert behind(graph, body.id) == {"sleep_1"}
