"""``orch plan predict``: a table of configurations in, TTFT and TPOT out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.cli.conftest import Orch
from tests.planner.cost.test_rows import rows


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_gets_an_answer_with_its_bounds(orch: Orch, tmp_path: Path) -> None:
    asked = rows(
        tmp_path,
        {"id": "known"},
        {"id": "new device", "system": "b300_sxm"},
        {"id": "new model", "model_path": "somebody/new-30B", "system": "gb300"},
        {"id": "apart", "mode": "disagg", "decode_tp_size": "8", "prefill_tp_size": "4"},
    )
    out = tmp_path / "out.csv"
    ended = orch("plan", "predict", "--rows", str(asked), "--out", str(out))
    assert ended.code == 0, ended.err
    found = read(out)
    assert [each["id"] for each in found] == ["known", "new device", "new model", "apart"]
    assert list(found[0]) == ["id", "ttft_ms", "ttft_lo", "ttft_hi", "tpot_ms", "tpot_lo", "tpot_hi"]
    for each in found:
        for name in ("ttft", "tpot"):
            assert 0 < float(each[f"{name}_lo"]) <= float(each[f"{name}_ms"]) <= float(each[f"{name}_hi"])
    # 85.5 ms were measured for this configuration; 70 billion FP8 parameters on four H100 take over 5 ms a token.
    assert float(found[0]["ttft_lo"]) < 200
    assert 5 < float(found[0]["tpot_ms"]) < 30
    assert "4 configurations predicted" in ended.out
    assert "no config.json for 'somebody/new-30B': 30 billion parameters assumed from its name" in ended.err
    assert "3 of a model, device and backend that were never measured together" in ended.out


def test_a_model_of_unknown_size_has_wider_bounds_than_one_whose_name_tells_it(orch: Orch, tmp_path: Path) -> None:
    asked = rows(tmp_path, {"model_path": "somebody/new-8B"}, {"model_path": "somebody/new"})
    out = tmp_path / "out.csv"
    assert orch("plan", "predict", "--rows", str(asked), "--out", str(out)).code == 0
    named, nameless = (float(each["tpot_hi"]) / float(each["tpot_lo"]) for each in read(out))
    assert nameless > 4 * named


def test_the_summary_as_json(orch: Orch, tmp_path: Path) -> None:
    ended = orch("plan", "predict", "--rows", str(rows(tmp_path, {})), "--out", str(tmp_path / "o.csv"), "--json")
    assert json.loads(ended.out) == {"out": str(tmp_path / "o.csv"), "rows": 1, "measured_groups": 1}


def test_a_model_that_its_devices_cannot_hold_is_named(orch: Orch, tmp_path: Path) -> None:
    large = {"id": "large", "model_path": "Qwen/Qwen3-235B-A22B", "tp_size": "1", "gemm_quant_mode": "bfloat16"}
    asked = rows(tmp_path, large, {"id": "small", "tp_size": "1", "model_path": "Qwen/Qwen3-8B"})
    out = tmp_path / "out.csv"
    ended = orch("plan", "predict", "--rows", str(asked), "--out", str(out), "--json")
    assert json.loads(ended.out)["does_not_fit"] == ["large"]
    assert "row 'large' does not fit: each h100-sxm would hold 470 GB of weights" in ended.err
    assert "'small'" not in ended.err


def test_nothing_is_written_when_a_row_is_wrong(orch: Orch, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    ended = orch("plan", "predict", "--rows", str(rows(tmp_path, {}, {"isl": "x"})), "--out", str(out))
    assert ended.code == 1
    assert "ORCH-P091" in ended.err
    assert "rows.csv:3" in ended.err
    assert not out.exists()


def test_a_place_that_cannot_be_written(orch: Orch, tmp_path: Path) -> None:
    ended = orch("plan", "predict", "--rows", str(rows(tmp_path, {})), "--out", str(tmp_path / "none" / "o.csv"))
    assert ended.code == 1
    assert "ORCH-U090" in ended.err
    assert "Traceback" not in ended.err


def test_the_rows_are_not_written_over(orch: Orch, tmp_path: Path) -> None:
    asked = rows(tmp_path, {})
    before = asked.read_text()
    ended = orch("plan", "predict", "--rows", str(asked), "--out", str(tmp_path / "." / asked.name))
    assert ended.code == 2
    assert "is the file of --rows" in ended.err
    assert asked.read_text() == before
