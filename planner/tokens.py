"""How many tokens a text will have, before there is a text and without a tokenizer.

Known text is counted in characters at about four a token; OpenAI states that rule of thumb for English, code and JSON
come nearer to three, and other scripts lower. Everything else is a default, wide on purpose and reported as a guess.

>>> text_tokens(400)
Interval(lo=66.66666666666667, mid=100.0, hi=160.0)
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from orchestrator.planner.interval import Interval

BYTES_PER_TOKEN: Final = 4.0
"""A token of text that moves from op to op has so many bytes."""
CHARS_PER_TOKEN: Final = (6.0, 4.0, 2.5)
"""They are for the low, the middle and the high count."""

SCALAR_TOKENS: Final = Interval(1, 2, 8)
"""A bool, a number, a choice."""
PARAMETER_TOKENS: Final = Interval(1, 60, 2000)
"""An input of the workflow: a question, at most a few pages."""
TOOL_TOKENS: Final = Interval(1, 100, 4000)
"""What a tool returns."""
HUMAN_TOKENS: Final = Interval(1, 20, 500)
"""What a person answers."""
REPLY_TOKENS: Final = Interval(1, 200, 2048)
"""What a model answers when nothing bounds it."""
CHAT_TEMPLATE_TOKENS: Final = Interval(3, 8, 40)
"""Role markers around one message."""
PART_TOKENS: Final = Interval(85, 800, 5000)
"""An image or a file in a message. A guess: OpenAI counts 85 for an image at low detail and some hundreds for a large
one, other models up to a few thousand; a page of a PDF is about a large image."""
LOGPROB_TOKENS: Final = 20.0
"""What one token's probability takes in a prompt, where somebody writes it into one."""

_SCALAR = re.compile(r"(?:(?:bool|int|float|None|NoneType|Literal\[.*\])(?: \| )?)+")


def text_tokens(chars: float) -> Interval:
    """Tokens of ``chars`` characters of known text."""
    return Interval(*(chars / per for per in CHARS_PER_TOKEN))


@lru_cache(maxsize=1024)
def is_scalar(type_string: str) -> bool:
    """Whether a value of this Python type is a token or two when printed."""
    return _SCALAR.fullmatch(type_string) is not None


def of_type(type_string: str, default: Interval) -> Interval:
    """Tokens of an unseen value of this Python type; ``default`` unless the type bounds it."""
    return SCALAR_TOKENS if is_scalar(type_string) else default


def reply_tokens(
    type_string: str, max_tokens: int | None, min_tokens: int | None = None, *, ignore_eos: bool = False
) -> Interval:
    """Tokens of one reply of a model that must return this type.

    ``min_tokens`` bounds it from below, and a text that does not end by itself (``ignore_eos``) has its ``max_tokens``.
    """
    if ignore_eos and max_tokens is not None and type_string == "str":
        return Interval.exact(max_tokens)
    expected = of_type(type_string, REPLY_TOKENS)
    if min_tokens:
        least = float(min_tokens if max_tokens is None else min(min_tokens, max_tokens))
        expected = Interval(*(max(each, least) for each in (expected.lo, expected.mid, expected.hi)))
    if max_tokens is None:
        return expected
    # The cap is certain and the default is not, so a generous cap widens the interval instead of being ignored. Few
    # replies reach their cap; half of it is the guess when it is tighter than the default.
    hi = min(expected.hi, max_tokens) if is_scalar(type_string) else float(max_tokens)
    mid = max(min(expected.mid, max(hi / 2, 1.0), hi), min(expected.lo, hi))
    return Interval(min(expected.lo, hi), mid, hi)


def part_of(whole: Interval) -> Interval:
    """Tokens of one field of a value: at least one (of a non-empty value), at most all, half in the middle."""
    lo = min(1.0, whole.lo)
    return Interval(lo, max(lo, whole.mid / 2), whole.hi)
