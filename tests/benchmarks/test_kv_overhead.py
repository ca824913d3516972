"""The overhead benchmark measures steps of schedulers that do what its cases say."""

from __future__ import annotations

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

from benchmarks.kv import overhead
from benchmarks.kv.overhead import Case, measure


def test_every_figure_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "BUILDS", 2)  # either one first
    cases = [Case("unhinted", 2), Case("held", 3, hinted=True, pins=4, waiting=2)]
    found = measure(20, cases)
    assert list(found) == ["unhinted", "held"]
    for figures in found.values():
        assert set(figures) == {"stock_us", "ours_us", "added_us", "added_low_us", "added_high_us", "added_share"}
        assert figures["stock_us"] > 0
        assert figures["ours_us"] > 0
