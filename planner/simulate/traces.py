"""Trace files, read as they are.

Mooncake (JSON lines, one request each, ``timestamp`` in ms, ``hash_ids`` of 512-token blocks; the last block is partial
and so no prefix of anything)::

    {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353, 2354]}

Text-to-SQL workflows (one JSON object, a JSON list of them, or one a line), without times of arrival::

    {"Text2SQLRequest": [{"step": "link", "input_length": 3100, "output_length": 90}, {"step": "draft", ...}]}

Steps follow one another, but neighbours of the same ``step`` are run at the same time (``same_step="sequence"``: one
after the other). A malformed entry is an error that names file and line; with ``skip_bad`` it is listed in
``Trace.skipped`` and the rest is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from orchestrator.errors import Diagnostic, PlanError, SourceLoc
from orchestrator.planner.datafile import read_text
from orchestrator.planner.simulate.program import MOONCAKE_UNIT_TOKENS, Program, Stage

TEXT2SQL_KEY: Final = "Text2SQLRequest"
MOST_REPORTED: Final = 20
"""Malformed entries listed in one error."""

MOST: Final = 1e15
"""Milliseconds, and tokens: more is no figure of a trace."""
UNREADABLE: Final = (ValueError, RecursionError)
"""What Python's JSON reader raises: to it, very deep nesting and very long numbers are no syntax errors."""

SameStep = Literal["parallel", "sequence"]


@dataclass(frozen=True, slots=True)
class Trace:
    """The programs of a file, in order of arrival, and the lines that were left out."""

    programs: tuple[Program, ...]
    skipped: tuple[Diagnostic, ...] = ()
    """What is wrong with each line left out; ``where`` says which."""


class _MalformedError(Exception):
    """Why an entry cannot be used."""


def read_trace(path: Path, *, skip_bad: bool = False) -> Trace:
    """Read a file of either format, told apart by the key ``Text2SQLRequest``; raises as the two readers do."""
    reader = read_text2sql if f'"{TEXT2SQL_KEY}"' in read_text(path) else read_mooncake
    return reader(path, skip_bad=skip_bad)


def read_mooncake(path: Path, *, skip_bad: bool = False) -> Trace:
    """Programs of one stage each.

    Raises :class:`PlanError`: ORCH-P001 when the file cannot be read, ORCH-P073 for lines that are not JSON,
    ORCH-P074 for missing or impossible fields, ORCH-P075 for a file without a single good entry.
    """
    found: list[Program] = []
    bad: list[Diagnostic] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_mooncake_program(json.loads(line), number - 1))
        except UNREADABLE as broken:
            bad.append(_not_json(path, number, broken))
        except _MalformedError as wrong:
            bad.append(_wrong(path, number, wrong))
    found.sort(key=lambda program: program.arrival_s)
    return _checked(path, found, bad, skip_bad)


def read_text2sql(path: Path, *, same_step: SameStep = "parallel", skip_bad: bool = False) -> Trace:
    """Programs of several stages each, all with ``arrival_s=0``; raises as :func:`read_mooncake`."""
    found: list[Program] = []
    bad: list[Diagnostic] = []

    def keep(entry: object, number: int) -> None:
        try:
            found.append(_text2sql_program(entry, len(found), same_step))
        except _MalformedError as wrong:
            bad.append(_wrong(path, number, wrong))

    _each_object(read_text(path), keep, lambda number, broken: bad.append(_not_json(path, number, broken)))
    return _checked(path, found, bad, skip_bad)


def _each_object(text: str, keep: Callable[[object, int], None], broken: Callable[[int, Exception], None]) -> None:
    """Call ``keep`` with each JSON object of a text, whether alone, in a list, or one after the other, and its line.

    After a syntax error, reading goes on at the next line.
    """
    decode = json.JSONDecoder().raw_decode
    at, line, counted = 0, 1, 0
    while True:
        while at < len(text) and (text[at].isspace() or text[at] in "[],"):
            at += 1
        if at == len(text):
            return
        line += text.count("\n", counted, at)
        counted = at
        try:
            entry, at = decode(text, at)
        except UNREADABLE as error:
            broken(line, error)
            at = text.find("\n", at)
            if at < 0:
                return
        else:
            keep(entry, line)


def _mooncake_program(entry: object, number: int) -> Program:
    fields = _object(entry)
    timestamp = fields.get("timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float) or not 0 <= timestamp <= MOST:
        raise _MalformedError(f"timestamp is {_shown(fields, 'timestamp')}, not milliseconds")
    prompt, output = _tokens(fields, "input_length"), _tokens(fields, "output_length")
    ids = fields.get("hash_ids", [])
    if not isinstance(ids, list) or any(type(key) is not int or key < 0 for key in ids):
        raise _MalformedError(f"hash_ids is {_shown(fields, 'hash_ids')}, not a list of numbers")
    whole = tuple(ids[: prompt // MOONCAKE_UNIT_TOKENS])
    return Program(number, timestamp / 1000, (Stage(prompt, output, prefix_ids=whole),), workflow="mooncake")


def _text2sql_program(entry: object, number: int, same_step: SameStep) -> Program:
    steps = _object(entry).get(TEXT2SQL_KEY)
    if not isinstance(steps, list) or not steps:
        raise _MalformedError(f"{TEXT2SQL_KEY} is {_shown(_object(entry), TEXT2SQL_KEY)}, not a list of steps")
    stages: list[Stage] = []
    group: list[int] = []
    before: tuple[int, ...] = ()
    for place, step in enumerate(steps):
        fields = _object(step)
        name = fields.get("step")
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise _MalformedError(f"step is {_shown(fields, 'step')}, not a name or number, in entry {place + 1}")
        if stages and (stages[-1].step != str(name) or same_step == "sequence"):
            before, group = tuple(group), []
        group.append(place)
        try:
            stages.append(Stage(_tokens(fields, "input_length"), _tokens(fields, "output_length"), str(name), before))
        except _MalformedError as wrong:
            raise _MalformedError(f"{wrong}, in entry {place + 1}") from wrong
    return Program(number, 0.0, tuple(stages), workflow="text2sql")


def _object(entry: object) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise _MalformedError(f"an object is expected, not {json.dumps(entry)[:60]}")
    return entry


def _tokens(fields: dict[str, object], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 1 <= value <= MOST:
        raise _MalformedError(f"{name} is {_shown(fields, name)}, not a number of tokens of 1 or more")
    return value


def _shown(fields: dict[str, object], name: str) -> str:
    return json.dumps(fields[name])[:60] if name in fields else "missing"


def _not_json(path: Path, line: int, broken: Exception) -> Diagnostic:
    said = getattr(broken, "msg", broken)
    return Diagnostic(
        "ORCH-P073", f"{path.name}, line {line}: not valid JSON: {said}", SourceLoc(str(path), line),
        fix="correct the line, or leave such lines out with --skip-bad",
    )  # fmt: skip


def _wrong(path: Path, line: int, wrong: _MalformedError) -> Diagnostic:
    return Diagnostic(
        "ORCH-P074", f"{path.name}, line {line}: {wrong}", SourceLoc(str(path), line),
        fix="correct the line, or leave such lines out with --skip-bad",
    )  # fmt: skip


def _checked(path: Path, found: list[Program], bad: list[Diagnostic], skip_bad: bool) -> Trace:
    if bad and not skip_bad:
        raise PlanError.collect(bad[:MOST_REPORTED])
    if not found:
        raise PlanError(
            "ORCH-P075",
            f"{path.name} has no usable entry",
            where=SourceLoc(str(path), 1),
            why="every line of it was skipped" if bad else "the file is empty",
            fix="give a trace with at least one program",
        )
    return Trace(tuple(found), tuple(bad))
