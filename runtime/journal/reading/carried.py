"""A run in one file: everything that a store keeps of it, to be read by another store.

The file is lines of JSON, ``[kind, …]``: ``orch-run`` with the format and the head, ``program``, ``artifact``, ``row``,
and ``end`` with the number of lines before it and the SHA-256 of their bytes. A file that was cut, or that was changed
by accident, is refused; it is no proof of who wrote it.

A run is imported under a version that nobody has, so nobody executes it before it is whole. Then it is what it was if
it was over, and ``paused`` if not: the one that was exported may go on where it is.
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final

from orchestrator.errors import JournalError, described
from orchestrator.runtime.failures import run_exists, unknown_run
from orchestrator.runtime.journal.artifacts.apart import names_in
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.stores.base import OVER, Change, Claim, Head, NewRun, Row, Store
from orchestrator.runtime.run_ids import require_names

FORMAT: Final = 1
UNFINISHED: Final = "(not whole yet)"
"""The version of a run whose log is being added, by an import or a fork."""
_VERSION: Final = re.compile(rb'^\["version",.*$', re.MULTILINE)


@dataclass(slots=True)
class Carried:
    """A run out of a file."""

    head: Head
    program: bytes | None
    artifacts: dict[str, bytes] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


async def exported(store: Store, artifacts: Artifacts | None, run_id: str) -> AsyncIterator[bytes]:
    """The lines of a run's file. Raises ``RunError`` ORCH-R023 for an unknown run, ORCH-R090 for a lost value."""
    head = await store.head(run_id)
    if head is None:
        raise unknown_run(run_id)
    digest, count = sha256(), 0
    async for data in _parts(store, artifacts, head):
        line = json.dumps(data, ensure_ascii=True).encode() + b"\n"
        digest.update(line)
        count += 1
        yield line
    yield json.dumps(["end", count, digest.hexdigest()]).encode() + b"\n"


async def _parts(store: Store, artifacts: Artifacts | None, head: Head) -> AsyncIterator[list[Any]]:
    yield ["orch-run", FORMAT, asdict(head)]
    program = await store.program(head.version)
    if program is not None:
        yield ["program", _text(program)]
    put: set[str] = set()
    async for row in store.history(head.run_id):
        if artifacts is not None:
            for name in sorted(names_in(row.data.decode(errors="replace")) - put):
                yield ["artifact", name, _text(await asyncio.to_thread(artifacts.get, name))]
                put.add(name)
        yield ["row", row.is_snapshot, row.at, _text(row.data)]


def read(lines: Iterable[bytes]) -> Carried:
    """A run out of the lines of its file. Raises ``JournalError`` ORCH-R096 for anything that was not written so."""
    try:
        return _read(iter(lines))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(described(error)) from error


def _read(lines: Iterator[bytes]) -> Carried:
    digest = sha256()
    found: Carried | None = None
    for count, line in enumerate(lines):
        kind, *rest = json.loads(line)
        if kind == "end":
            if rest != [count, digest.hexdigest()]:
                raise ValueError("its content has another digest than its end says")
            if found is None or not found.rows or next(lines, None) is not None:
                raise ValueError("it holds no run, or more than one")
            return found
        digest.update(line)
        if kind == "orch-run":
            if rest[0] != FORMAT:
                raise ValueError(f"it has the format {rest[0]}, and this reads {FORMAT}")
            found = Carried(Head(**rest[1]), None)
        elif found is None:
            raise ValueError("it does not begin as the file of a run does")
        else:
            _take(found, kind, rest)
    raise ValueError("it is cut: its end is missing")


def _take(run: Carried, kind: str, rest: list[Any]) -> None:
    if kind == "program":
        run.program = b64decode(rest[0], validate=True)
    elif kind == "artifact":
        run.artifacts[rest[0]] = b64decode(rest[1], validate=True)
    elif kind == "row":
        run.rows.append(Row(len(run.rows) + 1, rest[0], rest[1], b64decode(rest[2], validate=True)))
    else:
        raise ValueError(f"{kind!r} is no kind of line")


async def imported(store: Store, artifacts: Artifacts | None, run: Carried, *, owner: str) -> Head:
    """Add a run to a store; its head. Raises ``RunError`` ORCH-R029 where there is a run of its id or key already,
    and ``JournalError`` ORCH-R096 where its large values have no place.
    """
    head = run.head
    if run.artifacts and artifacts is None:
        raise JournalError(
            "ORCH-R096",
            f"run {head.run_id} has large values, and this store has no place for them",
            fix="set ORCH_ARTIFACTS to a folder or a URL",
        )
    for name, data in run.artifacts.items():
        if sha256(data).hexdigest() != name.rpartition("-")[2]:
            raise _damaged(f"the artifact {name!r:.100} has other content than its name says")
    require_names(head.run_id, head.tenant, head.key)
    counted = _counted(run.rows)
    await remove_half(store, head.run_id)
    new = NewRun(head.run_id, head.workflow, UNFINISHED, head.tenant, head.key)
    first, *others = run.rows
    try:
        # It refers to them before they are put, under the names of days long ago: so nobody collects them meanwhile.
        created = await store.create(new, first.data, owner=owner, artifacts=run.artifacts)
    except KeyError:
        raise run_exists(head.run_id) from None
    if created.run_id != head.run_id or created.owner != owner:
        raise run_exists(created.run_id)
    if artifacts is not None and run.artifacts:
        await asyncio.to_thread(_put_all, artifacts, run.artifacts)
    if run.program is not None:
        await store.put_program(head.version, run.program)
    claim = Claim(created.run_id, created.epoch)
    for row in others:
        (store.snapshot if row.is_snapshot else store.append)(claim, row.data)
        if row.number <= counted and (waiting := store.barrier(head.run_id)) is not None:
            await waiting  # or it would be one row with the next
    is_over = head.status in OVER
    change = Change(head.status if is_over else "paused", head.why if is_over else "imported", None, head.version)
    store.append(claim, b"", change=change)
    if (waiting := store.barrier(head.run_id)) is not None:
        await waiting
    now = await store.head(head.run_id)
    assert now is not None
    return now


async def remove_half(store: Store, run_id: str) -> None:
    """Remove what an import or a fork that was killed has left: a run that nobody can execute."""
    head = await store.head(run_id)
    if head is not None and head.version == UNFINISHED:
        await store.remove([run_id])


def _counted(rows: Iterable[Row]) -> int:
    """So many rows are counted by a line of the log, as of earlier versions. Raises ``JournalError`` ORCH-R096."""
    try:
        return max((int(json.loads(line)[-1]) for row in rows for line in _VERSION.findall(row.data)), default=0)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise _damaged(described(error)) from error


def _put_all(artifacts: Artifacts, values: dict[str, bytes]) -> None:
    for name, data in values.items():
        artifacts.put(data, name)


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _damaged(why: str) -> JournalError:
    return JournalError("ORCH-R096", "this is no file of a run, or it is damaged", why=why, fix="export it again")
