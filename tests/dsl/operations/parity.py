"""The same function on concrete values and, in a workflow, on symbolic ones."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.errors import RunError
from orchestrator.testing import fake


def run(function: Callable[..., Any], **arguments: tuple[Any, Any]) -> Any:
    """``function`` as a workflow of these parameters, each a type and a value."""
    names = ", ".join(arguments)
    scope = {"function": function, "Any": Any}
    exec(f"def flow({names}) -> Any:\n    return function({names})", scope)
    flow: Any = scope["flow"]
    flow.__annotations__ = {**{name: tp for name, (tp, _) in arguments.items()}, "return": Any}
    with fake():
        return workflow(flow)(**{name: value for name, (_, value) in arguments.items()})


def assert_agrees(function: Callable[..., Any], oracle: Callable[..., Any], **arguments: tuple[Any, Any]) -> None:
    """What the workflow gives, or raises, is what Python gives or raises."""
    try:
        expected = oracle(*(deepcopy(value) for _, value in arguments.values()))
    except Exception as error:  # noqa: BLE001 - whatever it is, the workflow raises it too
        with pytest.raises(RunError) as caught:
            run(function, **arguments)
        assert type(error).__name__ in str(caught.value)
        return
    found = run(function, **arguments)
    assert found == expected
    assert type(found) is type(expected)


def decides(answer: object, expected: object) -> None:
    """Tracing knows the answer; that of a value would show its name."""
    assert repr(answer) == repr(expected)
