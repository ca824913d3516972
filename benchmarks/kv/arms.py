"""The arms: a scheduler with its options, and what the client does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf

from benchmarks.harness.record import OURS
from benchmarks.kv.capacity import Order, TokenCapacity
from benchmarks.kv.driving import Admission, Cap, Capacity, Gate, HintOf, Open, known, no_hints, oracle
from orchestrator.planner.simulate.gate import FixedCap
from orchestrator.runtime.kv.slots import AdmissionControl

SCHEDULER = "orchestrator.kv.Scheduler"
STATIC_TTL_S = 2.0
"""What Continuum assumes of a tool that it does not know yet."""
CONTINUUM = {"hold": False, "overtaking": 0.0}
"""Program order alone."""


SimulatedGate = AdmissionControl | FixedCap | TokenCapacity
BEST_CAP, TOKEN_CAPACITY = "best-cap", "token-capacity"
"""The arms that are tuned on each case."""


def _learning(kv_tokens: int) -> AdmissionControl:
    control = AdmissionControl()
    control.cap.room(kv_tokens)
    return control


@dataclass(frozen=True, slots=True)
class Arm:
    """``engine`` names the engine it runs on: arms with the same name share one."""

    name: str
    engine: str = "stock"
    options: Mapping[str, object] = field(default_factory=dict)
    """Of our scheduler; without meaning on ``stock``."""
    hint_of: HintOf = no_hints
    admission: Callable[[], Admission] = Open
    arguments: Mapping[str, object] = field(default_factory=dict)
    """Engine arguments of its own."""
    gate: Callable[[int], SimulatedGate] | None = None
    """Of an engine with so many tokens of KV: what ``admission`` is in the simulator; ``None``: everybody passes."""
    note: str | None = None
    """What a tuned arm was set to."""

    @property
    def scheduler(self) -> str | None:
        """The ``--scheduler-cls``."""
        return None if self.engine in ("stock", "offload") else SCHEDULER


STOCK = Arm("stock")
ARMS = (
    STOCK,
    Arm("gate", admission=Gate, gate=_learning),
    Arm("program-fcfs", "program-fcfs", {"ttl_s": 0.0, **CONTINUUM}, known),
    Arm("static-ttl", "static-ttl", {"ttl_s": STATIC_TTL_S, **CONTINUUM}, known),
    Arm(OURS, OURS, {}, known),
    Arm("oracle", "oracle", {}, oracle),
    Arm("offload", "offload", arguments={"kv_offloading_size": 1.0, "kv_offloading_backend": "native"}),
)


def capped(programs: int) -> Arm:
    """Stock vLLM behind a cap on concurrent programs."""
    return Arm(BEST_CAP, admission=partial(Cap, programs), gate=lambda _: FixedCap(programs), note=f"cap {programs}")


def token_capacity(share: float, order: Order) -> Arm:
    """Stock vLLM behind an admission by tokens that pauses and resumes programs."""
    return Arm(
        TOKEN_CAPACITY,
        admission=partial(Capacity, share, order),
        gate=lambda kv_tokens: TokenCapacity(share * kv_tokens or inf, order),
        note=f"{100 * share:.0f} % of the KV, {order} first",
    )
