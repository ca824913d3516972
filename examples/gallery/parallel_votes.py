"""Parallel votes: five drafts of one prompt share its KV cache; the answer that most of them give wins.

orch run examples/gallery/parallel_votes.py 'How many legs have six ants?' --model examples/text2sql/model
"""

from orchestrator import llm, vote, workflow


@workflow
def parallel_votes(question: str) -> str:
    answers = llm(f"Answer with one word or number: {question}", samples=5, max_tokens=16, name="draft")
    return vote([answer.strip().lower() for answer in answers])
