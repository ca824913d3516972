"""Traces in MLIR: the module is verified, its locations name op and line, and the text is the same every time."""

from __future__ import annotations

import pytest

from orchestrator import branch, llm, loop, map_, race, react, tool, workflow
from orchestrator.dsl.workflow import Workflow

pytest.importorskip("torch_mlir")


@tool(effects="pure")
def shout(text: str) -> str:
    return text.upper()


@workflow(slo="p95 < 8s")
def everything(question: str) -> str:
    drafts = map_(shout, llm(f"Q: {question}", samples=3, temperature=0.5))
    best = branch(drafts[0] == "X", then=lambda: drafts[1], otherwise=lambda: drafts[2])
    count, text = loop(lambda s: (s[0] + 1, shout(s[1])), (0, best), max=3, until=lambda s: s[0] > 1)
    raced = race(lambda: shout(text), lambda: llm(text))
    return react(f"{count} {raced}", tools=[shout], max_steps=2)


def text_of(flow: Workflow[..., str]) -> str:
    return str(flow.trace().module)


def test_the_text_is_deterministic() -> None:
    assert text_of(everything) == text_of(everything)


def test_ops_and_types() -> None:
    text = text_of(everything)
    for kind in (
        "prompt",
        "generate",
        "map",
        "tool",
        "branch",
        "loop",
        "race",
        "arm",
        "chat",
        "const",
        "field",
        "yield",
    ):
        assert f"agent.{kind}" in text
    assert '!agent.value<"list[str]">' in text


def test_locations_name_op_and_line() -> None:
    assembly = everything.trace().module.operation.get_asm(enable_debug_info=True, use_local_scope=True)
    line = everything.fn.__code__.co_firstlineno + 2
    assert f'loc("llm_1"("{__file__}":{line}' in assembly


def test_the_module_outlives_the_trace() -> None:
    modules = [everything.trace().module for _ in range(3)]
    assert len({str(module) for module in modules}) == 1
    assert all(module.operation.verify() for module in modules)
