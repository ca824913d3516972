"""One replica: continuous batching, paged KV, chunked prefill and preemption by recompute, as in vLLM's V1 engine.

Time passes in *steps*. Each step gives one token to every decoding sequence and what is left of ``step_tokens`` to
prompts: those begun, then those at the head of the queue for which there is memory. When a sequence needs a block and
none is left, sessions kept between their turns are given up, and then a running request is preempted: it computes its
KV again later. Which one, and where it waits then, is ``ReplicaSpec.scheduler``.

While nothing is prefilled, nothing finishes and memory suffices, all steps are alike but for the KV they read, so a
*run* of n steps is one event of ``n a + d n (n - 1) / 2`` seconds: ``a`` the first step, ``d = kv_token_s * batch``.
An arrival cuts a run at the next step's end. ``longest_run=1`` steps one by one, and gives the same results
(``tests/planner/simulate/test_closed_form.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from orchestrator.errors import PlanError
from orchestrator.planner.policies.view import Order, RequestView
from orchestrator.planner.simulate.decoding import DecodeBatch
from orchestrator.planner.simulate.memory import Memory
from orchestrator.planner.simulate.prefilling import PrefillBatch
from orchestrator.planner.simulate.queue import RequestQueue
from orchestrator.planner.simulate.request import Request
from orchestrator.planner.simulate.retention import EngineLoad, Retention
from orchestrator.planner.simulate.series import StepSeries
from orchestrator.planner.simulate.speed import ReplicaSpec


class Replica:
    """Mutable state of one replica; the attributes without underscore are its ``ReplicaView`` and its counters."""

    __slots__ = (
        "_batch", "_blocked", "_booked", "_order", "_prompts", "_queue", "_reorder", "_reserve", "_run", "_synced_s",
        "backlog_s", "block_tokens", "busy_s", "decode_tokens", "index", "kv_bytes_per_token", "link_bytes_per_s",
        "longest_run", "max_batch", "memory", "next_s", "pool", "preemptions", "prefill_tokens",
        "prompt_backlog_tokens", "running_count", "spec", "speed", "steps", "total_blocks", "version",
        "waiting_blocks",
    )  # fmt: skip

    def __init__(
        self, index: int, spec: ReplicaSpec, order: Order, *, reorder: bool = False, longest_run: int | None = None,
        retention: Retention | None = None, count_recomputed: bool = False,
    ) -> None:  # fmt: skip
        self.index = index
        self.spec = spec
        self.speed = spec.speed
        self.max_batch = spec.max_batch
        self.block_tokens = spec.block_tokens
        self.total_blocks = spec.kv_blocks
        self.kv_bytes_per_token = spec.kv_bytes_per_token
        self.link_bytes_per_s = spec.link_bytes_per_s
        self.longest_run = longest_run
        self.memory = Memory(spec, retention, count_recomputed)
        self.pool = self.memory.pool
        self.running_count = 0
        self.waiting_blocks = 0
        self.backlog_s = 0.0
        self.prompt_backlog_tokens = 0
        self.next_s = inf
        """When the current step or run ends; ``inf``: idle."""
        self.version = 0
        """Grows whenever ``next_s`` changes."""
        self.busy_s = 0.0
        self.steps = 0
        self.prefill_tokens = 0
        self.decode_tokens = 0
        self.preemptions = 0
        self._order = order
        self._reorder = reorder
        self._reserve = int(spec.watermark * spec.kv_blocks)
        self._queue = RequestQueue()
        self._prompts = PrefillBatch()
        self._batch = DecodeBatch(spec.block_tokens)
        self._blocked = False
        """The head of the queue found no memory, and none has become free since."""
        self._run = StepSeries()
        self._synced_s = -inf
        self._booked = 0
        """Steps of the current run whose blocks are taken: one more than are complete."""

    @property
    def waiting_count(self) -> int:
        """Requests in the queue."""
        return self._queue.total

    def alone_s(self, prompt_tokens: float, output_tokens: float, cached_tokens: float = 0.0) -> float:
        """Seconds of a call with nothing beside it."""
        return self.speed.alone_s(prompt_tokens, output_tokens, cached_tokens, self.spec.step_tokens)

    def step_s(self, prefill_tokens: float, decodes: float, context_tokens: float) -> float:
        """Seconds of a step with that much in it."""
        pairs = prefill_tokens * prefill_tokens / 2
        return self.speed.mixed_s(prefill_tokens, pairs, prefill_tokens, decodes, context_tokens)

    def free_blocks(self, now: float) -> int:
        """Blocks unused, or cached and wanted by nobody."""
        self._sync(now)
        return self.pool.available

    def cached_tokens(self, request: RequestView, now: float) -> int:
        """Leading prompt tokens whose KV is here, one short of the whole prompt at most."""
        ids = request.prefix_ids
        if not ids or not self.pool.units:
            return 0
        self._sync(now)
        return self.pool.match(ids, (request.prompt_tokens - 1) // request.unit_tokens) * request.unit_tokens

    def context_tokens(self, now: float) -> int:
        """Tokens in the KV of the sequences it decodes."""
        self._sync(now)
        return self._batch.context

    def waiting(self) -> Iterable[tuple[float, RequestView]]:
        """The queue, in no order."""
        return iter(self._queue)

    def running(self, now: float) -> Iterable[tuple[RequestView, int, int]]:
        """Request, prompt tokens still to prefill, tokens generated."""
        self._sync(now)
        step = self._batch.step
        for request in self._prompts.requests:
            yield request, request.target - request.computed, request.generated
        for request in self._batch.requests.values():
            yield request, 0, request.generated + step - request.joined_step

    def fits(self, request: Request) -> bool:
        """Whether the request could run here at all."""
        tokens = request.prompt_tokens + (1 if self.spec.role == "prefill" else request.output_tokens)
        return self.memory.blocks(tokens) <= self.total_blocks

    def enqueue(self, request: Request, now: float) -> None:
        """Take a request into the queue; ``next_s`` may change."""
        self.memory.accept(request, self.spec.name)
        output_tokens = 1 if self.spec.role == "prefill" else request.predicted_output_tokens
        request.work_s = self.alone_s(request.prompt_tokens, output_tokens, request.computed)
        self.backlog_s += request.work_s
        self.prompt_backlog_tokens += request.target - request.computed
        self.waiting_blocks += self.memory.blocks(request.target)
        if self.memory.arrived(request, now):
            self._blocked = False
        key = self.memory.key(request, now) if self.memory.retains else self._order(request, self, now)
        if key is None:
            self._queue.held[request.sequence] = request
        else:
            self._queue.push(request, key)
        if not self._run.steps:
            self._begin(now)
            return
        if self._reorder or (self._queue and self._queue.first is request):
            self._blocked = False
        if self._run.steps > 1 and (self._queue.held or not self._blocked) and self.running_count < self.max_batch:
            self._cut(now)

    def advance(self, now: float) -> list[Request]:
        """End the step or run that ends now and begin the next; returns the requests that finished."""
        if self.pool.expire(now):
            self._blocked = False
        self._commit(self._run.steps)
        if self._run.steps:
            self.busy_s += now - self._run.start_s
        self._run.steps = 0
        done = self._end_prefill(now) if self._prompts.requests else []
        for request in self._batch.ended():
            self._finish(request, now)
            done.append(request)
        self._begin(now)
        return done

    # -- runs of steps ------------------------------------------------------------------------------------------------

    def _sync(self, now: float) -> None:
        """Bring the state to what it is at ``now``, in the middle of a run."""
        if now == self._synced_s:
            return
        self._synced_s = now
        if self.pool.expire(now):
            self._blocked = False
        run = self._run
        if run.steps > 1:
            done = min(run.done_by(now), run.steps - 1)
            if done:
                before = run.start_s
                self._commit(done)
                run.drop(done)
                self.busy_s += run.start_s - before

    def _cut(self, now: float) -> None:
        """Let the current run end with the step that is under way."""
        run = self._run
        steps = run.done_by(now) + 1
        if steps < run.steps:
            run.steps, self.next_s = steps, run.after(steps)
            self.version += 1

    def _commit(self, steps: int) -> None:
        """Account for complete steps of the current run, and book the blocks of the one that follows in it."""
        batch = self._batch
        count = len(batch.requests)
        book = min(steps + 1, self._run.steps) - self._booked
        if book and count:
            self.pool.take(batch.growth(self._booked, book))
        self._booked += book - steps
        batch.pass_steps(steps)
        self.steps += steps
        self.decode_tokens += steps * count

    # -- one step -----------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """Begin the next step or run, if there is anything to do."""
        self.version += 1
        run = self._run
        run.start_s = now
        requests = self._batch.requests
        if self.memory.retains:
            self._consult(now)
        preempted = self._book_first(now) if requests else False
        chunks = self._prompts.chunks = []
        if self._prompts.requests:
            preempted = self._continue_prompts(now) or preempted
        budget = self.spec.step_tokens - len(requests) - sum(chunks)
        if self._queue and budget and not (preempted or self._blocked) and self.running_count < self.max_batch:
            self._admit(now, budget)
        batch = len(requests)
        if chunks:
            run.steps = 1
            tokens, pairs, read = self._prompts.work()
            self.prefill_tokens += tokens
            self.next_s = now + self.speed.mixed_s(tokens, pairs, read, batch, self._batch.context)
        elif batch:
            speed = self.speed
            run.first_s = speed.decode_base_s(batch) + speed.kv_token_s * self._batch.context
            run.more_s = speed.kv_token_s * batch
            run.steps = self._run_length()
            self.next_s = run.after(run.steps)
        else:
            self.next_s = self._next_room_s(now) if self._queue.total else inf
        self._booked = 1 if batch else 0

    def _run_length(self) -> int:
        """Steps until something other than a token may happen."""
        if self._queue and not self._blocked and self.running_count < self.max_batch:
            return 1
        steps = self._batch.steps_to_end()
        if self.longest_run is not None and steps > self.longest_run:
            steps = self.longest_run
        if steps > 1:
            steps = self._batch.affordable(steps, self.pool.available)
        if steps > 1 and (self._blocked or self.memory.retains):
            due_s = self.memory.next_due_s
            if due_s < inf:
                run = self._run
                run.steps = steps
                before = run.done_by(due_s)
                steps = before if before and run.after(before) == due_s else min(steps, before + 1)
        return steps

    def _consult(self, now: float) -> None:
        """Ask what is to be given up, and who need not be held back any longer."""
        if self.memory.expire(self._load(), now):
            self._blocked = False
        queue = self._queue
        for sequence in self.memory.released(self._load(), now) if queue.held else ():
            request = queue.held.pop(sequence)
            key = self.memory.key(request, now)
            queue.push(request, inf if key is None else key)
            self._blocked = self._blocked and queue.first is not request

    def _next_room_s(self, now: float) -> float:
        """When an idle replica, all whose free memory is too little for its queue, may have more."""
        due_s = self.memory.next_due_s
        if now < due_s < inf:
            return due_s
        raise PlanError(
            "ORCH-P112",
            f"replica {self.spec.name!r} runs nothing, and pins keep memory from {self._queue.total} requests",
            why=f"the retention gives none of them up, and is due at {due_s} s (now: {now} s)",
            fix="let Retention.victim give up a pin whenever EngineLoad.running is 0",
        )

    def _load(self) -> EngineLoad:
        return EngineLoad(self._queue.total, self._blocked, self.running_count, self.pool.available, self.total_blocks)

    def _book_first(self, now: float) -> bool:
        """Take the blocks the next step needs, preempting if there are too few; whether it did."""
        pool, batch = self.pool, self._batch
        need = batch.growth(0, 1)
        preempted = False
        if need > pool.available:
            pool.yield_pins(need)
            while need > pool.available:
                if self.memory.give_up(None, self._load(), now):
                    continue
                self._preempt()
                preempted = True
                need = batch.growth(0, 1)
        pool.take(need)
        return preempted

    def _continue_prompts(self, now: float) -> bool:
        """Choose the next chunks of the prompts begun, preempting if there is no memory for them; whether it did."""
        prompts, chunks = self._prompts.requests, self._prompts.chunks
        preempted = False
        budget = self.spec.step_tokens - len(self._batch.requests)
        while len(chunks) < len(prompts):
            request = prompts[len(chunks)]
            chunk = min(request.target - request.computed, budget)
            more = self.memory.missing(request, request.computed + chunk)
            if more > self.pool.available:
                if not self.memory.give_up(None, self._load(), now):
                    self._preempt()
                    preempted = True
                continue
            self.memory.extend(request, more)
            self.memory.share(request, request.computed + chunk)
            chunks.append(chunk)
            budget -= chunk
        return preempted

    def _preempt(self) -> None:
        """Throw out a running request; its KV is computed again."""
        requests = self._batch.requests
        running = (*requests.values(), *self._prompts.requests)
        last = self.spec.scheduler == "vllm"
        victim = running[-1] if last else max(running, key=lambda request: (request.key, request.sequence))
        if victim.sequence in requests:
            self._batch.leave(victim)
        else:
            self._prompts.requests.remove(victim)
        self.prompt_backlog_tokens -= victim.target - min(victim.computed, victim.target)
        self.memory.share(victim, victim.computed)
        self._release(victim)
        self._blocked = False
        victim.target = victim.prompt_tokens + victim.generated
        victim.computed = 0
        victim.preemptions += 1
        self.preemptions += 1
        self.prompt_backlog_tokens += victim.target
        self.waiting_blocks += self.memory.blocks(victim.target)
        if last:
            self._queue.prepend(victim)
        else:
            self._queue.push(victim, victim.key)

    # -- admission and departure --------------------------------------------------------------------------------------

    def _admit(self, now: float, budget: int) -> None:
        """Move requests from the head of the queue into the step while there is memory, batch and budget for them."""
        queue = self._queue
        if self._reorder and not self.memory.retains:
            queue.sort(lambda request: self._order(request, self, now))
        while queue and budget and self.running_count < self.max_batch:
            request = queue.first
            # One whose KV was sent here is not prefilled, and takes the block of its next token too.
            sent = request.computed >= request.target
            hits = 0 if sent else self.memory.match(request)
            need = self.memory.blocks(request.target + sent) - hits * request.unit_blocks
            if not self._room(request, hits, need, now):
                self._blocked = True
                return
            self.running_count += 1
            if request.admitted_s < 0:
                request.admitted_s = now
            queue.pop()
            self.waiting_blocks -= self.memory.blocks(request.target)
            chunk = min(request.target - hits * request.unit_tokens, budget)
            if self.spec.scheduler == "vllm" and not sent:
                need = self.memory.blocks(hits * request.unit_tokens + chunk) - hits * request.unit_blocks
            self.memory.take(request, hits, need)
            if sent:
                budget -= 1
                self._batch.join(request)
                continue
            self.memory.found(request, now)
            self.prompt_backlog_tokens -= request.computed
            self.memory.share(request, request.computed + chunk)
            budget -= chunk
            self._prompts.join(request, chunk)

    def _room(self, request: Request, hits: int, need: int, now: float) -> bool:
        """Whether there is memory for the first in the queue, pins given up for it if need be."""
        pool, ids = self.pool, request.ids[:hits]
        reserve = self._reserve if self.running_count else 0
        while need + pool.idle_among(ids) + reserve > pool.available:
            if self.memory.give_up(request, self._load(), now):
                continue
            if self.running_count:
                return False
            pool.yield_pins(need + hits * request.unit_blocks)
            return need + pool.idle_among(ids) <= pool.available
        return True

    def _end_prefill(self, now: float) -> list[Request]:
        """Account for the chunks of the step that ended; returns requests that wanted one token only."""
        self.prompt_backlog_tokens -= sum(self._prompts.chunks)
        done = []
        for request in self._prompts.end_step():
            request.generated += 1
            if request.first_token_s < 0:
                request.first_token_s = now
            if request.generated >= request.quota:
                self._finish(request, now)
                done.append(request)
            else:
                self._batch.join(request)
        return done

    def _finish(self, request: Request, now: float) -> None:
        self.memory.share(request, request.computed)
        self.memory.pin(request, now)
        if self.memory.retains:
            self.memory.end_turn(request, self._load(), now)
        self._release(request)
        self._blocked = False
        self.backlog_s = self.backlog_s - request.work_s if self.running_count or self._queue.total else 0.0

    def _release(self, request: Request) -> None:
        self.memory.release(request)
        self.running_count -= 1
