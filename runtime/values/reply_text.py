"""Finding the one JSON value in a reply of a model that was asked for JSON and whose server does not enforce it.

Such replies come in a fence, after a block of reasoning, behind a byte-order mark, or with a sentence around them. What
is found is unambiguous or nothing: a text that holds two values is none.

>>> json_in('<think>easy</think>\\n```json\\n{"x": 7}\\n```\\nThat is it.')
'{"x": 7}'
>>> json_in('Sure: {"x": 7}.'), json_in('{"x": 7} or {"x": 8}'), json_in("seven")
('{"x": 7}', None, None)
"""

from __future__ import annotations

import json
import re
from json import JSONDecoder
from typing import Final

from orchestrator.runtime.engines.surrogates import well_formed

_REASONING: Final = re.compile(r"\A.*?</(?:think|thinking|thought|reasoning)>", re.S)
_UNFINISHED: Final = re.compile(r"<(think|thinking|thought|reasoning)>(?!.*</\1>)", re.S)
"""Nothing has been said yet; values in there are thoughts."""
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
_FENCE: Final = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.S | re.M)
_INLINE_FENCE: Final = re.compile(r"```(?:\w+[ \t])?([^`]*)```")
_OPENING: Final = re.compile(r"[{\[]")


def json_in(text: str) -> str | None:
    """The JSON value that the text holds; None where there is none, or more than one."""
    text = said(text)
    fences = _FENCE.findall(text) or _INLINE_FENCE.findall(text)
    if len(fences) == 1 and not text.startswith(("{", "[", '"')):
        fenced = str(fences[0]).lstrip("\ufeff").strip()
        return _only_value(fenced) or fenced or None
    return _only_value(text)


def bare_text(text: str) -> str | None:
    """What the text says as a JSON string, where it is neither JSON nor an attempt at it.

    >>> bare_text("<think>is it?</think> yes"), bare_text('{"answer": "ye')
    ('"yes"', None)
    """
    text = said(text)
    return None if not text or _OPENING.search(text) or "```" in text else json.dumps(text)


def said(text: str) -> str:
    """The text without a byte-order mark and what was thought before it."""
    text = text.lstrip("\ufeff").strip()
    if text.startswith(("{", "[", '"')):
        return text
    if _UNFINISHED.match(text):
        return ""
    return _REASONING.sub("", text, count=1).lstrip("\ufeff").strip()


def with_whole_characters(text: str) -> str | None:
    """JSON without escapes of half characters, which are U+FFFD then; None where there are none."""
    if not _HALF.search(text):
        return None
    try:
        return well_formed(json.dumps(json.loads(text), ensure_ascii=False))
    except (ValueError, RecursionError):
        return None


def _only_value(text: str) -> str | None:
    opening = _OPENING.search(text)
    if opening is None:
        return text if _is_value(text) else None
    begin = opening.start()
    try:
        _, end = JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):  # also an int of too many digits
        return None
    return None if _OPENING.search(text, end) else text[begin:end]


def _is_value(text: str) -> bool:
    try:
        JSONDecoder().decode(text)
    except (ValueError, RecursionError):  # also an int of too many digits
        return False
    return True
