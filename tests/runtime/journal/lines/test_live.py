"""What still counts of a log."""

from __future__ import annotations

from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.lines.line import Line
from orchestrator.runtime.journal.lines.live import Live


def line(kind: str, output_tokens: int) -> Line:
    return Line(kind, "9f3c", f'["{kind}",1.0,"9f3c"]', spent=(Usage(5, 0, output_tokens), None))


def test_a_call_that_has_a_result_has_spent_what_that_says_and_not_what_was_reserved_too() -> None:
    live = Live()
    live.add(line("reserved", 20))
    assert list(live.spent()) == [(Usage(5, 0, 20), None)]
    live.add(line("done", 3))
    assert list(live.spent()) == [(Usage(5, 0, 3), None)]


def test_a_call_that_was_lost_has_spent_what_was_charged_for_it_besides_what_the_next_one_has() -> None:
    live = Live()
    for each in (line("reserved", 20), line("spent", 20), line("reserved", 20), line("done", 3)):
        live.add(each)
    assert sum(usage.output_tokens for usage, _ in live.spent()) == 23
