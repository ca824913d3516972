"""Messages: the turns of a conversation as values, from which a model is asked and a chat begins.

>>> [user("2+2?"), assistant("4"), user("Sure?")][1]
Message(role='assistant', content='4')

In a workflow a message may hold symbolic values; it is then a symbolic value itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args

from orchestrator.dsl.models.parts import Part, PartError, part_of
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.constants import is_symbolic, shown
from orchestrator.dsl.tracing.lifting import feed, feed_text, lift, template_of
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.types.typing import assignable, list_of, type_string
from orchestrator.errors import TraceError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Final = get_args(Role)
_FIX: Final = 'a message is system("…"), user("…"), assistant("…"), or {"role": "user", "content": "…"}'


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model wants to call, or has called."""

    name: str
    arguments: str = "{}"
    """A JSON object, as the model wrote it."""
    id: str = ""
    """What the answer to it names, where the model's API has such names."""


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One turn of a conversation. ``content`` is its text; ``parts`` is all of it where there is more than text."""

    role: Role
    content: str = ""
    parts: tuple[Part, ...] = ()
    """These are its parts in order, texts included; there are none where it is a text alone."""
    calls: tuple[ToolCall, ...] = ()
    """These are the calls that an assistant makes."""
    call_id: str = ""
    """It names the call that a tool's message answers."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Where data is validated, a message in OpenAI's words is one too, and none loses what it says."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_in_own_words, handler(source))

    def __repr__(self) -> str:
        """Without what is empty, and without the content of parts."""
        more = {"parts": self.parts, "calls": self.calls, "call_id": self.call_id}
        shown_too = "".join(f", {name}={value!r}" for name, value in more.items() if value)
        return f"Message(role={self.role!r}, content={self.content!r}{shown_too})"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model says that was offered tools: a text, calls, or both."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    problem: str = ""
    """What is wrong with a reply that is neither, for the model to read."""
    is_final: bool = True
    """Whether it is an answer: it calls nothing, and nothing is wrong with it."""


def system(*content: Any) -> Message:
    """What the model is told of its task, in front of a conversation."""
    return _made("system", content)


def user(*content: Any) -> Message:
    """What the user says: texts, and parts such as ``image("shot.png")``."""
    return _made("user", content)


def assistant(*content: Any) -> Message:
    """What the model has said."""
    return _made("assistant", content)


_FIELDS: Final = frozenset(each.name for each in fields(Message))


class MessageError(ValueError):
    """Something that is no message."""


def message_of(role: Role, content: Sequence[Any]) -> Message:
    """The message of texts and parts that are there; raises :class:`MessageError`."""
    items = [item for each in content for item in (each if isinstance(each, (list, tuple)) else [each])]
    if not all(isinstance(item, (str, Part)) for item in items):
        wrong = next(item for item in items if not isinstance(item, (str, Part)))
        raise MessageError(f"the content of a message is a text or a part, and not {shown(wrong)}")
    texts = [item if isinstance(item, str) else item.text for item in items]
    text = "\n".join(each for each in texts if each)
    parts = tuple(Part("text", text=item) if isinstance(item, str) else item for item in items)
    return Message(role, text, parts if any(part.kind != "text" for part in parts) else ())


def messages_of(value: Any) -> list[Message]:
    """The messages that a value says, whatever its form: a text, a message, a dict, or a list of the last two.

    Raises :class:`MessageError`.
    """
    if isinstance(value, str):
        return [Message("user", value)]
    if isinstance(value, Message):
        return [value]
    if isinstance(value, Mapping):
        return [_of_dict(value)]
    if isinstance(value, (list, tuple)) and not any(isinstance(each, (str, list, tuple)) for each in value):
        return [message for each in value for message in messages_of(each)]
    raise MessageError(f"{shown(value)} is no message")


def _in_own_words(given: Any) -> Any:
    """Data of a message as its fields are called; raises :class:`MessageError` for what no message has."""
    if not isinstance(given, Mapping) or (set(given) <= _FIELDS and isinstance(given.get("content", ""), str)):
        return given
    return _of_dict(given)


def _of_dict(given: Mapping[Any, Any]) -> Message:
    role: Any = given.get("role")
    content = given.get("content")
    extra = set(given) - {"role", "content", "tool_calls", "tool_call_id"}
    if role not in ROLES or extra:
        what = f"the role {shown(role)}" if role not in ROLES else f"the key {shown(min(extra, key=str))}"
        raise MessageError(f"a message with {what}")
    items = content if isinstance(content, (list, tuple)) else [] if content is None else [content]
    try:
        made = message_of(role, [_part(each) for each in items])
        calls = tuple(ToolCall(each["function"]["name"], each["function"]["arguments"], each.get("id", ""))
                      for each in given.get("tool_calls") or ())  # fmt: skip
    except PartError as error:
        raise MessageError(f"a message with {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise MessageError("a message with parts or calls that are none of OpenAI's") from None
    return Message(role, made.content, made.parts, calls, str(given.get("tool_call_id") or ""))


def _part(item: Any) -> str | Part:
    """A part of content in OpenAI's words, or as it is."""
    if not isinstance(item, Mapping):
        return item  # type: ignore[no-any-return]
    if item["type"] == "text":
        return str(item["text"])
    if item["type"] == "image_url":
        detail = item["image_url"].get("detail")
        return part_of("image", source=str(item["image_url"]["url"]), **({"detail": detail} if detail else {}))
    raise KeyError(item["type"])


# While a workflow is traced


def _made(role: Role, content: tuple[Any, ...]) -> Message:

    tracer = current_tracer()
    if tracer is not None and is_symbolic(content):
        return _symbolic(tracer, role, content)
    try:
        return message_of(role, content)
    except MessageError as error:
        if tracer is None:
            raise TraceError("ORCH-D041", f"{role}(): {error}", where=user_location(), fix=_FIX) from None
        return tracer.report("ORCH-D041", f"{role}(): {error}", fix=_FIX)  # type: ignore[return-value]


def _symbolic(tracer: Tracer, role: Role, content: Sequence[Any]) -> Message:
    """The op that makes a message of values; what is neither text nor a part is shown as in an f-string."""
    args = {"role": lift(tracer, role)}
    for number, item in enumerate(content):
        value = template_of(tracer, item) if isinstance(item, str) else lift(tracer, item)
        is_part = assignable(value._type, Part) or assignable(value._type, list_of(Part))
        if not (is_part or assignable(value._type, str)):
            value = template_of(tracer, f"{value}")
        args[f"content{number}"] = value
    return tracer.builtin("message", args, Message)  # type: ignore[return-value]


def is_messages(tp: Any) -> bool:
    """Whether values of the type are a message or several."""
    return tp is not Any and (assignable(tp, Message) or assignable(tp, Sequence[Message]))


def prompted(tracer: Tracer, prompt: object, role: str) -> Value[Any]:
    """What a model is asked, as a value: a text, a message, or a list of messages; reports what is none of these."""
    if isinstance(prompt, str):
        return template_of(tracer, prompt)
    if isinstance(prompt, Value):
        return feed(tracer, prompt, prompt._type if is_messages(prompt._type) else str, role)
    if isinstance(prompt, (list, tuple)):
        items = [_lifted(tracer, each) for each in prompt]
        if not items:
            return tracer.report("ORCH-D041", f"{role} is an empty list", fix="ask something: " + _FIX)
        if not is_symbolic(items):
            return lift(tracer, items)
        values = [feed(tracer, item, Message, "a message of the list") for item in items]
        return tracer.builtin("list", {str(n): value for n, value in enumerate(values)}, list_of(Message))
    return (
        lift(tracer, _lifted(tracer, prompt))
        if isinstance(prompt, (Message, Mapping))
        else feed_text(tracer, prompt, role)
    )


def _lifted(tracer: Tracer, item: object) -> Any:
    """One message of a list: as it is, or out of a dict."""
    if isinstance(item, Mapping) and is_symbolic(dict(item)):
        role, content = item.get("role"), item.get("content")
        if set(item) == {"role", "content"} and isinstance(role, str) and role in ROLES:
            return _made(role, tuple(content) if isinstance(content, (list, tuple)) else (content,))  # type: ignore[arg-type]
        return tracer.report("ORCH-D041", "a dict that is no message", fix=_FIX)
    if isinstance(item, Mapping):
        try:
            return _of_dict(item)
        except MessageError as error:
            return tracer.report("ORCH-D041", str(error), fix=_FIX)
    if isinstance(item, (Message, Value)):
        return item
    got = f"a {type(item).__name__}" if not isinstance(item, type) else type_string(item)
    return tracer.report("ORCH-D041", f"a list of messages with {got} in it", fix=_FIX)


# What builtins do at run time


def _message(role: Role, call_id: str = "", **items: Any) -> Message:
    made = message_of(role, list(items.values()))
    return replace(made, call_id=call_id) if call_id else made


def _of_chat(chat: Any) -> list[Message]:
    return list(chat.messages)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"message": _message, "part": part_of, "messages": _of_chat}
"""Functions behind ops, by the callee without ``builtin.``."""
