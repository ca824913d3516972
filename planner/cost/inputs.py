"""A deployment in numbers: the terms that add up to its TTFT and TPOT, and what its residual may depend on.

TPOT is one decode step of all requests in flight that fit, plus the prefills that interrupt it: of ``b`` requests with
``o`` output tokens each, ``b / o`` finish per step, and as many new prompts are processed. TTFT is the prefill, what
queues before it, and above the memory's capacity the time until another request ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.regression import Array, Points
from orchestrator.planner.cost.steps import Step, decode_step, link_bytes_per_s, prefill_step

TPOT_TERMS: Final = (
    "shared weights",
    "experts",
    "kv",
    "attention",
    "exchange",
    "rounds",
    "layers",
    "expert layers",
    "step",
    "sequences",
    "interference",
    "interference layers",
)
TTFT_TERMS: Final = (
    "prefill",
    "call",
    "rounds",
    "layers",
    "expert layers",
    "decode step",
    "prefills ahead",
    "prefills ahead, root",
    "busy prefill",
    "memory queue",
    "memory queue from 3/4",
    "sequences",
    "kv transfer",
)
LABEL_SETS: Final = ("backend and architecture", "group", "group and weights", "campaign", "run")
TREND_DAYS: Final = 730.0
"""Days that count as an octave does: software gets faster slowly. What differs from day to day is a run's own."""
DRAWN_LENGTHS: Final = 0.9
"""Mean length over the nominal one where a campaign draws lengths uniformly from 0.8 to 1 of it (InferenceX)."""
DRAWING_CAMPAIGN: Final = "inferencex"
FULLEST: Final = 0.95
"""Share of the time that prefills are taken to occupy at most: the queue is finite, whatever the formula says."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One deployment under its load, before any coefficient."""

    of: Deployment
    running: float
    """Requests that each attention rank decodes at a time, in all stages."""
    decode: Step
    prefill: Step

    @property
    def waiting_prefills(self) -> float:
        """Prompts that may be processed on one rank before this one, at the very most."""
        if not self.of.disaggregated:
            return self.running
        return max(self.of.concurrency / (self.of.prefill_workers * self.of.prefill.dp), 1.0)

    @property
    def stage_prefill_s(self) -> float:
        """Ideal seconds by which another prompt holds up a request: stages work on several at a time."""
        return self.prefill.work_s / self.of.prefill.pp

    @property
    def output_tokens(self) -> float:
        return self.of.osl * (DRAWN_LENGTHS if self.of.campaign == DRAWING_CAMPAIGN else 1.0)


def shape_of(of: Deployment) -> Shape:
    running = max(min(of.per_rank, of.capacity), 0.8)
    share = DRAWN_LENGTHS if of.campaign == DRAWING_CAMPAIGN else 1.0
    decode = decode_step(of, in_a_stage(of, running), of.cached + share * (of.isl + of.osl / 2))
    return Shape(of, running, decode, prefill_step(of, of.isl, of.cached))


def in_a_stage(of: Deployment, running: float) -> float:
    """Of the requests that an attention rank decodes at a time, those in one stage of its pipeline."""
    return max(running / of.decode.pp, min(running, 1.0))


def tpot_terms(shape: Shape) -> list[float]:
    """Seconds of each of ``TPOT_TERMS``, or counts of what pays a latency."""
    step, of = shape.decode, shape.of
    interrupts = 0.0 if of.disaggregated else shape.running / of.osl
    return [
        step.shared_s,
        step.experts_s,
        step.kv_s,
        step.attention_s,
        step.exchange_s,
        step.rounds,
        step.layers,
        step.expert_layers,
        1.0,
        shape.running,
        interrupts * shape.stage_prefill_s,
        interrupts * step.layers,
    ]


def ttft_terms(shape: Shape, tpot_s: float) -> list[float]:
    """Seconds of each of ``TTFT_TERMS``, or counts; ``tpot_s`` is the TPOT that the terms give."""
    prefill, ahead = shape.stage_prefill_s, shape.waiting_prefills
    answer_s = shape.output_tokens * tpot_s
    busy = min(ahead * prefill / answer_s, FULLEST)
    return [
        shape.prefill.work_s,
        1.0,
        shape.decode.rounds,
        shape.decode.layers,
        shape.decode.expert_layers,
        tpot_s,
        ahead * prefill,
        math.sqrt(ahead) * prefill,
        prefill * busy / (1 - busy),
        max(shape.of.load - 1.0, 0.0) * answer_s,
        max(shape.of.load - 0.75, 0.0) * answer_s,
        shape.running,
        kv_transfer_s(shape.of),
    ]


def kv_transfer_s(of: Deployment) -> float:
    """Ideal seconds to move a prompt's KV from a prefill worker to a decode worker over the links of one of them."""
    if not of.disaggregated:
        return 0.0
    link = link_bytes_per_s(of.device, of.device.node_devices + 1)
    return of.kv_bytes(of.isl + of.cached) / link


def points_of(shapes: Sequence[Shape], shares: Array, columns: Sequence[int], tpot_s: Array) -> Points:
    """What residuals depend on: the load and shape in octaves, and ``columns`` of the terms' shares of the whole."""
    rows = [_octaves(shape, float(tpot)) for shape, tpot in zip(shapes, tpot_s, strict=True)]
    inputs = np.hstack([np.array(rows), SHARE_SCALE * np.sqrt(shares[:, list(columns)])])
    deployments = [shape.of for shape in shapes]
    labels = (
        tuple(f"{of.backend}|{of.architecture}" for of in deployments),
        tuple(of.group for of in deployments),
        tuple(f"{of.group}|{of.weights}" for of in deployments),
        tuple(of.campaign for of in deployments),
        tuple(f"{of.group}|{of.weights}|{of.campaign}|{of.day}" for of in deployments),
    )
    return Points(inputs, labels)


SHARE_SCALE: Final = 5.0
"""It makes a unit mean about as much in a share as in an octave: shares vary by about 0.2."""


def _octaves(shape: Shape, tpot_s: float) -> list[float]:
    of = shape.of
    busy = shape.running * shape.stage_prefill_s / (shape.output_tokens * tpot_s)
    return [
        math.log2(of.per_rank),
        math.log2(of.decode.tp),
        math.log2(of.decode.dp),
        math.log2(of.decode.moe_ep),
        math.log2(of.isl),
        math.log2(of.osl),
        of.day / TREND_DAYS,
        min(max(math.log2(of.load), -3.0), 3.0),
        min(max(math.log2(busy), -6.0), 2.0),
        math.log2(of.prefill.devices) - math.log2(of.decode.devices),
        math.log2(of.prefill_workers),
        math.log2(of.decode_workers),
    ]
