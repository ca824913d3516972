"""The figures this project set out to reach, as data: `benchmarks.report` holds them against what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.harness.record import OURS

RAY = f"{OURS}-ray"
STORES = ("sqlite", "postgresql")
"""Arms of the durable benchmark that are ours."""
KV_CASES = ("pressure", "tail20", "light", "tail10", "tail40", "load1", "load2", "kv0.5", "kv2", "kv4")


@dataclass(frozen=True)
class Target:
    """One figure to reach."""

    benchmark: str
    case: str
    metric: str
    sense: Literal["<=", ">="]
    value: float
    arm: str = OURS

    def met(self, measured: float) -> bool:
        """Whether the measured figure reaches it."""
        return measured <= self.value if self.sense == "<=" else measured >= self.value


TARGETS = (
    Target("overhead", "W1", "us_per_step", "<=", 5),
    Target("overhead", "W2", "us_per_step", "<=", 5),
    Target("overhead", "W3", "us_per_step", "<=", 6),
    Target("overhead", "W4", "efficiency", ">=", 0.95),
    Target("overhead", "W1", "us_per_step", "<=", 50, RAY),
    Target("overhead", "W4", "efficiency", ">=", 0.92, RAY),
    Target("durable", "W1", "commit_ratio", "<=", 2, "sqlite"),
    Target("durable", "W2", "us_per_step", "<=", 30, "sqlite"),
    Target("durable", "W3", "us_per_step", "<=", 40, "sqlite"),
    Target("durable", "W4", "efficiency_ratio", ">=", 0.95, "sqlite"),
    Target("durable", "W1", "commit_ratio", "<=", 6, "postgresql"),
    Target("durable", "W2", "us_per_step", "<=", 90, "postgresql"),
    Target("durable", "W3", "us_per_step", "<=", 120, "postgresql"),
    *(
        Target("durable", "crash", metric, "<=", most, arm)
        for arm in STORES
        for metric, most in (
            ("lost_ops", 0),
            ("once_repeated", 0),
            ("paid_calls_repeated", 0),
            ("ops_repeated", 0),
            ("wrong_results", 0),
            ("over_budget", 0),
            ("resume_s", 0.3),
            ("takeover_s", 2),
        )
    ),
    *(
        Target("durable", "crash-synced", metric, "<=", 0, "sqlite")
        for metric in ("lost_ops", "once_repeated", "paid_calls_repeated", "ops_repeated", "unsynced")
    ),
    Target("durable", "history", "journal_bytes", "<=", 1.5e6, "sqlite"),
    *(Target("durable", "open", metric, "<=", most, "sqlite") for metric, most in (("open_s", 2), ("open_mib", 200))),
    Target("compile", "ops=1000", "seconds", "<=", 0.3),
    Target("compile", "ops=10000", "seconds", "<=", 3.5),
    Target("compile", "ops=1000", "cached_seconds", "<=", 0.005),
    Target("compile", "ops=10000", "cached_seconds", "<=", 0.005),
    Target("imports", "package", "seconds", "<=", 0.3),
    Target("imports", "package", "heavy_modules", "<=", 0),
    Target("imports", "orch-help", "seconds", "<=", 0.5),
    Target("text2sql", "unseen-schemas", "execution_accuracy", ">=", 0.75, "single-shot"),
    Target("text2sql", "unseen-schemas", "error_ratio", "<=", 0.6, "workflow"),
    Target("planner_accuracy", "configuration/agg/dense", "tpot_mape", "<=", 0.06),
    Target("planner_accuracy", "configuration/agg/dense", "ttft_mape", "<=", 0.16),
    Target("planner_accuracy", "configuration/agg", "tpot_mape", "<=", 0.12),
    Target("planner_accuracy", "configuration/agg", "ttft_mape", "<=", 0.27),
    Target("planner_accuracy", "device/agg", "tpot_mape", "<=", 0.45),
    Target("planner_accuracy", "device/agg", "ttft_mape", "<=", 0.75),
    Target("planner_accuracy", "group/agg", "tpot_mape", "<=", 0.15),
    Target("planner_accuracy", "group/agg", "ttft_mape", "<=", 0.35),
    Target("planner_search", "brute-force", "max_gap", "<=", 0.0),
    Target("planner_search", "60x8", "seconds", "<=", 2),
    Target("planner_search", "llama-70b-8gpu", "seconds", "<=", 1),
    Target("planner_search", "4096gpu", "seconds", "<=", 60),
    *(
        Target("planner_policies", f"rate={rate}", "p95_reduction", ">=", 0.15)
        for rate in ("0.05", "0.1", "0.2", "0.3", "0.4", "0.6")
    ),
    Target("planner_policies", "slo=5x, 90%", "rate_ratio", ">=", 1.6),
    Target("planner_policies", "slo=5x, 95%", "rate_ratio", ">=", 1.6),
    Target("planner_scale", "requests=1000000,replicas=1000", "seconds", "<=", 600),
    Target("planner_scale", "requests=1000000,replicas=1000", "rss_ratio", "<=", 1.1),
    Target("kv_ttl", "pressure", "mean_ratio", ">=", 2.5),
    Target("kv_ttl", "pressure", "p95_ratio", ">=", 2.0),
    Target("kv_ttl", "pressure", "best_cap_ratio", ">=", 1.15),
    Target("kv_ttl", "tail20", "mean_ratio", ">=", 1.8),
    Target("kv_ttl", "light", "mean_ratio", ">=", 0.98),
    *(Target("kv_ttl", case, "p95_ratio", ">=", 0.97) for case in KV_CASES if case != "pressure"),
    *(Target("kv_ttl", case, "simulation_worst_error", "<=", 0.2) for case in KV_CASES),
    *(Target("kv_ttl", f"overhead/{case}-256", "added_percent", "<=", 5) for case in ("hinted", "pinned", "held")),
    *(Target("kv_ttl", f"overhead/unhinted-{running}", "added_us", "<=", 20) for running in (1, 256)),
)

FIRST_AMONG_FRAMEWORKS = tuple(
    (benchmark, case, metric, sense, arm)
    for benchmark, arm in (("overhead", OURS), ("durable", "sqlite"))
    for case, metric, sense in (
        ("W1", "us_per_step", "<="),
        ("W2", "us_per_step", "<="),
        ("W3", "us_per_step", "<="),
        ("W4", "efficiency", ">="),
    )
)
"""Columns in which our arm is to be ahead of every peer framework (bare asyncio is a floor, not a framework)."""
NOT_FRAMEWORKS = frozenset({"asyncio", "asyncio+uvloop", "asyncio-sqlite", OURS, RAY, *STORES})
