"""What rewriting costs grows with the source: it is counted in calls of Python functions, which no load changes."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from orchestrator.dsl.rewrite.function import rewrite, source_of
from orchestrator.dsl.rewrite.scopes import NONE, Liveness

HEAD = """
from orchestrator import tool, workflow

@tool(effects="pure", cheap=True)
def find(text: str) -> list[str]:
    return [text]

@tool(effects="pure", cheap=True)
def good(text: str) -> bool:
    return True

@workflow
def flow(q: str) -> str:
    x = q
    hits = find(q)
"""
MOST = 2.3
"""Times the calls that twice the source may take."""

_numbers = count()


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Make a workflow of the lines of its body, in a file of its own."""
    made: list[str] = []

    def make(body: str) -> Any:
        name = f"flow_{next(_numbers)}"
        file = tmp_path / f"{name}.py"
        file.write_text(HEAD + body + "    return x\n")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        made.append(name)
        spec.loader.exec_module(module)
        return module.flow

    yield make
    for name in made:
        del sys.modules[name]


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, ``work`` calls."""
    counted = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


def rewriting(workflow: Any) -> int:
    """The calls that it takes to rewrite a workflow for the first time."""
    return calls(lambda: rewrite(workflow.fn))


def straight(lines: int) -> str:
    """Calls one after the other."""
    return "".join(f"    x = find(x)[0] + '{number}'\n" for number in range(lines))


def wide(lines: int) -> str:
    """Names that all live to the end."""
    names = [f"v{number}" for number in range(lines)]
    return "".join(f"    {name} = find(q)[0]\n" for name in names) + f"    x = ''.join([{', '.join(names)}])\n"


def branches(lines: int) -> str:
    """Branches one after the other."""
    return "    if good(x):\n        x = x + 'a'\n    else:\n        x = q\n" * lines


def loops(lines: int) -> str:
    """Loops one after the other."""
    return "    for hit in hits:\n        x = x + hit\n" * lines


def kept(lines: int) -> str:
    """Generator expressions and pairs that get names."""
    return "".join(
        f"    g{n} = (hit for hit in hits)\n    x = ''.join(g{n})\n    p{n} = zip(hits, hits)\n    q{n} = list(p{n})\n"
        for n in range(lines)
    )


def unpacked(lines: int) -> str:
    """Nested targets, for which names are made up."""
    return "    (a, b), c = (x, x), x\n" * lines


def deep(levels: int) -> str:
    """Branches in each other."""
    return "".join(
        "    " * level + "if good(x):\n" + "    " * (level + 1) + "x = x + 'a'\n" for level in range(1, levels)
    )


def returns(lines: int) -> str:
    """Returns from within branches, each of which makes the rest a branch in the one before."""
    return "    if good(x):\n        return q\n" * lines


def alternatives(lines: int) -> str:
    """A chain of ``elif``, each in the one before."""
    tests = "".join(f"    {'el' * (number > 0)}if x == '{number}':\n        x = q\n" for number in range(lines))
    return tests + "    for hit in hits:\n        if good(hit):\n            break\n"


@pytest.mark.parametrize("body", [straight, wide, branches, loops, kept, unpacked, deep, returns, alternatives])
def test_twice_the_source_takes_twice_the_work(flow: Callable[[str], Any], body: Callable[[int], str]) -> None:
    """A function of twice as many statements takes about twice as many calls."""
    rewrite(flow(body(3)).fn)  # what is made once for a process
    few, many = (rewriting(flow(body(lines))) for lines in (30, 60))
    assert many < MOST * few


def test_loops_in_loops_take_no_longer_for_each_level(flow: Callable[[str], Any]) -> None:
    """A loop is looked at twice, and not twice for each of those around it."""

    def nested(levels: int) -> str:
        lines = [f"{'    ' * (level + 1)}for h{level} in hits:\n" for level in range(levels)]
        return "".join(lines) + "    " * (levels + 1) + "x = x + h0\n"

    few, many = (rewriting(flow(nested(levels))) for levels in (7, 14))
    assert many < 4 * few


def test_made_up_names_stay_short(flow: Callable[[str], Any]) -> None:
    """The hundredth name of a kind is numbered, and no longer than others."""
    source = source_of(flow(loops(100)).fn)
    assert source is not None
    names = {node.arg for node in ast.walk(ast.parse(source)) if isinstance(node, ast.arg)}
    assert {"item_", "item_2", "item_100"} <= names


def test_what_a_turn_leaves_the_next_may_read() -> None:
    """What stands in a loop sees what later turns read, however deep the loop is."""
    body = ast.parse(
        "for a in s:\n for b in s:\n  while c:\n   if late:\n    use(first)\n   late = b\n  first = a\n", mode="exec"
    ).body
    live = Liveness(body, NONE)
    outer = body[0]
    assert isinstance(outer, ast.For) and isinstance(outer.body[0], ast.For)
    inner = outer.body[0].body[0]
    assert isinstance(inner, ast.While)
    assert live.after(inner.body[0]) == {"s", "b", "c", "a", "first", "use"}
    assert live.before(inner) >= {"late", "first", "c", "b"}
    assert {"late", "first"} <= live.after(outer.body[0])
