"""Ask a question twice and let a third call judge: the smallest workflow with a compiled plan.

orch run examples/hello.py "What is the capital of France?" --model Qwen/Qwen2.5-0.5B-Instruct
"""

from orchestrator import llm, workflow


@workflow
def hello(question: str) -> str:
    """Answer in one sentence."""
    return llm(f"Answer in one sentence. Question: {question}", max_tokens=64)
