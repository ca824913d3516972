"""Random programs mean the same as workflows as they do in Python: with passes, without, from text, and resumed."""

from __future__ import annotations

import pytest

from tests.fuzz import surface
from tests.fuzz.oracle import judge
from tests.fuzz.programs import source

PROGRAMS = 25
"""In each of the tests."""


@pytest.mark.parametrize("shard", range(12))
@pytest.mark.filterwarnings("ignore")
def test_it_means_what_python_means(shard: int) -> None:
    ran = 0
    for seed in range(shard * PROGRAMS, (shard + 1) * PROGRAMS):
        text = source(seed)
        verdict = judge(text, seed)
        assert not verdict.fault, f"seed {seed}: {verdict.fault}\n{text}\n{verdict.detail}"
        ran += verdict.ran > 0
    assert ran > PROGRAMS // 3, "most programs are refused: they say nothing"


def test_the_oracle_sees_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def program(text: str, n: int, texts: list[str], flag: bool) -> str:\n    return send(say(text))\n"
    assert not judge(text).fault
    monkeypatch.setitem(surface.PLAIN, "say", lambda prompt: f"not {prompt}")
    assert judge(text).fault == "without passes: value"
