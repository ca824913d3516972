"""Graph views of a module."""

from __future__ import annotations

from orchestrator.ir.views import ENTRY, critical_path, data_flow, dominators, levels

from .modules import build

MODULE = [("once", 0, ""), ("once", 1, ""), ("pure", 1, ""), ("map", 2, "")]


def test_edges_follow_the_data_into_regions() -> None:
    graph = data_flow(build(MODULE))
    assert graph.has_edge("tool_2", "tool_3")
    assert graph.has_edge("tool_5", "map_7")
    assert graph.edges["map_7", "tool_6"]["nested"]


def test_a_region_waits_for_what_it_reads_from_outside() -> None:
    graph = data_flow(build([("once", 0, ""), ("once", 0, ""), ("branch", 1, "")]))
    assert graph.has_edge("tool_2", "branch_7")


def test_levels_and_paths() -> None:
    module = build(MODULE)
    assert levels(module)[0] == ["chat_1", "tool_2"]
    assert critical_path(module, {"tool_2": 1.0, "tool_4": 5.0, "tool_3": 1.0})[:2] == ["tool_2", "tool_4"]
    assert dominators(module)["tool_3"] == "tool_2"
    assert dominators(module)["tool_2"] == ENTRY
