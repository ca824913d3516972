"""Which region of a branch or a switch is for a value."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import RunError
from orchestrator.runtime.values.at_run_time import adapter

Select = Callable[[Any], int]
"""The number of the region for a value."""


def by_truth(condition: object) -> int:
    """Of a branch."""
    return 0 if condition else 1


@dataclass(frozen=True, slots=True)
class Cases:
    """Of a switch: the first case that a value is of, as ``match`` compares them, else what is for everything else."""

    cases: tuple[tuple[object, ...], ...]
    """It has the values and classes that each region is for."""
    has_default: bool

    def __call__(self, value: object) -> int:
        for number, case in enumerate(self.cases):
            if any(_is(value, each) for each in case):
                return number
        if self.has_default:
            return len(self.cases)
        if isinstance(value, int):  # which stands for a float
            for number, case in enumerate(self.cases):
                if float in case:
                    return number
        raise RunError(
            "ORCH-R051",
            f"no case of a switch is for {value!r:.200}",
            why="its cases cover all that its type declares",
            fix="have the value be what its type says, or give the switch otherwise=",
        )


def _is(value: object, case: object) -> bool:
    if isinstance(case, type):
        return isinstance(value, case)
    return value is case if case is None or isinstance(case, bool) else bool(value == case)


def cases_of(texts: Sequence[Sequence[str]], classes: Mapping[str, Any], *, has_default: bool) -> Cases:
    """The cases as the IR has them; ``classes`` are what names of types mean when a workflow runs."""
    return Cases(tuple(tuple(_case(text, classes) for text in case) for case in texts), has_default)


def class_names(texts: Sequence[Sequence[str]]) -> list[str]:
    """The types that cases name."""
    cases = [json.loads(text) for case in texts for text in case]
    return [case["type"] for case in cases if isinstance(case, dict)]


def _case(text: str, classes: Mapping[str, Any]) -> object:
    case = json.loads(text)
    if not isinstance(case, dict):
        return case
    tp = classes[case["type"]]
    return adapter(tp).validate_python(case["value"]) if "value" in case else tp
