"""Changes of what is in a list or dict of the workflow: grouping, counting in tables, rows."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dsl.workflow import workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, same


def _words(text: str) -> list[str]:
    return text.split()


def _initial(text: str) -> str:
    return text[0]


words, initial = noting(_words, effects="pure"), noting(_initial)
TEXTS = ["a bb ab ba", "", "b b"]


def grouped(text: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for word in words(text):
        if word[0] not in groups:
            groups[word[0]] = []
        groups[word[0]].append(word)
    return groups


def grouped_by_default(text: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for word in words(text):
        groups.setdefault(word[0], []).append(word)
    return groups


def a_key_is_asked_for_once(text: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for word in words(text):
        groups.setdefault(initial(word), []).append(word)
        groups[initial(word)].append(word.upper())
    return groups


def sets(text: str) -> list[str]:
    groups: dict[str, set[str]] = {}
    seen = set[str]()
    for word in words(text):
        groups.setdefault(word[0], set()).add(word)
        seen.add(word)
    return [*sorted(seen), *(f"{key}{len(found)}" for key, found in groups.items())]


def tables(text: str) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {"n": {"all": 0}}
    for word in words(text):
        counts["n"]["all"] += 1
        if word[0] not in counts:
            counts[word[0]] = {}
        counts[word[0]][word] = counts[word[0]].get(word, 0) + 1
        counts.setdefault("sizes", {})[word] = len(word)
    return counts


def rows(text: str) -> list[list[Any]]:
    grid = [[0, 0], [0, 0]]
    for word in words(text):
        grid[len(word) % 2][0] += 1
    found: list[list[Any]] = [["head"], []]
    for word in words(text):
        found[1].append(word)
    if len(text) > 3:
        found[0].append("long")
    return [*grid, *found]


def removed(text: str) -> list[str]:
    left = words(text)
    for word in words(text):
        if word in left and len(left) > 1:
            left.remove(word)
    return left


def defaults(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words(text):
        counts.setdefault(word, 7)
        counts[word] += 1
    return counts


def seen_before(text: str) -> list[str]:
    seen, found = {"z", "ab"}, list[str]()
    for word in words(text):
        if word not in seen:
            seen.add(word)
            found.append(word)
    if len(text) > 2:
        seen |= {text}
    return [*found, *sorted(seen)]


ALIKE = [grouped, grouped_by_default, a_key_is_asked_for_once, sets, tables, rows, removed, defaults, seen_before]


@pytest.mark.parametrize("program", ALIKE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("text", TEXTS)
def test_it_means_what_python_means(program: Any, text: str) -> None:
    same(program, text)


def one_row_twice(text: str) -> list[list[str]]:
    row = ["head"]
    found = [row, row]
    for word in words(text):
        found[1].append(word)
    return found


def rows_that_are_one(text: str) -> list[list[int]]:
    grid = [[0, 0]] * 2
    for word in words(text):
        grid[len(word) % 2][0] += 1
    return grid


def a_row_with_a_name(text: str) -> list[str]:
    found = {"a": ["x"]}
    row = found["a"]
    if len(text) > 3:
        found["a"].append(text)
    return row


def a_default_that_is_shared(text: str) -> list[str]:
    groups: dict[str, list[str]] = {}
    shared: list[str] = []
    for word in words(text):
        groups.setdefault(word, shared).append(word)
    return shared


def a_set_with_two_names(text: str) -> list[str]:
    seen = set[str]()
    other = seen
    for word in words(text):
        seen.add(word)
    return sorted(other)


REFUSED = [a_set_with_two_names, one_row_twice, rows_that_are_one, a_row_with_a_name, a_default_that_is_shared]


@pytest.mark.parametrize("program", REFUSED, ids=lambda each: each.__name__)
def test_what_several_may_hold_is_not_changed(program: Any) -> None:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    assert {each.code for each in caught.value.diagnostics} == {"ORCH-D052"}
