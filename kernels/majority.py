"""Majority vote."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Majority:
    """``winner`` is the position of the first ballot for the elected choice, which got ``votes`` of ``counted``."""

    winner: int
    votes: int
    counted: int


def majority(ballots: Sequence[Hashable | None]) -> Majority | None:
    """Elect the most frequent ballot; among equals, the one cast first. None ballots do not count.

    ``majority(["a", None, "b", "b"]) == Majority(winner=2, votes=2, counted=3)``; None if no ballot counts. O(n).
    """
    first: dict[Hashable, int] = {}
    votes: dict[Hashable, int] = {}
    for position, ballot in enumerate(ballots):
        if ballot is not None:
            first.setdefault(ballot, position)
            votes[ballot] = votes.get(ballot, 0) + 1
    if not votes:
        return None
    elected = max(votes, key=lambda ballot: (votes[ballot], -first[ballot]))
    return Majority(first[elected], votes[elected], sum(votes.values()))
