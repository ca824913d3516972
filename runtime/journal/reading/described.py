"""What a store keeps of a version of a workflow, for people: what the keys in its logs are, without its code.

It is one JSON object with a ``format``. By the path of each op in the program, made of keys and without the numbers of
turns and items, it has the op's id, kind, place, source line, the seconds and dollars that the plan of the first run of
this version expected of one execution, and what a tool gives that must run at most once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import PydanticUserError

from orchestrator.dsl.types.typing import json_schema
from orchestrator.runtime.journal.records import place_of
from orchestrator.runtime.program.program import Program, Region

if TYPE_CHECKING:
    from orchestrator.planner.plan import OpPlan, Plan
    from orchestrator.runtime.journal.stores.base import Row, Store

FORMAT: Final = 1
_RUN: Final = re.compile(rb'^\["run",.*$', re.MULTILINE)
_PART: Final = re.compile(r"[^/]*/|[^/]+$")
_KEY: Final = re.compile(r"[^#\[./]*")
_NUMBERS: Final = re.compile(r"#\d+(?=[\[./])|\[\d+\](?=/)")


@dataclass(frozen=True, slots=True)
class DescribedOp:
    """An op, as the version that began the run has it."""

    id: str
    kind: str
    place: str
    where: str | None
    """``file:line``."""
    seconds: float | None
    """One execution was expected to take so long; None where nothing was."""
    cost_usd: float | None
    gives: Mapping[str, Any] | None = None
    """The JSON schema of what a tool gives that must run at most once; None for others."""


@dataclass(frozen=True, slots=True)
class Described:
    """A version of a workflow."""

    ops: Mapping[str, DescribedOp] = field(default_factory=dict)

    def named(self, path: str) -> tuple[str, DescribedOp | None]:
        """A path in a log with the ids of its ops, and the op; keys that are not known stay as they are."""
        around = shown = ""
        op = None
        for part in _PART.findall(path):
            found = _KEY.match(part)
            key = found[0] if found is not None else ""
            op = self.ops.get(around + key)
            shown += (key if op is None else op.id) + part[len(key) :]
            around += _NUMBERS.sub("", part)
        return shown, op


class Versions:
    """What is kept of the versions that have written a run's log, of each row in order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Described] = {}
        self._now = Described()

    async def of(self, row: Row) -> Described:
        """That of the version which has written a row, as the first row and each snapshot say."""
        run = _RUN.search(row.data) if row.is_snapshot or row.number == 1 else None
        if run is not None:
            with suppress(ValueError, LookupError, TypeError, RecursionError):  # a damaged line changes nothing
                version = str(json.loads(run[0])[3]["version"])
                if version not in self._known:
                    self._known[version] = read(await self._store.program(version))
                self._now = self._known[version]
        return self._now


def described(program: Program, plan: Plan) -> bytes:
    """What is kept of a version."""
    planned = {each.id: each for each in plan.ops}
    ops = dict(_ops(program.body, "", planned))
    data = {"format": FORMAT, "workflow": program.name, "ops": {path: asdict(op) for path, op in ops.items()}}
    return json.dumps(data, ensure_ascii=False).encode(errors="surrogatepass")


def of_program(program: Program) -> Described:
    """The version that a program is, without what a plan expects."""
    return Described(dict(_ops(program.body, "", {})))


def read(data: bytes | None) -> Described:
    """What was kept; nothing, where nothing was, or by a version of another format."""
    try:
        found: Any = json.loads(data or b"{}")
        if found.get("format") != FORMAT:
            return Described()
        return Described({path: DescribedOp(**op) for path, op in found["ops"].items()})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # it only makes logs readable
        return Described()


def _schema(tp: Any) -> Mapping[str, Any]:
    """The JSON schema of a type; that of anything, where it has none."""
    try:
        found: Mapping[str, Any] = json.loads(json_schema(tp) or '{"type": "string"}')
        return found
    except (PydanticUserError, NameError):
        return {}


def _ops(region: Region, around: str, planned: Mapping[str, OpPlan]) -> Iterator[tuple[str, DescribedOp]]:
    for op in region.ops():
        if not op.key:
            continue
        plan, place = planned.get(op.id), place_of(op)
        where = None if op.where is None else f"{op.where.file}:{op.where.line}"
        yield (
            around + op.key,
            DescribedOp(
                op.id,
                place if plan is None else plan.kind,
                place if plan is None else plan.place,
                where,
                None if plan is None else plan.seconds.mid,
                None if plan is None or plan.cost_usd is None else plan.cost_usd.mid,
                _schema(region.types[op.first]) if op.is_once and op.count else None,
            ),
        )
        for body in op.bodies:
            inner = f"{op.key}.{body.name}/" if body.name else f"{op.key}/"
            yield from _ops(body.region, around + inner, planned)
