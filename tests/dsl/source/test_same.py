"""One name, one tool: what counts as the same function, and what is said of two."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from orchestrator import Tool, call, llm, loop, tool, workflow
from orchestrator.dsl.source.same import same_function
from orchestrator.errors import TraceError
from orchestrator.testing import fake
from tests.dsl.diagnosing import the_error
from tests.dsl.recording import record


class Shelf:
    def __init__(self, label: str) -> None:
        self.label = label

    def put(self, item: str) -> str:
        return f"{self.label}{item}"


def adder(amount: Any) -> Callable[[str], str]:
    def add(text: str) -> str:
        return f"{text}{amount}"

    return add


def counter() -> Callable[[int], int]:
    def down(n: int) -> int:
        return n if n == 0 else down(n - 1)

    return down


def put_on(shelf: Shelf, item: str) -> str:
    return shelf.put(item)


HERE = Shelf("here")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (adder(1), adder(1), True),
        (adder(1), adder(2), False),
        (adder(1), adder(True), False),
        (adder(HERE), adder(HERE), True),
        (adder(HERE), adder(Shelf("here")), False),
        (adder(adder("x")), adder(adder("x")), True),
        (counter(), counter(), True),
        (HERE.put, HERE.put, True),
        (HERE.put, Shelf("here").put, False),
        (partial(put_on, HERE), partial(put_on, HERE), True),
        (partial(put_on, HERE), partial(put_on, Shelf("there")), False),
        (partial(put_on, HERE), partial(put_on, shelf=HERE), False),
        (len, len, True),
        (len, max, False),
    ],
)
def test_functions_are_the_same_by_code_and_by_what_they_hold(first: object, second: object, same: bool) -> None:
    assert same_function(first, second) is same


def test_a_tool_defined_where_a_function_runs_twice_is_one() -> None:
    @workflow
    def shout(text: str) -> str:
        @tool(effects="pure")
        def louder(text: str) -> str:
            return f"{text}!"

        return louder(text)

    def flow(text: str) -> str:
        return shout(shout(text))

    with fake():
        assert workflow(flow)("a") == "a!!"


def test_a_tool_defined_in_a_body_that_is_traced_again_is_one() -> None:
    def flow(text: str) -> str | None:
        def body(state: str | None) -> str:
            extra = object()

            @tool(effects="pure")
            def keep(text: str, kept: Any = extra) -> str:
                return text

            return keep(text)

        return loop(body, None, max=2)  # type: ignore[arg-type, return-value]

    with fake():
        assert workflow(flow)("a") == "a"


def test_a_method_may_be_called_twice_on_one_instance() -> None:
    def flow(text: str) -> str:
        return call(HERE.put, call(HERE.put, text))

    with fake():
        assert workflow(flow)("!") == "herehere!"


def test_methods_of_two_instances_need_two_names_and_the_fix_says_how() -> None:
    there = Shelf("there")

    def wrong(text: str) -> str:
        call(HERE.put, text)
        return call(there.put, text)  # D031

    def right(text: str) -> str:
        return f"{call(HERE.put, text)} {tool(there.put, name='put_2')(text)}"

    error = the_error(wrong)
    assert error.fix == 'name each by what it holds: tool(..., name="put_2")'
    with fake():
        assert workflow(right)("!") == "here! there!"


def test_one_function_with_two_effects_needs_two_names() -> None:
    def wrong(text: str) -> str:
        careless = tool(put_on_here, effects="pure")(text)
        return tool(put_on_here, effects="once")(careless)  # D031

    assert the_error(wrong).why == "they are declared with effects='pure' and effects='once'"

    def isolated(text: str) -> str:
        return tool(put_on_here, isolation="process")(put_on_here_too(text))  # D031

    put_on_here_too = tool(put_on_here)
    assert "isolation=None and isolation='process'" in (the_error(isolated).why or "")


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (int, str, "one is (text: str) -> int, and the other (text: str) -> str"),
        (list[str], list[int], "one is (text: str) -> list[str], and the other (text: str) -> list[int]"),
        (Annotated[int, Field(ge=0)], Annotated[int, Field(ge=5)], "ge=5"),
    ],
)
def test_one_function_with_two_types_needs_two_names(first: Any, second: Any, why: str) -> None:
    def reader(kind: Any) -> Tool[[str], Any]:
        def read(text: str) -> Any:
            return text

        read.__annotations__["return"] = kind
        return tool(read, effects="pure")

    def wrong(text: str) -> Any:
        reader(first)(text)
        return reader(second)(text)  # D031

    def right(text: str) -> Any:
        reader(first)(text)
        return reader(first)(text)

    assert why in (the_error(wrong).why or "")
    workflow(right).trace()


def test_a_parameter_of_another_type_makes_another_tool() -> None:
    def taker(kind: Any) -> Tool[[Any], str]:
        @tool(effects="pure")
        def take(value: kind) -> str:
            return str(value)

        return take

    def wrong(number: int) -> str:
        return taker(int)(number) + taker(float)(number)  # D031

    assert the_error(wrong).why == "one is (value: int) -> str, and the other (value: float) -> str"


def put_on_here(text: str) -> str:
    return HERE.put(text)


def test_a_tool_takes_no_symbolic_value_from_around_it() -> None:
    def flow(text: str) -> str:
        @tool(effects="pure")
        def join(other: str) -> str:
            return other + text

        @tool(effects="pure")
        def greet(other: str, prompt: str = f"Dear {text}") -> str:
            return prompt + other

        bound = tool(partial(adder_of, text), name="bound")
        return join(llm("x")) + greet("a") + bound("b")  # D033

    with pytest.raises(TraceError) as caught:
        record(workflow(flow))
    assert [(error.code, error.fix) for error in caught.value.diagnostics] == [
        ("ORCH-D033", "make it a parameter of `join`"),
        ("ORCH-D033", "make it a parameter of `greet`"),
        ("ORCH-D033", "make it a parameter of `bound`"),
    ]
    assert "`text`" in caught.value.diagnostics[0].message


def adder_of(amount: str, text: str) -> str:
    return text + amount


def test_a_class_whose_definition_runs_twice_is_to_be_defined_once() -> None:
    @workflow
    def rated(text: str) -> int:
        class Rating(BaseModel):
            stars: int

        return llm(text, returns=Rating).stars  # D031

    @workflow
    def flow(text: str) -> int:
        return rated(text) + rated(text)

    with pytest.raises(TraceError) as caught:
        record(flow)
    assert caught.value.diagnostics[0].fix == "define Rating once, at the top of the module"
