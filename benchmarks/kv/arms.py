"""The arms: a scheduler with its options, and what the client does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.harness.record import OURS
from benchmarks.kv.driving import Admission, Cap, Gate, HintOf, Open, known, no_hints, oracle

SCHEDULER = "orchestrator.kv.Scheduler"
STATIC_TTL_S = 2.0
"""What Continuum assumes of a tool that it does not know yet."""
CONTINUUM = {"hold": False, "overtaking": 0.0}
"""Program order alone."""


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

    @property
    def scheduler(self) -> str | None:
        """The ``--scheduler-cls``."""
        return None if self.engine in ("stock", "offload") else SCHEDULER


STOCK = Arm("stock")
ARMS = (
    STOCK,
    Arm("gate", admission=Gate),
    Arm("program-fcfs", "program-fcfs", {"ttl_s": 0.0, **CONTINUUM}, known),
    Arm("static-ttl", "static-ttl", {"ttl_s": STATIC_TTL_S, **CONTINUUM}, known),
    Arm(OURS, OURS, {}, known),
    Arm("oracle", "oracle", {}, oracle),
    Arm("offload", "offload", arguments={"kv_offloading_size": 1.0, "kv_offloading_backend": "native"}),
)


def capped(programs: int) -> Arm:
    """Stock vLLM behind a cap on concurrent programs."""
    return Arm("best-cap", admission=lambda: Cap(programs))
