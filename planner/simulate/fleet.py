"""The replicas of one model, the requests kept back for them, and what a stage takes on an average one."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.replica import Replica
from orchestrator.planner.simulate.request import Request


class Fleet:
    """Replicas that can stand in for each other."""

    __slots__ = ("_held", "_kinds", "_writers", "decoders", "position", "replicas")

    def __init__(self, model: str, replicas: Sequence[Replica]) -> None:
        """Raises :class:`PlanError` ORCH-P067 when prompts could not be prefilled, or replies not be written."""
        self.replicas = [replica for replica in replicas if replica.spec.role != "decode"]
        """Where requests go first."""
        self.decoders = [replica for replica in replicas if replica.spec.role == "decode"]
        if not self.replicas or bool(self.decoders) != any(r.spec.role == "prefill" for r in replicas):
            raise PlanError(
                "ORCH-P067",
                f"the replicas of model {model!r} are {sorted({replica.spec.role for replica in replicas})}",
                why="replicas that prefill and replicas that decode need each other",
                fix="add the other kind, or make the replicas whole",
            )
        self.position = {replica.index: i for i, replica in enumerate(self.replicas)}
        self._kinds = _kinds(self.replicas)
        self._writers = _kinds(self.decoders)
        self._held: list[tuple[float, int, Request]] = []

    def alone_s(self, prompt_tokens: float, output_tokens: float) -> float:
        """Mean over the replicas of a call's seconds with nothing beside it, a transfer of its KV included."""
        total = 0.0
        for replica, share in self._kinds:
            if replica.spec.role == "whole":
                total += share * replica.alone_s(prompt_tokens, output_tokens)
                continue
            total += share * (replica.alone_s(prompt_tokens, 1) + transfer_s(replica, prompt_tokens))
            for writer, part in self._writers:
                alone_s = writer.alone_s(prompt_tokens, output_tokens) - writer.alone_s(prompt_tokens, 1)
                total += share * part * alone_s
        return total

    def hold(self, request: Request, key: float) -> None:
        """Keep a request back."""
        heappush(self._held, (key, request.sequence, request))

    @property
    def first_held(self) -> Request | None:
        """The one with the least key."""
        return self._held[0][2] if self._held else None

    def release_first(self) -> Request:
        """Take it out."""
        return heappop(self._held)[2]


def transfer_s(replica: Replica, prompt_tokens: float) -> float:
    """Seconds to send a prompt's KV elsewhere, the link being free."""
    return prompt_tokens * replica.kv_bytes_per_token / replica.link_bytes_per_s


def _kinds(replicas: Sequence[Replica]) -> list[tuple[Replica, float]]:
    """One replica of each kind, and the share of its kind."""
    counts: dict[object, tuple[Replica, int]] = {}
    for replica in replicas:
        kind = (replica.speed, replica.spec.step_tokens, replica.spec.role, replica.link_bytes_per_s)
        counts[kind] = (replica, counts.get(kind, (replica, 0))[1] + 1)
    return [(replica, count / len(replicas)) for replica, count in counts.values()]
