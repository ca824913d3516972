"""Reflection: the model answers, criticises its own answer in the same conversation, and answers again.

orch run examples/gallery/reflection.py 'Why is the sky blue?' --model examples/text2sql/model
"""

from orchestrator import chat, workflow


@workflow
def reflection(question: str) -> str:
    conversation = chat("You are careful.")
    answer, conversation = conversation.say(question, max_tokens=300, name="answer")
    doubts = "What is wrong or missing in that? Say 'nothing' if all is well."
    critique, conversation = conversation.say(doubts, max_tokens=300, name="critique")
    if "nothing" in critique.lower():
        return answer
    return conversation.say("Answer again, with that mended.", max_tokens=300, name="mended").reply
