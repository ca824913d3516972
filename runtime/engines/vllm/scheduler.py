"""vLLM's scheduler, told which KV cache comes back: pins between turns, and program order.

:class:`Scheduler` is what ``--scheduler-cls`` names. It makes vLLM's own synchronous or asynchronous scheduler, with
five of its methods extended; all decisions are :class:`~orchestrator.runtime.kv.retention.Retention` 's:

``add_request``        reads the hint, notes that a pause is over, and queues by program
``_free_blocks``       a turn has ended: its full blocks keep their references while its pin lasts
``schedule``           expires pins first; drops those of sessions that now run, which hold references of their own
``allocate_slots``     finds no memory: gives pins up. A running request and one without hints always get theirs; a
                       waiting turn gets them once nothing runs, so whatever fits an empty cache runs in the end
``reset_prefix_cache`` ends every pin first

Without hints each of them calls vLLM's and does nothing else.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from vllm.logger import init_logger
from vllm.v1.core.sched.async_scheduler import AsyncScheduler as StockAsyncScheduler
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler as StockScheduler
from vllm.v1.request import Request, RequestStatus

from orchestrator.runtime.engines.vllm.program_queue import ProgramQueue, Urgency
from orchestrator.runtime.kv.footprint import Footprint
from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint, has_hint
from orchestrator.runtime.kv.load import StepClock, mean
from orchestrator.runtime.kv.pins import Outcome, Pin
from orchestrator.runtime.kv.retention import Load, Retention, RetentionOptions

OPTIONS_KEY: Final = "orchestrator_kv"
"""Of vLLM's ``--additional-config``."""
MOST_PROGRAMS: Final = 100_000
"""Programs whose time of arrival is remembered."""
OLDEST_ARRIVAL_S: Final = 3600.0
"""A client cannot claim that its program arrived earlier than this before its first request."""
_ENDED_WELL: Final = (RequestStatus.FINISHED_STOPPED, RequestStatus.FINISHED_LENGTH_CAPPED)

logger = init_logger("vllm.orchestrator")
Blocks = list[Any]


@dataclass(slots=True)
class Turn:
    """A request with a hint, from its arrival until its blocks are freed."""

    session: str
    hint: KvHint
    arrival_s: float
    """Of its program."""
    queued_s: float
    pinned: bool
    """Its session's blocks were pinned when it arrived."""
    returns: bool
    """Its program has been here before."""
    scheduled: bool = False


class KeepingScheduler(StockScheduler):  # type: ignore[misc]
    """What both schedulers add to vLLM's; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = RetentionOptions(**(self.vllm_config.additional_config or {}).get(OPTIONS_KEY, {}))
        self.retention: Retention[Blocks] = Retention(self.cache_config.num_gpu_blocks - 1, options)
        self.clock = time.monotonic
        self._turns: dict[str, Turn] = {}
        self._programs: OrderedDict[str, float] = OrderedDict()
        self._steps = StepClock()
        self._queue_s = 0.0
        self._refused: Request | None = None
        """The waiting request that the last step had no memory for."""
        self._footprint = Footprint(self.cache_config.num_gpu_blocks - 1)
        self._unfit = -1
        """State of the footprint in which the most urgent turn that is held back did not fit."""
        self.waiting = ProgramQueue(self._urgency, self._holds)
        self._stock_allocate_slots = self.kv_cache_manager.allocate_slots
        self.kv_cache_manager.allocate_slots = self._allocate_slots

    # -- arrival ------------------------------------------------------------------------------------------------------

    def add_request(self, request: Request) -> None:
        """Queue a request."""
        if request.request_id not in self.requests:
            self._read_hint(request)
        super().add_request(request)

    def _read_hint(self, request: Request) -> None:
        args = (request.sampling_params.extra_args if request.sampling_params is not None else None) or {}
        named = args.get(SESSION_ARGUMENT) or getattr(request, "session_id", None)
        session = named if isinstance(named, str) else None
        if session is None and not has_hint(args):
            return
        now_s = self.clock()
        hint = KvHint.from_args(args)
        session = session or request.request_id
        self._free_pins(self.retention.arrived(session, hint, now_s))
        pinned = session in self.retention.table
        program = hint.program or session
        returns = program in self._programs
        arrival_s = self._arrival_s(program, hint.program_arrival_s, now_s)
        self._turns[request.request_id] = turn = Turn(session, hint, arrival_s, now_s, pinned, returns)
        if pinned:
            self._begin_turn(request, turn)
        else:
            self._unfit = -1

    def _arrival_s(self, program: str, claimed_s: float | None, now_s: float) -> float:
        """On this clock; the first request of a program settles it."""
        known = self._programs.get(program)
        if known is None:
            age_s = 0.0 if claimed_s is None else min(max(time.time() - claimed_s, 0.0), OLDEST_ARRIVAL_S)
            known = self._programs[program] = now_s - age_s
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(program)
        return known

    def _urgency(self, request: Request) -> Urgency | None:
        turn = self._turns.get(request.request_id)
        return None if turn is None else (0.0 if turn.pinned else 1.0, turn.arrival_s)

    def _holds(self, request: Request) -> bool:
        return not self._turns[request.request_id].pinned

    def _begin_turn(self, request: Request, turn: Turn) -> None:
        self._footprint.begins(turn.session, self._final_blocks(request), turn.hint.turns_left or 0.0)

    def _final_blocks(self, request: Request) -> int:
        """Blocks that the request leaves behind."""
        return -(-(request.num_tokens + request.max_tokens) // self.block_size)

    def _release_held(self) -> None:
        """Let turns whose sessions hold no memory go on, in program order, as long as they fit until they end."""
        waiting: ProgramQueue = self.waiting
        footprint = self._footprint
        while (request := waiting.held) is not None and self._unfit != footprint.version:
            turn = self._turns[request.request_id]
            idle = not self.running and not waiting
            if not idle and not footprint.fits(self._final_blocks(request), turn.hint.turns_left or 0.0):
                self._unfit = footprint.version
                return
            waiting.release()
            self._begin_turn(request, turn)

    # -- steps --------------------------------------------------------------------------------------------------------

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """One step."""
        now_s = self.clock()
        refused, self._refused = self._refused, None
        table = self.retention.table
        if table:
            self._free_pins(table.expire(now_s))
            if refused is not None or self.waiting.held is not None:
                self._free_pins(self.retention.review(self._load(refused), now_s))
        if self.waiting.held is not None:
            self._release_held()
        busy = bool(self.running)
        output = super().schedule(*args, **kwargs)
        scheduled = output.num_scheduled_tokens
        self._steps.step(now_s, output.total_num_scheduled_tokens - len(scheduled), busy=busy)
        if self._turns:
            self._note_scheduled(output, now_s)
        return output

    def _note_scheduled(self, output: SchedulerOutput, now_s: float) -> None:
        names = [data.req_id for data in output.scheduled_new_reqs]
        for name in names:
            turn = self._turns.get(name)
            if turn is None or turn.scheduled:
                continue
            turn.scheduled = True
            if turn.returns and not turn.pinned:
                self._queue_s = mean(self._queue_s, now_s - turn.queued_s)
            for pin in self.retention.table.end(turn.session, Outcome.CONSUMED):
                self._free(pin.held)

    def _load(self, refused: Request | None) -> Load:
        waiting = len(self.waiting) if refused is not None or self.waiting.held is not None else 0
        return Load(waiting, self._queue_s if waiting else 0.0, self._steps.prefill_s_per_token)

    def _allocate_slots(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        allocate = self._stock_allocate_slots
        blocks = allocate(request, *args, **kwargs)
        while blocks is None and self._give_up_a_pin(request):
            blocks = allocate(request, *args, **kwargs)
        if blocks is None and request.status != RequestStatus.RUNNING:
            self._refused = request
        return blocks

    def _give_up_a_pin(self, request: Request) -> bool:
        """Free one pin for a request that found no memory; False where none is to be given up for it."""
        table = self.retention.table
        if not table:
            return False
        turn = self._turns.get(request.request_id)
        if request.status != RequestStatus.RUNNING and self.running:
            if turn is not None or not self._would_fit(request):
                return False
        pin = table.victim(spared=turn.session if turn is not None else None)
        if pin is None:
            return False
        self._free_pins(table.end(pin.session, Outcome.EVICTED))
        return True

    def _would_fit(self, request: Request) -> bool:
        """Whether all pins together hold enough for a waiting request: otherwise they would be lost for nothing."""
        needed = -(-request.num_tokens // self.block_size)
        free = self.kv_cache_manager.block_pool.get_num_free_blocks()
        return needed <= free + self.retention.table.pinned_blocks

    # -- departure ----------------------------------------------------------------------------------------------------

    def _free_blocks(self, request: Request) -> None:
        turn = self._turns.pop(request.request_id, None)
        if turn is None:
            super()._free_blocks(request)
            return
        self._footprint.leaves(turn.session)
        if request.status not in _ENDED_WELL or not self._request_blocks_can_be_freed(request):
            if turn.hint.ends:
                self._free_pins(self.retention.over(turn.session, Outcome.RELEASED, self.clock()))
            super()._free_blocks(request)
            return
        self._end_turn(request, turn)

    def _end_turn(self, request: Request, turn: Turn) -> None:
        now_s = self.clock()
        if turn.hint.ends:
            self._free_pins(self.retention.over(turn.session, Outcome.RELEASED, now_s))
            super()._free_blocks(request)
            return
        blocks = self.kv_cache_manager.pop_blocks_for_free(request)
        full = [block for block in blocks if block.block_hash is not None and not block.is_null]
        tokens = len(full) * self.block_size
        decision = self.retention.ended(
            turn.session, turn.hint, tokens=tokens, blocks=len(full), load=self._load(self._refused), now_s=now_s
        )
        kept = full[: decision.blocks]
        if kept:
            self._free_pins(self.retention.keep(turn.session, turn.hint, decision, kept, tokens, now_s))
            self._footprint.begins(turn.session, len(kept), turn.hint.turns_left or 0.0)
        held = set(map(id, kept))
        self._free([block for block in blocks if id(block) not in held])
        del self.requests[request.request_id]

    def _free_pins(self, pins: Iterable[Pin[Blocks]]) -> None:
        for pin in pins:
            self._footprint.leaves(pin.session)
            self._free(pin.held)

    def _free(self, blocks: Blocks) -> None:
        """Return references; the tail of a prefix is evicted before its beginning."""
        self.kv_cache_manager.block_pool.free_blocks(reversed(blocks))

    def reset_prefix_cache(self, *args: Any, **kwargs: Any) -> bool:
        """End every pin, then reset."""
        self._free_pins(self.retention.table.end_all(Outcome.RESET))
        return bool(super().reset_prefix_cache(*args, **kwargs))


class KeepingAsyncScheduler(KeepingScheduler, StockAsyncScheduler):  # type: ignore[misc]
    """The asynchronous one."""


class Scheduler:
    """``--scheduler-cls orchestrator.kv.Scheduler``: makes the scheduler that fits the configuration."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        asynchronous = kwargs["vllm_config"].scheduler_config.async_scheduling
        made = KeepingAsyncScheduler if asynchronous else KeepingScheduler
        return made(*args, **kwargs)
