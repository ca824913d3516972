"""vote: majority, red flags, ties, and its place in a graph."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator import llm, tool, vote, workflow
from orchestrator.errors import RunError
from orchestrator.kernels.majority import Majority, majority
from tests.dsl.recording import record


class Answer(BaseModel):
    text: str


@given(st.lists(st.none() | st.sampled_from("abc")))
def test_the_winner_has_the_most_votes_and_ties_go_to_the_first(ballots: list[str | None]) -> None:
    counts = Counter(ballot for ballot in ballots if ballot is not None)
    elected = majority(ballots)
    if not counts:
        assert elected is None
        return
    assert elected is not None
    most = max(counts.values())
    tied = [ballot for ballot, votes in counts.items() if votes == most]
    assert elected == Majority(ballots.index(tied[0]), most, sum(counts.values()))


def test_models_are_equal_by_content() -> None:
    assert vote([Answer(text="a"), Answer(text="b"), Answer(text="b")]) == Answer(text="b")


def test_key_decides_what_is_compared_and_the_first_of_the_winners_is_returned() -> None:
    assert vote(["A", "b", "B", "a", "B"], key=str.lower) == "b"


def test_discarded_candidates_do_not_count() -> None:
    assert vote([None, None, "x"]) == "x"


def test_all_discarded_is_an_error() -> None:
    with pytest.raises(RunError) as caught:
        vote([None, None])
    assert caught.value.code == "ORCH-R050"


def test_in_a_workflow_it_is_one_pure_op_with_the_type_of_a_candidate() -> None:
    @tool(effects="pure")
    def normalise(text: str) -> str:
        return text.strip()

    @workflow
    def consensus(question: str) -> str:
        return vote(llm(question, samples=3), key=normalise, name="winner")

    winner = record(consensus)["winner"]
    assert winner.attrs["callee"] == "vote"
    assert winner.attrs["effects"] == "pure"
    assert [result.type for result in winner.results] == ["str"]
