"""When programs arrive: Gamma-distributed gaps, fitted from a trace or chosen, and programs drawn to arrive then.

Real traffic is burstier than a Poisson process; Gamma gaps with a coefficient of variation above 1 describe it well
(BurstGPT, arXiv 2401.17644, section 3). ``cv = 1`` is Poisson, ``cv = 0`` a metronome.

>>> from itertools import islice
>>> list(islice(gamma_arrivals(rate_per_s=2.0, cv=0.0, seed=1), 3))
[0.5, 1.0, 1.5]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from random import Random
from statistics import fmean, median, pvariance
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.program import Program, Stage

ARRIVALS_PER_WINDOW: Final = 100
"""Where timestamps are too coarse for gaps, counts in windows of about this many arrivals are compared."""
MOST_TIES: Final = 0.1
"""Share of gaps that may be 0 before the timestamps count as coarse."""
METRONOME_CV: Final = 1e-3
"""Gaps vary less than can be told: they are all the same."""
_PRIVATE_BITS: Final = 20


@dataclass(frozen=True, slots=True)
class ArrivalFit:
    """Gamma gaps that resemble a trace's."""

    rate_per_s: float
    cv: float
    """Standard deviation of the gaps over their mean."""
    coarse: bool
    """The timestamps were too coarse to look at gaps: ``cv`` is the square root of the index of dispersion of counts,
    which tends to the gaps' cv in long windows (and holds slow changes of the rate too)."""


def gamma_arrivals(rate_per_s: float, cv: float, seed: int, start_s: float = 0.0) -> Iterator[float]:
    """Arrival times without end. Raises :class:`PlanError` ORCH-P070 for a rate or cv that cannot be."""
    if not (isfinite(rate_per_s) and rate_per_s > 0 and isfinite(cv) and cv >= 0):
        raise PlanError(
            "ORCH-P070",
            f"arrivals with rate_per_s={rate_per_s!r} and cv={cv!r}",
            why="a rate is above 0 and a coefficient of variation is 0 or more",
            fix="correct the two figures",
        )
    return _gamma_arrivals(rate_per_s, cv, Random(f"arrivals {seed}"), start_s)


def _gamma_arrivals(rate_per_s: float, cv: float, random: Random, now: float) -> Iterator[float]:
    if cv < METRONOME_CV:
        while True:
            now += 1 / rate_per_s
            yield now
    shape = 1 / (cv * cv)
    scale = 1 / (rate_per_s * shape)
    while True:
        now += random.gammavariate(shape, scale)
        yield now


def fit_arrivals(times_s: Sequence[float]) -> ArrivalFit:
    """Rate and burstiness of ascending arrival times. Raises :class:`PlanError` ORCH-P071 when there are too few."""
    gaps = [after - before for before, after in pairwise(times_s)]
    span_s = times_s[-1] - times_s[0] if times_s else 0.0
    if len(gaps) < 2 or span_s <= 0 or min(gaps) < 0:
        raise PlanError(
            "ORCH-P071",
            f"cannot fit arrivals to {len(times_s)} times over {span_s} s",
            why="at least three ascending times, not all the same, are needed",
            fix="use a longer trace, or give rate and cv",
        )
    rate = len(gaps) / span_s
    if gaps.count(0.0) <= MOST_TIES * len(gaps):
        mean = span_s / len(gaps)
        variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
        return ArrivalFit(rate, variance**0.5 / mean, coarse=False)
    return ArrivalFit(rate, _dispersion(times_s, gaps, rate) ** 0.5, coarse=True)


def _dispersion(times_s: Sequence[float], gaps: Sequence[float], rate_per_s: float) -> float:
    """Variance over mean of the counts in windows of a whole number of ticks."""
    tick_s = median(gap for gap in gaps if gap > 0)
    width_s = tick_s * max(1, round(ARRIVALS_PER_WINDOW / rate_per_s / tick_s))
    start_s = times_s[0] - tick_s / 2
    counts = Counter(int((time - start_s) / width_s) for time in times_s)
    # The last window is not over when the trace ends.
    windows = max(1, int((times_s[-1] - start_s) / width_s))
    found = [counts[i] for i in range(windows)]
    return pvariance(found) / fmean(found)


def replay(programs: Iterable[Program], speedup: float = 1.0) -> Iterator[Program]:
    """A trace again, ``speedup`` times as fast (its tools and SLOs are unchanged)."""
    for program in programs:
        yield replace(program, arrival_s=program.arrival_s / speedup) if speedup != 1.0 else program


def draw(
    templates: Sequence[Program], times_s: Iterable[float], count: int, seed: int, slo_s: float | None = None
) -> Iterator[Program]:
    """``count`` programs drawn from ``templates`` with replacement, arriving at ``times_s``, numbered from 0.

    Negative prefix ids are a program's own: each instance gets different ones. The others are shared by all. Raises
    :class:`PlanError` ORCH-P072 when there are no templates.
    """
    if not templates:
        raise PlanError(
            "ORCH-P072",
            "no programs to draw from",
            why="the trace is empty, or every line of it was skipped",
            fix="give a trace with at least one program",
        )
    return _draw(templates, times_s, count, Random(f"programs {seed}"), slo_s)


def _draw(
    templates: Sequence[Program], times_s: Iterable[float], count: int, random: Random, slo_s: float | None
) -> Iterator[Program]:
    for number, time_s in zip(range(count), times_s, strict=False):
        template = templates[int(random.random() * len(templates))]
        slo = template.slo_s if slo_s is None else slo_s
        yield Program(number, time_s, _own(template.stages, number), template.workflow, slo)


def own_id(number: int, place: int) -> int:
    """The prefix id of the ``place``-th unit of program ``number``, which no other program has."""
    return -1 - place - (number << _PRIVATE_BITS)


def _own(stages: tuple[Stage, ...], number: int) -> tuple[Stage, ...]:
    """Stages with private prefix ids that no other program number has."""
    if not any(key < 0 for stage in stages for key in stage.prefix_ids):
        return stages
    offset = number << _PRIVATE_BITS
    return tuple(
        replace(stage, prefix_ids=tuple(key - offset if key < 0 else key for key in stage.prefix_ids))
        for stage in stages
    )
