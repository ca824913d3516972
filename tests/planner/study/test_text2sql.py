"""The drawn text-to-SQL programs."""

from __future__ import annotations

from itertools import chain

from orchestrator.planner.simulate.arrivals import draw
from orchestrator.planner.study.text2sql import DATABASES, MOST_CORRECTIONS, UNIT_TOKENS, programs, templates


def test_the_same_seed_gives_the_same_programs_at_every_rate() -> None:
    slow, fast = programs(50, 1.0, 7, 60.0), programs(50, 4.0, 7, 60.0)
    assert [program.stages for program in slow] == [program.stages for program in fast]
    assert slow[-1].arrival_s > 3 * fast[-1].arrival_s
    assert [program.stages for program in programs(50, 1.0, 8, 60.0)] != [program.stages for program in slow]


def test_every_program_links_drafts_corrects_and_selects() -> None:
    for program in programs(200, 1.0, 1, 60.0):
        steps = [stage.step for stage in program.stages]
        assert (steps[0], steps[-1]) == ("link", "select")
        assert 3 <= sum(step.startswith("draft") for step in steps) <= 5
        assert all(step[-1] <= str(MOST_CORRECTIONS) for step in steps if step.startswith("correct"))
        drafts = [stage for stage in program.stages if stage.step.startswith("draft")]
        behind_link = sum(stage.after == (0,) for stage in drafts)
        assert behind_link == (len(drafts) if program.workflow == "parallel" else 1)


def test_a_correction_goes_on_from_what_it_corrects() -> None:
    stages = [
        (program.stages[stage.after[0]], stage)
        for program in programs(100, 1.0, 2, 60.0)
        for stage in program.stages
        if stage.step.startswith("correct")
    ]
    assert stages
    for before, after in stages:
        whole = (before.prompt_tokens + before.output_tokens) // UNIT_TOKENS
        assert len(before.prefix_ids) == whole
        assert after.prefix_ids[:whole] == before.prefix_ids
        assert after.prompt_tokens > before.prompt_tokens + before.output_tokens


def test_schemas_are_shared_and_nothing_else_is() -> None:
    drawn = list(draw(templates(5, 1), (float(i) for i in range(60)), 60, seed=1))
    owners: dict[int, set[int]] = {}
    for program in drawn:
        for key in chain.from_iterable(stage.prefix_ids for stage in program.stages):
            owners.setdefault(key, set()).add(program.id)
    assert all(len(found) == 1 for key, found in owners.items() if key < 0)
    shared = [key for key, found in owners.items() if len(found) > 1]
    assert shared and all(key >= 0 for key in shared)
    assert len(DATABASES) == 11
