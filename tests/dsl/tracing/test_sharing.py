"""A change that others would see in Python is refused: parts of values, what values are made of, and either of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator import tool, workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import same


@dataclass
class Note:
    title: str
    tags: list[str]


@tool(effects="pure")
def note(text: str) -> Note:
    return Note(text, text.split())


@tool(effects="pure")
def table(text: str) -> dict[str, list[str]]:
    return {"a": text.split()}


@tool(effects="pure")
def rows(text: str) -> list[list[str]]:
    return [text.split(), ["x"]]


def field(text: str) -> list[str]:
    found = note(text)
    tags = found.tags
    tags.append("q")
    return found.tags


def item_of_a_dict(text: str) -> list[str]:
    found = table(text)
    items = found["a"]
    items.append("q")
    return found["a"]


def each_item(text: str) -> list[str]:
    found = rows(text)
    for row in found:
        row.append("q")
    return found[0]


def put_into_a_model(text: str) -> list[str]:
    tags = text.split()
    made = Note(text, tags)
    tags.append("q")
    return made.tags


def one_of_two(text: str) -> list[str]:
    tags = text.split()
    found = tags if text else ["z"]
    found.append("q")
    return tags


def one_or_the_other(text: str) -> list[str]:
    tags = text.split()
    found = tags or ["z"]
    found += ["q"]
    return tags


def handed_on_by_a_loop(text: str) -> list[str]:
    found = text.split()
    first = found
    for word in text.split():
        found.append(word + found[0])
    return first


def part_of_a_model_of_a_known_list(text: str) -> list[str]:
    tags = [text]
    found = Note(text, tags).tags
    found += ["q"]
    return tags


def the_keys_of_a_dict(text: str) -> list[str]:
    found = table(text)
    names = found.keys()
    found["z"] = []
    return list(names)


def its_values_on_one_path(text: str) -> int:
    found = table(text)
    held = [found.values()] if text else []
    found["z"] = []
    return len(held[0]) if held else 0


def its_items_and_a_loop(text: str) -> int:
    found = table(text)
    pairs = found.items()
    for word in text.split():
        found[word] = []
    return len(pairs)


SHARED = [
    the_keys_of_a_dict, its_values_on_one_path, its_items_and_a_loop, part_of_a_model_of_a_known_list,
    field, item_of_a_dict, each_item, put_into_a_model, one_of_two, one_or_the_other, handed_on_by_a_loop,
]  # fmt: skip


@pytest.mark.parametrize("program", SHARED, ids=lambda program: program.__name__)
def test_a_change_that_others_would_see_is_refused(program: Callable[..., Any]) -> None:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    assert [each.code for each in caught.value.diagnostics] == ["ORCH-D052"]
    assert "copy it first" in str(caught.value)


def copies(text: str) -> list[list[str]]:
    found = text.split()
    before = list(found)
    for word in before:
        found.append(word)
        head = found[:2]
        head.append("z")
    before.append("b")
    return [found, before]


def parts_of_what_nobody_holds(text: str) -> list[list[str]]:
    tags = note(text).tags
    tags.append("y")
    made = []
    for row in rows(text):
        row.append("x")
        made.append(row)
    return [tags, *made]


def keys_that_are_read_before_and_copied(text: str) -> list[str]:
    found = table(text)
    names = list(found.keys())
    for name, tags in found.items():
        names.append(f"{name} {len(tags)}")
    found["z"] = []
    return [*names, *found.keys(), *sorted(found.items())[0][1]]


def changed_on_one_path(text: str) -> list[str]:
    found = text.split()
    if "a" in found:
        found.append("q")
    found.append("end")
    return found


PROGRAMS = [copies, parts_of_what_nobody_holds, changed_on_one_path, keys_that_are_read_before_and_copied]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_change_that_nobody_else_sees_means_what_it_means_in_python(program: Callable[..., Any]) -> None:
    for text in ("", "a", "a b c"):
        same(program, text)
