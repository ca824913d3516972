"""A tool's hash changes with what it does, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from orchestrator import tool
from orchestrator.dsl.code_hash import code_hash

BASE = """
def helper(x): return x + 1
LIMIT = 3
def f(x: int, y: int = 2) -> int:
    return [helper(v) for v in (x, LIMIT) if v in {1, 'a', 2}]
"""


def hash_of(source: str) -> str:
    names: dict[str, Any] = {"__name__": "m"}
    exec(source, names)
    return code_hash(names["f"])


def test_equal_in_every_process() -> None:
    names = "n={'__name__': 'm'}"
    command = f"from orchestrator.dsl.code_hash import code_hash\n{names}\nexec({BASE!r}, n)\nprint(code_hash(n['f']))"
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert run.stdout.strip() == hash_of(BASE)


@pytest.mark.parametrize(
    "same",
    [("\ndef f", "\n\n# a comment\ndef f"), ("int:\n", "int:\n    'A docstring.'\n")],
    ids=["comments", "docstring"],
)
def test_unchanged_by(same: tuple[str, str]) -> None:
    assert hash_of(BASE.replace(*same)) == hash_of(BASE)


@pytest.mark.parametrize(
    "change",
    [("x + 1", "x + 2"), ("LIMIT = 3", "LIMIT = 4"), ("= 2)", "= 3)"), ("'a'", "'b'"), ("(x, LIMIT)", "(LIMIT, x)")],
    ids=["helper", "global", "default", "nested constant", "order"],
)
def test_changed_by(change: tuple[str, str]) -> None:
    assert hash_of(BASE.replace(*change)) != hash_of(BASE)


def test_closures_count() -> None:
    def make(limit: int) -> Callable[[int], int]:
        return lambda x: x + limit

    assert code_hash(make(1)) == code_hash(make(1))
    assert code_hash(make(1)) != code_hash(make(2))
    assert code_hash(partial(make, 1)) != code_hash(partial(make, 2))


def test_recursive_functions_end() -> None:
    def down(n: int) -> int:
        return n and down(n - 1)

    assert len(code_hash(down)) == 16


def test_effects_count() -> None:
    def f(x: int) -> int:
        return x

    assert tool(f).code != tool(f, effects="pure").code
    assert tool(f).code == tool(f).code


@pytest.mark.parametrize("container", [[1], {"a": 1}])
def test_a_container_that_holds_itself(container: Any) -> None:
    def function() -> Any:
        return container

    if isinstance(container, dict):
        container["b"] = container
    else:
        container.append(container)
    before = code_hash(function)
    container["a" if isinstance(container, dict) else 0] = 2
    assert code_hash(function) != before


def test_a_function_of_a_module_whose_name_is_no_text() -> None:
    names: dict[str, Any] = {"__name__": "caf\udce9"}
    exec("def function(): return 1", names)
    assert len(code_hash(names["function"])) == 16


@pytest.mark.parametrize("calls", ["step_{next}(x)", "[step_{next}][0](x)"])
def test_chains_of_functions_may_be_long(calls: str) -> None:
    count = 5000

    def chain(last: str) -> str:
        lines = [f"def step_{n}(x): return {calls.format(next=n + 1)}" for n in range(count)]
        return "\n".join([*lines, f"def step_{count}(x): return {last}", "f = step_0"])

    assert hash_of(chain("x")) == hash_of(chain("x"))
    assert hash_of(chain("x")) != hash_of(chain("x + 1"))


def test_defaults_may_be_nested_deeply() -> None:
    def nested(inside: int) -> str:
        return f"v = {inside}\nfor _ in range(5000): v = [v]\ndef f(x=v): return x"

    assert hash_of(nested(1)) != hash_of(nested(2))
