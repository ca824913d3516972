"""What a device costs an hour: an operating price and an annuity price, two figures that are never mixed.

- The *operating* price is what an owner is charged to keep the device running, as a source prints it.
- The *annuity* price pays the purchase back in equal monthly instalments with interest, and adds the electricity of a
  device that draws its full power::

      capex * i / (1 - (1 + i)^-n) * 12 months / 8,760 h  +  power,        i = rate / 12, n = 12 * years

A plan prices a device by its annuity unless the cluster file says otherwise, since only that one recovers what was
spent. Neither is what a cloud charges: a rental price is given as ``usd_per_hour`` in the cluster file.

>>> round(annuity_usd_per_hour(25_000, YEARS, RATE, 700, USD_PER_KWH), 2)
1.12
"""

from __future__ import annotations

from typing import Final, Literal

PriceBasis = Literal["annuity", "operating"]
"""Which of a device's two prices a plan uses."""

DEFAULT_BASIS: Final[PriceBasis] = "annuity"
YEARS: Final = 4.0
RATE: Final = 0.08
"""Interest a year."""
USD_PER_KWH: Final = 0.40
"""Electricity with its share of cooling and housing."""
HOURS_PER_YEAR: Final = 8760.0


def annuity_usd_per_hour(capex_usd: float, years: float, rate: float, power_w: float, usd_per_kwh: float) -> float:
    """USD per hour that pay ``capex_usd`` back over ``years`` at ``rate`` a year, plus the power of ``power_w``.

    Raises ``ValueError`` unless the years are positive and nothing is negative.
    """
    if years <= 0 or min(capex_usd, rate, power_w, usd_per_kwh) < 0:
        raise ValueError("years must be positive; price, rate, power and electricity must not be negative")
    monthly, months = rate / 12, 12 * years
    instalment = capex_usd / months if monthly == 0 else capex_usd * monthly / (1 - (1 + monthly) ** -months)
    return instalment * 12 / HOURS_PER_YEAR + power_w / 1000 * usd_per_kwh


def derived_annuity(capex_usd: float | None, power_w: float | None) -> tuple[float, str] | None:
    """The annuity price on this module's terms and its source; ``None``, unknown, without purchase price or power."""
    if capex_usd is None or power_w is None:
        return None
    price = annuity_usd_per_hour(capex_usd, YEARS, RATE, power_w, USD_PER_KWH)
    terms = f"{YEARS:.0f} years at {RATE:.0%}, plus {power_w:,.0f} W at ${USD_PER_KWH:.2f}/kWh"
    return price, f"Cost of owning, not a rental price: ${capex_usd:,.0f} over {terms}"
