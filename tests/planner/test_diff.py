"""Two plans side by side."""

from __future__ import annotations

import json

import pytest

from orchestrator.planner.cluster import Cluster
from orchestrator.planner.diff import diff, render_diff, signed
from orchestrator.planner.figures import duration
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import Plan
from orchestrator.planner.table import cells
from tests.planner.clusters import cpu
from tests.planner.test_plan import op, small_plan


def two() -> tuple[Plan, Plan]:
    before = small_plan(
        ops=(
            op("same"),
            op("slower", seconds=Interval(1, 2, 3), count=Interval(0, 2, 4), cost_usd=Interval.exact(0.001)),
            op("gone"),
            op("moved", place="thread"),
            op("unpriced", cost_usd=Interval.exact(0.5)),
        ),
        cost_usd=Interval.exact(1.0),
        p95_s=9.0,
        critical_path=(),
    )
    after = small_plan(
        ops=(
            op("same"),
            op("slower", seconds=Interval(1, 3, 9), count=Interval(0, 2, 4), cost_usd=Interval.exact(0.003)),
            op("moved", place="ray-task"),
            op("unpriced"),
            op("new", seconds=Interval.exact(7)),
        ),
        cluster=Cluster(devices=(cpu(),)),
        ir_hash="4567",
        seconds=Interval.exact(2.0),
        objective="cost",
        rate_per_s=2.5,
        p95_s=12.0,
        critical_path=(),
    )
    return before, after


def test_each_op_says_what_happened_to_it() -> None:
    found = diff(*two())
    assert {each.id: each.status for each in found.ops} == {
        "same": "same", "slower": "changed", "moved": "changed", "unpriced": "changed", "new": "new", "gone": "gone",
    }  # fmt: skip
    by_id = {each.id: each for each in found.ops}
    assert by_id["slower"].seconds == pytest.approx(2.0)
    assert by_id["slower"].cost_usd == pytest.approx(0.004)
    assert by_id["slower"].high_seconds == pytest.approx(24.0)
    assert by_id["moved"].moved == ("thread", "ray-task")
    assert by_id["unpriced"].cost_usd is None
    assert by_id["new"].seconds == 7.0
    assert by_id["gone"].seconds == -1.0
    assert [each.id for each in found.changed][:2] == ["new", "slower"]
    assert found.workflow_changed


def test_regions_are_left_to_what_is_in_them() -> None:
    region = op("map", kind="map")
    inside = op("a", parent="map", region="body")
    made = small_plan(ops=(region, inside), critical_path=())
    assert [each.id for each in diff(made, made).ops] == ["a"]


def test_a_plan_differs_from_itself_in_nothing() -> None:
    before, _ = two()
    found = diff(before, before)
    assert found.changed == ()
    assert not found.workflow_changed
    assert "unchanged  5 ops" in render_diff(found, "a", "b")


def test_the_text_names_everything_that_differs() -> None:
    text = render_diff(diff(*two()), "old.json", "now")
    for words in (
        "old.json → now",
        "thread → ray-task",
        "total      1s → 2s (+1s, +100%)",
        "p95        9s → 12s (+3s, +33%)",
        "cost       $1,000.00 → ? for 1,000 runs",
        "unchanged  1 op\n",
        "workflow   changed: 0123 → 4567",
        "objective  latency → cost",
        "rate       one at a time → 2.5 runs/s",
        "hardware   1 x round, 1 x round → 1 x round",
    ):
        assert words in text
    slower = next(line for line in text.splitlines() if line.startswith("slower"))
    assert slower.split()[1:] == ["thread", "4s", "6s", "+2s", "$2.00", "$6.00", "+$4.00"]
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = render_diff(diff(*two()), "a/plan/of/last/week.json", "now", width).splitlines()
    assert max(map(cells, lines)) <= width


def test_the_json_has_both_sides_and_unknown_is_null() -> None:
    data = json.loads(json.dumps(diff(*two()).as_dict()))
    assert data["seconds"][1]["mid"] == 2.0
    assert data["cost_usd"][1] is None
    assert data["p95_s"] == [9.0, 12.0]
    by_id = {each["id"]: each for each in data["ops"]}
    assert "same" not in by_id
    assert by_id["new"]["before"] is None
    assert by_id["unpriced"]["cost_usd_change"] is None
    assert by_id["unpriced"]["after"]["cost_usd"] is None


def test_changes_have_signs() -> None:
    assert [signed(each, duration) for each in (1.0, -0.002, 0.0)] == ["+1s", "-2ms", "="]
