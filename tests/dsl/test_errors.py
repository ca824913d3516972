"""Misuse: each has a code, the user's line, and a fix; and all of one workflow's errors come at once."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from orchestrator import ask, branch, call, chat, llm, loop, map_, options, race, switch, tool, workflow
from orchestrator.dsl.codes import CODES
from orchestrator.errors import TraceError
from tests.dsl.diagnosing import Query, diagnose, run_sql, the_error
from tests.dsl.recording import record


def test_unbounded_loop() -> None:
    def flow(n: int) -> int:
        a = loop(lambda s: s + 1, n)  # D020
        return loop(lambda s: s + 1, a, max=0)  # D020

    assert [error.message for error in diagnose(flow)] == ["a loop without a bound", "a loop with max=0"]


def test_map_limits() -> None:
    def flow(questions: list[str]) -> str:
        map_(run_sql, questions)
        map_(lambda a, b: a + b, llm("x", samples=2), llm("x", samples=3))  # D021
        map_(run_sql, llm("x", samples=3), limit=2)  # D021
        map_(run_sql, questions, limit=0)  # D021
        return "x"

    assert len(diagnose(flow)) == 3


def test_branch_arms() -> None:
    def flow(question: str) -> str:
        yes = llm(question, returns=bool)
        branch(yes, then=lambda: chat(question), otherwise=lambda: "one")  # type: ignore[arg-type, return-value]  # D022
        run_sql(branch(yes, then=lambda: 1, otherwise=lambda: "one"))  # type: ignore[arg-type, return-value]  # D010
        branch(yes, then=lambda: (question, 1), otherwise=lambda: question)  # type: ignore[arg-type, return-value]  # D022
        branch(question, then=lambda: 1, otherwise=lambda: 2)  # D010
        return question

    assert [error.code[5:] for error in diagnose(flow)] == ["D022", "D010", "D022", "D010"]


class Urgency(Enum):
    LOW = "low"
    HIGH = "high"


def test_cases_of_a_switch() -> None:
    def flow(question: str) -> str:
        kind = llm(question, returns=Literal["bug", "question"])
        row = llm(question, returns=Query | None)
        same = lambda: question  # noqa: E731
        switch(kind, {"bug": same})  # D025
        switch(kind, {"bug": same, "question": same, "questoin": same})  # D025
        switch(question, {"a": same})  # D025
        switch(row, {Query: same})  # D025
        switch(row, {Query: same, None: same, Urgency: same})  # D025
        switch(llm(question, returns=Urgency), {Urgency.LOW: same, "high": same})  # D025
        switch(llm(question, returns=bool), {True: same})  # D025
        switch(kind, {("bug", b"x"): same}, otherwise=same)  # D025
        switch(kind, {})  # D025
        switch(kind, [same])  # type: ignore[arg-type]  # D041
        return question

    found = diagnose(flow)
    assert [error.message for error in found] == [
        "no case of the switch is for 'question'",
        "`llm_1` is never 'questoin': it is Literal['bug', 'question']",
        "no case of the switch is for str",
        "no case of the switch is for None",
        "`llm_2` is never Urgency: it is Query | None",
        "`llm_3` is never 'high': it is Urgency",
        "no case of the switch is for False",
        "b'x' cannot be a case of a switch",
        "a switch without cases",
        "switch gets a list for its cases",
    ]
    assert found[1].fix == "did you mean 'question'?"


def test_loop_state() -> None:
    def flow(question: str) -> str:
        loop(run_sql, question, max=2)  # type: ignore[arg-type, return-value]  # D023
        loop(lambda s: s[0], (question, 1), max=2)  # type: ignore[arg-type, return-value]  # D023
        return question

    errors = diagnose(flow)
    assert errors[0].message == "the loop's state is str, but its body returns list[str]"
    assert errors[1].message == "the state of the loop is a tuple of 2, but its body returns one value"


def test_errors_in_a_body_that_is_traced_again_are_reported_once() -> None:
    def flow(question: str) -> str | None:
        def body(state: str | None) -> str | None:
            if state:  # D004
                return "x"
            return llm(question, samples=0)  # D041

        return loop(body, None, max=3)

    assert [error.code for error in diagnose(flow)] == ["ORCH-D004"]


def test_empty_race() -> None:
    def flow(question: str) -> str:
        race()  # D024
        return question

    assert the_error(flow).fix == "race(lambda: ..., lambda: ...)"


def test_names_are_unique() -> None:
    def shadow() -> Any:
        @tool(effects="pure", name="run_sql")
        def other(query: str) -> str:
            return query

        return other

    def flow(question: str) -> str:
        llm(question, name="draft")
        llm(question, name="draft")  # D030
        run_sql(question)
        shadow()(question)  # D031
        return question

    errors = diagnose(flow)
    assert "the other one is at" in (errors[0].why or "")
    assert "test_errors.py" in (errors[1].why or "")


def test_two_types_of_one_name() -> None:
    first = Query

    class Query2(BaseModel):
        x: int

    Query2.__name__ = "Query"

    def flow(question: str) -> str:
        llm(question, returns=first)
        llm(question, returns=Query2)  # D031
        return question

    assert the_error(flow).message == "two different types are called Query"


def test_recursion() -> None:
    @workflow
    def again(question: str) -> str:
        return again(question)  # D032

    (error,) = diagnose(again)
    assert error.message == "workflow `again` calls itself: `again` -> `again`"


def test_values_stay_in_their_region() -> None:
    leaked: list[Any] = []

    def flow(question: str) -> str:
        def body(state: str) -> str:
            leaked.append(llm(state))
            return state

        loop(body, question, max=2)
        return llm(f"{leaked[0]}")  # D033

    assert "belongs to the body of loop" in the_error(flow).message


def test_values_stay_in_their_workflow() -> None:
    leaked: list[Any] = []

    @workflow(rewrite=False)
    def first(question: str) -> str:
        leaked.extend((question, f"{question}"))
        return question

    record(first)

    def flow(question: str) -> str:
        run_sql(leaked[0])  # D033
        return llm(leaked[1])  # D033

    assert len(diagnose(flow)) == 2


@pytest.mark.parametrize("op", [lambda: llm("x"), chat, lambda: ask("x"), lambda: race(lambda: 1)])
def test_ops_outside_of_a_workflow(op: Callable[[], Any]) -> None:
    with pytest.raises(TraceError) as caught:
        op()
    assert caught.value.code == "ORCH-D034"
    assert "@workflow" in (caught.value.diagnostics[0].fix or "")


def test_policies() -> None:
    def flow(question: str) -> str:
        llm(question, timeout=-1)  # D040
        llm(question, budget="2 euros", retry=-1)  # D040
        run_sql.options(retry=0)(question)  # D040
        return question

    assert len(diagnose(flow)) == 4


def test_options_of_ops() -> None:
    def flow(question: str, n: int) -> str:
        llm(question, temprature=1)  # type: ignore[call-overload]  # D041
        llm(question, temperature=-1)  # D041
        llm(question, samples=0)  # D041
        llm(question, samples=2, at_least=3)  # D041
        llm(question, max_tokens=n + 1)  # D041
        llm(question, returns=Callable)  # D041
        map_(run_sql, llm(question, samples=2), concurrency=0)  # D041
        branch(llm(question, returns=bool), then="x", otherwise=lambda: "y")  # type: ignore[arg-type]  # D041
        with options(model="small", tempo=1):  # type: ignore[call-arg]  # D041
            return llm(question)

    assert diagnose(flow)[0].fix == "did you mean `temperature`?"


def test_untyped_boundaries() -> None:
    @tool
    def untyped(query, *rest: str):  # type: ignore[no-untyped-def]
        return query

    @workflow
    def flow(question) -> str:  # type: ignore[no-untyped-def]
        untyped(question)
        untyped(question)
        return question

    with pytest.raises(TraceError) as caught:
        record(flow)
    assert {error.code for error in caught.value.diagnostics} == {"ORCH-D002"}
    messages = [error.message for error in caught.value.diagnostics]
    assert messages == [
        "parameter `question` of workflow `flow` has no annotation",
        "parameter `query` of tool `untyped` has no annotation",
        "tool `untyped` takes `*rest: 'str'`",
        "tool `untyped` has no return annotation",
    ]
    lines = [error.where.line for error in caught.value.diagnostics if error.where]
    assert lines == [flow.fn.__code__.co_firstlineno] + [untyped.fn.__code__.co_firstlineno] * 3


def test_async_and_generator_workflows() -> None:
    async def flow(question: str) -> str:
        return question

    def stream(question: str) -> Any:
        yield question

    for wrong in (workflow(rewrite=False)(flow), workflow(stream)):
        with pytest.raises(TraceError) as caught:
            record(wrong)
        assert [error.code for error in caught.value.diagnostics] == ["ORCH-D003"]


def test_exceptions_of_the_users_code() -> None:
    def flow(question: str) -> str:
        llm(question, samples=0)  # D041
        {}["missing"]  # D001
        return question

    errors = diagnose(flow)
    assert errors[1].message == "the workflow raised KeyError: 'missing'"


def test_models_of_values_are_built_with_call() -> None:
    def flow(question: str) -> Query:
        return Query(sql=question)  # D001

    assert the_error(flow).fix == "build a model of symbolic values as an op: call(Model, field=value)"

    @workflow
    def right(question: str) -> Query:
        return call(Query, sql=question)

    assert record(right)["Query_1"].attrs["params"] == ["sql"]


def test_pause_features_are_scalar_parameters() -> None:
    @tool(pause_features=("suites", "paths"))
    def run_tests(suite: str, paths: list[str]) -> str:
        return suite

    @tool(pause_features="suite")
    def lint(suite: str) -> str:
        return suite

    @tool(pause_features=("suite", "level"))
    def check(suite: str | None, level: int) -> str:
        return f"{suite}{level}"

    def flow(question: str) -> str:
        run_tests(question, [question])
        run_tests(question, [question])
        return lint(check(question, 1))

    with pytest.raises(TraceError) as caught:
        record(workflow(flow))
    assert [(error.code, error.message, error.fix) for error in caught.value.diagnostics] == [
        ("ORCH-D042", "tool `run_tests`: there is no parameter `suites` to be a feature of its pauses",
         "did you mean `suite`?"),
        ("ORCH-D042", "tool `run_tests`: `paths` cannot be a feature of its pauses", "name a str, int, float or bool"),
        ("ORCH-D042", "tool `lint`: pause_features='suite'", "pause_features=('suite',)"),
    ]  # fmt: skip
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert where.file == __file__


@tool(effects="once")
def pay(cents: int) -> int:
    return cents


@tool(effects="once", key="key")
def pay_with_key(cents: int, key: str = "") -> int:
    return cents


def test_a_retry_over_what_must_run_at_most_once() -> None:
    insistent = pay.options(retry=2)

    @workflow
    def inner(n: int) -> int:
        return pay(n)

    def flow(n: int) -> int:
        insistent(n)  # D043
        branch(n > 0, then=lambda: pay(n), otherwise=lambda: n, retry=2)  # D043
        loop(lambda s: branch(s > 0, then=lambda: pay(s), otherwise=lambda: s), n, max=2, retry=2)  # D043
        map_(inner, [1, 2], retry=2)  # D043
        race(lambda: pay(n), lambda: n, retry=2)  # D043
        return n

    errors = diagnose(flow)
    assert [error.message.split()[0] for error in errors] == ["tool", "branch", "loop", "map_", "race"]
    assert all("`pay`" in f"{error.message} {error.why}" for error in errors)
    assert all("key=" in (error.fix or "") and "check=" in (error.fix or "") for error in errors)


def test_a_retry_is_fine_where_nothing_is_repeated_or_repeating_is_harmless() -> None:
    def flow(n: int) -> int:
        branch(n > 0, then=lambda: pay_with_key(n), otherwise=lambda: n, retry=2)
        loop(lambda s: branch(s > 0, then=lambda: pay(s), otherwise=lambda: s), n, max=2)
        pay.options(retry=1, timeout=5)(n)
        return branch(n > 0, then=lambda: n + 1, otherwise=lambda: n, retry=2)

    record(workflow(flow))


def test_keys_and_checks_that_do_not_fit_the_tool() -> None:
    def asks(order: str) -> str:
        return "unknown"

    wrong = [
        tool(pay.fn, name="no_such", key="cent"),
        tool(pay.fn, name="no_text", key="cents"),
        tool(pay.fn, name="harmless", effects="idempotent", key="cents"),
        tool(pay.fn, name="asks_for_more", check=asks),
        tool(pay.fn, name="no_function", check="unknown"),  # type: ignore[call-overload]
    ]

    def flow(n: int) -> int:
        for each in wrong:
            each(n)
        return n

    with pytest.raises(TraceError) as caught:
        record(workflow(flow))
    assert {error.code for error in caught.value.diagnostics} == {"ORCH-D043"}
    messages = [error.message for error in caught.value.diagnostics]
    assert "tool `no_such`: key='cent' is none of its parameters" in messages
    assert caught.value.diagnostics[0].fix == "did you mean 'cents'?"
    assert "the key of tool `no_text` is a text, and `cents` is int" in messages
    assert "tool `harmless` has a key, and its effects are 'idempotent'" in messages
    assert "the check of tool `asks_for_more` takes `order`, which is no parameter of the tool" in messages
    assert "tool `no_function`: check='unknown'" in messages


def test_all_errors_come_at_once_in_order() -> None:
    @workflow(slo="soon", budget="cheap", rewrite=False)
    def flow(question: str) -> str:
        if question:  # D004
            llm(question, temperature=-1)  # D041
        rows = run_sql(llm(question, returns=int))  # D010
        rows.nothing  # type: ignore[attr-defined]  # noqa: B018  # D011
        best = loop(lambda s: s, rows)  # D020
        map_(run_sql, best, limit=0)  # D021
        return llm(f"{best!r}")  # D007

    with pytest.raises(TraceError) as caught:
        record(flow)
    codes = [error.code[5:] for error in caught.value.diagnostics]
    assert codes == ["D040", "D040", "D004", "D041", "D010", "D011", "D020", "D021", "D007"]
    text = str(caught.value)
    assert text.count("error[ORCH-D") == len(codes)
    assert "tests/dsl/test_errors.py" in text


def test_every_code_of_the_table_is_raised_by_a_test() -> None:
    source = "".join(each.read_text() for each in Path(__file__).parent.rglob("test_*.py"))
    assert [code for code in CODES if code[5:] not in source] == []
