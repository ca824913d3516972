"""What is part of a function's hash, and what it reads that cannot be.

Part of it are the function, and what it finds under the names in it: the user's functions and classes of any module,
and values that nobody can change (numbers, texts, tuples and frozensets of them, members of enums, frozen dataclasses
and models). Libraries count by name; their versions are beside the hash. Anything else, like a dict or a connection,
may be different in another process or in the next minute. It is left out, and named::

    LIMITS = {"rows": 100}           # `run_sql` reads `LIMITS` (a dict)
    MOST_ROWS = 100                  # part of the hash of `run_sql`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.dsl.code_hash.distributions import versions_of
from orchestrator.dsl.code_hash.walk import Unseen, Walk, digest_of


@dataclass(frozen=True, slots=True)
class Covered:
    """A function's hash, and what is beside it."""

    hash: str
    """16 hex digits."""
    unseen: tuple[Unseen, ...]
    packages: tuple[str, ...]
    """Third-party packages that it uses, by the names they are imported by."""

    @property
    def versions(self) -> dict[str, str]:
        """The versions of their distributions."""
        return versions_of(self.packages)


def covered(function: Callable[..., object], *context: str) -> Covered:
    """The hash of ``function``; ``context`` adds what else matters, like the declared effects."""
    walk = Walk()
    digest = digest_of(iter((*context, walk.function_like(function))))
    return Covered(digest.hexdigest()[:16], tuple(walk.unseen), tuple(sorted(walk.packages)))


def code_hash(function: Callable[..., object], *context: str) -> str:
    """The hash alone."""
    return covered(function, *context).hash
