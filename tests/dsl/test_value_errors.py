"""Misuse of values that are not there yet: each has a code, the user's line, and a fix."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from orchestrator import llm, map_, tool, workflow
from orchestrator.dsl.operations.expressions import _sliced
from orchestrator.dsl.types.bounds import Length
from orchestrator.errors import RunError
from orchestrator.testing import fake
from tests.dsl.diagnosing import Query, count, diagnose, run_sql, the_error, the_error_at_caller
from tests.dsl.recording import record


@tool(effects="pure")
def echo(thing: Any) -> Any:
    return thing


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
        return llm(f"{question:>10} {a}")

    assert [re.sub(" on .*", "", error.message) for error in diagnose(flow)] == ["`!r`"]


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


def test_unknown_fields() -> None:
    def flow(question: str) -> str:
        query = llm(question, returns=Query)
        query.sqll  # noqa: B018  # D011
        question.shrink()  # type: ignore[attr-defined]  # D011
        llm(question, returns=list[Query])[0].limt  # noqa: B018  # D011
        llm(question, samples=3)[3]  # D011
        llm(question, returns=tuple[int, str])[2]  # D011
        return query.sql

    errors = diagnose(flow)
    assert errors[0].fix == "did you mean `.sql`?"
    assert "pydantic models" in (errors[1].fix or "")
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

    assert [error.message.split(" cannot")[0] for error in diagnose(flow)] == ["an object", "the function `len`"]


def test_operators() -> None:
    def flow(question: str, n: int) -> bool:
        question - n  # type: ignore[operator]  # D014
        ~question  # type: ignore[operator]  # noqa: B018  # D014
        return question == n  # D014

    assert diagnose(flow)[0].message == "`str - int` is not supported"


def test_a_sample_that_may_have_been_left_out_has_no_certain_position() -> None:
    def flow(question: str) -> list[Any]:
        drafts = llm(question, returns=Query, samples=4, at_least=2)
        texts = map_(lambda draft: draft.sql, drafts)
        a, b = drafts[2], drafts[-3]  # D011 # D011
        c, d = texts[3].upper, drafts.sql[2]  # D011 # D011
        one = drafts[:3][2]  # D011
        two = drafts[1:][2]  # D011
        return [a, b, c, d, one, two, drafts[1], drafts[-2], texts[0], drafts[:1][0]]

    errors = diagnose(flow)
    assert errors[0].message.endswith("` may have no item 2: at_least= promises 2 items")
    assert errors[5].message.endswith("` may have no item 2: at_least= promises 1 item")
    assert errors[0].fix is not None and errors[0].fix.startswith("use [0] to [1], a slice, map_ or vote")


def test_what_an_error_advises_of_samples_that_may_be_left_out_works() -> None:
    @workflow
    def flow(question: str) -> list[list[int]]:
        drafts = llm(question, returns=int, samples=3, at_least=1)
        return [map_(lambda each: each, drafts), drafts[1:], [drafts[0]]]  # type: ignore[list-item,return-value]

    with fake(["7", "no", "9"]):
        assert flow("?") == [[7, 9], [9], [7]]
    with fake(["7", "no", "none"]):
        assert flow("?") == [[7], [], [7]]


def test_a_position_that_is_missing_in_a_run_has_its_line_and_what_to_do() -> None:
    @workflow
    def flow(numbers: list[int], by_name: dict[str, int], position: int) -> list[int]:
        return [numbers[position], by_name["a"], numbers[1]]

    for inputs in (([4], {"a": 1}, 0), ([4, 5], {}, 0), ([4, 5], {"a": 1}, 2)):
        with pytest.raises(RunError, match=r"(Index|Key)Error") as caught:
            flow(*inputs)
        (told,) = caught.value.diagnostics
        assert told.where is not None and told.where.file == __file__
        assert told.fix is not None and "tool" in told.fix


POSITIONS = st.none() | st.integers(-6, 6)


@given(st.integers(0, 9), st.integers(0, 5), POSITIONS, POSITIONS, st.none() | st.sampled_from([-2, -1, 1, 2]))
def test_bounds_of_a_slice_hold_for_every_length(
    least: int, more: int, start: int | None, stop: int | None, step: int | None
) -> None:
    bounds = _sliced(Length(least + more, least), slice(start, stop, step))
    lengths = [len(list(range(each))[start:stop:step]) for each in range(least, least + more + 1)]
    assert (bounds.least, bounds.most) == (min(lengths), max(lengths))


def test_a_slice_bounds_the_length_of_a_long_list() -> None:
    @workflow
    def flow(numbers: list[int]) -> list[list[int]]:
        many = map_(lambda each: each, numbers, limit=5_000)
        return [map_(echo, many[:5]), map_(echo, many[-3:]), map_(echo, many[4_990:])]  # type: ignore[list-item]

    assert [op.attrs["limit"] for op in record(flow).ops if op.kind == "map"] == [5_000, 5, 3, 10]


class Person(dict[str, Any]):
    """Who knows others, who know them; nobody is to be asked again and again."""

    asked = 0

    def values(self) -> Any:
        self.asked += 1
        assert self.asked < 100
        return super().values()


def name_of_first(person: dict[str, Any]) -> str:
    return str(person["name"])


def test_constants_that_refer_to_each_other_are_looked_at_once() -> None:
    people = [Person(name=name) for name in ("Ada", "Bea", "Cai")]
    for place, person in enumerate(people):
        person |= {"next": people[place - 2], "last": people[place - 1]}
    ada = people[0]

    @tool
    def greet(word: str) -> str:
        return f"{word}, {ada['last']['name']}"

    @workflow
    def flow(word: str) -> str:
        return llm(f"{name_of_first(ada)}: {greet(word)}")

    with fake(lambda messages: messages[-1].content):
        assert flow("Hello") == "Ada: Hello, Cai"


def nested(levels: int, kind: type, inner: object = 7) -> Any:
    for _ in range(levels):
        inner = {"a": inner} if kind is dict else kind([inner])
    return inner


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_what_holds_itself_or_has_no_end_is_no_part_of_a_workflow(kind: type) -> None:
    ring: list[Any] = []
    ring.append(nested(2, kind, ring))

    def flow(question: str) -> Any:  # D013
        echo(ring)  # D013
        echo([question, ring])  # D013
        echo(nested(5_000, kind))  # D013
        echo(nested(101, kind, question))  # D013
        llm(question, stop=ring)  # D041
        llm(question, model=nested(5_000, kind))  # D041
        return ring

    errors = diagnose(flow)
    said = [error.message.partition(" ")[2].partition(" ")[2] for error in errors if error.code == "ORCH-D013"]
    deep = "is nested deeper than 100 levels"
    assert said == ["holds itself", "holds itself", deep, deep, "holds itself"]
    assert {error.fix for error in errors if error.code == "ORCH-D013"} == {
        "build it in a tool, from what it is made of"
    }


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_a_hundred_levels_are_a_part_of_a_workflow(kind: type) -> None:
    @workflow
    def flow(question: str) -> Any:
        return [echo(nested(99, kind)), echo(nested(99, kind, question))]

    assert flow("?") == [nested(99, kind), nested(99, kind, "?")]


class Meeting(BaseModel):
    at: datetime
    votes: defaultdict[str, int] = Field(default_factory=lambda: defaultdict(int))


def test_a_model_keeps_what_its_fields_say_of_dicts() -> None:
    @workflow
    def flow() -> Meeting:
        return Meeting(at=datetime(2026, 1, 1), votes=defaultdict(int, yes=2))

    assert flow().votes["no"] == 0


@pytest.mark.parametrize(
    ("constant", "why"),
    [
        (Counter("aab"), "does not make what it lacks"),
        ([defaultdict(int, a=1)], "answers for keys"),
        (datetime(2026, 10, 25, 2, 30, fold=1), "`fold` would be lost"),
        (datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "its zone would become"),
        (10**5000, "digits"),
        ({"at": Meeting(at=datetime(2026, 10, 25, 2, 30, fold=1))}, "`fold` would be lost"),
        (Meeting(at=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))), "its zone would become"),
    ],
    ids=["counter", "defaultdict", "fold", "zone", "digits", "fold in a model", "zone in a model"],
)
def test_a_constant_that_json_does_not_say_all_of(constant: Any, why: str) -> None:
    @workflow  # D013
    def flow() -> Any:
        return constant

    [error] = diagnose(flow)
    assert (error.code, why in str(error.why)) == ("ORCH-D013", True)
