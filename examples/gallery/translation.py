"""Translation with a critic: two translations, the critic picks the better one and says what to mend.

orch run examples/gallery/translation.py 'Good morning' --model examples/text2sql/model
"""

from typing import Literal

from pydantic import BaseModel

from orchestrator import llm, workflow


class Judgement(BaseModel):
    better: Literal[1, 2]
    mend: str | None


@workflow
def translation(text: str, language: str = "French") -> str:
    drafts = [
        llm(f"Translate into {language}, {style}: {text}", name=f"draft_{style}") for style in ("freely", "closely")
    ]
    first, second = drafts
    judged = llm(f"Which is better, 1 or 2?\n1: {first}\n2: {second}", returns=Judgement, name="judge")
    best = first if judged.better == 1 else second
    if judged.mend is None:
        return best
    return llm(f"{best}\nMend this: {judged.mend}", name="mend")
