"""Whatever a policy orders by, nobody waits for ever: a program is overtaken only by those that arrive soon after it.

A policy's key is the moment by which something should start, and a program with a distant deadline, or none, could be
overtaken by others without end. So keys are kept within ``longest_s`` of the program's arrival::

    key = arrival + min(max(what the policy says - arrival, 0), longest_s)

Then a program that arrives more than ``longest_s`` after another has a later key, whatever either of them says.
"""

from __future__ import annotations


def kept_in_bounds(key_s: float, started_s: float, longest_s: float) -> float:
    """The key of something whose program arrived at ``started_s``; what is no number counts as ``longest_s``.

    >>> kept_in_bounds(7.0, 5.0, 60.0), kept_in_bounds(float("inf"), 5.0, 60.0), kept_in_bounds(-9.0, 5.0, 60.0)
    (7.0, 65.0, 5.0)
    """
    latest_s = started_s + longest_s
    return max(key_s, started_s) if key_s < latest_s else latest_s
