"""Conversations as programs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.simulate.conversation import Turn, conversation

turns = st.lists(st.builds(Turn, st.integers(1, 90), st.integers(1, 40), st.just("tool"), st.floats(0, 9)), min_size=1)


@given(turns=turns, block=st.sampled_from([1, 16, 32]), shared=st.integers(0, 200))
def test_every_turn_begins_with_all_that_was_said(turns: list[Turn], block: int, shared: int) -> None:
    program = conversation(3, 1.0, turns, block_tokens=block, shared_tokens=shared)
    said = 0
    for place, (turn, stage) in enumerate(zip(turns, program.stages, strict=True)):
        assert stage.prompt_tokens == said + turn.new_tokens
        said = stage.prompt_tokens + stage.output_tokens
        assert len(stage.prefix_ids) == said // block
        assert stage.prefix_ids == program.stages[-1].prefix_ids[: said // block]
        assert stage.after == ((place - 1,) if place else ())
        assert (stage.tool, stage.tool_s) == (turn.tool, turn.tool_s)


@given(turns=turns, shared=st.integers(0, 200))
def test_programs_share_the_beginning_of_their_first_prompt_and_nothing_else(turns: list[Turn], shared: int) -> None:
    one, other = (conversation(number, 0.0, turns, block_tokens=16, shared_tokens=shared) for number in (1, 2))
    ids, others = one.stages[-1].prefix_ids, other.stages[-1].prefix_ids
    common = min(shared, turns[0].new_tokens) // 16
    assert ids[:common] == others[:common]
    assert not set(ids[common:]) & set(others[common:])
    assert len(set(ids)) == len(ids)
