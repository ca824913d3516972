"""One simulation of a large cluster in a process of its own; prints one JSON object.

    python -m benchmarks.arms.simulate_arm REQUESTS REPLICAS POLICY SEED

Replicas: half A100 80 GB, a quarter RTX A6000, a quarter L40S, each with Llama-3.1-8B in bf16 at the speed a roofline
gives. Requests arrive in bursts (Gamma gaps, cv 2), 1.5 a second for each replica; prompts are log-normal around 1,000
tokens, replies around 200; a third starts with one of 20 shared system prompts of 1,024 tokens.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from random import Random

from orchestrator.planner.catalogue import load
from orchestrator.planner.models import bundled
from orchestrator.planner.policies import POLICIES
from orchestrator.planner.serving import Replica
from orchestrator.planner.simulate.arrivals import gamma_arrivals
from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, roofline_speed

DEVICES = ("a100-sxm-80gb", "rtx-a6000", "a100-sxm-80gb", "l40s")
MODEL = "meta-llama/Llama-3.1-8B"
RATE_PER_REPLICA_S = 1.5
BURSTS_CV = 2.0
DOCUMENTS = 20
SLO_S = 30.0


def cluster(replicas: int) -> list[ReplicaSpec]:
    """``DEVICES`` in turn."""
    facts = bundled(MODEL)
    if facts is None:
        raise SystemExit(f"the configuration of {MODEL} is not bundled")
    specs = []
    for index in range(replicas):
        device = load(DEVICES[index % len(DEVICES)]).device(DEVICES[index % len(DEVICES)])
        specs.append(
            ReplicaSpec(
                f"{device.name}-{index}", roofline_speed(facts, device), Replica(facts, device).kv_blocks(16),
                kv_bytes_per_token=facts.kv_bytes_per_token,
            )
        )  # fmt: skip
    return specs


def requests(count: int, rate_per_s: float, seed: int) -> Iterator[Program]:
    """A stream: nothing is kept."""
    random = Random(f"requests {seed}")
    for number, time_s in zip(range(count), gamma_arrivals(rate_per_s, BURSTS_CV, seed), strict=False):
        prompt = min(16_000, 1 + int(random.lognormvariate(6.9, 0.8)))
        output = min(4_000, 1 + int(random.lognormvariate(5.3, 0.8)))
        document = random.randrange(3 * DOCUMENTS)
        ids = (2 * document, 2 * document + 1) if document < DOCUMENTS else ()
        yield Program(number, time_s, (Stage(prompt, output, prefix_ids=ids),), slo_s=SLO_S)


def main(argv: list[str]) -> None:
    """Simulate once."""
    count, replicas, policy, seed = int(argv[0]), int(argv[1]), argv[2], int(argv[3])
    specs = cluster(replicas)
    began, cpu_began = time.perf_counter(), time.process_time()
    report = simulate(requests(count, RATE_PER_REPLICA_S * replicas, seed), specs, POLICIES[policy]())
    seconds = time.perf_counter() - began
    cpu_seconds = time.process_time() - cpu_began
    done = report.programs + report.rejected
    if done != count:
        raise SystemExit(f"{done} of {count} requests ended")
    figures = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "simulated_s": report.duration_s,
        "tokens": sum(replica.decode_tokens + replica.prefill_tokens for replica in report.replicas),
        "steps": sum(replica.steps for replica in report.replicas),
        "p95_s": report.latency.p95_s,
        "slo_attainment": report.slo_attainment,
        "hit_share": report.hit_share,
        "preemptions": report.preemptions,
        "utilisation": sum(replica.utilisation for replica in report.replicas) / replicas,
        "mean_batch": sum(replica.mean_batch for replica in report.replicas) / replicas,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
