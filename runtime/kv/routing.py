"""Which replica a call goes to: where its session's KV is, until moving is quicker.

A program's first call goes where the planner's dispatch policy says (:mod:`orchestrator.planner.policies`; the same
function the simulator calls). From then on its sessions stay, because their KV is there. Between turns nothing of a
session runs, so it can move then, and does where the policy's ``migrate`` says; of a policy without one, when it will
be done sooner elsewhere with its prompt computed again::

    done(m) = wait for a slot (none where the program holds one) + prompts ahead * prefill
              + uncached prompt * prefill + expected tokens * step with the batch it joins
    move to m  if  done(home) > (1 + margin) * done(m)

``drain`` takes a replica out of service in order: no call is routed there any more, sessions move at their next turn,
calls that wait for a slot there are routed again, and :meth:`StickyRouter.drained` returns when nothing runs there. A
replica that stopped answering is left alone for ``retry_down_s`` seconds and then tried again. One that failed a call
is avoided by that call's session, and left alone if it fails another before it sends anything.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Final

from orchestrator.errors import RunError
from orchestrator.planner.policies import DEFAULT_POLICY, POLICIES
from orchestrator.planner.policies.view import Policy
from orchestrator.runtime.kv.admission import ProgramGate
from orchestrator.runtime.kv.hints import NO_HINT, KvHint
from orchestrator.runtime.kv.replica_load import Call, ReplicaLoad

MOST_PROGRAMS: Final = 20_000
"""Programs whose places are remembered, and sessions of those that are over; the ones not heard of for longest are
forgotten first."""
MOST_STEPS: Final = 20_000
"""Steps whose replies are remembered."""
REPLY_WEIGHT: Final = 0.1
"""What the latest reply of a step counts in their mean."""
MOST_FAILURES: Final = 2
"""Failed calls in a row after which a replica is left alone; a single one may be the call's own fault."""


@dataclass(frozen=True, slots=True)
class RoutingOptions:
    """How sessions are placed."""

    policy: Policy = field(default_factory=POLICIES[DEFAULT_POLICY])
    """Where a program's first call goes, and in which order programs wait: one of :mod:`orchestrator.planner.policies`.
    Where later calls go, too, if it has a ``migrate``."""
    margin: float = 0.2
    """Share by which a call must be done sooner elsewhere to move: estimates err, and moving costs others a prefill."""
    retry_down_s: float = 30.0


class StickyRouter:
    """Places of programs and sessions on the replicas of one engine. For one event loop."""

    def __init__(self, gates: Sequence[ProgramGate], options: RoutingOptions | None = None) -> None:
        self.options = options or RoutingOptions()
        self.loads = [ReplicaLoad(index) for index in range(len(gates))]
        self.moves = 0
        """Calls that went elsewhere than the call of their session before."""
        self._gates = tuple(gates)
        self._programs: OrderedDict[str, dict[str, int]] = OrderedDict()
        """It has, by program, the place of each session; the last one placed is the program's own."""
        self._owners: dict[str, str] = {}
        """The program of each session."""
        self._last_homes: OrderedDict[str, int] = OrderedDict()
        """Where the sessions of programs were that are over."""
        self._failed_at: dict[str, int] = {}
        """It has where the last call of a session failed, by session."""
        self._replies: OrderedDict[str, float] = OrderedDict()
        """It has the mean length of the replies of each step of a workflow; those heard of last stand last."""
        self._numbers = count()
        self._draining: dict[int, asyncio.Event] = {}
        self._down_until_s: dict[int, float] = {}

    def add(self, gate: ProgramGate) -> None:
        """One more replica, in service from now on; the indices of the others stay."""
        self._gates = (*self._gates, gate)
        self.loads.append(ReplicaLoad(len(self.loads)))

    def call(
        self, program: str, session: str, now_s: float, *, prompt_tokens: int, hint: KvHint = NO_HINT, step: str = ""
    ) -> Call:
        """A call to be placed; the hint says by when its program should be done, and what of it is left.

        Its reply is expected to be as long as those of the same ``step`` of the workflow were.
        """
        number, several = next(self._numbers), len(self.loads)
        step = f"{hint.workflow or ''}/{step}"
        output_tokens = self._replies.get(step) or sum(load.output_tokens for load in self.loads) / several
        alone_s = sum(load.alone_s(prompt_tokens, output_tokens) for load in self.loads) / several
        arrival_s = hint.program_arrival_s
        return Call(
            number,
            session,
            program,
            number,
            prompt_tokens,
            output_tokens,
            ready_s=now_s,
            started_s=now_s if arrival_s is None else min(arrival_s, now_s),
            remaining_s=hint.critical_path_s or 0.0,
            step=step,
            predicted_s=alone_s if hint.call_s is None else hint.call_s,
            deadline_s=inf if hint.deadline_s is None else hint.deadline_s,
        )

    def replied(self, call: Call, tokens: float) -> None:
        """A call was answered with so many tokens, which says something about the next ones of its step."""
        known = self._replies.pop(call.step, tokens)
        self._replies[call.step] = known + REPLY_WEIGHT * (tokens - known)
        if len(self._replies) > MOST_STEPS:
            self._replies.popitem(last=False)

    def key_s(self, call: Call, index: int, now_s: float) -> float:
        """The call's place among those that wait for a slot at a replica, by the policy's order."""
        return self.options.policy.order(call, self.loads[index], now_s)

    def place(self, call: Call, now_s: float, avoid: Collection[int] = ()) -> int:
        """Where the call goes. Raises ORCH-R062 when every replica was tried or drained."""
        places = self._programs.get(call.owner)
        home = None if not places else places.get(call.session, next(reversed(places.values())))
        failed_at = self._failed_at.pop(call.session, None)
        if failed_at is not None and self.can_place({*avoid, failed_at}):
            avoid = {*avoid, failed_at}
        index = self._chosen(call, home, self._offered(now_s, avoid), now_s)
        if places is None:
            places = self._programs[call.owner] = {}
            if len(self._programs) > MOST_PROGRAMS:
                self.finish(next(iter(self._programs)))
        else:
            self._programs.move_to_end(call.owner)
        before = places.pop(call.session, None)
        places[call.session] = index
        self._owners[call.session] = call.owner
        if before is not None and before != index:
            self.moves += 1
            self.loads[before].forget(call.session)
        return index

    def can_place(self, avoid: Collection[int]) -> bool:
        """Whether :meth:`place` would find a replica."""
        return bool(self._serving(avoid))

    def home(self, session: str) -> tuple[str, int] | None:
        """The session's program, and where it is."""
        program = self._owners.get(session)
        return None if program is None else (program, self._programs[program][session])

    def last_home(self, session: str) -> int | None:
        """Where a session was whose program is over, if that was not long ago; it is forgotten then."""
        return self._last_homes.pop(session, None)

    def leaves(self, program: str, index: int) -> bool:
        """Whether no session of the program is there any more."""
        return index not in self._programs.get(program, {}).values()

    def forget(self, session: str) -> None:
        """The session is over. The program's last one still says where the program is."""
        program = self._owners.get(session)
        if program is not None:
            places = self._programs[program]
            self.loads[places[session]].forget(session)
            if len(places) > 1:
                del places[session], self._owners[session]
                self._failed_at.pop(session, None)

    def finish(self, program: str) -> None:
        """The program is over."""
        for session, index in self._programs.pop(program, {}).items():
            self.loads[index].forget(session)
            self._owners.pop(session, None)
            self._failed_at.pop(session, None)
            self._last_homes[session] = index
            if len(self._last_homes) > MOST_PROGRAMS:
                self._last_homes.popitem(last=False)
        for load in self.loads:
            load.prefixes.pop(program, None)

    def left(self, index: int, call: Call) -> None:
        """A call is over at a replica, or goes elsewhere."""
        load = self.loads[index]
        load.left(call)
        if index in self._draining and not load.calls and not load.queue:
            self._draining[index].set()

    def down(self, index: int, now_s: float) -> None:
        """The replica stopped answering: its KV is gone, and its slots are free."""
        self._down_until_s[index] = now_s + self.options.retry_down_s
        load = self.loads[index]
        load.sessions.clear()
        load.prefixes.clear()

    def failed(self, index: int, session: str, now_s: float) -> None:
        """A call failed at a replica that may be well: the session's next one avoids it, and perhaps everybody does."""
        if session in self._owners:
            self._failed_at[session] = index
        load = self.loads[index]
        load.failures += 1
        if load.failures < MOST_FAILURES:
            return
        was_up = self._is_up(index, now_s)
        self._down_until_s[index] = now_s + self.options.retry_down_s
        if was_up and self.can_place({index}):
            self._gates[index].turn_away()

    def up(self, index: int) -> None:
        """The replica answers."""
        self._down_until_s.pop(index, None)

    def is_offered(self, index: int, now_s: float, avoid: Collection[int] = ()) -> bool:
        """Whether calls may go there: it is in service, and up, unless no other one is."""
        return index in self._offered(now_s, avoid)

    def serves(self, index: int, now_s: float) -> bool:
        """Whether a replica is in service, and up."""
        return index not in self._draining and self._is_up(index, now_s)

    def drain(self, index: int) -> None:
        """Send nothing there any more.

        Raises ORCH-R063 for the last one in service, ``IndexError`` for an unknown one.
        """
        if not 0 <= index < len(self.loads):
            raise IndexError(f"there is no replica {index}")
        if index in self._draining:
            return
        if len(self._draining) + 1 == len(self.loads):
            raise RunError(
                "ORCH-R063",
                f"replica {index} is the last one in service",
                why="its sessions would have nowhere to go",
                fix="put another replica back into service first (`undrain`)",
            )
        load = self.loads[index]
        self._draining[index] = asyncio.Event()
        if not load.calls and not load.queue:
            self._draining[index].set()
        self._gates[index].turn_away()

    async def drained(self, index: int) -> None:
        """Return when nothing runs or waits on a draining replica; at once if it is not being drained."""
        event = self._draining.get(index)
        if event is not None:
            await event.wait()

    def undrain(self, index: int) -> None:
        """Back into service."""
        event = self._draining.pop(index, None)
        if event is not None:
            event.set()

    def done_s(self, call: Call, load: ReplicaLoad, now_s: float) -> float:
        """Expected seconds until the call is done there."""
        gate = self._gates[load.index]
        slot_s = 0.0
        if not gate.control.holds(call.owner) and gate.control.waiting:
            slot_s = load.turn_s * (gate.control.waiting + 1) / max(gate.control.active, 1)
        new = call.prompt_tokens - load.cached_tokens(call, now_s)
        prefill_s = (load.prompt_backlog_tokens + new) * load.prefill_s_per_token
        return slot_s + prefill_s + call.predicted_output_tokens * load.step_s(0, load.running_count + 1, 0)

    def _chosen(self, call: Call, home: int | None, offered: list[int], now_s: float) -> int:
        if len(offered) == 1:
            return offered[0]
        policy, views = self.options.policy, [self.loads[index] for index in offered]
        if home is None or home not in offered:
            return offered[policy.dispatch(call, views, now_s)]
        if policy.migrate is not None:
            call.home = offered.index(home)
            return offered[policy.migrate(call, views, now_s)]
        done_s = {index: self.done_s(call, self.loads[index], now_s) for index in offered}
        best = min(offered, key=done_s.__getitem__)
        return best if done_s[home] > (1 + self.options.margin) * done_s[best] else home

    def _serving(self, avoid: Collection[int]) -> list[int]:
        return [index for index in range(len(self.loads)) if index not in self._draining and index not in avoid]

    def _is_up(self, index: int, now_s: float) -> bool:
        return self._down_until_s.get(index, 0.0) <= now_s

    def _offered(self, now_s: float, avoid: Collection[int]) -> list[int]:
        serving = self._serving(avoid)
        up = [index for index in serving if self._is_up(index, now_s)]
        if not serving:
            raise RunError(
                "ORCH-R062",
                "no replica is left that could take this call",
                why="each one was tried and does not answer, or is being drained",
                fix="look at the engines' logs, and put a drained replica back into service (`undrain`)",
            )
        return up or serving
