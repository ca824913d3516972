"""What another plan changes is what really differs: a count starts or stops replicas, anything else replaces them."""

from __future__ import annotations

from orchestrator.planner.plan import Site
from orchestrator.runtime.deploy.changes import Change, changes
from orchestrator.runtime.deploy.layout import Layout, layout_of
from tests.runtime.deploy.plans import plan, vllm


def sited(replicas: int, tensor: int = 1) -> Layout:
    site = Site(engine="main", device="gpu", tensor_parallel=tensor, replicas=replicas)
    return layout_of(plan([vllm()], sites=[site]))


def counts(change: Change) -> tuple[int, int, int]:
    return change.kept, change.started, change.stopped


def test_another_count_leaves_the_others_serving() -> None:
    (more,) = changes(sited(2), sited(3))
    assert (counts(more), more.why) == ((2, 1, 0), "replicas 2 -> 3")
    (fewer,) = changes(sited(3), sited(1))
    assert (counts(fewer), fewer.why) == ((1, 0, 2), "replicas 3 -> 1")


def test_the_same_plan_changes_nothing() -> None:
    (same,) = changes(sited(2), sited(2))
    assert (counts(same), same.why) == ((2, 0, 0), "")


def test_another_split_replaces_all_and_says_why() -> None:
    (split,) = changes(sited(2), sited(1, tensor=4))
    assert counts(split) == (0, 1, 2)
    assert "tensor_parallel 1 -> 4" in split.why
    assert "gpus 1 -> 4" in split.why


def test_engines_come_and_go() -> None:
    before, after = layout_of(plan([vllm("old")])), layout_of(plan([vllm("new")]))
    come, gone = changes(before, after)
    assert (come.group, counts(come), come.why) == ("new", (0, 1, 0), "new")
    assert (gone.group, counts(gone), gone.why) == ("old", (0, 0, 1), "no longer planned")
    assert [each.why for each in changes(None, after)] == ["new"]
    assert gone.as_dict() == {"engine": "old", "kept": 0, "started": 0, "stopped": 1, "why": "no longer planned"}
