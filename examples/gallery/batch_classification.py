"""Batch classification: each text gets a label; what cannot be read is counted and not fatal.

orch run examples/gallery/batch_classification.py --input 'texts=["great!", "bad"]' --model examples/text2sql/model
"""

from typing import Literal

from orchestrator import llm, workflow

Label = Literal["praise", "complaint", "question"]


@workflow(max_items=500)
def batch_classification(texts: list[str]) -> dict[str, int]:
    counts = {"praise": 0, "complaint": 0, "question": 0, "unreadable": 0}
    labels = []
    for text in texts:
        try:
            labels.append(llm(f"Label this: {text}", returns=Label, max_tokens=12, name="label"))
        except Exception:
            labels.append("unreadable")
    for label in counts:
        counts[label] = sum(1 for each in labels if each == label)
    return counts
