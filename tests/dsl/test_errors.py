"""Misuse: each has a code, the user's line, and a fix; and all of one workflow's errors come at once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import ask, branch, call, chat, llm, loop, map_, options, race, tool, workflow
from orchestrator.dsl.codes import CODES
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import Diagnostic, TraceError
from tests.dsl.recording import record


class Query(BaseModel):
    sql: str
    limit: int | None = None


@tool(effects="pure")
def run_sql(query: str) -> list[str]:
    return [query]


@tool(effects="pure")
def count(rows: list[str]) -> int:
    return len(rows)


def diagnose(function: Callable[..., Any] | Workflow[..., Any]) -> list[Diagnostic]:
    """The errors of a workflow, each checked for being in the table and at a line marked with its code."""
    flow = function if isinstance(function, Workflow) else workflow(function)
    with pytest.raises(TraceError) as caught:
        record(flow)
    source, first = inspect.getsourcelines(flow.fn)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.code in CODES
        assert diagnostic.where is not None
        marked = [first + i for i, line in enumerate(source) if f"# {diagnostic.code[5:]}" in line]
        assert diagnostic.where.line in marked, diagnostic
        assert diagnostic.where.file == __file__
    return caught.value.diagnostics


def the_error(function: Callable[..., Any]) -> Diagnostic:
    (diagnostic,) = diagnose(function)
    return diagnostic


def test_if() -> None:
    def flow(question: str) -> str:
        verdict = llm(question, returns=bool)
        if verdict:  # D004
            return "yes"
        return "no"

    error = the_error(flow)
    assert error.message == "`if` needs a concrete value, but `verdict` is only known when the workflow runs"
    assert error.fix == "use branch(verdict, then=..., otherwise=...)"


def test_while_ends_and_names_loop() -> None:
    def flow(question: str) -> str:
        done = llm(question, returns=bool)
        while not done:  # D004
            done = llm(question, returns=bool)
        while done:  # D004
            done = llm(question, returns=bool)
        return question

    errors = diagnose(flow)
    assert [error.fix for error in errors] == ["use loop(body, init, max=..., until=...)"] * 2


def test_and_or_not_name_the_operators() -> None:
    def flow(question: str) -> bool:
        a, b = llm(question, returns=bool), llm(question, returns=bool)
        c = a and b  # D004
        d = a or b  # D004
        e = not a  # D004
        return c == d == e  # D004

    fixes = [error.fix or "" for error in diagnose(flow)]
    assert [re.findall("`(.*)`", fix)[0] for fix in fixes] == ["a & b", "a | b", "~a", "(a < b) & (b < c)"]


def test_items_and_length() -> None:
    def flow(question: str) -> str:
        drafts = llm(question, samples=3)
        for _ in drafts:  # D005
            pass
        len(drafts)  # D005
        "x" in drafts  # noqa: B015  # D005
        _, _ = llm(question, returns=list[str])  # D005 # D001
        return question

    errors = diagnose(flow)
    assert [error.code for error in errors] == ["ORCH-D005"] * 4 + ["ORCH-D001"]
    assert errors[0].fix == "use map_(fn, values)"
    assert "limit" in (errors[3].fix or "")


def test_numbers() -> None:
    def flow(n: int) -> str:
        for _ in range(n):  # type: ignore[call-overload]  # D006
            pass
        return "abc"[n]  # D006

    assert "loop(max=...)" in (diagnose(flow)[0].fix or "")


def test_f_string_conversions() -> None:
    def flow(question: str) -> str:
        a = llm(f"{question!r}")  # D007
        return llm(f"{question:>10} {a}")  # D007

    assert [re.sub(" on .*", "", error.message) for error in diagnose(flow)] == ["`!r`", "format spec `:>10`"]


def test_cut_placeholder() -> None:
    def flow(question: str) -> str:
        return llm(f"About {question}"[:8])  # D008

    assert the_error(flow).fix == "slice or replace inside a tool, and put its result into the f-string"


def test_type_mismatch_names_both_lines() -> None:
    def flow(question: str) -> int:
        draft = llm(question, returns=Query)
        return count(draft)  # D010

    error = the_error(flow)
    assert error.message == "parameter `rows` of tool `count` expects list[str], but gets Query"
    assert error.where is not None
    assert f"`llm_1` at {error.where.__class__(error.where.file, error.where.line - 1, 'flow')}" in (error.why or "")


def test_wrong_return_type() -> None:
    def flow(question: str) -> int:  # D010
        return llm(question)

    assert "expects int, but gets str" in the_error_at_caller(flow).message


def the_error_at_caller(function: Callable[..., Any]) -> Diagnostic:
    with pytest.raises(TraceError) as caught:
        record(workflow(function))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.where is not None
    assert diagnostic.where.line == function.__code__.co_firstlineno
    return diagnostic


def test_unknown_fields() -> None:
    def flow(question: str) -> str:
        query = llm(question, returns=Query)
        query.sqll  # noqa: B018  # D011
        question.strip()  # D011
        llm(question, returns=list[Query])[0].limt  # noqa: B018  # D011
        llm(question, samples=3)[3]  # D011
        llm(question, returns=tuple[int, str])[2]  # D011
        return query.sql

    errors = diagnose(flow)
    assert errors[0].fix == "did you mean `.sql`?"
    assert errors[1].fix == "call `.strip` inside a tool: @tool(effects='pure')"
    assert errors[2].fix == "did you mean `.limit`?"
    assert errors[3].why == "it has 3 items"


def test_optional_fields_need_a_decision() -> None:
    def flow(question: str) -> str:
        maybe: Any = llm(question, returns=Query | None)  # type: ignore[call-overload]
        return maybe.sql  # D011

    assert the_error(flow).why == "the value may be None"


def test_wrong_arguments() -> None:
    @workflow
    def sub(question: str, style: str = "plain") -> str:
        return llm(f"{question} {style}")

    def flow(question: str) -> str:
        run_sql(qeury=question)  # type: ignore[call-arg]  # D012
        run_sql(question, question)  # type: ignore[call-arg]  # D012
        run_sql()  # type: ignore[call-arg]  # D012
        sub(question, tone="dry")  # type: ignore[call-arg]  # D012
        return sub(question)

    messages = [error.message for error in diagnose(flow)]
    assert "has no parameter `qeury`, did you mean `query`?" in messages[0]
    assert "takes 1 positional arguments, but gets 2" in messages[1]
    assert messages[2] == "tool `run_sql` needs `query`"
    assert "has no parameter `tone`" in messages[3]


def test_constants() -> None:
    def flow(question: str) -> str:
        run_sql(object())  # type: ignore[arg-type]  # D013
        run_sql(len)  # type: ignore[arg-type]  # D013
        return question

    assert [error.message.split(" cannot")[0] for error in diagnose(flow)] == ["a object", "the function `len`"]


def test_operators() -> None:
    def flow(question: str, n: int) -> bool:
        question - n  # type: ignore[operator]  # D014
        ~question  # type: ignore[operator]  # noqa: B018  # D014
        return question == n  # D014

    assert diagnose(flow)[0].message == "`str - int` is not supported"


def test_unbounded_loop() -> None:
    def flow(n: int) -> int:
        a = loop(lambda s: s + 1, n)  # D020
        return loop(lambda s: s + 1, a, max=0)  # D020

    assert [error.message for error in diagnose(flow)] == ["a loop without a bound", "a loop with max=0"]


def test_map_limits() -> None:
    def flow(questions: list[str]) -> str:
        map_(run_sql, questions)  # D021
        map_(lambda a, b: a + b, llm("x", samples=2), llm("x", samples=3))  # D021
        map_(run_sql, llm("x", samples=3), limit=2)  # D021
        map_(run_sql, questions, limit=0)  # D021
        return "x"

    fixes = [error.fix or "" for error in diagnose(flow)]
    assert fixes[0].startswith("map_(fn, values, limit=...)")


def test_branch_arms() -> None:
    def flow(question: str) -> str:
        yes = llm(question, returns=bool)
        branch(yes, then=lambda: 1, otherwise=lambda: "one")  # type: ignore[arg-type, return-value]  # D022
        branch(yes, then=lambda: (question, 1), otherwise=lambda: question)  # type: ignore[arg-type, return-value]  # D022
        branch(question, then=lambda: 1, otherwise=lambda: 2)  # D010
        return question

    assert [error.code[5:] for error in diagnose(flow)] == ["D022", "D022", "D010"]


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

    @workflow
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

    for function in (flow, stream):
        with pytest.raises(TraceError) as caught:
            record(workflow(function))
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


def test_all_errors_come_at_once_in_order() -> None:
    @workflow(slo="soon", budget="cheap")
    def flow(question: str) -> str:
        if question:  # D004
            llm(question, temperature=-1)  # D041
        rows = run_sql(llm(question, returns=int))  # D010
        rows.nothing  # type: ignore[attr-defined]  # noqa: B018  # D011
        best = loop(lambda s: s, rows)  # D020
        map_(run_sql, best)  # D021
        return llm(f"{best!r}")  # D007

    with pytest.raises(TraceError) as caught:
        record(flow)
    codes = [error.code[5:] for error in caught.value.diagnostics]
    assert codes == ["D040", "D040", "D004", "D041", "D010", "D011", "D020", "D021", "D007"]
    text = str(caught.value)
    assert text.count("error[ORCH-D") == len(codes)
    assert "tests/dsl/test_errors.py" in text


def test_every_code_of_the_table_is_raised_by_a_test() -> None:
    with open(__file__) as file:  # noqa: PTH123
        source = file.read()
    assert [code for code in CODES if code[5:] not in source] == []
