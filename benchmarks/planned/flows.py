"""Workflows whose replies have known lengths: what the planner predicts of them is the machine, not the model's mood.

The bundled model's replies mean nothing here; that each has as many tokens as it may have is what matters. Those of
:data:`CALIBRATING` are run first, and what the planner learns from them is used on :data:`JUDGED`.
"""

from __future__ import annotations

from typing import Final

from orchestrator import chat, llm, map_, tool, workflow

CALIBRATING: Final = ("one_call", "two_turns")
JUDGED: Final = ("chain", "fan_out", "draft_and_judge", "interview")


@tool(effects="pure", typical_s=0.2)
def look_up(text: str) -> str:
    """Something that computes for a while."""
    import time

    until = time.process_time() + 0.2
    count = 0
    while time.process_time() < until:
        count += 1
    return text[:200]


@workflow
def one_call() -> str:
    return llm("Say what a planet is.", max_tokens=96, ignore_eos=True, name="say")


@workflow
def two_turns() -> str:
    talk = chat("You are brief.")
    _, talk = talk.say("Name a river.", max_tokens=32, ignore_eos=True, name="first")
    return talk.say("And another one.", max_tokens=64, ignore_eos=True, name="second").reply


@workflow
def both() -> str:
    """Asks both engines, so that a plan of it starts both."""
    first = llm("Say one.", model="quick", max_tokens=8, ignore_eos=True, name="one")
    return llm(f"Say two after {first}.", model="thrifty", max_tokens=8, ignore_eos=True, name="two")


@workflow
def chain() -> str:
    plan = llm("Plan an article on tides.", max_tokens=48, ignore_eos=True, name="plan")
    text = llm(f"Write it: {plan}", max_tokens=128, ignore_eos=True, name="write")
    return llm(f"Give it a title: {text}", max_tokens=16, ignore_eos=True, name="title")


@workflow
def fan_out() -> list[str]:
    return map_(
        lambda word: llm(f"Explain {word}.", max_tokens=64, ignore_eos=True, name="explain"),
        ["tides", "moons", "rivers"],
    )


@workflow
def draft_and_judge() -> str:
    draft = llm("Draft a letter to a lighthouse.", max_tokens=80, ignore_eos=True, name="draft")
    facts = look_up(draft)
    return llm(f"Judge it: {draft} {facts}", max_tokens=40, ignore_eos=True, name="judge")


@workflow
def interview() -> str:
    talk = chat("You ask one question after the other.")
    _, talk = talk.say("Begin.", max_tokens=40, ignore_eos=True, name="begin")
    _, talk = talk.say("Go on.", max_tokens=40, ignore_eos=True, name="go_on")
    return talk.say("End.", max_tokens=40, ignore_eos=True, name="end").reply
