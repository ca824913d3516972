"""Removing artifacts that no run refers to.

Why nothing is removed that a run needs: a run refers to a name *after* it was put and *before* a row of its log says
it. Names that are put now are of today (:mod:`orchestrator.runtime.journal.artifacts.base`), and only those of days
that ended more than ``older_than_s`` ago are looked at. For each of them the store is asked. If no run refers to it
then, none ever will, unless whoever put it is still on the way to ``refer`` after ``older_than_s``, or a clock is wrong
by as much. A run that is made from another one, by a fork, refers to the same names while the other one still does.

Whoever dies between the two leaves an artifact without a reference, or a draft: garbage, which the next collection
removes. A collection that dies has removed some of it.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from time import time
from typing import Final

from orchestrator.runtime.journal.artifacts.base import DAY_S, Artifacts
from orchestrator.runtime.journal.stores.base import Store

PAGE: Final = 500
"""Names that are asked for and removed at once."""


async def collect_garbage(store: Store, artifacts: Artifacts, older_than_s: float = DAY_S) -> int:
    """Remove what no run of the store refers to and was put on a day that ended more than ``older_than_s`` ago; how
    many there were. Every store whose runs put their values there must be the same as, or a part of, ``store``.
    """
    names = artifacts.names(time() - older_than_s)
    removed = 0
    while page := await asyncio.to_thread(lambda: list(islice(names, PAGE))):
        garbage = set(page).difference(await store.referred(page))
        removed += await asyncio.to_thread(artifacts.remove, garbage)
    return removed
