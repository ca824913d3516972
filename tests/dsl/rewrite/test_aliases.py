# ruff: noqa: PERF401, RUF005 - programs as people write them
"""An object that several names hold is changed for all of them, or the change is refused."""

from __future__ import annotations

import copy
import re
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from functools import partial
from heapq import heappush
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.dsl.tool import tool
from orchestrator.dsl.workflow import workflow
from orchestrator.errors import Diagnostic, RunError, TraceError
from orchestrator.testing import fake
from tests.dsl.rewrite.alias_programs import (
    HEADER,
    INPUTS,
    Kept,
    Program,
    adding,
    itself,
    listed,
    odd,
    programs,
    rows,
    size,
)


def _loaded(made: list[Program], folder: Path) -> dict[str, Callable[..., Any]]:
    """The functions of programs, in a file, as the rewriting reads the source."""
    file = folder / "aliasing.py"
    file.write_text(HEADER + "\n\n".join(each.source for each in made))
    spec = spec_from_file_location(f"aliasing_{id(made)}", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return {each.name: getattr(module, each.name) for each in made}


def _plain(thing: Any) -> Any:
    """Models as dicts, and tuples as lists."""
    if isinstance(thing, BaseModel):
        return thing.model_dump()
    if is_dataclass(thing) and not isinstance(thing, type):
        return asdict(thing)
    if isinstance(thing, (list, tuple)):
        return [_plain(each) for each in thing]
    if isinstance(thing, dict):
        return {key: _plain(value) for key, value in thing.items()}
    return thing


def _text(found: Any) -> Any:
    """Texts of lists as JSON and as Python write them."""
    return re.sub(r"[\s\\]", "", str(_plain(found)).replace(chr(34), chr(39)))


def _plainly(function: Callable[..., Any], text: str) -> str:
    try:
        return _text(copy.deepcopy(function(text)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the workflow must raise it too
        return type(error).__name__


def _compiled(flow: Any, text: str) -> str:
    with fake(lambda _: "said"):
        try:
            return _text(flow(text))
        except RunError as error:
            return error.raised.kind.rpartition(".")[2] if error.raised is not None else error.code


def _refused(function: Callable[..., Any]) -> tuple[Diagnostic, ...]:
    """Why a program is no workflow; nothing if it is one."""
    try:
        workflow(function).trace()
    except TraceError as error:
        return tuple(error.diagnostics)
    return ()


def _difference(function: Callable[..., Any]) -> str:
    """What a program is as plain Python, and not as a workflow."""
    flow = workflow(function)
    for text in INPUTS:
        expected, found = _plainly(function, text), _compiled(flow, text)
        if expected != found:
            return f"of {text!r}\n  as Python:   {expected}\n  as workflow: {found}"
    return ""


_FILES = ("aliasing.py", "alias_programs.py")
COUNT = 120
"""How many programs are tried."""


def test_a_change_is_seen_by_all_that_hold_the_object_or_refused(tmp_path: Path) -> None:
    made = programs(seed=0, count=COUNT)
    functions = _loaded(made, tmp_path)
    refused = 0
    for program in made:
        found = _refused(functions[program.name])
        refused += bool(found)
        if found:
            assert all(each.code and each.fix and each.where is not None for each in found), program.source
            assert all(each.where.file.endswith(_FILES) for each in found if each.where), program.source
        else:
            assert not (wrong := _difference(functions[program.name])), f"{program.source}\n{wrong}"
    assert refused < COUNT * 0.85  # most of them change what several names hold


_COPY = re.compile(r"copy it first: (\w+) = (\w+)\(\1\)")


def test_to_do_what_the_message_says_mends_it(tmp_path: Path) -> None:
    mended, tried = 0, 0
    for program in programs(seed=1, count=24):
        source, function, found = _followed(program, tmp_path / program.name)
        tried += source != program.source
        if source != program.source and not found:
            mended += 1
            assert not (wrong := _difference(function)), f"{source}\n{wrong}"
        assert not any(_COPY.search(each.fix or "") for each in found), source
    assert mended > tried // 2 > 5


def _followed(program: Program, folder: Path) -> tuple[str, Callable[..., Any], tuple[Diagnostic, ...]]:
    """The source once the list is copied wherever a message says so, and what is wrong with it then."""
    source = program.source
    for attempt in range(6):
        place = folder / str(attempt)
        place.mkdir(parents=True)
        function = _loaded([Program(program.name, source, program.parts)], place)[program.name]
        found = _refused(function)
        said = [(each.where, match) for each in found if (match := _COPY.search(each.fix or ""))]
        if not said:
            break
        where, match = said[0]
        assert where is not None
        lines = source.split("\n")
        at = where.line - HEADER.count("\n") - 1
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines.insert(at, f"{indent}{match[1]} = {match[2]}({match[1]})")
        source = "\n".join(lines)
    return source, function, found


def appended(text: str) -> list[str]:
    found = []
    for word in listed(text):
        if odd(word):
            found.append(word)
    found.append("end")
    return found


def counted(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in listed(text):
        counts[word] = counts.get(word, 0) + 1
    if odd(text):
        counts["odd"] = 1
    return counts


def grouped(text: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {"long": [], "short": []}
    for word in listed(text):
        groups["long" if size(word) > 2 else "short"] += [word]
    return groups


def conversed(text: str) -> list[str]:
    messages = [f"user: {text}"]
    for turn in range(3):
        messages.append(f"assistant: {len(messages)} {turn}")
        if odd(messages[-1]):
            messages.append("user: go on")
    return messages


def copied_first(text: str) -> list[list[str]]:
    both = rows(text)
    made = []
    for row in both:
        own = list(row)
        own.append("more")
        made.append(own)
    return made + both


def returned_by_a_function(text: str) -> list[str]:
    def longer(given: list[str], word: str) -> list[str]:
        return [*given, word]

    found = listed(text)
    found = longer(found, "a")
    found.sort()
    return found


def rebound(text: str) -> list[list[str]]:
    first = second = listed(text)
    second = second + ["x"]
    if odd(text):
        first = first[1:]
    return [first, second]


def of_no_name(text: str) -> list[str]:
    sizes = []
    for row in rows(text):
        row.append("x")
        sizes.append(f"{len(row)}")
    return sizes


def items_of_a_dict(text: str) -> dict[str, Any]:
    state: dict[str, Any] = {"seen": [], "n": 0}
    for word in ["a", "b"]:
        state["n"] += size(word)
        state["seen"] += [word + text]
    return state


def seen_by_a_closure(text: str) -> str:
    found = listed(text)

    def look() -> str:
        return f"{found}"

    before = look()
    found.append("x")
    if odd(text):
        found.append("odd")
    return before + look()


@pytest.mark.parametrize(
    "program",
    [
        appended, counted, grouped, conversed, copied_first, returned_by_a_function, rebound, of_no_name,
        items_of_a_dict, seen_by_a_closure,
    ],
)  # fmt: skip
def test_what_one_name_holds_is_changed(program: Callable[..., Any]) -> None:
    assert not _refused(program)
    assert not _difference(program)


DEFAULTS = ["d"]


def of_the_module(text: str) -> list[str]:
    found = DEFAULTS
    found.append(text)
    return found


def of_the_module_elsewhere(text: str) -> list[str]:
    adding(DEFAULTS)
    return [text]


def gone_through_twice(text: str) -> list[str]:
    found = []
    for row in [listed(text)] * 2:
        row.append("x")
        found.append(f"{row}")
    return found


def at_two_places(text: str) -> list[list[str]]:
    both = [listed(text)] * 2
    both[size(text) % 2] += ["x"]
    return both


def returned_before_the_finally(text: str) -> list[str]:
    found = listed(text)
    try:
        return found
    finally:
        found.append("x")


def default_of_two_calls(text: str) -> list[str]:
    def longer(given: list[str] = listed(text)) -> str:  # noqa: B008 - what it is about
        given.append("x")
        return f"{given}"

    return [longer(), longer()]


def bound_to_a_partial(text: str) -> list[list[str]]:
    found = listed(text)
    same = partial(itself, found)
    found.append("x")
    return [found, same()]


def attribute_of_an_object(text: str) -> list[list[str]]:
    kept = Kept(listed(text))
    found = kept.given
    found.append("x")
    return [found, kept.given]


def state_of_a_loop(text: str) -> list[list[str]]:
    first = second = [text]
    for word in listed(text):
        first.append(word)
        first = second = [word]
    return [first, second]


def within_itself(text: str) -> list[str]:
    def longer(count: int, given: list[str]) -> list[str]:
        if count == 0:
            return given
        given.append("x")
        return longer(count - 1, given)

    return longer(3, listed(text))


def of_a_method(text: str) -> list[str]:
    kept = Kept([])
    if odd(text):
        kept.add(text)
    return kept.given  # type: ignore[no-any-return]


def of_a_deque(text: str) -> list[str]:
    found = deque([text])
    if odd(text):
        found.append("x")
    return list(found)


def of_a_heap(text: str) -> list[int]:
    found = [2, 3]
    if odd(text):
        heappush(found, 1)
    return found


def by_a_slice(text: str) -> list[str]:
    found = listed(text)
    found[:1] = ["x", "y"]
    return found


@pytest.mark.parametrize(
    "program",
    [
        of_the_module, of_the_module_elsewhere, gone_through_twice, at_two_places, returned_before_the_finally,
        default_of_two_calls, bound_to_a_partial, attribute_of_an_object, state_of_a_loop, within_itself, of_a_method,
        of_a_deque, of_a_heap, by_a_slice,
    ],
)  # fmt: skip
def test_what_others_may_hold_is_not_changed(program: Callable[..., Any]) -> None:
    found = _refused(program)
    assert {each.code for each in found} == {"ORCH-D052"}
    assert all(each.fix for each in found)
    assert DEFAULTS == ["d"]


def test_a_result_of_a_tool_is_new_where_the_tool_gives_back_its_argument() -> None:
    @tool(effects="pure")
    def same(given: list[str]) -> list[str]:
        return given

    def program(text: str) -> list[list[str]]:
        found = listed(text)
        other = same(found)
        found.append("x")
        return [found, other]

    assert workflow(program)("a") == [["a", "end", "x"], ["a", "end"]]


def test_a_message_names_the_other_and_says_how_to_go_on() -> None:
    def program(text: str) -> list[str]:
        found = listed(text)
        other = found if odd(text) else ["x"]
        other.append("y")
        return found

    (error,) = _refused(program)
    assert error.message == "`other` is changed, and `found` may be or hold the same list[str]"
    assert error.fix == "copy it first: other = list(other)"
    assert error.where is not None and error.where.line == program.__code__.co_firstlineno + 3


def test_a_capture_is_bound_behind_the_match() -> None:
    def program(text: str) -> list[str]:
        match listed(text):
            case found:
                pass
        return found

    assert not _refused(program)
    assert not _difference(program)
