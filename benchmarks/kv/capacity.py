"""Token-capacity admission with pause and resume, in front of stock vLLM: what ThunderAgent does (arXiv 2602.13692).

Programs are taken on as long as the contexts of all that are under way fit the KV memory. Contexts grow; when they do
not fit any more, whole programs are paused, at a time when their tools run: their cache may go, and their next turn
waits. Memory that comes free goes to who waits, shortest context or oldest program first. A turn that runs is never
broken off, and one program always runs, however long its context is.

>>> control = TokenCapacity(100, "oldest")
>>> control.request("a", 0.0, tokens=60), control.request("b", 0.0, tokens=60)
(True, False)
>>> control.finish("a", 1.0)
>>> control.admitted()
['b']
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Order = Literal["shortest", "oldest"]


class TokenCapacity:
    """Decides which programs run; a gate of the simulator, and pure state. ``capacity`` is in tokens."""

    next_expiry_s = None

    def __init__(self, capacity: float, order: Order) -> None:
        self.capacity, self.order = capacity, order
        self._number: dict[str, int] = {}
        self._held: dict[str, int] = {}
        """Tokens of the context of each program that is under way."""
        self._running: set[str] = set()
        """Those with a turn in the engine."""
        self._waiting: dict[str, int] = {}
        self._news: list[str] = []

    def request(
        self, program: str, now_s: float, *, arrival_s: float | None = None, tenant: str | None = None,
        key_s: float | None = None, tokens: int = 0,
    ) -> bool:  # fmt: skip
        """Whether a turn with a prompt of that many tokens may run now; if not it waits for :meth:`admitted`."""
        self._number.setdefault(program, len(self._number))
        if program in self._held:
            self._start(program, tokens)
            self._pause()
            return True
        self._waiting[program] = tokens
        self._resume()
        if program not in self._news:
            return False
        self._news.remove(program)
        return True

    def admitted(self) -> Sequence[str]:
        """Programs let in since it was asked last."""
        news, self._news = self._news, []
        return news

    def withdraw(self, program: str) -> None:
        """A turn that waits will not run."""
        self._waiting.pop(program, None)

    def used(
        self, program: str, session: str, *, input_tokens: int, cached_tokens: int, output_tokens: int = 0
    ) -> None:
        """A turn is done, and its context is longer."""
        if program in self._held:
            self._held[program] = input_tokens + output_tokens

    def end(self, program: str, now_s: float, *, failed: bool = False) -> None:
        """Its tools run now, so it may be paused."""
        self._running.discard(program)
        self._pause()
        self._resume()

    def pause(self, program: str, now_s: float, *, keep: bool, within_s: float | None = None) -> None:
        """As :meth:`end`, which is always called first."""

    def finish(self, program: str, now_s: float) -> None:
        """The program is over."""
        self._running.discard(program)
        self._held.pop(program, None)
        self._resume()

    def expire(self, now_s: float) -> None:
        """Nothing does."""

    def _start(self, program: str, tokens: int) -> None:
        self._held[program] = tokens
        self._running.add(program)

    def _pause(self) -> None:
        """Pause those that would be resumed last, until the others fit."""
        idle = sorted(self._held.keys() - self._running, key=lambda each: self._rank(each, self._held[each]))
        while idle and sum(self._held.values()) > self.capacity and len(self._held) > 1:
            del self._held[idle.pop()]

    def _resume(self) -> None:
        while self._waiting:
            following = min(self._waiting, key=lambda each: self._rank(each, self._waiting[each]))
            if self._held and sum(self._held.values()) + self._waiting[following] > self.capacity:
                return
            self._start(following, self._waiting.pop(following))
            self._news.append(following)

    def _rank(self, program: str, tokens: int) -> tuple[int, int]:
        return (tokens if self.order == "shortest" else 0, self._number[program])
