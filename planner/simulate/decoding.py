"""The sequences a replica decodes: steps counted, ends known ahead, and blocks needed in closed form.

Sequences are never walked. With S the number of steps so far, one that joined with c tokens of KV at step j holds
``c + S - j`` tokens, so it needs another block whenever ``S = j - c`` modulo the block size: counting sequences by that
remainder gives the blocks that any number of steps take. Each ends at a step known when it joins.
"""

from __future__ import annotations

from heapq import heappop, heappush

from orchestrator.planner.simulate.request import Request


class DecodeBatch:
    """Decoding sequences of one replica."""

    __slots__ = ("_ends", "_grows", "_joined", "_size", "context", "requests", "step")

    def __init__(self, block_tokens: int) -> None:
        self.requests: dict[int, Request] = {}
        """It has the requests by sequence number."""
        self.step = 0
        """Engine steps so far."""
        self.context = 0
        """Tokens in their KV, all together."""
        self._size = block_tokens
        self._grows = [0] * block_tokens
        """Sequences by the remainder of the step at which they need another block."""
        self._ends: list[tuple[int, int, Request]] = []
        self._joined = 0

    def join(self, request: Request) -> None:
        """Decode a request whose prompt, of which ``computed`` tokens are in the KV, was just prefilled."""
        step = self.step
        request.joined_step = step
        request.context_at_join = request.computed
        request.slot = (step - request.computed) % self._size
        request.finish_step = step + request.quota - request.generated
        self._grows[request.slot] += 1
        self.context += request.computed
        self.requests[request.sequence] = request
        self._joined += 1
        heappush(self._ends, (request.finish_step, self._joined, request))

    def leave(self, request: Request) -> None:
        """Stop decoding a request; ``computed``, ``generated`` and ``private_blocks`` are brought up to date."""
        steps = self.step - request.joined_step
        request.computed = request.context_at_join + steps
        request.generated += steps
        request.private_blocks = -(-request.computed // self._size) - request.units * request.unit_blocks
        self._grows[request.slot] -= 1
        self.context -= request.computed
        del self.requests[request.sequence]
        request.finish_step = -1

    def pass_steps(self, steps: int) -> None:
        """Every sequence got ``steps`` tokens."""
        self.step += steps
        self.context += steps * len(self.requests)

    def ended(self) -> list[Request]:
        """Take out the requests that got their last token, in the order in which they joined."""
        ends, done = self._ends, []
        while ends and ends[0][0] <= self.step:
            finish_step, _, request = heappop(ends)
            if request.finish_step == finish_step:
                self.leave(request)
                done.append(request)
        return done

    def steps_to_end(self) -> int:
        """Steps until the first sequence ends; there must be one."""
        ends = self._ends
        while ends[0][2].finish_step != ends[0][0]:
            heappop(ends)
        return ends[0][0] - self.step

    def growth(self, first: int, steps: int) -> int:
        """Blocks that ``steps`` steps take, from ``first`` steps after now."""
        cycles, rest = divmod(steps, self._size)
        count = cycles * len(self.requests)
        if rest:
            grows, size, at = self._grows, self._size, self.step + first
            for step in range(at, at + rest):
                count += grows[step % size]
        return count

    def affordable(self, most: int, room: int) -> int:
        """Steps, ``most`` at most, for whose blocks ``room`` blocks suffice when those of the first step are taken."""
        batch, size = len(self.requests), self._size
        if (most // size + 1) * batch <= room:
            return most
        cycles = room // batch
        steps = 1 + cycles * size
        room -= cycles * batch
        grows, at = self._grows, self.step
        while steps < most:
            need = grows[(at + steps) % size]
            if need > room:
                break
            room -= need
            steps += 1
        return min(steps, most)
