"""An op keeps its meaning when others are edited, and loses it when it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator import llm, loop, tool, workflow
from orchestrator.passes.pipeline import run_pipeline
from orchestrator.planner.graph import read
from orchestrator.planner.meaning import meanings


@tool(effects="pure")
def count(text: str) -> int:
    """Characters."""
    return len(text)


@tool(effects="pure")
def more(n: int) -> int:
    """One more."""
    return n + 1


def meant(fn: Callable[..., Any]) -> dict[str, str]:
    module, _ = run_pipeline(workflow(fn).trace().module)
    return meanings(read(module))


def plain(question: str) -> str:
    draft = llm(f"Q: {question}", max_tokens=20)
    n = loop(more, count(draft), max=5, until=lambda n: n >= 3)
    return llm(f"{draft} of {n}", max_tokens=30)


def differing(fn: Callable[..., Any]) -> set[str]:
    before, after = meant(plain), meant(fn)
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def test_the_same_code_means_the_same() -> None:
    assert differing(plain) == set()


def test_a_prompt_is_a_part_of_the_call_that_takes_it_and_of_no_other() -> None:
    def edited(question: str) -> str:
        draft = llm(f"Question: {question}", max_tokens=20)
        n = loop(more, count(draft), max=5, until=lambda n: n >= 3)
        return llm(f"{draft} of {n}", max_tokens=30)

    assert differing(edited) == {"prompt_1", "llm_1"}


def test_bounds_and_settings_count() -> None:
    def edited(question: str) -> str:
        draft = llm(f"Q: {question}", max_tokens=20)
        n = loop(more, count(draft), max=6, until=lambda n: n >= 3)
        return llm(f"{draft} of {n}", max_tokens=31)

    found = differing(edited)
    assert {"llm_2"} < found
    assert not found & {"llm_1", "count_1", "prompt_1", "prompt_2"}


def test_whose_result_an_op_takes_counts() -> None:
    def edited(question: str) -> str:
        draft = llm(f"Q: {question}", max_tokens=20)
        n = loop(more, count(question), max=5, until=lambda n: n >= 3)
        return llm(f"{draft} of {n}", max_tokens=30)

    assert differing(edited) == {"count_1"}
