"""Sessions that pause and are expected back soon: a program keeps its slot for any of them.

>>> soon = Returning()
>>> soon.pauses("run-7", "run-7/a", until_s=10.0)
>>> soon.is_awaited("run-7", now_s=9.0), soon.is_awaited("run-7", now_s=11.0)
(True, False)
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from typing import Final

MOST_PROGRAMS: Final = 20_000
"""Programs with such sessions that are remembered; the first ones are forgotten first."""


class _Program:
    __slots__ = ("order", "until_s")

    def __init__(self) -> None:
        self.until_s: dict[str, float] = {}
        """It has the times by session."""
        self.order: list[tuple[float, str]] = []
        """Heap; an entry is stale when the session has another time, or none."""


class Returning:
    """Until when sessions are expected back, by program. Each operation takes O(log n) amortised."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, _Program] = OrderedDict()

    @property
    def count(self) -> int:
        """Sessions remembered."""
        return sum(len(each.until_s) for each in self._programs.values())

    def pauses(self, program: str, session: str, until_s: float) -> None:
        """The session is expected back until then."""
        known = self._programs.get(program)
        if known is None:
            known = self._programs[program] = _Program()
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.popitem(last=False)
        known.until_s[session] = until_s
        heappush(known.order, (until_s, session))

    def resumes(self, program: str, session: str) -> None:
        """The session is back, or will not come back, or not soon."""
        known = self._programs.get(program)
        if known is not None and known.until_s.pop(session, None) is not None and not known.until_s:
            del self._programs[program]

    def is_awaited(self, program: str, now_s: float) -> bool:
        """Whether a session of the program is expected back."""
        known = self._programs.get(program)
        if known is None:
            return False
        order = known.order
        while order and order[0][0] <= now_s:
            until_s, session = heappop(order)
            if known.until_s.get(session) == until_s:
                del known.until_s[session]
        if not known.until_s:
            del self._programs[program]
            return False
        return True

    def finish(self, program: str) -> None:
        """The program is over."""
        self._programs.pop(program, None)
