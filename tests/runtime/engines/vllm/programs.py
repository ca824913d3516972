"""Random multi-turn programs that hint, chats that do not, and everything that can go wrong in between."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

from vllm.v1.request import Request, RequestStatus

from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint
from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.fake_worker import FIRST_TOKEN, TOKENS
from tests.runtime.engines.vllm.pool_checks import pins_of
from tests.runtime.engines.vllm.schedulers import request_of

IDLE_S: Final = 0.01


def tokens(rng: random.Random, count: int) -> list[int]:
    """A random text."""
    return [rng.randrange(FIRST_TOKEN, FIRST_TOKEN + TOKENS) for _ in range(count)]


def hinted(loop: EngineLoop, name: str, prompt: list[int], answer: int, session: str, **hint: Any) -> None:
    """A turn of a session arrives."""
    args: dict[str, Any] = {**KvHint(**hint).to_args(), SESSION_ARGUMENT: session}
    loop.submit(request_of(loop.shape, name, prompt, answer, args=args, arrival_s=loop.clock.now_s))


@dataclass(frozen=True, slots=True)
class Manners:
    """How programs and clients behave; the shares are per tick or per event."""

    ticks: int = 50
    arrivals: float = 0.35
    sessions: int = 12
    turns: int = 4
    answer: int = 40
    """Most tokens of an answer."""
    chats: float = 0.2
    """Arrivals that are one request without hints."""
    ttl_s: float = 1e9
    """Every hint asks for a TTL up to this."""
    pause_s: float = 0.2
    twins: float = 0.1
    """Turns that come with a second request of the same session at once."""
    lost: float = 0.1
    """Sessions whose client never comes back."""
    aborts: float = 0.03
    errors: float = 0.01
    resets: float = 0.01
    jumps: float = 0.02
    """Ticks after which a long time passes."""


@dataclass(slots=True)
class Session:
    """A conversation."""

    name: str
    program: str
    text: list[int]
    turns_left: int
    next_s: float = 0.0
    running: set[str] = field(default_factory=set)
    twinned: bool = False


class Programs:
    """Plays programs against an engine."""

    def __init__(self, loop: EngineLoop, seed: int, manners: Manners = Manners()) -> None:
        self.loop = loop
        self.rng = random.Random(seed)
        self.manners = manners
        self.sessions: dict[str, Session] = {}
        self.made = 0
        self._of: dict[str, Session] = {}
        self._openings = [tokens(self.rng, loop.shape.longest // 4) for _ in range(2)]

    def play(self) -> None:
        """Arrivals for some ticks, then until everything has ended; raises if anything cannot."""
        for _ in range(self.manners.ticks):
            self._arrive()
            self._disturb()
            self._tick()
        self.loop.drain()

    def _tick(self) -> None:
        loop = self.loop
        for session in list(self.sessions.values()):
            if not session.running and session.next_s <= loop.clock.now_s:
                self._next_turn(session)
        if not loop.busy:
            loop.clock.now_s += IDLE_S
            return
        for name in loop.step():
            self._ended(name)

    def _arrive(self) -> None:
        rng, manners = self.rng, self.manners
        if rng.random() >= manners.arrivals or len(self.sessions) >= manners.sessions:
            return
        self.made += 1
        opening = rng.choice(self._openings)
        text = opening[: rng.randint(1, len(opening))] + tokens(rng, rng.randint(0, self.loop.shape.longest // 4))
        if rng.random() < manners.chats:
            self._submit(f"chat{self.made}", text, None)
            return
        program = rng.choice(["run-a", f"run-{self.made}"])
        session = Session(f"s{self.made}", program, text, rng.randint(1, manners.turns))
        self.sessions[session.name] = session
        self._next_turn(session)

    def _next_turn(self, session: Session) -> None:
        session.text += tokens(self.rng, self.rng.randint(0, 20))
        if len(session.text) >= self.loop.shape.longest - 1:
            del self.sessions[session.name]
            return
        session.turns_left -= 1
        self._submit(f"{session.name}.{len(self._of)}", session.text, session)
        if self.rng.random() < self.manners.twins:
            session.twinned = True
            self._submit(f"{session.name}.{len(self._of)}", session.text[:-1] or session.text, session)

    def _submit(self, name: str, text: list[int], session: Session | None) -> None:
        rng, shape = self.rng, self.loop.shape
        answer = rng.randint(1, min(self.manners.answer, shape.longest - len(text)))
        stop = (7, 9) if rng.random() < 0.4 else ()
        args = self._hint(session) if session is not None else None
        by_header = session is not None and rng.random() < 0.5
        if session is not None:
            session.running.add(name)
            self._of[name] = session
            if not by_header and args is not None:
                args[SESSION_ARGUMENT] = session.name
        self.loop.submit(
            request_of(
                shape,
                name,
                text,
                answer,
                args=args,
                stop=stop,
                session=session.name if session is not None and by_header else None,
                arrival_s=self.loop.clock.now_s,
                priority=rng.randint(0, 2) if shape.priorities else 0,
            )
        )

    def _hint(self, session: Session) -> dict[str, Any]:
        rng, manners = self.rng, self.manners
        others = [name for name in self.sessions if name != session.name]
        quantiles = sorted(rng.expovariate(1 / manners.pause_s) for _ in range(4))
        hint = KvHint(
            program=session.program,
            turns_left=float(session.turns_left) if rng.random() < 0.7 else None,
            tool=rng.choice(["run_sql", "compile", None]),
            pause_s=(*quantiles, float("inf")) if rng.random() < 0.5 else (),
            pin_ttl_s=manners.ttl_s * rng.choice([0.0, 0.5, 1.0, 1.0]) if rng.random() < 0.8 else None,
            release=session.turns_left == 0 and rng.random() < 0.5,
            supersedes=(rng.choice(others),) if others and rng.random() < 0.05 else (),
            prefetch=rng.random() < 0.05,
        )
        return dict(hint.to_args())

    def _ended(self, name: str) -> None:
        session = self._of.get(name)
        if session is None:
            return
        session.running.discard(name)
        request = self.loop.finished[name]
        if len(request.all_token_ids) > len(session.text):
            session.text = list(request.all_token_ids)
        session.next_s = self.loop.clock.now_s + self.rng.expovariate(1 / self.manners.pause_s)
        if session.running:
            return
        if session.turns_left <= 0 or self.rng.random() < self.manners.lost:
            self.sessions.pop(session.name, None)
        if self._said_last(request) and not session.twinned:
            assert not any(pin.session == session.name for pin in pins_of(self.loop.scheduler)), "pinned after its end"

    @staticmethod
    def _said_last(request: Request) -> bool:
        """Whether the compiler said that no turn follows."""
        return request.sampling_params is not None and KvHint.from_args(request.sampling_params.extra_args or {}).ends

    def _disturb(self) -> None:
        rng, loop, manners = self.rng, self.loop, self.manners
        for share, status in (
            (manners.aborts, RequestStatus.FINISHED_ABORTED),
            (manners.errors, RequestStatus.FINISHED_ERROR),
        ):
            if rng.random() < share and loop.live:
                self._give_up(rng.choice(loop.live), status)
        if rng.random() < manners.resets:
            loop.scheduler.reset_prefix_cache(reset_running_requests=rng.random() < 0.5)
        if rng.random() < manners.jumps:
            loop.clock.now_s += rng.choice([1.0, 100.0, 2e9])

    def _give_up(self, name: str, status: RequestStatus) -> None:
        self.loop.abort(name, status)
        session = self._of.get(name)
        if session is not None:
            session.running.discard(name)
            if not session.running:
                self.sessions.pop(session.name, None)
