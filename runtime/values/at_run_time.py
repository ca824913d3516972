"""Values that only exist while a workflow runs, and how values become prompt text."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass
from functools import lru_cache
from types import CoroutineType
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import SchemaError, to_json

from orchestrator.dsl.models.llm import Chat
from orchestrator.dsl.models.messages import Message
from orchestrator.dsl.models.parts import Part
from orchestrator.dsl.types.own_code import has_own_code
from orchestrator.dsl.types.read_again import readable_again
from orchestrator.dsl.types.typing import UNIONS, decodable, union
from orchestrator.errors import Error
from orchestrator.runtime.engines.surrogates import well_formed
from orchestrator.runtime.failures import ReplyError, WrongResultError, first_line
from orchestrator.runtime.values.by_value import by_value
from orchestrator.runtime.values.content import turns_of
from orchestrator.runtime.values.decimals import takes_decimals, with_digits
from orchestrator.runtime.values.numpy_scalars import plain, plain_within
from orchestrator.runtime.values.reply_text import bare_text, json_in, with_whole_characters

_LEAVES: Final = frozenset({str, int, float, bool, bytes, type(None)})
_MADE_ANEW: Final = frozenset({list, dict, set, frozenset, tuple, *UNIONS})
"""Of these, checking makes another one."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a ``Chat`` is at run time: immutable, so that every turn and every sample is a fork of the same prefix."""

    messages: tuple[Message, ...] = ()
    model: str | None = None
    session: str | None = None
    """Names the KV prefix in the engine; set by the first reply."""
    engine: str | None = None
    """The engine that holds that prefix."""
    shared: bool = False
    """Several turns continue it; each opens a session of its own."""
    named: tuple[int, int, int] | None = field(default=None, init=False, compare=False, repr=False)
    """How much of it a tree of messages is known to have: the tree's mark, so many messages, the node of the last."""
    digested: tuple[int, bytes] = field(default=(0, b""), init=False, compare=False, repr=False)
    """So many messages of it have this digest, so that a turn's is made from its own messages alone."""

    def then(
        self,
        prompt: tuple[Message, ...],
        reply: Message,
        session: str | None,
        engine: str | None,
        *,
        shared: bool = False,
    ) -> Conversation:
        """The conversation after one more turn, whose KV is in that session of that engine, if in any."""
        made = Conversation((*self.messages, *prompt, reply), self.model, session, engine, shared)
        object.__setattr__(made, "named", self.named)
        object.__setattr__(made, "digested", self.digested)
        return made

    def remember(self, mark: int, node: int) -> None:
        """Note the node of the last message in the tree with that mark, so that what follows is found from there."""
        object.__setattr__(self, "named", (mark, len(self.messages), node))


def open_conversation(model: str | None, *begun: Any) -> Conversation:
    """A conversation without a reply: each of ``begun`` is a system prompt, or messages."""
    turns = [Message("system", well_formed(each)) if isinstance(each, str) else turns_of(each) for each in begun]
    return Conversation(tuple(m for each in turns for m in ((each,) if isinstance(each, Message) else each)), model)


_STRUCTURED: Final = (list, tuple, dict, set, frozenset, deque, Mapping, BaseModel)


def prompt_text(value: object) -> str:
    """What fills a hole of a prompt: a container, a model and a dataclass as JSON, all else as an f-string shows it."""
    if type(value) is str:
        return value
    if isinstance(value, Conversation):
        return _told_messages(value.messages)
    if isinstance(value, (Message, Part)):
        return _told_messages((value,)) if isinstance(value, Message) else f"[{value}]"
    if isinstance(value, (list, tuple)) and value and all(isinstance(each, Message) for each in value):
        return _told_messages(value)
    if isinstance(value, _STRUCTURED) or (is_dataclass(value) and not isinstance(value, Error)):
        return to_json(value, fallback=_told).decode()
    same = plain(value)
    return f"{value}" if same is value else prompt_text(same)


def _told_messages(messages: Iterable[Message]) -> str:
    """Messages as text; of a part, that it is there."""
    return "\n\n".join(f"{message.role}: {_told_content(message)}" for message in messages)


def _told_content(message: Message) -> str:
    return "\n".join(part.text if part.kind == "text" else f"[{part}]" for part in message.parts) or message.content


def _told(value: object) -> object:
    """What JSON has no form for."""
    if isinstance(value, Part):
        return f"[{value}]"
    told = plain(value)
    return str(value) if told is value else told


def at_run_time(tp: Any) -> Any:
    """The type of the concrete values of type ``tp``: conversations are not symbolic then."""
    if tp is Chat:
        return Conversation
    origin, arguments = get_origin(tp), get_args(tp)
    if origin not in (list, dict, tuple, *UNIONS):
        return tp
    inner = tuple(map(at_run_time, arguments))
    if inner == arguments:
        return tp
    return union(*inner) if origin in UNIONS else origin[inner]


@lru_cache(maxsize=4096)
def _adapter(tp: Any) -> TypeAdapter[Any]:
    tp = decodable(readable_again(tp))
    try:
        return TypeAdapter(tp)
    except PydanticSchemaGenerationError:
        pass
    try:
        return TypeAdapter(tp, config=ConfigDict(arbitrary_types_allowed=True))
    except SchemaError:  # a protocol, of which no object can be said to be an instance
        return TypeAdapter(Any)


def adapter(tp: Any) -> TypeAdapter[Any]:
    """The validator of a type; types that pydantic does not know are checked by class."""
    try:
        return _adapter(tp)
    except TypeError:  # unhashable metadata in an Annotated
        return _adapter.__wrapped__(tp)


def from_json(tp: Any, text: str) -> Any:
    """What JSON holds, as ``tp``; a ``Decimal`` has the digits that stand there. Raises ``ValidationError``."""
    validator = adapter(tp)
    value = validator.validate_json(text)
    if takes_decimals(validator):
        with suppress(ValidationError):  # of a strict model, which takes Decimals from JSON only
            return by_value(validator.validate_python(with_digits(text)))
    return value


@lru_cache(maxsize=4096)
def _runs_own_code(tp: Any) -> bool:
    return has_own_code(adapter(tp).core_schema)


def runs_own_code(tp: Any) -> bool:
    """Whether checking a value of the type calls functions of the user's, which may take any time."""
    try:
        return _runs_own_code(tp)
    except TypeError:  # unhashable metadata in an Annotated
        return _runs_own_code.__wrapped__(tp)


@lru_cache(maxsize=4096)
def _is_made_anew(tp: Any) -> bool:
    if get_origin(tp) not in _MADE_ANEW:
        return tp in _LEAVES
    return all(each is Ellipsis or _is_made_anew(each) for each in get_args(tp))


def is_made_anew(tp: Any) -> bool:
    """Whether checking a value of the type makes all of it anew that can be changed: models and anything are kept."""
    try:
        return _is_made_anew(tp)
    except TypeError:  # unhashable metadata in an Annotated
        return False


def checked_result(tp: Any, value: object) -> Any:
    """``value`` validated as what a tool declares; raises :class:`WrongResultError`.

    Nothing is coerced but numpy's scalars, which become Python's where those are declared. What can be changed in it is
    the run's own: the tool may go on with what it has returned.
    """
    if isinstance(value, CoroutineType):
        value.close()
        raise WrongResultError("it returned a coroutine: write the tool, or what wraps it, as `async def`")
    if tp is Any:
        return by_value(value)
    try:
        checked = adapter(tp).validator.validate_python(value, strict=True)
    except ValidationError as error:
        problem = error
    else:
        return checked if is_made_anew(tp) else by_value(checked)
    if "numpy" in sys.modules:
        with suppress(ValidationError, RecursionError):
            return by_value(adapter(tp).validate_python(plain_within(value), strict=True))
    raise WrongResultError(first_line(problem)) from problem


def parsed_reply(tp: Any, text: str) -> Any:
    """A model's reply as what the call declares, where it is the only JSON in the reply; raises :class:`ReplyError`.

    What takes a text, such as a ``Literal``, takes one without quotation marks too.
    """
    if tp is str:
        return text
    problem: ValidationError | None = None
    value = json_in(text)
    for found in dict.fromkeys((text, value, value and with_whole_characters(value))):
        if found is not None:
            try:
                return from_json(tp, found)
            except ValidationError as error:
                problem = error
    said = bare_text(text)
    if said is not None:
        with suppress(ValidationError):
            return from_json(tp, said)
    assert problem is not None
    raise ReplyError(first_line(problem)) from problem
