"""Which engines a plan needs started."""

from __future__ import annotations

from orchestrator.running.engines import used_engines
from tests.runtime.execution.model_calls.test_spread import CLUSTER, shared, single


def test_all_engines_that_share_an_op_are_used() -> None:
    assert used_engines(shared(single).plan) == list(CLUSTER.engines)
