"""Messages while a workflow is traced: what becomes a constant, what an op, and what is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator import Message, Part, assistant, chat, file, image, llm, system, tool, user, workflow
from orchestrator.dsl.models.messages import MessageError, ToolCall, messages_of
from orchestrator.errors import TraceError
from tests.dsl.diagnosing import diagnose
from tests.dsl.recording import record

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


def test_a_message_says_its_text_and_hides_its_parts() -> None:
    made = user("look", image(PNG), "and this", file("talk.wav"))
    assert made.content == "look\nand this"
    assert [part.kind for part in made.parts] == ["text", "image", "text", "audio"]
    assert base64.b64encode(PNG).decode() not in repr(made)
    assert "<image 28 bytes>" in repr(made)
    assert user("a", "b") == Message("user", "a\nb")
    assert assistant("x") == Message("assistant", "x")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (image("https://x.org/a.png", detail="low"), Part("image", url="https://x.org/a.png", detail="low")),
        (image("shots/a.png"), Part("image", path="shots/a.png", media_type="image/png", name="a.png")),
        (image(Path("a.jpg")), Part("image", path="a.jpg", media_type="image/jpeg", name="a.jpg")),
        (file(b"%PDF-1.7", name="r"), Part("file", data="JVBERi0xLjc=", media_type="application/pdf", name="r")),
        (image("data:image/webp;base64,AAAA"), Part("image", data="AAAA", media_type="image/webp")),
        (file("a.mp3"), Part("audio", path="a.mp3", media_type="audio/mpeg", name="a.mp3")),
    ],
    ids=lambda each: None,
)  # fmt: skip
def test_what_a_source_is(given: Part, wanted: Part) -> None:
    assert given == wanted


def test_a_list_that_is_known_is_a_constant_and_any_other_an_op() -> None:
    @workflow
    def flow(question: str, url: str) -> str:
        llm([system("Be brief."), user("Why?"), assistant("So."), {"role": "user", "content": "Sure?"}])
        llm(messages=[system("Be brief."), user(f"Why {question}?", image(url), 7)])
        return llm({"role": "user", "content": [question, {"type": "text", "text": "!"}]})

    graph = record(flow)
    prompts = [op.operands[0] for op in graph.ops if op.kind == "generate"]
    assert [prompt.type for prompt in prompts] == ["list[Message]", "list[Message]", "Message"]
    assert [prompt.producer.kind for prompt in prompts if prompt.producer] == ["const", "tool", "tool"]
    made = [op.attrs["callee"] for op in graph.ops if op.kind == "tool"]
    assert made == ["builtin.part", "builtin.message", "builtin.list", "builtin.message"]


@tool(effects="pure")
def history(question: str) -> list[Message]:
    return [user(question)]


def test_messages_are_values_and_a_chat_is_made_of_them() -> None:
    @workflow
    def flow(question: str, earlier: list[Message]) -> str:
        begun = chat("Be brief.", messages=earlier)
        llm(history(question))
        first = begun.say("And?")
        again = chat(messages=first.chat.messages)
        llm(first.chat.messages + [user("Again?")])  # noqa: RUF005 - a value has no items yet
        return again.say(earlier, system="Be long.").reply

    graph = record(flow)
    starts = [op for op in graph.ops if op.kind == "chat"]
    assert [[operand.type for operand in op.operands] for op in starts] == [["str", "list[Message]"], ["list[Message]"]]
    last = [op for op in graph.ops if op.kind == "generate"][-1]
    assert last.opts["late"] == ["system"]
    assert [operand.type for operand in last.operands] == ["list[Message]", "Chat", "str"]


def test_options_that_are_values_are_operands_behind_a_conversation() -> None:
    from typing import Literal

    @workflow
    def flow(question: str, size: Literal["small", "large"], heat: float) -> str:
        return llm(question, model=size, temperature=heat, system=f"{question}?")

    op = record(flow)["llm_1"]
    assert [operand.type for operand in op.operands] == ["str", "Chat", "Literal['large', 'small']", "float"]
    assert op.opts["late"] == ["model", "temperature"]
    assert sorted(op.opts["models"]) == ["large", "small"]
    assert op.attrs["model"] == "default"


def test_what_is_no_prompt_is_refused() -> None:
    def flow(question: str, number: int) -> str:
        llm([])  # D041
        llm([user("a"), "b"])  # type: ignore[list-item]  # D041
        llm({"role": "robot", "content": "a"})  # D041
        llm([{"role": "user", "content": "a", "name": "me"}])  # D041
        llm("a", messages=[user("b")])  # D041
        llm()  # D041
        llm([user("a"), number])  # type: ignore[list-item]  # D010
        llm(number)  # type: ignore[call-overload]  # D010
        llm(user(b"raw"))  # D041
        return question

    messages = [error.message for error in diagnose(flow)]
    assert messages[:6] == [
        "the prompt is an empty list",
        "a list of messages with a str in it",
        "a message with the role 'robot'",
        "a message with the key 'name'",
        "llm gets a prompt and messages=",
        "llm gets no prompt",
    ]


def test_what_is_no_part_is_refused() -> None:
    def flow(question: str, number: int) -> str:
        image()  # D041
        image("a.png", path="b.png")  # D041
        image("ftp://x/a.png")  # D041
        image("https://")  # D041
        image(b"text")  # D041
        image("a.png", detail="huge")  # D041
        image("a.png", media_type="application/pdf")  # D041
        file("https://x.org/a.pdf")  # D041
        image(b"\x89PNG\r\n\x1a\n" + b"0" * (300 << 10))  # D041
        image(number)  # D041
        file(question)  # D041
        return question

    assert len(diagnose(flow)) == 11


def test_outside_of_a_workflow_a_wrong_part_is_an_error_at_the_users_line() -> None:
    with pytest.raises(TraceError) as caught:
        image(b"")
    assert caught.value.diagnostics[0].where is not None
    assert caught.value.diagnostics[0].where.file == __file__


def test_messages_in_openais_words() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
    given: list[Any] = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}]},
    ]
    assert messages_of(given) == [
        Message("assistant", "", calls=(ToolCall("add", '{"a": 1}', "c1"),)),
        Message("tool", "2", call_id="c1"),
        Message("user", "", (Part("image", url="https://x.org/a.png"),)),
    ]
    for wrong in (7, [["a"]], [{"role": "user", "content": [{"type": "video"}]}], {"role": "user", "content": 7}):
        with pytest.raises(MessageError):
            messages_of(wrong)


def test_a_user_value_that_names_a_path_as_text_is_a_url() -> None:
    """A run's input, or a model's words, must not choose which file is read."""
    from orchestrator.dsl.models.parts import PartError, part_of

    with pytest.raises(PartError):
        part_of("image", source="/etc/passwd")
    with pytest.raises(PartError):
        part_of("image", source="file:///etc/passwd")
    assert part_of("image", path="/tmp/a.png").path == "/tmp/a.png"


def test_data_in_the_words_of_the_api_is_a_message_and_loses_nothing() -> None:
    read = TypeAdapter(list[Message]).validate_python
    url = "data:image/webp;base64,AAAA"
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": url}}
    given: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "see"}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "1"},
    ]
    assert read(given) == messages_of(given)
    assert TypeAdapter(list[Message]).validate_json(TypeAdapter(list[Message]).dump_json(read(given))) == read(given)
    with pytest.raises(ValidationError, match="a message with the key 'name'"):
        read([{"role": "user", "content": "x", "name": "Bob"}])
