"""Synthetic text-to-SQL corpus: random databases, questions with gold queries, and dialogues to train on."""

from examples.text2sql.corpus.cases import Case, cases, same_result, unseen_cases
from examples.text2sql.corpus.dialogue import Group, Turn, training_group

__all__ = ["Case", "Group", "Turn", "cases", "same_result", "training_group", "unseen_cases"]
