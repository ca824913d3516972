"""The slow engine: one replica, every request looked at in every step, no cache. Shares no code with the simulator.

It exists to be obviously right; ``test_reference.py`` holds the simulator against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.speed import ReplicaSpec


@dataclass
class Call:
    """One request; ``tokens`` have their KV, of the ``target`` needed before decoding."""

    number: int
    arrival_s: float
    prompt: int
    output: int
    target: int
    tokens: int = 0
    generated: int = 0
    blocks: int = 0
    first_s: float = -1.0
    done_s: float = -1.0

    @property
    def decoding(self) -> bool:
        """Whether its prompt is prefilled."""
        return self.tokens >= self.target


def run(programs: Sequence[Program], spec: ReplicaSpec) -> tuple[list[Call], int]:
    """First come, first served. Returns the calls with their times, and the number of preemptions."""
    calls = [
        Call(i, p.arrival_s, p.stages[0].prompt_tokens, p.stages[0].output_tokens, p.stages[0].prompt_tokens)
        for i, p in enumerate(programs)
    ]
    coming, waiting, running = list(calls), list[Call](), list[Call]()
    now, preemptions = 0.0, 0
    while coming or waiting or running:
        if not running and not waiting:
            # An idle engine starts with whoever comes first; those of the same instant wait for its step to end.
            now = max(now, coming[0].arrival_s)
            waiting.append(coming.pop(0))
        free = spec.kv_blocks - sum(call.blocks for call in running)
        preempted = False
        while sum(_grows(call, spec) for call in running) > free:
            victim = max(running, key=lambda call: call.number)
            running.remove(victim)
            free += victim.blocks
            victim.target, victim.tokens, victim.blocks = victim.prompt + victim.generated, 0, 0
            waiting.append(victim)
            preempted = True
            preemptions += 1
        for call in running:
            call.blocks += _grows(call, spec)
        batch = [call for call in running if call.decoding]
        budget = spec.step_tokens - len(batch)
        chunks = []
        for call in running:
            if not call.decoding:
                chunks.append((call, min(call.target - call.tokens, budget)))
                budget -= chunks[-1][1]
        waiting.sort(key=lambda call: call.number)
        while waiting and budget and not preempted and len(running) < spec.max_batch:
            need = -(-waiting[0].target // spec.block_tokens)
            if need > spec.kv_blocks - sum(call.blocks for call in running):
                break
            call = waiting.pop(0)
            call.blocks = need
            running.append(call)
            chunks.append((call, min(call.target, budget)))
            budget -= chunks[-1][1]
        now += _step_s(chunks, batch, spec)
        _finish_step(chunks, batch, now)
        running = [call for call in running if call.done_s < 0]
        while coming and coming[0].arrival_s < now:
            waiting.append(coming.pop(0))
    return calls, preemptions


def _grows(call: Call, spec: ReplicaSpec) -> int:
    return int(call.decoding and call.tokens % spec.block_tokens == 0)


def _step_s(chunks: list[tuple[Call, int]], batch: list[Call], spec: ReplicaSpec) -> float:
    speed = spec.speed
    tokens = sum(chunk for _, chunk in chunks) + len(batch)
    pairs = sum(chunk * (call.tokens + chunk / 2) for call, chunk in chunks)
    read = sum(call.tokens + chunk for call, chunk in chunks if chunk) + sum(call.tokens for call in batch)
    compute = speed.token_s * tokens + speed.pair_s * pairs
    return max(compute, speed.weight_s) + speed.kv_token_s * read + speed.step_s


def _finish_step(chunks: list[tuple[Call, int]], batch: list[Call], now: float) -> None:
    for call in batch:
        call.tokens += 1
        call.generated += 1
    for call, chunk in chunks:
        call.tokens += chunk
        if call.decoding:
            call.generated += 1
            call.first_s = now if call.first_s < 0 else call.first_s
    for call in [*batch, *(call for call, _ in chunks)]:
        if call.generated == call.output:
            call.done_s = now
