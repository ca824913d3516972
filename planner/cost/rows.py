"""Serving measurements as rows of a CSV file: one deployment each, with its TTFT and TPOT where they were measured.

The columns are those of ai-dynamo/aiconfigurator's silicon measurements; ``silicon_ttft_ms`` and ``silicon_tpot_ms``
may be empty. Parallelism is in ``tp_size`` … ``moe_ep_size``, or for disaggregated serving (``mode`` ``disagg``) in
``prefill_…`` and ``decode_…``; an absent one is 1. Names of columns are taken as people write them (``TP size``), and
so is what divides the cells: commas, semicolons or tabs.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

from orchestrator.errors import Diagnostic, PlanError, SourceLoc
from orchestrator.planner.catalogue import catalogue
from orchestrator.planner.cluster import Device
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.inputs import DRAWING_CAMPAIGN
from orchestrator.planner.models import ModelFacts, bundled, unknown
from orchestrator.planner.parallel import Parallel

REQUIRED: Final = ("id", "backend", "model_path", "system", "mode", "isl", "osl")
_PARALLEL: Final = ("tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
_COLUMNS: Final = (
    *REQUIRED, "precision", "gemm_quant_mode", "moe_quant_mode", "batch_size", "decode_batch_size",
    "decode_num_workers", "prefill_num_workers", "silicon_data_source", "silicon_ttft_ms", "silicon_tpot_ms",
    *(f"{side}{name}" for side in ("", "prefill_", "decode_") for name in _PARALLEL),
)  # fmt: skip
"""All that are read; a file may have others."""
_PLAIN: Final = {name.replace("_", ""): name for name in _COLUMNS}
_MODES: Final = {"agg": False, "aggregated": False, "disagg": True, "disaggregated": True}
"""Whether prefill and decode are apart."""
_DTYPES: Final = {
    "": "bf16", "bf16": "bf16", "fp16": "bf16", "bfloat16": "bf16", "float16": "bf16",
    "fp8": "fp8", "fp8_block": "fp8", "fp8_static": "fp8", "fp8_ootb": "fp8",
    "nvfp4": "fp4", "fp4": "fp4", "mxfp4": "fp4", "w4a16_mxfp4": "fp4", "w4a8_mxfp4_mxfp8": "fp4",
    "int4": "int4", "int4_wo": "int4", "w4afp8": "int4",
    "int8": "int8", "int8_wo": "int8", "sq": "int8", "sq_noq": "int8",
}  # fmt: skip
"""Weights by the name of their quantisation."""
_ALIASES = {"a100-sxm": "a100-sxm-80gb", "a100-pcie": "a100-pcie-80gb"}
_EPOCH = date(2025, 1, 1)
_MOST_PROBLEMS = 20
_TOO_MANY: Final = "cells beyond the last column"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was served, and what came out (seconds; ``None``: not measured)."""

    id: str
    deployment: Deployment
    ttft_s: float | None = None
    tpot_s: float | None = None


def read_rows(path: Path) -> list[Row]:
    """Every row of the file. Raises :class:`PlanError`: ORCH-P001 it cannot be read, ORCH-P090 a column is missing,
    ORCH-P091 a figure is impossible, ORCH-P092 an unknown system; problems are named by line and reported together."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            delimiter = max(",;\t", key=head.count)
            reader = csv.DictReader(chain([head], file), restval="", restkey=_TOO_MANY, delimiter=delimiter)
            names = reader.fieldnames = [_column(cell) for cell in reader.fieldnames or ()]
            missing = [name for name in REQUIRED if name not in names]
            twice = [name for name in _COLUMNS if names.count(name) > 1]
            if missing or twice:
                what = f"no column {', '.join(map(repr, missing))}" if missing else f"two columns {twice[0]!r}"
                raise PlanError(
                    "ORCH-P090",
                    f"{path} has {what}",
                    fix="give a CSV file with a header line; `orch plan predict --help` names the columns",
                )
            return _collect(reader, str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as unreadable:
        raise PlanError("ORCH-P001", f"cannot read {path}: {unreadable}") from unreadable


def _column(cell: str) -> str:
    """The column that a cell of the header names; others by what they say."""
    return _PLAIN.get(re.sub(r"[\s_-]", "", cell).lower(), cell.strip())


def _collect(reader: csv.DictReader[str], file: str) -> list[Row]:
    rows, problems = [], []
    for line in reader:
        try:
            if _TOO_MANY in line:
                raise BadFieldError("ORCH-P091", "the end", "there are more cells than columns")
            rows.append(_row({name: cell.strip() for name, cell in line.items()}))
        except BadFieldError as bad:
            where = SourceLoc(file, reader.line_num)
            problems.append(Diagnostic(bad.code, f"{bad.field} of row {line['id']!r}: {bad.said}", where, fix=bad.fix))
            if len(problems) >= _MOST_PROBLEMS:
                break
    if problems:
        raise PlanError.collect(problems)
    return rows


class BadFieldError(Exception):
    def __init__(self, code: str, field: str, said: str, fix: str | None = None) -> None:
        self.code, self.field, self.said, self.fix = code, field, said, fix


def _row(line: Mapping[str, str]) -> Row:
    empty = next((name for name in REQUIRED if not line[name]), None)
    if empty is not None:
        raise BadFieldError("ORCH-P091", empty, "it is empty")
    disaggregated = _one_of(_MODES, line, "mode")
    decode = _parallel(line, "decode_" if disaggregated else "")
    workers = _whole(line, "decode_num_workers") if disaggregated else 1
    gemm, moe = (_one_of(_DTYPES, line, f"{name}_quant_mode") for name in ("gemm", "moe"))
    campaign, day = _provenance(line.get("silicon_data_source") or "")
    deployment = Deployment(
        facts=_facts(line["model_path"], gemm, moe),
        device=device_of(line["system"]),
        backend=line["backend"],
        isl=_positive(line, "isl"),
        osl=_positive(line, "osl"),
        concurrency=_concurrency(line, decode, workers, disaggregated),
        prefill=_parallel(line, "prefill_") if disaggregated else decode,
        decode=decode,
        disaggregated=disaggregated,
        prefill_workers=_whole(line, "prefill_num_workers") if disaggregated else 1,
        decode_workers=workers,
        weights=(line.get("precision") or "bf16"),
        campaign=campaign,
        day=day,
    )
    return Row(line["id"], deployment, _measured(line, "silicon_ttft_ms"), _measured(line, "silicon_tpot_ms"))


def _parallel(line: Mapping[str, str], prefix: str) -> Parallel:
    return Parallel(*(_whole(line, f"{prefix}{name}") for name in _PARALLEL))


def _concurrency(line: Mapping[str, str], decode: Parallel, workers: int, disaggregated: bool) -> float:
    """As the source states it, else the batch of all ranks of all workers."""
    stated = re.search(r"silicon_concurrency=(\d+)", line.get("silicon_data_source") or "")
    if stated and (asked := _number(stated[1], "silicon_concurrency")) > 0:
        return asked
    return _count(line, "decode_batch_size" if disaggregated else "batch_size") * workers * decode.dp


def _provenance(source: str) -> tuple[str, float]:
    """Who measured, and on which day; a source that says ``measured=`` is an InferenceX run."""
    found = re.search(r"measured=(\d{4}-\d\d-\d\d)", source)
    if not found:
        return "", 0.0
    try:
        day = date.fromisoformat(found[1])
    except ValueError as wrong:
        raise BadFieldError("ORCH-P091", "silicon_data_source", f"measured={found[1]}: {wrong}") from None
    return DRAWING_CAMPAIGN, float((day - _EPOCH).days)


def _one_of(known: Mapping[str, T], line: Mapping[str, str], name: str) -> T:
    """What one of the words that are ``known`` means."""
    word = line.get(name, "")
    if word.lower() not in known:
        fix = f"use one of {', '.join(filter(None, known))}"
        raise BadFieldError("ORCH-P091", name, f"{word[:40]!r} is not known", fix)
    return known[word.lower()]


def _count(line: Mapping[str, str], name: str) -> float:
    """A count that may be absent (1), or 0 where the source did not say (1)."""
    text = line.get(name) or ""
    return max(_number(text, name), 1.0) if text else 1.0


def _whole(line: Mapping[str, str], name: str) -> int:
    count = _count(line, name)
    if not count.is_integer():
        raise BadFieldError("ORCH-P091", name, f"{count:g} is no whole number")
    return int(count)


def _positive(line: Mapping[str, str], name: str) -> float:
    value = _number(line.get(name) or "", name)
    if value <= 0:
        raise BadFieldError("ORCH-P091", name, f"{value:g} is not positive")
    return value


def _measured(line: Mapping[str, str], name: str) -> float | None:
    return _positive(line, name) / 1e3 if line.get(name) else None


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        said = f"{text[:40]!r} is not a number" if text else "it is empty"
        raise BadFieldError("ORCH-P091", name, said) from None
    if not 0 <= value < 1e12:
        raise BadFieldError("ORCH-P091", name, f"{text[:40]} is not a figure this can have")
    return value


@cache
def device_of(system: str) -> Device:
    """One device of the system a row names (``h100_sxm``)."""
    name = system.lower().replace("_", "-")
    known = catalogue()
    kind = known.get(_ALIASES.get(name, name)) or known.get(f"{name}-sxm")
    if kind is None or kind.kind != "gpu":
        raise BadFieldError(
            "ORCH-P092", "system", f"{system!r} is not in the device catalogue", f"use one of {', '.join(known)}"
        )
    return kind.device(kind.name)


@cache
def _facts(model: str, gemm: str, moe: str) -> ModelFacts:
    """The model in the precision it was served in; expert weights may have another than the rest."""
    facts = bundled(model) or unknown(model)
    # A checkpoint that keeps all but its experts in 16 bits (gpt-oss) does so whatever the run is called.
    kept = facts.dense_weight_dtype is not None
    experts = facts.weight_dtype if kept else (moe if facts.experts else gemm)
    dense = facts.dense_weight_dtype if kept else (gemm if facts.experts else None)
    return as_measured(replace(facts, weight_dtype=experts, dense_weight_dtype=dense))


def as_measured(facts: ModelFacts) -> ModelFacts:
    """The same facts under one name for all checkpoints of a shape: fine-tuning changes no speed."""
    return replace(facts, name=f"{facts.params / 1e9:.1f}B-{facts.layers}x{facts.hidden}")


def labelled(rows: list[Row]) -> Iterator[tuple[Row, float, float]]:
    """The rows that were measured, with TTFT and TPOT in seconds."""
    for row in rows:
        if row.ttft_s is not None and row.tpot_s is not None:
            yield row, row.ttft_s, row.tpot_s
