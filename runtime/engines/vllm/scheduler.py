"""vLLM's scheduler, told which KV cache comes back: pins between turns, and program order.

:class:`Scheduler` is what ``--scheduler-cls`` names. It makes vLLM's own synchronous or asynchronous scheduler, with
a few of its methods extended; all decisions are :class:`~orchestrator.runtime.kv.retention.Retention` 's:

``add_request``        reads the hint, notes that a pause is over, and queues by program
``_free_blocks``       a turn has ended: its full blocks keep their references while its pin lasts
``schedule``           ends pins whose time is over, and those of sessions that now run
``allocate_slots``     finds no memory: gives pins up, so that whatever fits an empty cache runs in the end
``reset_prefix_cache`` ends every pin first

Without hints each of them calls vLLM's and does nothing else.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from vllm.logger import init_logger
from vllm.v1.core.sched.async_scheduler import AsyncScheduler as StockAsyncScheduler
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler as StockScheduler
from vllm.v1.request import Request, RequestStatus

from orchestrator.runtime.engines.vllm import hooks
from orchestrator.runtime.engines.vllm.options import kv_options
from orchestrator.runtime.engines.vllm.program_queue import ProgramQueue
from orchestrator.runtime.kv.hints import MOST_NAME_CHARS, SESSION_ARGUMENT, KvHint, has_hint
from orchestrator.runtime.kv.load import Load, StepClock, mean
from orchestrator.runtime.kv.pins import Pin
from orchestrator.runtime.kv.prefixes import Prefix
from orchestrator.runtime.kv.retention import Retention
from orchestrator.runtime.kv.turns import Turn

UNKNOWN_REPLY_TOKENS: Final = 256
"""Planned for a reply before any is known; later twice the average."""
_ENDED_WELL: Final = (
    RequestStatus.FINISHED_STOPPED,
    RequestStatus.FINISHED_LENGTH_CAPPED,
    RequestStatus.FINISHED_REPETITION,
)

logger = init_logger("vllm.orchestrator")
Blocks = list[Any]


class KeepingScheduler(StockScheduler):  # type: ignore[misc]
    """What both schedulers add to vLLM's; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = kv_options(self.vllm_config.additional_config)
        self._steps = StepClock()
        self.retention: Retention[Blocks] = Retention(self.cache_config.num_gpu_blocks - 1, options, speed=self._steps)
        self.clock = time.monotonic
        self._turns: dict[str, Turn] = {}
        self._reply_tokens = 0.0
        """The reply of a turn has so many tokens on average: ``max_tokens`` is often the whole context window."""
        self._refused = False
        """The last step had no memory for a request that waits."""
        self.waiting: ProgramQueue = ProgramQueue(self._urgency, self._holds)
        self._stock_allocate_slots = self.kv_cache_manager.allocate_slots
        self._keeping_allocate_slots = self._wrapped(self._stock_allocate_slots)
        self._watching = False
        self._aside: Any = getattr(self, "kv_holding_waiting", getattr(self, "skipped_waiting", ()))
        """Where vLLM puts waiting requests besides ``waiting``; the name changed with 0.31."""
        self._most_running: Any = getattr(self, "max_num_active_reqs", self.max_num_running_reqs)

    # -- arrival ------------------------------------------------------------------------------------------------------

    def add_request(self, request: Request) -> None:
        """Queue a request."""
        args = (request.sampling_params.extra_args if request.sampling_params is not None else None) or {}
        named = args.get(SESSION_ARGUMENT) or getattr(request, "session_id", None)
        if (named or (args and has_hint(args))) and request.request_id not in self.requests:
            session = named[:MOST_NAME_CHARS] if isinstance(named, str) else request.request_id
            self._add_turn(request, session, KvHint.from_args(args))
        super().add_request(request)

    def _add_turn(self, request: Request, session: str, hint: KvHint) -> None:
        age_s = 0.0 if hint.program_arrival_s is None else time.time() - hint.program_arrival_s
        reply_tokens = min(request.max_tokens, int(2 * self._reply_tokens) or UNKNOWN_REPLY_TOKENS)
        blocks = -(-(request.num_tokens + reply_tokens) // self.block_size)
        prefix = self._held_prefix(request, own=int(session in self.retention.table))
        if prefix is not None:
            self._share(prefix)
        turn, ended = self.retention.arrived(
            session,
            hint,
            blocks=blocks,
            now_s=self.clock(),
            age_s=age_s,
            prefix=prefix,
            tokens=(request.num_tokens, min(request.max_tokens, self._reply_tokens)),
        )
        self._turns[request.request_id] = turn
        self._free_pins(ended)

    def _held_prefix(self, request: Request, own: int) -> Prefix | None:
        """What the request begins with and others hold now, who has ``own`` references to it. A few lookups: a holder
        of a block holds those before it."""
        pool, hashes = self.kv_cache_manager.block_pool, request.block_hashes
        if pool.hash_block_size != self.block_size or request.skip_reading_prefix_cache:
            return None

        def is_alone(at: int) -> bool:
            found = pool.get_cached_block(hashes[at], [0])
            return found is None or found[0].ref_cnt <= own

        shared = bisect_left(range(len(hashes)), True, key=is_alone)
        return Prefix(hashes[shared - 1], shared) if shared else None

    def _share(self, prefix: Prefix) -> None:
        """Tell of the sessions that hold the prefix: who had it first was alone with it."""
        if self.retention.is_known(prefix):
            return
        manager, at = self.kv_cache_manager, prefix.blocks - 1
        (block,) = manager.block_pool.get_cached_block(prefix.name, [0])
        held = [(pin.session, pin.held, True) for pin in self.retention.table.pins()]
        held += [(turn.session, manager.get_blocks(name).blocks[0], False) for name, turn in self._turns.items()]
        for session, blocks, pinned in held:
            if len(blocks) > at and blocks[at] is block:
                self.retention.shares(session, prefix, pinned=pinned)

    def _urgency(self, request: Request) -> float | None:
        turn = self._turns.get(request.request_id)
        return None if turn is None else self.retention.intake.urgency(turn)

    def _holds(self, request: Request) -> bool:
        return self.retention.intake.holds(self._turns[request.request_id])

    # -- steps --------------------------------------------------------------------------------------------------------

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """One step."""
        now_s = self.clock()
        if self._turns or self.retention.table:
            self._before_step(now_s)
        self._refused = False
        self._watch_allocations(self._may_refuse())
        busy = bool(self.running)
        output = super().schedule(*args, **kwargs)
        self._steps.step(now_s, output.total_num_scheduled_tokens - len(output.num_scheduled_tokens), busy=busy)
        if self.retention.is_used:
            self._after_step(output, now_s)
        return output

    def _before_step(self, now_s: float) -> None:
        self._free_pins(self.retention.due(self._load(), now_s))
        while (request := self.waiting.held) is not None:
            turn = self._turns[request.request_id]
            prefix = self._held_prefix(request, own=0)
            if prefix is not None and prefix != turn.prefix:
                self._share(prefix)
            turn.prefix = prefix
            if not self.retention.intake.admits(turn, self._load(), now_s):
                break
            self.waiting.release()

    def _after_step(self, output: SchedulerOutput, now_s: float) -> None:
        for data in output.scheduled_new_reqs:
            request, hit_tokens = self.requests[data.req_id], data.num_computed_tokens
            prompt_tokens = request.num_prompt_tokens
            turn = self._turns.get(data.req_id)
            if turn is None:
                self.retention.passed(data.req_id, prompt_tokens - hit_tokens, now_s)
                continue
            hashes = () if request.skip_reading_prefix_cache else request.block_hashes
            consumed = self.retention.begun(
                turn, prompt_tokens=prompt_tokens, hit_tokens=hit_tokens, now_s=now_s, hashes=hashes
            )
            self._free_pins(consumed)
            prefix = self._held_prefix(request, own=1) if hit_tokens else None
            if prefix is not None:
                self.retention.shares(turn.session, prefix, pinned=False)

    def _load(self) -> Load:
        queue = self.waiting
        idle = not self.running and not self._is_next()
        waiting = len(queue) if self._refused or queue.held is not None else 0
        return Load(waiting, idle, self._steps.prefill_s_per_token)

    def _is_next(self) -> bool:
        """Whether a request has a place in the queue that could run, were there room."""
        deferred = getattr(self, "deferred_waiting", ())
        if not deferred:
            return bool(self.waiting)
        return any(request not in deferred for request in self.waiting.placed())

    def _may_refuse(self) -> bool:
        """Whether this step may find no memory while there is something to do about it or to learn from it.

        A wrapper around every allocation would be several percent of a step, so it is there only then.
        """
        table = self.retention.table
        if not (self._turns or table):
            return False
        if (self.waiting or self._aside) and len(self.running) < self._most_running:
            return True
        tokens = self.max_num_scheduled_tokens + len(self.running) * (self.num_lookahead_tokens + 2 * self.block_size)
        free = self.kv_cache_manager.block_pool.get_num_free_blocks()
        return bool(table) and free < tokens // self.block_size + self.kv_cache_manager.watermark_blocks

    def _watch_allocations(self, watch: bool) -> None:
        """Put the wrapper there or take it away; an engine that never needed one keeps the manager as vLLM made it."""
        if watch is self._watching:
            return
        self._watching = watch
        if watch:
            self.kv_cache_manager.allocate_slots = self._keeping_allocate_slots
        else:
            del self.kv_cache_manager.allocate_slots

    def _wrapped(self, allocate: Callable[..., Any]) -> Callable[..., Any]:
        def allocate_slots(request: Request, num_new_tokens: int, **kwargs: Any) -> Any:
            blocks = allocate(request, num_new_tokens, **kwargs)
            return self._make_room(request, num_new_tokens, kwargs) if blocks is None else blocks

        return allocate_slots

    def _make_room(self, request: Request, num_new_tokens: int, kwargs: dict[str, Any]) -> Any:
        """Give pins up until the request gets its memory, or None."""
        blocks = None
        running = request.status == RequestStatus.RUNNING
        turn = self._turns.get(request.request_id)
        load, now_s = Load(idle=not self.running), self.clock()
        others_wait = self.waiting.unhinted_count > 0
        if self.retention.may_take(turn, running=running, load=load, now_s=now_s, others_wait=others_wait) and (
            running or not self.running or self._can_fit(request, kwargs.get("new_computed_blocks"))
        ):
            while blocks is None and (pin := self.retention.gives_up(turn)) is not None:
                self._free(pin.held)
                blocks = self._stock_allocate_slots(request, num_new_tokens, **kwargs)
        self._refused = self._refused or (blocks is None and not running)
        return blocks

    def _can_fit(self, request: Request, found: Any) -> bool:
        """Whether pins hold what a waiting request lacks: otherwise they would be given up for nothing.

        ``found`` are vLLM's blocks of its prefix that are cached.
        """
        manager = self.kv_cache_manager
        hits = {id(block) for block in (found.blocks[0] if found is not None else ()) if block.ref_cnt > 0}
        held = len(hits) + request.num_computed_tokens // self.block_size
        tokens = min(request.num_tokens + self.num_lookahead_tokens, self.max_model_len)
        free = manager.block_pool.get_num_free_blocks() - manager.watermark_blocks
        lacking = -(-tokens // self.block_size) - held - free
        if not 0 < lacking <= self.retention.table.pinned_blocks:
            return False  # also where it was refused for another reason than memory
        pins_of: Counter[int] = Counter()
        for pin in self.retention.table.pins():
            for block in pin.held:
                pins_of[id(block)] += 1
                if pins_of[id(block)] == block.ref_cnt and id(block) not in hits:
                    lacking -= 1
            if lacking <= 0:
                return True
        return False

    # -- departure ----------------------------------------------------------------------------------------------------

    def _free_blocks(self, request: Request) -> None:
        turn = self._turns.pop(request.request_id, None)
        if turn is None:
            super()._free_blocks(request)
        elif request.status in _ENDED_WELL or _may_have_stopped(request):
            self._end_turn(request, turn)
        else:
            self.retention.gone(turn)
            super()._free_blocks(request)
        if turn is not None and turn.hint.ends:
            self.release_session(turn.session)

    def _end_turn(self, request: Request, turn: Turn) -> None:
        now_s = self.clock()
        self._reply_tokens = mean(self._reply_tokens, request.num_output_tokens)
        blocks = self.kv_cache_manager.pop_blocks_for_free(request)
        full = [block for block in blocks if block.block_hash is not None and not block.is_null]
        hashes = request.block_hashes
        shared = bisect_left(full, True, key=lambda block: block.ref_cnt == 1)
        decision = self.retention.ended(
            turn,
            tokens=len(full) * self.block_size,
            blocks=len(full),
            load=self._load(),
            now_s=now_s,
            prefix=Prefix(hashes[shared - 1], shared) if shared else None,
            hashes=hashes,
        )
        kept = full[: decision.blocks]
        if kept:
            self._free_pins(self.retention.keep(turn, decision, kept, now_s=now_s))
        held = set(map(id, kept))
        self._free([block for block in blocks if id(block) not in held])
        del self.requests[request.request_id]

    def _free_pins(self, pins: Iterable[Pin[Blocks]]) -> None:
        for pin in pins:
            self._free(pin.held)

    def _free(self, blocks: Blocks) -> None:
        """Return references; the tail of a prefix is evicted before its beginning."""
        self.kv_cache_manager.block_pool.free_blocks(reversed(blocks))

    def reset_prefix_cache(self, *args: Any, **kwargs: Any) -> bool:
        """End every pin, then reset."""
        self._free_pins(self.retention.reset())
        return bool(super().reset_prefix_cache(*args, **kwargs))

    # -- from outside the scheduling loop -----------------------------------------------------------------------------

    def release_session(self, session: str) -> None:
        """No turn of the session will follow."""
        self._free_pins(self.retention.over(session, self.clock()))

    def extend_session(self, session: str, ttl_s: float) -> bool:
        """Let the session's pin last for ``ttl_s`` from now; False if it has none (any more)."""
        return self.retention.extend(session, ttl_s, self.clock())

    def kv_report(self) -> dict[str, Any]:
        """What became of hints and what they saved, since the start; plain JSON."""
        retention = self.retention
        table = retention.table
        return {
            "outcomes": {outcome.value: count for outcome, count in table.outcomes.items()},
            "pins": len(table),
            "pinned_blocks": table.pinned_blocks,
            "pinned_tokens": table.pinned_blocks * self.block_size,
            "budget_blocks": table.budget_blocks,
            "prompt_tokens": retention.tokens["prompt"],
            "hit_tokens": retention.tokens["hit"],
            "recomputed_tokens": retention.tokens["recomputed"],
            "queue_s": dict(retention.intake.queue_s),
            "queued": dict(retention.intake.queued),
            "waiting": len(self.waiting) - self.waiting.held_count,
            "held": self.waiting.held_count,
            "prefill_s_per_token": self._steps.prefill_s_per_token,
            "guard_trusted": retention.guard is None or retention.guard.trusted,
        }


def _may_have_stopped(request: Request) -> bool:
    """Whether an aborted request may be a complete reply: vLLM's front end looks for stop strings, and then aborts.

    A client that is gone looks the same; its pin ends with its TTL.
    """
    stops = request.sampling_params is not None and bool(request.sampling_params.stop)
    return stops and request.status == RequestStatus.FINISHED_ABORTED and request.num_output_tokens > 0


class KeepingAsyncScheduler(KeepingScheduler, StockAsyncScheduler):  # type: ignore[misc]
    """The asynchronous one."""


class Scheduler:
    """Makes the scheduler that fits the configuration: vLLM's own where the plugin cannot work, saying so."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        config = kwargs["vllm_config"]
        problems = hooks.problems(config, kwargs["kv_cache_config"])
        if problems:
            logger.warning(
                "KV caches are not kept between turns, and the engine runs stock vLLM: %s", "; ".join(problems)
            )
            return hooks.stock(config)(*args, **kwargs)
        asynchronous = config.scheduler_config.async_scheduling
        return (KeepingAsyncScheduler if asynchronous else KeepingScheduler)(*args, **kwargs)
