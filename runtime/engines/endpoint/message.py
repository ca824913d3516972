"""A message in the words of chat completions.

>>> wire(Message("user", "hi"))
{'role': 'user', 'content': 'hi'}
"""

from __future__ import annotations

from typing import Any

from orchestrator.dsl.models.messages import Message
from orchestrator.dsl.models.parts import Part, audio_format
from orchestrator.runtime.engines.base import Sampling


def wire(message: Message) -> dict[str, Any]:
    """The message as JSON; its files have been read."""
    content: Any = [_part(part) for part in message.parts] if message.parts else message.content
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": content}
    if message.calls:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
        return {"role": message.role, "content": content or None, "tool_calls": calls}
    return {"role": message.role, "content": content}


def wire_tools(sampling: Sampling) -> dict[str, Any]:
    """The fields that offer tools."""
    names = ("name", "description", "parameters")
    tools = [{"type": "function", "function": {name: each[name] for name in names}} for each in sampling.tools]
    choice: Any = sampling.tool_choice
    if choice not in ("auto", "none", "required"):
        choice = {"type": "function", "function": {"name": choice}}
    return {"tools": tools, "tool_choice": choice}


def _part(part: Part) -> dict[str, Any]:
    match part.kind:
        case "text":
            return {"type": "text", "text": part.text}
        case "image":
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": part.url or _data_url(part), **detail}}
        case "audio":
            audio = {"data": part.data, "format": audio_format(part.media_type)}
            return {"type": "input_audio", "input_audio": audio}
        case "file":
            return {"type": "file", "file": {"filename": part.name or "file", "file_data": _data_url(part)}}


def _data_url(part: Part) -> str:
    return f"data:{part.media_type or 'application/octet-stream'};base64,{part.data}"
