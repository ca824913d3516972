"""A long chat with compaction: where the talk has become long, it is summarised, and a new one begins with that.

orch run examples/gallery/long_chat.py --input 'messages=["Hi", "What is tea?"]' --model examples/text2sql/model
"""

from orchestrator import chat, llm, workflow


@workflow(max_items=50)
def long_chat(messages: list[str]) -> str:
    talk, size, reply = chat("You are a friendly helper."), 0, ""
    for message in messages:
        if size > 400:
            summary = llm(f"Summarise this talk:\n{talk.messages}", name="compact")
            talk, size = chat().say(f"So far: {summary}", name="begin").chat, len(summary)
        reply, talk = talk.say(message, name="reply")
        size += len(message) + len(reply)
    return reply
