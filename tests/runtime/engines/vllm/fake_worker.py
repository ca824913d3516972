"""A model runner without a model, over a KV store that knows what every slot of every block holds.

What a transformer keeps for a position depends on the whole prefix that ends there, so a slot here holds the hash of
that prefix. A step first writes the slots of the positions that it computes and then reads every slot that attention
would read: a slot that does not hold its own request's prefix is a corrupted answer, and raises :class:`Corrupted`.
The next token is a function of what was read, so a greedy answer depends on the content of the blocks and on nothing
else; :func:`greedy` says what it must be.

Three kinds of KV cache groups are known: full attention, a sliding window, and mamba's running state (mode ``align``),
one slot a block, of which a step reads the last one and writes the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.outputs import ModelRunnerOutput

from tests.runtime.engines.vllm.schedulers import Shape

FIRST_TOKEN: Final = 3
TOKENS: Final = 61
"""Few, so that a stop token comes up often."""
SALTS: Final = tuple(np.int64(hash((731, group))) for group in range(8))
"""Groups share blocks, and keep different things in them."""


class Corrupted(AssertionError):
    """A request read a slot that holds something else than its own prefix."""


@dataclass(slots=True)
class Row:
    """A request as the worker knows it."""

    tokens: list[int]
    prefixes: np.ndarray
    """Hash of the prefix that ends at each position."""
    blocks: list[list[int]]
    """Block ids by group and position."""
    state_at: int = -1
    """Which block holds mamba's running state; -1: not known, look where the last computed token is."""
    hashed: int = 0

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens."""
        self.tokens.extend(tokens)
        last = int(self.prefixes[self.hashed - 1]) if self.hashed else 0
        for token in self.tokens[self.hashed :]:
            last = hash((last, token))
            self.prefixes[self.hashed] = last
            self.hashed += 1


@dataclass
class FakeWorker:
    """Executes scheduler outputs of an engine of that shape, in the order in which they were scheduled."""

    shape: Shape
    computed_tokens: int = 0
    """Positions computed so far, repeated ones included."""
    rows: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = np.zeros((self.shape.blocks + 1, self.shape.block_tokens), dtype=np.int64)

    def execute(self, output: SchedulerOutput) -> ModelRunnerOutput:
        """One step; raises :class:`Corrupted`."""
        self._update(output)
        for copy in getattr(output, "kv_cache_block_copies", None) or ():  # older vLLMs copy none
            self.slots[copy.dst_block_id] = self.slots[copy.src_block_id]
        spans = {
            name: (self._computed[name], self._computed[name] + tokens)
            for name, tokens in output.num_scheduled_tokens.items()
        }
        for name, span in spans.items():
            self._read_state(name, span)
        for name, span in spans.items():
            self._write(name, span)
            self._write_state(name, span)
        sampled = [self._sample(name, span) for name, span in spans.items()]
        self.computed_tokens += output.total_num_scheduled_tokens
        names = list(spans)
        return ModelRunnerOutput(
            req_ids=names, req_id_to_index={name: at for at, name in enumerate(names)}, sampled_token_ids=sampled
        )

    def _update(self, output: SchedulerOutput) -> None:
        """Follow the block tables, as a model runner does."""
        self._computed: dict[str, int] = {}
        for name in output.finished_req_ids:
            self.rows.pop(name, None)
        for new in output.scheduled_new_reqs:
            self._computed[new.req_id] = new.num_computed_tokens
            self._place(new.req_id, new.prefill_token_ids or new.prompt_token_ids or [], new.block_ids)
        cached = output.scheduled_cached_reqs
        for at, name in enumerate(cached.req_ids):
            self._computed[name] = cached.num_computed_tokens[at]
            blocks = cached.new_block_ids[at]
            if name in cached.resumed_req_ids:
                self._place(name, cached.all_token_ids[name], blocks)
            elif blocks is not None:
                for known, more in zip(self.rows[name].blocks, blocks, strict=True):
                    known.extend(more)

    def _place(self, name: str, tokens: Sequence[int], blocks: Any) -> None:
        row = Row([], np.zeros(self.shape.longest + 2, dtype=np.int64), [list(ids) for ids in blocks])
        row.extend(list(tokens))
        self.rows[name] = row

    def _attention(self) -> list[tuple[int, int | None]]:
        """Groups with slots for every token, and what they attend to."""
        kinds = enumerate(self.shape.groups)
        return [(at, None if kind == "full" else self.shape.window) for at, kind in kinds if kind != "mamba"]

    def _states(self) -> list[int]:
        return [at for at, kind in enumerate(self.shape.groups) if kind == "mamba"]

    def _write(self, name: str, span: tuple[int, int]) -> None:
        row = self.rows[name]
        positions = np.arange(*span)
        for group, _ in self._attention():
            blocks = np.asarray(row.blocks[group], dtype=np.int64)[positions // self.shape.block_tokens]
            if not blocks.all():
                raise Corrupted(f"{name} computes positions {span} of group {group} into the null block")
            self.slots[blocks, positions % self.shape.block_tokens] = row.prefixes[span[0] : span[1]] ^ SALTS[group]

    def _read(self, name: str, group: int, first: int, end: int) -> np.ndarray:
        row = self.rows[name]
        positions = np.arange(first, end)
        blocks = np.asarray(row.blocks[group], dtype=np.int64)[positions // self.shape.block_tokens]
        found = self.slots[blocks, positions % self.shape.block_tokens]
        wrong = np.flatnonzero(found != row.prefixes[first:end] ^ SALTS[group])
        if wrong.size:
            at = int(positions[wrong[0]])
            raise Corrupted(
                f"{name} reads position {at} of group {group} from block {blocks[wrong[0]]}, "
                f"which holds another prefix ({wrong.size} of {end - first} slots)"
            )
        return found

    def _read_state(self, name: str, span: tuple[int, int]) -> None:
        """Read the running states that a step starts from."""
        row = self.rows[name]
        for group in self._states() if span[0] else ():
            at = row.state_at if row.state_at >= 0 else (span[0] - 1) // self.shape.block_tokens
            found = self.slots[row.blocks[group][at], 0]
            if found != row.prefixes[span[0] - 1] ^ SALTS[group]:
                raise Corrupted(
                    f"{name} starts at {span[0]} from the state in block {row.blocks[group][at]}: not its own"
                )

    def _write_state(self, name: str, span: tuple[int, int]) -> None:
        row = self.rows[name]
        for group in self._states():
            row.state_at = -(-span[1] // self.shape.block_tokens) - 1
            block = row.blocks[group][row.state_at]
            if not block:
                raise Corrupted(f"{name} writes its state at {span[1]} of group {group} into the null block")
            self.slots[block, 0] = row.prefixes[span[1] - 1] ^ SALTS[group]

    def _sample(self, name: str, span: tuple[int, int]) -> list[int]:
        """Attend; the next token once the whole prompt is computed."""
        row = self.rows[name]
        first, end = span
        digest = np.int64(0)
        for group, window in self._attention():
            start = 0 if window is None else max(0, first - window + 1)
            found = self._read(name, group, start, end)
            digest ^= np.bitwise_xor.reduce(found if window is None else found[max(0, end - window) - start :])
        for group in self._states():
            digest ^= self.slots[row.blocks[group][row.state_at], 0]
        if end < len(row.tokens):
            return []
        token = _token(int(digest))
        row.extend([token])
        return [token]


def _token(digest: int) -> int:
    return FIRST_TOKEN + hash((digest, 5)) % TOKENS


def greedy(shape: Shape, prompt: Sequence[int], max_tokens: int, stop: Sequence[int] = ()) -> list[int]:
    """The answer to a prompt, computed without a cache."""
    hashes: list[int] = []
    answer: list[int] = []
    last = 0
    totals = [0]
    for token in prompt:
        last = hash((last, token))
        hashes.append(last)
        totals.append(totals[-1] ^ last)
    while len(answer) < max_tokens:
        count = len(hashes)
        digest = 0
        for group, kind in enumerate(shape.groups):
            read = {"full": count, "sliding": min(count, shape.window), "mamba": 1}[kind]
            digest ^= totals[-1] ^ totals[count - read] ^ (int(SALTS[group]) if read % 2 else 0)
        token = _token(digest)
        answer.append(token)
        if token in stop:
            break
        last = hash((last, token))
        hashes.append(last)
        totals.append(totals[-1] ^ last)
    return answer
