"""What a trace contains: ops, operands, types, ids, regions, and where each op was written."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any, NamedTuple

from pydantic import BaseModel

from orchestrator import (
    Budget,
    Chat,
    Retry,
    ask,
    branch,
    call,
    chat,
    llm,
    loop,
    map_,
    narrow,
    options,
    race,
    tool,
    workflow,
)  # fmt: skip
from orchestrator.dsl.tool import substituted
from orchestrator.dsl.trace import trace
from orchestrator.dsl.tracing.tracer import Tracer, current_tracer
from tests.dsl.recording import Recording, record, traced


class Query(BaseModel):
    sql: str


@tool(effects="pure", timeout=5, typical_s=0.1, pause_features=("query",))
def run_sql(query: str) -> list[str]:
    return [query]


@tool(effects="idempotent", kind="retrieve")
async def search(query: str, top: int = 3) -> list[str]:
    return [query] * top


def kinds(graph: Recording) -> list[str]:
    return [op.kind for op in graph.ops]


def test_a_prompt_is_a_template() -> None:
    @workflow(slo="p95 < 8s", budget="$0.02", model="small")
    def answer(question: str, schema: str) -> str:
        return llm(f"Schema:\n{schema}\nQuestion: {question}\nSQL:", max_tokens=64, stop="\n", name="draft")

    graph = record(answer)
    prompt, draft = graph.ops
    assert prompt.attrs["parts"] == ["Schema:\n", "\nQuestion: ", "\nSQL:"]
    assert prompt.operands == [graph.body.arguments[1], graph.body.arguments[0]]
    assert draft.id == "draft"
    assert draft.attrs == {"model": "small", "returns": "str", "samples": 1}
    assert draft.opts == {"max_tokens": 64, "stop": ["\n"]}
    assert graph.body.yields == [draft.results[0]]
    assert graph.opts == {"slo": "p95 < 8s", "budget_usd": 0.02, "params": ["question", "schema"], "returns": "str"}


def test_structured_samples_project_and_map_without_a_limit() -> None:
    @workflow
    def drafts(question: str) -> list[list[str]]:
        return map_(run_sql, llm(question, returns=Query, samples=5).sql)

    graph = record(drafts)
    generate, field, mapped, call_ = graph.ops
    assert json.loads(generate.opts["schema"])["properties"]["sql"]["type"] == "string"
    assert [result.type for result in generate.results] == ["list[Query]", "list[Chat]"]
    assert (field.attrs["path"], field.opts, field.results[0].type) == ("sql", {"each": True}, "list[str]")
    assert mapped.attrs == {"limit": 5, "concurrency": 0}
    assert call_.operands == mapped.regions[0].arguments
    assert call_.opts["timeout_s"] == 5.0


def test_op_locations_are_the_users_lines() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question)

    first = flow.fn.__code__.co_firstlineno
    (op,) = record(flow).ops
    assert (op.where.file, op.where.line, op.where.function) == (__file__, first + 2, "flow")


def test_chats_are_immutable_and_fork() -> None:
    @workflow
    def flow(question: str) -> str:
        start = chat("Be brief.", model="small")
        reply, after = start.say(question)
        forks = after.say(f"Improve {reply}", samples=3)
        other = start.say("Again?", returns=Query).reply
        best = map_(lambda c: c.say("Score?", returns=int).reply, forks.chats)
        return llm(f"{forks.replies} {other.sql} {best}")

    graph = record(flow)
    turns = [op for op in graph.ops if op.kind == "generate"]
    assert turns[0].operands[1] is turns[2].operands[1]
    assert turns[1].operands[1] is turns[0].results[1]
    assert [result.type for result in turns[1].results] == ["list[str]", "list[Chat]"]
    assert turns[3].operands[1].type == "Chat"
    assert {turn.attrs["model"] for turn in turns} == {"default"}
    assert graph["chat_1"].opts == {"model": "small"}


def test_expressions_are_pure_builtin_tools() -> None:
    @workflow
    def flow(n: int, text: str, flag: bool) -> bool:
        return ((n + 1 > 2) & ~flag) | (text == "x")

    graph = record(flow)
    tools = [op for op in graph.ops if op.kind == "tool"]
    assert [op.attrs["callee"] for op in tools] == [f"builtin.{op}" for op in ("add", "gt", "not", "and", "eq", "or")]
    assert all(op.attrs["effects"] == "pure" for op in tools)
    assert tools[0].results[0].type == "int"
    assert set(traced(flow).bindings.tools) >= {op.attrs["callee"] for op in tools}


def test_adding_text_extends_the_template() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm("Q: " + question)  # type: ignore[operator]

    assert record(flow).ops[0].attrs["parts"] == ["Q: ", ""]


def test_builtins_compute_what_the_operators_do() -> None:
    from orchestrator.dsl.builtins import TOOLS

    assert TOOLS["builtin.add"].fn(left=1, right=2) == 3
    assert TOOLS["builtin.list"].fn(**{"0": "a", "1": "b"}) == ["a", "b"]
    assert TOOLS["builtin.tuple"].fn(**{"0": 1}) == (1,)
    assert TOOLS["builtin.dict"].fn(a=1) == {"a": 1}
    assert TOOLS["builtin.slice"].fn(items=[1, 2, 3], start=1, stop=None, step=None) == [2, 3]
    assert TOOLS["builtin.getitem"].fn(items={"a": 1}, key="a") == 1
    assert TOOLS["builtin.not"].fn(value=True) is False


def test_containers_of_values_are_ops_and_constants_are_json() -> None:
    @tool(effects="pure")
    def gather(texts: list[str], options: dict[str, int], pair: tuple[str, int], query: Query) -> str:
        return ""

    @workflow
    def flow(question: str, n: int) -> str:
        return gather([question, f"{n}?"], {"n": n}, (question, 2), Query(sql="x"))

    graph = record(flow)
    callees = [op.attrs["callee"] for op in graph.ops if op.kind == "tool"]
    assert callees == ["builtin.list", "builtin.dict", "builtin.tuple", "gather"]
    constants = [json.loads(op.attrs["value"]) for op in graph.ops if op.kind == "const"]
    assert constants == [2, {"sql": "x"}]


def test_tuples_of_known_arity_unpack() -> None:
    @workflow
    def flow(question: str) -> int:
        _, score = llm(question, returns=tuple[str, int])
        return score

    assert record(flow).ops[-1].attrs["path"] == "1"


def test_branch() -> None:
    @workflow
    def flow(question: str) -> str | None:
        good = llm(question, returns=bool)
        text, count = branch(good, then=lambda: (llm("a"), 1), otherwise=lambda: (None, 2.5))
        return branch(count > 2, then=lambda: text, otherwise=lambda: "no", name="final")

    graph = record(flow)
    first = graph["branch_1"]
    assert [result.type for result in first.results] == ["str | None", "float"]
    assert [len(region.yields) for region in first.regions] == [2, 2]
    assert graph["final"].regions[0].yields == [first.results[0]]


def test_loop_checks_first_and_widens_its_state() -> None:
    State = tuple[int, str | None, list[str]]

    @workflow
    def flow(question: str) -> list[str]:
        def body(state: State) -> State:
            tries, _, seen = state
            best = llm(f"{question} not {seen}", name="attempt")
            return tries + 1, best, seen + [best]  # noqa: RUF005

        return loop(body, (0, None, []), max=4, until=lambda state: state[0] > 2)[2]

    graph = record(flow)
    (op,) = [op for op in graph.ops if op.kind == "loop"]
    assert [result.type for result in op.results] == ["int", "str | None", "list[str]"]
    assert op.attrs["max"] == 4
    cond, body = op.regions
    assert [argument.type for argument in body.arguments] == [result.type for result in op.results]
    assert cond.yields[0].type == "bool"
    assert sum(op.id == "attempt" for op in graph.ops) == 1


def test_a_named_tuple_of_values_is_one_value_of_its_type() -> None:
    class State(NamedTuple):
        tries: int
        best: str | None

    @workflow
    def flow(question: str) -> str | None:
        def body(state: State) -> State:
            return State(state.tries + 1, llm(f"{question} not {state.best}"))

        return loop(body, State(0, None), max=4, until=lambda state: state.tries > 2).best

    (op,) = [op for op in record(flow).ops if op.kind == "loop"]
    assert [result.type for result in op.results] == ["State"]


def test_race_holds_an_arm_each() -> None:
    @workflow
    def flow(question: str) -> str:
        return race(lambda: llm(question, model="big"), lambda: llm(question, model="small"), timeout="5s")

    graph = record(flow)
    (op,) = [op for op in graph.ops if op.kind == "race"]
    assert [arm.kind for arm in op.regions[0].ops] == ["arm", "arm"]
    assert op.opts == {"timeout_s": 5.0}


def test_map_over_several_lists_gives_a_list_in_each_place() -> None:
    @workflow
    def flow(questions: list[str], answers: list[int]) -> list[str]:
        texts, scores = map_(lambda q, a: (llm(f"{q}{a}"), a + 1), questions, answers, limit=8, concurrency=2)
        return map_(lambda text, score: f"{text}: {score}", texts, scores)

    graph = record(flow)
    first, second = [op for op in graph.ops if op.kind == "map"]
    assert first.attrs == {"limit": 8, "concurrency": 2}
    assert [result.type for result in first.results] == ["list[str]", "list[int]"]
    assert second.attrs["limit"] == 8


def test_a_map_over_a_slice_knows_its_length() -> None:
    @workflow
    def flow(question: str) -> list[list[str]]:
        return map_(run_sql, llm(question, samples=5)[:3])

    assert [op.attrs["limit"] for op in record(flow).ops if op.kind == "map"] == [3]


def test_sub_workflows_are_inlined_under_their_name() -> None:
    @workflow(model="small")
    def sub(text: str, style: str = "plain") -> str:
        return llm(f"{text} in {style}", name="draft")

    @workflow
    def flow(question: str) -> str:
        return llm(sub(sub(question), style="verse"))

    graph = record(flow)
    drafts = [op for op in graph.ops if op.kind == "generate"]
    assert [op.id for op in drafts] == ["sub/draft", "sub_2/draft", "llm_1"]
    assert [op.attrs["model"] for op in drafts] == ["small", "small", "default"]


def test_tools_carry_effects_policies_and_code() -> None:
    @workflow
    def flow(question: str) -> list[str]:
        careful = run_sql.options(retry=Retry(attempts=5), budget=Budget(usd=0.1), name="careful")
        return careful(search(question)[0])

    graph = record(flow)
    found, sql = graph["search_1"], graph["careful"]
    assert (found.kind, found.attrs["params"], found.attrs["effects"]) == ("retrieve", ["query"], "idempotent")
    assert found.opts["is_async"] is True
    assert sql.attrs["callee"] == "run_sql"
    assert sql.opts["retry"]["attempts"] == 5
    assert sql.opts["budget_usd"] == 0.1
    assert sql.opts["typical_s"] == 0.1
    assert sql.opts["pause_features"] == ["query"]
    assert sql.opts["code"] == run_sql.code
    assert traced(flow).bindings.tools["run_sql"].fn is run_sql.fn


def test_outside_of_a_trace_a_tool_is_its_function() -> None:
    assert run_sql("x") == ["x"]
    assert call(len, "abc") == 3
    assert run_sql.__doc__ == run_sql.fn.__doc__


def test_ask_and_narrow() -> None:
    @workflow
    def flow(question: str) -> str:
        choice = ask(f"Send {question}?", choices=["yes", "no"], timeout="1h", name="approval")
        found: Any = llm(question, returns=Query | None)  # type: ignore[call-overload]
        return branch(
            (choice == "yes") & (found != None),  # noqa: E711
            then=lambda: narrow(found, Query).sql,
            otherwise=lambda: "",
        )

    graph = record(flow)
    assert graph["approval"].opts == {"timeout_s": 3600.0, "choices": ["yes", "no"]}
    assert graph["narrow_1"].results[0].type == "Query"


def test_options_are_defaults_of_the_calls_in_the_block() -> None:
    @workflow(model="big")
    def flow(question: str) -> str:
        with options(model="small", temperature=0):
            a = llm(question)
            b = llm(question, temperature=1)
        return llm(f"{a}{b}")

    calls = [op for op in record(flow).ops if op.kind == "generate"]
    assert [op.attrs["model"] for op in calls] == ["small", "small", "big"]
    assert [op.opts.get("temperature") for op in calls] == [0.0, 1.0, None]


def test_bindings_resolve_every_type_of_the_graph() -> None:
    @workflow
    def flow(question: str) -> Query:
        return llm(question, returns=Query, samples=2)[0]

    result = traced(flow)
    mentioned = {value.type for op in result.module.ops for value in op.results}
    assert mentioned <= set(result.bindings.types)
    assert result.bindings.types["list[Query]"] == list[Query]
    assert result.bindings.types["list[Chat]"] == list[Chat]
    assert (result.params, result.returns) == ({"question": str}, Query)


def test_returning_a_constant_or_a_structure() -> None:
    @workflow
    def flow(question: str) -> tuple[str, int]:
        return (question, 3)

    graph = record(flow)
    assert kinds(graph) == ["const", "tool"]
    assert graph.ops[0].where.line == flow.fn.__code__.co_firstlineno


def test_generic_tools_have_the_type_of_their_arguments() -> None:
    from typing import TypeVar

    item = TypeVar("item")

    @tool(effects="pure")
    def first(items: list[item]) -> item:  # type: ignore[valid-type]
        return items[0]

    @workflow
    def flow(question: str) -> Query:
        return first(llm(question, returns=Query, samples=2))

    assert record(flow).ops[-1].results[0].type == "Query"


def test_substitutes_keep_the_types_of_the_tools_they_stand_for() -> None:
    @workflow
    def flow(question: str) -> list[str]:
        return run_sql(question)

    real = traced(flow)
    with substituted({"run_sql": lambda query: ["fake"]}):
        fake = traced(flow)
    assert fake.bindings.tools["run_sql"].fn(query="x") == ["fake"]
    assert fake.module["run_sql_1"].results[0].type == "list[str]"
    assert fake.module["run_sql_1"].opts["code"] != real.module["run_sql_1"].opts["code"]


def test_a_trace_goes_without_the_garbage_collector() -> None:
    class Seen(Recording):
        tracer: weakref.ref[Tracer] | None = None

        def op(self, *args: Any, **kwargs: Any) -> Any:
            now = current_tracer()
            assert now is not None
            self.tracer = weakref.ref(now)
            return super().op(*args, **kwargs)

    @workflow
    def flow(q: str) -> list[str]:
        found = []
        for word in llm(f"words of {q}").split():
            if word == "stop":
                break
            found.append(llm(f"{q}: {word}"))
        return found

    seen = Seen()
    gc.disable()
    try:
        trace(flow, seen)
        assert seen.tracer is not None
        assert seen.tracer() is None
    finally:
        gc.enable()
