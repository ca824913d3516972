"""The paper's three claims, held against every cell of the study, and the sentences that say how they fare.

A *cell* is a workload under one price and one :class:`~benchmarks.tco.study.Setting`.

- ``best``: B200::Gaudi3 has the most tokens per USD of all 36 pairs, and ``best_but``: of the 25 without MI300X.
- ``beats``: B200::Gaudi3 has more of them than B200::B200.
- ``equal``: H100::Gaudi3 has within a tenth as many as B200::B200.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Final

from benchmarks.tco.study import Basis, Links, Setting, Workload, decode, tokens_per_usd, usd

Pair = tuple[str, str]
BASES: Final[tuple[Basis, ...]] = ("operating", "annuity")
REFERENCE: Final[Pair] = ("H100", "H100")
PUBLISHED_BEST: Final[Pair] = ("B200", "Gaudi3")
NEWEST: Final[Pair] = ("B200", "B200")
MIXED_AGE: Final[Pair] = ("H100", "Gaudi3")
LEFT_OUT: Final = "MI300X"
ABOUT_EQUAL: Final = 0.10


@dataclass(frozen=True, slots=True)
class Cell:
    """Tokens per USD of every pair, relative to H100::H100 where that meets the SLA."""

    workload: Workload
    setting: Setting
    basis: Basis
    tokens_per_usd: dict[Pair, float | None]

    def relative(self, pair: Pair) -> float | None:
        """To H100::H100; ``None`` where one of them cannot meet the SLA."""
        return _ratio(self.tokens_per_usd[pair], self.tokens_per_usd[REFERENCE])

    def against_newest(self, pair: Pair) -> float | None:
        """To B200::B200; ``None`` where one of them cannot meet the SLA."""
        return _ratio(self.tokens_per_usd[pair], self.tokens_per_usd[NEWEST])

    @property
    def best(self) -> Pair | None:
        """The pair with the most tokens per USD; ``None`` where no pair meets the SLA."""
        return self.best_without("")

    def best_without(self, name: str) -> Pair | None:
        """The same among the pairs in which the device ``name`` has no part."""
        known = {pair: value for pair, value in self.tokens_per_usd.items() if value is not None and name not in pair}
        return max(known, key=lambda pair: known[pair], default=None)


@dataclass(frozen=True, slots=True)
class Tally:
    """In how many of ``n`` cells each claim holds."""

    n: int
    best: int
    best_but: int
    beats: int
    equal: int


def cells(workloads: Sequence[Workload], settings: Sequence[Setting], basis: Basis) -> list[Cell]:
    """Every workload under every setting at one price."""
    return [Cell(w, setting, basis, tokens_per_usd(w, setting, basis)) for setting, w in product(settings, workloads)]


def settings(links: Links = "sustained") -> list[Setting]:
    """Both cost models with both device tables."""
    return [
        Setting(speed, figures, links)
        for speed in ("peaks", "planner")
        for figures in ("printed", "catalogue")  # type: ignore[misc]
    ]


def tally(of: Sequence[Cell]) -> Tally:
    """Count the claims."""
    against = [cell.against_newest(PUBLISHED_BEST) for cell in of]
    mixed = [cell.against_newest(MIXED_AGE) for cell in of]
    return Tally(
        n=len(of),
        best=sum(cell.best == PUBLISHED_BEST for cell in of),
        best_but=sum(cell.best_without(LEFT_OUT) == PUBLISHED_BEST for cell in of),
        beats=sum(ratio is not None and ratio > 1 for ratio in against),
        equal=sum(ratio is not None and abs(ratio - 1) <= ABOUT_EQUAL for ratio in mixed),
    )


def break_even_price(workload: Workload, setting: Setting, basis: Basis) -> float | None:
    """The factor on Gaudi 3's price at which decoding on it costs as much as on a B200; above 1 it is ahead today."""
    ours, theirs = decode("Gaudi3", workload, setting), decode("B200", workload, setting)
    return usd("B200", theirs, basis) / usd("Gaudi3", ours, basis) if ours and theirs else None


def verdict(by_basis: dict[Basis, list[Cell]]) -> list[str]:
    """How robust the published ranking is, in sentences with counts."""
    said = [_claims(basis, found) for basis, found in by_basis.items()]
    everything = [cell for found in by_basis.values() for cell in found]
    total = tally(everything)
    said.append(_winners(everything))
    said.append(
        f"The published winner wins {total.best} of {total.n} cells, {total.best_but} where MI300X is left out: the "
        f"ranking {'is' if 2 * total.best >= total.n else 'is not'} robust. Ahead of B200::B200 it is in "
        + " and ".join(
            f"{tally(found).beats} of {len(found)} at the {basis} price" for basis, found in by_basis.items()
        )
        + "."
    )
    return said


def _claims(basis: Basis, found: list[Cell]) -> str:
    counted = tally(found)
    mixed = [ratio for ratio in (cell.against_newest(MIXED_AGE) for cell in found) if ratio is not None]
    factors = [break_even_price(cell.workload, cell.setting, basis) for cell in found]
    known = [factor for factor in factors if factor is not None]
    return (
        f"With {basis} prices B200::Gaudi3 is the best of 36 pairs in {counted.best} of {counted.n} cells, of the 25 "
        f"pairs without MI300X in {counted.best_but}, and ahead of B200::B200 in {counted.beats}; H100::Gaudi3 is "
        f"within {ABOUT_EQUAL:.0%} of B200::B200 in {counted.equal} (from {min(mixed):.2f} to {max(mixed):.2f} of it, "
        f"median {median(mixed):.2f}). B200::Gaudi3 draws level with B200::B200 when Gaudi 3 costs {min(known):.2f} "
        f"to {max(known):.2f} times its listed price (median {median(known):.2f})."
    )


def _winners(found: list[Cell]) -> str:
    wins = Counter("::".join(cell.best) for cell in found if cell.best)
    listed = ", ".join(f"{pair} {count}" for pair, count in wins.most_common())
    return f"The best pair, by cells won: {listed}."


def _ratio(value: float | None, to: float | None) -> float | None:
    return value / to if value is not None and to is not None else None
