"""What an unfinished reply in JSON says so far.

>>> partial_json('{"title": "Pla'), partial_json('Sure:\\n```json\\n{"moons": [1, 2'), partial_json("Let me see")
({'title': 'Pla'}, {'moons': [1, 2]}, <Nothing.YET: 'yet'>)
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from pydantic_core import from_json

from orchestrator.runtime.values.reply_text import said

_FENCE: Final = re.compile(r"```[^\n`]*\n")
_OPENING: Final = re.compile(r"[{\[]")
_CLOSING_FENCE: Final = re.compile(r"\n[ \t]*`{1,3}[^`]*\Z")


class Nothing(Enum):
    """No value, as opposed to ``null``."""

    YET = "yet"


def partial_json(text: str) -> object:
    """The value as far as it has arrived; :attr:`Nothing.YET` where there is none, or the text is no JSON after all."""
    text = said(text)
    fence = _FENCE.search(text)
    if fence is not None and not text.startswith(("{", "[", '"')):
        text = _CLOSING_FENCE.sub("", text[fence.end() :])
    opening = _OPENING.search(text)
    if opening is not None and not text.startswith('"'):
        text = text[opening.start() :]
    try:
        value: object = from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return Nothing.YET
    return value
