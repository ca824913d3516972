"""What keeps large values: its protocol, and the names that it gives.

A log holds the *name* of such a value: the day (UTC) on which it was put, and the SHA-256 of its bytes,
``20261130-9f86d081…``. So equal content is written once a day, and what is read is known to be what was written.

The day is there so that nothing is removed under a run that is about to refer to it, with neither locks nor
transactions that span a store of runs and a bucket. Between :meth:`Artifacts.put` and the store's ``refer`` nobody can
see that a value is needed. But ``put`` only ever gives names of the current day, also for content that is there under
another one, and what is collected is of days that ended long ago
(:mod:`orchestrator.runtime.journal.artifacts.garbage`). So a name that may be collected was given before that day's
end, and a run that has not referred to it by now never will.

A name says when and not only what, so it is no part of what decides whether two values are equal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

from orchestrator.errors import RunError

LARGEST_INLINE: Final = 64 * 1024
"""Bytes of an encoded value that stands in the log itself; a larger one is an artifact."""
DAY_S: Final = 86_400.0

_NAME: Final = re.compile(r"([0-9]{8})-([0-9a-f]{64})", re.ASCII)
_ENTRY: Final = re.compile(r"([0-9]{8})-([0-9a-f]{64}(?:\.[0-9a-f]{16})?)", re.ASCII)
"""The name of an artifact, or of the draft of one."""


class LostArtifactError(RunError):
    """A value that a run needs is missing or damaged (ORCH-R090)."""


class Artifacts(Protocol):
    """Keeps bytes by name. Its methods may take long, and may be called in any thread; they raise whatever the thing
    behind them raises (``OSError`` mostly), and a caller may try again.
    """

    @property
    def url(self) -> str:
        """What opens it again, without a password."""

    def put(self, data: bytes, name: str | None = None) -> str:
        """Keep bytes; their name, which :func:`name_of` may have given them a moment ago. They are durable when it
        returns, and there wholly or not at all whenever it does not. It repairs what is there and damaged.
        """

    def get(self, name: str, of: str = "a value of a run") -> bytes:
        """What was put. ``of`` says whose it is, for errors.

        Raises :class:`LostArtifactError` where it is not there or not what was put, and for what is no name.
        """

    def names(self, before: float) -> Iterator[str]:
        """The names of all that was put on days which ended before a Unix time in seconds, and of the drafts that a
        killed process has left behind then.
        """

    def remove(self, names: Collection[str]) -> int:
        """Remove those of the names that are there; how many there were. Raises ``ValueError`` for what is none."""


def name_of(data: bytes, at: float) -> str:
    """The name of bytes that are put at a Unix time in seconds."""
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%d}-{sha256(data).hexdigest()}"


def parts_of(name: str, of: str = "a value of a run") -> tuple[str, str]:
    """The day and the digest in a name, neither of which can lead anywhere in a file system.

    Raises :class:`LostArtifactError` for what is no name: a log may have been damaged, or written by somebody else.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise LostArtifactError(
            "ORCH-R090",
            f"{of} is lost: {name!r:.100} is no name of an artifact",
            why="it is what the log of the run says, so the log is damaged",
            fix="restore the runs database from a backup, or start the run anew",
        )
    return found[1], found[2]


def digest_of(name: str) -> str:
    """The part of a name that the content alone decides."""
    return name.rpartition("-")[2]


def entry_of(name: str) -> tuple[str, str]:
    """The folder and the file of an artifact or of a draft. Raises ``ValueError`` for what is neither."""
    found = _ENTRY.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r:.100} is no name of an artifact")
    return found[1], found[2]


def entry_named(day: str, file: str) -> str | None:
    """The name of what stands in a file; None for one that nobody has put."""
    name = f"{day}-{file}"
    return name if _ENTRY.fullmatch(name) else None


def ended_before(day: str, before: float) -> bool:
    """Whether a folder is that of a day, and that day ended before a Unix time in seconds."""
    try:
        begun = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        return f"{begun:%Y%m%d}" == day and (begun + timedelta(days=1)).timestamp() <= before
    except (ValueError, OverflowError):
        return False


def checked(data: bytes, name: str, of: str, url: str) -> bytes:
    """The bytes that stood under a name. Raises :class:`LostArtifactError` if they are others."""
    if sha256(data).hexdigest() == parts_of(name)[1]:
        return data
    raise LostArtifactError(
        "ORCH-R090",
        f"{of} is damaged: artifact {name} in {url} has other content than was put there",
        why=f"the {len(data)} bytes that are there have another digest",
        fix="restore it from a backup, or fork the run before what made this value, which makes it anew",
    )


def missing(name: str, of: str, url: str, *, has_any: bool) -> LostArtifactError:
    """What to raise for an artifact that is not there; ``has_any`` says whether anything is."""
    if not has_any:
        return LostArtifactError(
            "ORCH-R090",
            f"{of} is not to be had: nothing is kept in {url}, where artifact {name} was put",
            why="it is not mounted, or another place than the one that the run was begun with",
            fix="mount it, or name the place that the run was begun with, and resume the run",
        )
    return LostArtifactError(
        "ORCH-R090",
        f"{of} is lost: artifact {name} is not in {url}",
        why="somebody has removed it, or it was put somewhere else",
        fix="restore it from a backup, or fork the run before what made this value, which makes it anew",
    )
