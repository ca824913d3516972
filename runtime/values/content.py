"""What a model is asked, as it goes to an engine: messages out of whatever the prompt is, and files with their content.

A path is read each time that a request with it is made, by this process; conversations and journals hold the path only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from orchestrator.dsl.models.messages import Message, MessageError, messages_of
from orchestrator.dsl.models.parts import MOST_PART_BYTES, Part, PartError, with_data
from orchestrator.errors import RunError
from orchestrator.runtime.engines.surrogates import well_formed
from orchestrator.runtime.failures import unreadable_part, wrong_prompt

MOST_REQUEST_BYTES: Final = 64 << 20
"""The files of one request may have so many bytes."""


def turns_of(prompt: Any) -> tuple[Message, ...]:
    """The messages that a prompt is; raises ORCH-R080."""
    if isinstance(prompt, str):
        return (Message("user", well_formed(prompt)),)
    try:
        found = messages_of(prompt)
    except MessageError as error:
        raise wrong_prompt(str(error)) from None
    if not found:
        raise wrong_prompt("a list without messages")
    return tuple(replace(each, content=well_formed(each.content)) for each in found)


def instructed(messages: tuple[Message, ...], system: str | None) -> tuple[Message, ...]:
    """A conversation with another system prompt in the place of its own, if it has one."""
    if system is None:
        return messages
    rest = messages[1:] if messages and messages[0].role == "system" else messages
    return (Message("system", well_formed(system)), *rest)


async def with_files(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with the content of the files that they name; raises ORCH-R081."""
    if not any(part.path for message in messages for part in message.parts):
        return messages
    return await asyncio.to_thread(_read, messages)


def _read(messages: Sequence[Message]) -> tuple[Message, ...]:
    left = MOST_REQUEST_BYTES
    read: list[Message] = []
    for message in messages:
        parts = []
        for part in message.parts:
            if part.path:
                part, size = _with_content(part, left)  # noqa: PLW2901 - the same part, with its content
                left -= size
            parts.append(part)
        read.append(replace(message, parts=tuple(parts)))
    return tuple(read)


def _with_content(part: Part, left: int) -> tuple[Part, int]:
    try:
        path = Path(part.path)
        if not path.is_file():  # a device or a pipe has no end
            raise _unreadable(part, "there is no such file")
        with path.open("rb") as file:
            data = file.read(min(MOST_PART_BYTES, left) + 1)
        if len(data) > left:
            raise _unreadable(part, f"the files of the request have more than {MOST_REQUEST_BYTES >> 20} MiB together")
        return with_data(part, data), len(data)
    except PartError as error:
        raise _unreadable(part, str(error), error.fix) from None
    except (OSError, ValueError) as error:
        raise _unreadable(part, str(error)) from error


def _unreadable(part: Part, why: str, fix: str | None = None) -> RunError:
    return unreadable_part(part.path, why, fix)
