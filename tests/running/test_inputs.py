"""Inputs: a mapping, arguments by position, by name; what does not fit is said with the user's line."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Static, run, workflow
from orchestrator.errors import RunError, TraceError


@workflow
def pair(a: int, b: str = "x") -> list[object]:
    return [a, b]


@workflow
def table(rows: dict[str, int]) -> int:
    return rows["a"]


@workflow
def named_like_options(question: str, model: str = "small") -> str:
    return f"{question} {model}"


@pytest.mark.parametrize(
    ("given", "named", "found"),
    [
        (({"a": 1, "b": "y"},), {}, [1, "y"]), (({"a": 1},), {}, [1, "x"]), ((1,), {}, [1, "x"]),
        ((1, "y"), {}, [1, "y"]), ((1,), {"b": "y"}, [1, "y"]), ((), {"a": "3"}, [3, "x"]),
    ],
)  # fmt: skip
def test_inputs_are_given_as_one_likes(given: Any, named: Any, found: object) -> None:
    assert run(pair, *given, **named).value == found


def test_a_mapping_that_is_an_input_goes_into_one() -> None:
    assert run(table, {"rows": {"a": 3}}).value == 3
    assert run(table, rows={"a": 3}).value == 3
    with pytest.raises(RunError) as caught:
        run(table, {"a": 3})
    assert 'run(table, {"rows": …})' in (caught.value.diagnostics[0].fix or "")


@pytest.mark.parametrize(
    ("given", "named", "messages", "fix"),
    [
        (({"a": 1, "c": 2, "d": 3},), {}, ["`pair` has no parameter `c`", "`pair` has no parameter `d`"], None),
        (({},), {}, ["the input `a` of `pair` is missing"], 'run(pair, {"a": …, "b": …})'),
        ((1,), {"modle": "m"}, ["`pair` has no parameter `modle`"], "did you mean `model`?"),
        ((1,), {"aa": 2}, ["`pair` has no parameter `aa`"], "did you mean `a`?"),
        ((1, "x", 3), {}, ["wrong inputs of workflow `pair`: too many positional arguments"], None),
        (
            ("one",),
            {},
            ["wrong inputs: `a`: Input should be a valid integer, unable to parse string as an integer"],
            None,
        ),
    ],
)
def test_what_does_not_fit_is_said_at_its_line(given: Any, named: Any, messages: list[str], fix: str | None) -> None:
    with pytest.raises(RunError) as caught:
        run(pair, *given, **named)
    assert [each.message for each in caught.value.diagnostics] == messages
    for each in caught.value.diagnostics:
        assert each.code == "ORCH-R007"
        assert each.where is not None
        assert each.where.file == __file__
    assert fix is None or caught.value.diagnostics[0].fix == fix


def test_an_input_with_the_name_of_an_option_is_given_in_a_mapping() -> None:
    found = run(named_like_options, {"question": "q", "model": "large"}, engine="sim", model="m")
    assert found.value == "q large"
    assert run(named_like_options, "q").value == "q small"
    with pytest.raises(RunError) as caught:
        run(named_like_options, "q", engine="sim", model="m")
    (told,) = caught.value.diagnostics
    assert told.message == "`model` is an input of `named_like_options`, and an option of the run"


def test_what_is_no_workflow_is_said() -> None:
    def plain(a: int) -> int:
        return a

    with pytest.raises(TraceError) as caught:
        run(plain, 1)  # type: ignore[arg-type]
    assert caught.value.code == "ORCH-D002"


@workflow
def shouted(text: str, loud: Static[bool], times: Static[int] = 1) -> str:
    return " ".join([f"{text}!" if loud else f"{text}"] * times)


def test_static_parameters_are_inputs_too() -> None:
    assert run(shouted, "x", loud=True).value == "x!"
    assert run(shouted, {"text": "x", "loud": False, "times": 2}).value == "x x"
    for wrong in ({"loud": "perhaps"}, {}):
        with pytest.raises(RunError) as caught:
            run(shouted, "x", **wrong)
        assert caught.value.code == "ORCH-R007"
