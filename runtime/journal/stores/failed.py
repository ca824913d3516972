"""A store that cannot be read or written, as its user is told: what has failed, why, and what to do.

Stores raise what the thing behind them raises, so that a caller may try again. Whoever does not try again says it like
this.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from orchestrator.errors import JournalError, described

DAMAGED: Final = "ORCH-R095"
FAILED: Final = "ORCH-R097"
LOG_FAILED: Final = "ORCH-R048"
"""A run's log could not be written, or read."""


def no_store(where: str) -> JournalError:
    """ORCH-R093, for a place where nobody has kept a run."""
    return JournalError(
        "ORCH-R093",
        f"there is no store of runs at {where}",
        why="it is made for a run that is kept there, and nobody has kept one",
        fix="name the one that is meant with --store or ORCH_STORE; a relative path begins in the current folder",
    )


class Advice(NamedTuple):
    """Why a store fails, and what to do."""

    why: str
    fix: str


_NO_SPACE: Final = Advice(
    "there is no space left where it writes; what was written before is there",
    "free some space there",
)
_READ_ONLY: Final = Advice(
    "this user may not write to it, or it is mounted read-only",
    "let this user write to the file and its folder, or name another store",
)
_HELD: Final = Advice(
    "another program has held the file for longer than a statement waits",
    "end what holds it, as a backup or a shell with an open transaction does",
)
_DISK: Final = Advice("the disk has failed to read or to write", "see what the system's log says of it")
_DAMAGED: Final = Advice(
    "the file was changed or torn below SQLite, where runs are written",
    "restore it from a backup, or `orch runs export` each of its runs, which says what is lost of it, and `import` "
    "them into a new file",
)
_READ_ONLY_DATABASE: Final = Advice(
    "the database takes no writes: it is a standby, or `default_transaction_read_only` is on",
    "name the primary in the URL, or turn that off",
)
_REFUSED: Final = Advice(
    "the database refuses this user what the store needs",
    "grant it reading and writing of the tables that begin with `orch_`, and CREATE on their schema",
)
_AWAY: Final = Advice(
    "the database is being restarted, is out of reach, or answers too late",
    "start it, or mend the network between",
)
_OTHERWISE: Final = Advice("what was acknowledged before is there", "mend what it writes to")

_BY_ERRNO: Final = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EFBIG: _NO_SPACE,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EIO: _DISK,
}
_BY_SQLITE: Final = {
    sqlite3.SQLITE_FULL: _NO_SPACE,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
_BY_STATE: Final = {"25006": _READ_ONLY_DATABASE, "42501": _REFUSED, "53100": _NO_SPACE}
"""By PostgreSQL's SQLSTATE."""
_AWAY_CLASSES: Final = ("08", "57")
"""A connection that broke, and a server that ends, begins or cancels."""


def advice(error: BaseException) -> Advice:
    """Why a store has raised this, and what to do."""
    if isinstance(error, sqlite3.Error):
        return _BY_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _OTHERWISE)
    if _is_of_psycopg(error):
        state = getattr(error, "sqlstate", None)
        is_away = state is None or state.startswith(_AWAY_CLASSES)
        return _AWAY if is_away else _BY_STATE.get(str(state), _OTHERWISE)
    if isinstance(error, TimeoutError):
        return _AWAY
    return _BY_ERRNO.get(getattr(error, "errno", None) or 0, _OTHERWISE)


def failed(error: BaseException, url: str) -> JournalError:
    """ORCH-R097 for what a store has raised."""
    why, fix = advice(error)
    message = f"the store of runs at {url} has failed: {in_a_line(error)}"
    return JournalError(FAILED, message, why=why, fix=f"{fix}, and try again")


@contextmanager
def told(url: str) -> Iterator[None]:
    """Raise ORCH-R097 for what the store with this URL raises within; what else fails there may be no store's fault."""
    try:
        yield
    except Exception as error:
        is_gone = isinstance(error, FileNotFoundError) and error.filename == url
        if isinstance(error, JournalError) or not (is_gone or is_of_store(error)):
            raise
        raise failed(error, url) from error


def is_of_store(error: BaseException) -> bool:
    """Whether a store has raised this, or has ended a run by it, which is none the worse when that is back."""
    if isinstance(error, JournalError):
        return error.code in (FAILED, LOG_FAILED)
    return isinstance(error, (sqlite3.Error, TimeoutError)) or _is_of_psycopg(error)


def in_a_line(error: BaseException) -> str:
    """The type and the text of an exception."""
    return " ".join(described(error).split())


def ranges(numbers: Iterable[int]) -> str:
    """`3`, or `3-5, 8`, of numbers in order: how errors name the rows that are lost."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _is_of_psycopg(error: BaseException) -> bool:
    """Whether PostgreSQL or its client says so; that need not be installed."""
    return any(each.__module__.partition(".")[0] == "psycopg" for each in type(error).__mro__)
