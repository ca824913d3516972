"""Fold prompts: what its golden files do not show."""

from __future__ import annotations

from types import SimpleNamespace

from orchestrator.ir.text import parse
from orchestrator.ir.walk import tree
from orchestrator.passes.fold_prompts import _inlined

ONE_PROMPT = """
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">):
  %p = "agent.prompt"(%q) {id = "p", parts = ["<", ">"], opts = {}} : (!agent.value<"str">) -> !agent.value<"str">
  "agent.yield"(%p) : (!agent.value<"str">) -> ()
}) {sym_name = "w", opts = {}} : () -> ()
"""


def test_a_prompt_that_thousands_use_is_not_asked_for_all_its_uses_by_each_of_them() -> None:
    module = parse(ONE_PROMPT)
    [prompt] = tree(module).bodies[0].nodes
    uses = iter(range(5_000))
    assert _inlined(SimpleNamespace(uses=uses), prompt) is None
    assert len(list(uses)) == 4_998
