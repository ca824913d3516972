"""A new run that begins with what another one had done, up to an op, and goes on with other inputs or other code.

What the other run had done is to the fork what an earlier version's results are to a later one: a result is taken where
an op of the same meaning is given the same inputs in the same place. So a fork with another input, or with a prompt
that was changed, makes again what depends on that, and takes the rest. What wrote something before the op is not
written again by itself (ORCH-R104); what comes behind it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import time
from types import MappingProxyType
from uuid import uuid4

from orchestrator.runtime import failures
from orchestrator.runtime.journal.artifacts.apart import Apart, message_lines, message_of, names_in
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.events import Event, Forked, RunStarted, Totals, VersionChanged
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.lines.wire import Wire
from orchestrator.runtime.journal.reading.carried import UNFINISHED, remove_half
from orchestrator.runtime.journal.reading.described import Described, Versions, of_program, read
from orchestrator.runtime.journal.stores.base import Change, Claim, Loaded, NewRun, Row, Store
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.run_ids import require_names

Names = tuple[Described, Described]
"""What ops are called by the version that executes a run now, and by that which has written a row of it."""


async def fork(
    store: Store,
    program: Program,
    run_id: str,
    new_id: str,
    *,
    before: str | None = None,
    inputs: Mapping[str, object] = MappingProxyType({}),
    artifacts: Artifacts | None = None,
) -> None:
    """Make a run ready that has done what run ``run_id`` had done before the op at the path ``before``, or all of it,
    with its inputs but for those that are given: values of the types of the workflow's parameters, by name.

    The program may be another version than that of the run; ``before`` is what the op was called in the run. Raises
    ``RunError``: ORCH-R021 where the program is one of another workflow, or takes other inputs than the run has,
    ORCH-R023 where there is no such run, ORCH-R029 where the new id is taken, and ORCH-R105 where the run has not come
    to such an op.
    """
    loaded = await store.load(run_id)
    if loaded is None:
        raise failures.unknown_run(run_id)
    head = loaded.head
    if head.workflow != program.name:
        raise failures.other_workflow(head.workflow, run_id, program.name)
    is_same = head.version == program.fingerprint
    now = of_program(program) if is_same else read(await store.program(head.version))
    versions = Versions(store)
    try:
        rows = [(row, (now, await versions.of(row))) async for row in store.history(run_id)]
        kept, is_reached = _kept(rows, before)
        if before is not None and not is_reached:
            raise failures.not_reached(before, run_id, _ops_in(rows))
    except failures.UNREADABLE as error:
        raise failures.unreadable(run_id, error) from error
    apart = None if artifacts is None else Apart(store, artifacts)
    require_names(new_id)
    at = time()
    try:
        started = _started(program, loaded, apart)
        given = tuple(inputs.get(name, value) for name, value in zip(program.params, started.inputs, strict=True))
    except failures.UNREADABLE as error:
        if is_same:
            raise failures.unreadable(run_id, error) from error
        raise failures.other_version(program.name, run_id, head.version, program.fingerprint) from error
    beginning: list[Event] = [
        RunStarted(new_id, program.name, program.fingerprint, given, at, started.budget, started.tenant),
        Forked(run_id, before, at),
        Totals(at, 0.0),
        VersionChanged(head.version, 1, at),
    ]
    chats = Chats()
    last = max((message_of(line, apart)[0] for line in kept if line[:1] in ("m", "M")), default=0)
    if last:
        chats.add([last, 0, None])
    lines = [Wire(program, chats, apart).write(event).text for event in beginning]
    messages = [f"m[{last},0,null]"] * bool(last) + message_lines(chats.take_fresh(), apart)
    large = names_in("\n".join([*kept, *messages, *lines]))
    if apart is not None:
        await apart.put(apart.take_fresh())
    await remove_half(store, new_id)
    new, owner = NewRun(new_id, program.name, UNFINISHED, head.tenant), f"fork:{uuid4().hex}"
    try:
        data = "\n".join([*kept, ""]).encode(errors="surrogatepass")
        made = await store.create(new, data, owner=owner, artifacts=large)
    except KeyError:
        raise failures.run_exists(new_id) from None
    claim = Claim(new_id, made.epoch)
    store.snapshot(claim, "\n".join([str(VERSION), *messages, *lines, ""]).encode(errors="surrogatepass"))
    store.append(claim, b"", change=Change("ready", version=program.fingerprint))
    if (waiting := store.barrier(new_id)) is not None:
        await waiting


def _started(program: Program, loaded: Loaded, apart: Apart | None) -> RunStarted:
    live = Live()
    chats = Chats()
    for row in loaded.rows:
        for line in row.data.decode(errors="surrogatepass").split("\n"):
            if line[:1] in ("m", "M"):
                chats.add(message_of(line, apart))
    live.read_rows(loaded.rows)
    first = live.run_line("run")
    started = None if first is None else Wire(program, chats, apart).read(loads(first.text))
    if not isinstance(started, RunStarted):
        raise ValueError("it does not begin with the inputs of the run")
    return started


def _kept(rows: Sequence[tuple[Row, Names]], before: str | None) -> tuple[list[str], bool]:
    """The lines in front of the first one about the op with a name, or inside of it; and whether there is one."""
    kept: list[str] = []
    for row, names in rows:
        if row.is_snapshot:
            continue
        for line in row.data.decode(errors="surrogatepass").split("\n"):
            if line[:1] == "[" and before is not None:
                path = loads(line.partition("\t")[0])[2]
                if path and any(_is_about(each.named(path)[0], before) for each in names):
                    return kept, True
            if line:
                kept.append(line)
    return kept, False


def _ops_in(rows: Sequence[tuple[Row, Names]]) -> Sequence[str]:
    """The ops that the run has come to, in order: what they are called now, or were by the version that did."""
    found: dict[str, None] = {}
    for row, names in rows:
        for line in () if row.is_snapshot else row.data.decode(errors="surrogatepass").split("\n"):
            path = loads(line.partition("\t")[0])[2] if line[:1] == "[" else ""
            if path and not path.endswith("/"):
                found[next((name for name, op in (each.named(path) for each in names) if op), path)] = None
    return list(found)


def _is_about(path: str, op: str) -> bool:
    return path.startswith(op) and path[len(op) : len(op) + 1] in ("", ".", "[", "#")
