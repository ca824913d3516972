"""How long an op may take by its own word."""

from __future__ import annotations

from typing import Final

LONGEST_SLEEP_S: Final = 100 * 365.25 * 86_400
"""A hundred years: beyond that a duration is a mistake, and a moment soon no date of the calendar."""
