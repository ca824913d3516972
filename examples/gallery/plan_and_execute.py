"""Plan and execute: a plan is made once, its steps are done one after the other, each knowing what came before.

orch run examples/gallery/plan_and_execute.py 'bake bread' --model examples/text2sql/model
"""

from orchestrator import llm, workflow


@workflow(max_items=6)
def plan_and_execute(goal: str) -> str:
    steps = llm(f"Plan the steps to: {goal}", returns=list[str], name="plan")
    done = ""
    for step in steps:
        result = llm(f"Goal: {goal}\nDone so far:\n{done}\nNow do: {step}", name="step")
        done += f"- {step}: {result}\n"
    return llm(f"Goal: {goal}\n{done}\nWhat is the result?", name="conclude")
