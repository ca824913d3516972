"""What of a text differs from the one before it: texts that a loop hands on mostly grow in one place.

>>> delta("[1,2,3]" * 9, "[1,2,3]" * 9 + "[4]")
'63,0,[4]'
>>> patched("[1,2,3]" * 9, "63,0,[4]") == "[1,2,3]" * 9 + "[4]"
True
"""

from __future__ import annotations

from typing import Final

_ENDS: Final = 2


def delta(before: str, after: str) -> str | None:
    """How many characters in front and behind are the same, and what stands between; None where ``after`` is not
    longer than that. It has no newline and no tab that ``after`` has not."""
    most = min(len(before), len(after))
    front = _common(before, after, most)
    back = _common_back(before, after, most - front)
    made = f"{front},{back},{after[front : len(after) - back]}"
    return made if len(made) < len(after) else None


def patched(before: str, difference: str) -> str:
    """The text after. Raises ``ValueError`` for what is no difference from this text."""
    front, back, middle = difference.split(",", _ENDS)
    kept, left = int(front), int(back)
    if kept < 0 or left < 0 or kept + left > len(before):
        raise ValueError(f"{difference:.40} is no difference from a text of {len(before)} characters")
    return before[:kept] + middle + before[len(before) - left :]


def _common(before: str, after: str, most: int) -> int:
    """How many characters in front are the same, at most so many: halves are compared at once."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if before[low:middle] == after[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_back(before: str, after: str, most: int) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if before[len(before) - middle : len(before) - low] == after[len(after) - middle : len(after) - low]:
            low = middle
        else:
            high = middle - 1
    return low
