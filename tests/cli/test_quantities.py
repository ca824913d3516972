"""Durations, rates and shares as people type them."""

from __future__ import annotations

import pytest

from orchestrator.cli.quantities import per_second, seconds, share
from orchestrator.errors import UsageError


@pytest.mark.parametrize(("text", "found"), [("8s", 8.0), ("250ms", 0.25), ("2min", 120.0), ("1.5", 1.5), (None, None)])
def test_durations(text: str | None, found: float | None) -> None:
    assert seconds(text, "--sla") == found


@pytest.mark.parametrize(
    ("text", "found"), [("2.5", 2.5), ("2.5/s", 2.5), ("30/min", 0.5), (" 36 / h ", 0.01), (".5", 0.5), (None, None)]
)
def test_rates(text: str | None, found: float | None) -> None:
    assert per_second(text, "--rate") == (pytest.approx(found) if found else None)


@pytest.mark.parametrize(("text", "found"), [("5%", 0.05), ("0.05", 0.05), ("0", 0.0), ("120 %", 1.2)])
def test_shares(text: str, found: float) -> None:
    assert share(text, "--tolerance") == pytest.approx(found)


@pytest.mark.parametrize("text", ["", "soon", "5%", "-1", "0", "1e3", "nan", "8 parsecs"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        seconds(text, "--sla")
    assert caught.value.code == "ORCH-U002"
    assert "--sla" in caught.value.message


@pytest.mark.parametrize("text", ["", "often", "5/week", "-1", "0", "0/s", "nan"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        per_second(text, "--rate")
    assert "--rate" in caught.value.message


@pytest.mark.parametrize("text", ["", "much", "-5%", "5 percent", "inf"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        share(text, "--tolerance")
    assert "5%" in (caught.value.diagnostics[0].fix or "")
