"""A text that was changed is refused, with a code, a line and a column; or it means what it says.

What it says is what comes of it without passes: with passes, and once it is written and read again, the same must come
of it, and where its hash is that of the text before the change, what came of that.

    python -m tests.ir.test_mutations 1000
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator import compiler
from orchestrator.cli.stored import load_stored, stored_text
from orchestrator.dsl.trace import Traced
from orchestrator.dsl.workflow import workflow
from orchestrator.errors import IRError, OrchError, UsageError
from orchestrator.ir.text import parse, to_text
from orchestrator.ir.tokens import tokens
from orchestrator.ir.walk import op_id, operations
from orchestrator.planner.graph import read
from orchestrator.runtime.program.lowering import lower
from tests.fuzz import surface
from tests.fuzz.oracle import CLUSTER, Outcome, Runs, _find, loaded
from tests.fuzz.programs import INPUTS, source
from tests.ir.mutations import mutated

EACH = 15
"""Mutations of a text."""


@dataclass(frozen=True)
class Found:
    """What came of a mutation: the codes that refused it, or what is wrong."""

    codes: tuple[str, ...] = ()
    fault: str = ""


@lru_cache(maxsize=64)
def text_of(seed: int) -> str | None:
    """The text of a random program; None for one that cannot be compiled."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"mutated_{seed}"
        program = loaded(source(seed), Path(folder), name)
        program.__globals__.update(surface.COMPILED)
        try:
            return stored_text(workflow(program).trace(), {}, Path(folder) / "flow.mlir")
        except OrchError:
            return None
        finally:
            sys.modules.pop(name, None)


def outcomes(flow: Any, traced: Traced, *, with_passes: bool) -> list[Outcome]:
    """What comes of a workflow on all inputs."""
    if with_passes:
        program = compiler.compile(flow, CLUSTER).program
    else:
        program = lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="plain")
    runs = Runs()
    try:
        return [runs.outcome(program, given, f"run_{number}", ()) for number, given in enumerate(INPUTS)]
    finally:
        runs.close()


def judge(text: str, before: str, file: Path) -> Found:
    """What comes of ``text``, which was ``before``."""
    file.write_text(text, encoding="utf-8", newline="")
    try:
        flow = load_stored(file, _find)
    except IRError as error:
        lost = [each for each in error.diagnostics if each.where is None or not (each.where.line and each.where.column)]
        return Found(tuple(each.code for each in error.diagnostics), f"no place: {lost[0]}" if lost else "")
    except UsageError as error:
        return Found(tuple(each.code for each in error.diagnostics))
    traced = flow.trace()
    if set(traced.params) != {"text", "n", "texts", "flag"}:
        return Found()
    try:
        plain = outcomes(flow, traced, with_passes=False)
        passed = outcomes(flow, traced, with_passes=True)
    except OrchError as error:
        return Found(tuple(each.code for each in error.diagnostics), f"accepted, and then {error}")
    file.write_text(before, encoding="utf-8")
    known = load_stored(file, _find)
    if waiting(traced.module) != waiting(
        known.trace().module
    ):  # what of writes without an order comes is anybody's guess
        return Found()
    if not same(plain, passed):
        return Found((), f"other with passes:\n{plain}\n{passed}")
    module = parse(to_text(traced.module))
    if Traced(module, module.context, "", {}, None, traced.bindings).hash != traced.hash:
        return Found((), "other when it is written and read again")
    if known.trace().hash == traced.hash and not same(outcomes(known, known.trace(), with_passes=False), plain):
        return Found((), "other, and the hash is the same")
    return Found()


def waiting(module: Any) -> dict[str, list[str]]:
    """By op, for whom it waits for the sake of order."""
    ops = [op for op in operations(module) if "id" in op.attributes]
    made = {token: op_id(op) for op in ops for token in tokens(op.results)}
    return {op_id(op): sorted(made[token] for token in tokens(op.operands)) for op in ops}


def same(ours: list[Outcome], theirs: list[Outcome]) -> bool:
    """Whether the outcomes are equal; equal calls of a model need not be as many."""
    pairs = zip(ours, theirs, strict=True)
    return all((a.value, a.raised, a.effects) == (b.value, b.raised, b.effects) for a, b in pairs)


def tried(seeds: Iterator[int], each: int = EACH) -> Iterator[tuple[int, int, str, str, Found]]:
    """Mutations of texts, and what came of them."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            before = text_of(seed)
            if before is None:
                continue
            for number in range(each):
                what, text = mutated(before, Random(f"{seed} {number}"))
                try:
                    found = judge(text, before, Path(folder) / "flow.mlir")
                except Exception as error:  # noqa: BLE001 - any other is a fault
                    found = Found((), "".join(traceback.format_exception(error)[-6:]))
                yield seed, number, what, text, found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shard", range(6))
def test_it_is_refused_or_means_what_it_says(shard: int) -> None:
    refused = accepted = 0
    for seed, number, what, text, found in tried(iter(range(shard * 6, shard * 6 + 6))):
        assert not found.fault, f"seed {seed}, mutation {number}, {what}: {found.fault}\n{text}"
        refused += bool(found.codes)
        accepted += not found.codes
    assert refused > accepted > 0


def _main(mutations: int) -> None:
    codes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    total = 0
    for seed, number, what, _, found in tried(iter(range(10_000, 1_000_000))):
        total += 1
        codes[found.codes[0] if found.codes else "accepted"] += 1
        if found.fault:
            faults[what] += 1
            print(f"--- seed {seed}, mutation {number}, {what}: {found.fault}", flush=True)
        if total >= mutations:
            break
    print(total, dict(codes.most_common()), "faults:", dict(faults))


if __name__ == "__main__":
    _main(int(sys.argv[1]))
