"""The prompts a replica prefills, and how much of each is in the step that is under way: its *chunk*."""

from __future__ import annotations

from orchestrator.planner.simulate.request import Request


class PrefillBatch:
    """Prompts begun by one replica, in order; ``chunks`` has the tokens of the first ones that this step computes."""

    __slots__ = ("chunks", "requests")

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.chunks: list[int] = []

    def join(self, request: Request, chunk: int) -> None:
        """Begin a prompt with a chunk of this step."""
        self.requests.append(request)
        self.chunks.append(chunk)

    def work(self) -> tuple[int, float, int]:
        """Of this step: tokens, pairs of a token and one before it, and tokens whose KV is read."""
        tokens, pairs, read = 0, 0.0, 0
        for request, chunk in zip(self.requests, self.chunks, strict=True):
            if not chunk:
                continue
            tokens += chunk
            pairs += chunk * (request.computed + chunk / 2)
            read += request.computed + chunk
        return tokens, pairs, read

    def end_step(self) -> list[Request]:
        """Account for the chunks; the requests whose prompts are complete leave."""
        done: list[Request] = []
        still: list[Request] = []
        for request, chunk in zip(self.requests, self.chunks, strict=True):
            request.computed += chunk
            (still if request.computed < request.target else done).append(request)
        self.requests = still
        return done
