import csv
from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.cost.rows import read_rows

BASE = {
    "id": "a", "silicon_data_source": "x; silicon_concurrency=32; measured=2026-01-11T00:00Z", "backend": "vllm",
    "model_path": "meta-llama/Llama-3.1-70B", "system": "h100_sxm", "precision": "fp8", "mode": "agg", "isl": "1024",
    "osl": "512", "gemm_quant_mode": "fp8", "moe_quant_mode": "", "batch_size": "32", "tp_size": "4", "pp_size": "1",
    "attention_dp_size": "", "moe_tp_size": "0", "moe_ep_size": "", "silicon_ttft_ms": "85.5", "silicon_tpot_ms": "",
}  # fmt: skip


def rows(folder: Path, *changes: dict[str, str], without: str = "") -> Path:
    path = folder / "rows.csv"
    lines = [{**BASE, **each} for each in changes]
    with path.open("w", newline="") as file:
        names = dict.fromkeys(name for line in lines for name in line if name != without)
        writer = csv.DictWriter(file, list(names), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    return path


def codes(caught: pytest.ExceptionInfo[PlanError]) -> list[str]:
    return [each.code for each in caught.value.diagnostics]


def test_a_row_becomes_a_deployment(tmp_path: Path) -> None:
    [row] = read_rows(rows(tmp_path, {}))
    of = row.deployment
    assert (row.ttft_s, row.tpot_s) == (pytest.approx(0.0855), None)
    assert (of.isl, of.osl, of.concurrency, of.decode.tp, of.decode.moe_tp, of.decode.dp) == (1024, 512, 32, 4, 1, 1)
    assert (of.facts.weight_dtype, of.device.type, of.campaign, of.day) == ("fp8", "h100-sxm", "inferencex", 375)
    assert of.prefill == of.decode


def test_without_a_stated_concurrency_the_batches_of_all_ranks_count(tmp_path: Path) -> None:
    plain = {"silicon_data_source": "x", "attention_dp_size": "4"}
    disagg = {**plain, "mode": "disagg", "decode_batch_size": "16", "decode_num_workers": "3", "decode_tp_size": "8"}
    agg, apart = read_rows(rows(tmp_path, plain, disagg))
    assert agg.deployment.concurrency == 128
    assert apart.deployment.concurrency == 48
    assert apart.deployment.disaggregated
    assert (apart.deployment.decode.tp, apart.deployment.prefill.tp) == (8, 1)


def test_gpt_oss_keeps_its_own_precisions(tmp_path: Path) -> None:
    [row] = read_rows(rows(tmp_path, {"model_path": "openai/gpt-oss-120b", "gemm_quant_mode": "nvfp4"}))
    assert (row.deployment.facts.weight_dtype, row.deployment.facts.dense_weight_dtype) == ("fp4", "bf16")


def test_a_model_nobody_bundled_is_taken_by_its_name(tmp_path: Path) -> None:
    [row] = read_rows(rows(tmp_path, {"model_path": "somebody/new-30B"}))
    assert row.deployment.facts.params == 30e9


@pytest.mark.parametrize("system", ["b300_sxm", "gb300", "gb200", "l40s", "a100_sxm", "h100_pcie", "mi300x", "l4"])
def test_every_gpu_of_the_catalogue_is_a_system(tmp_path: Path, system: str) -> None:
    [row] = read_rows(rows(tmp_path, {"system": system}))
    assert row.deployment.device.kind == "gpu"


def test_problems_are_named_by_line_and_reported_together(tmp_path: Path) -> None:
    path = rows(tmp_path, {}, {"isl": "-3"}, {"system": "h9000"}, {"tp_size": "many"}, {"silicon_tpot_ms": "0"})
    with pytest.raises(PlanError) as caught:
        read_rows(path)
    assert codes(caught) == ["ORCH-P091", "ORCH-P092", "ORCH-P091", "ORCH-P091"]
    assert [each.where.line for each in caught.value.diagnostics if each.where] == [3, 4, 5, 6]
    assert "tp_size of row 'a': 'many' is not a number" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "without", "said"),
    [({}, "system", "no column 'system'"), ({"TP size": "8"}, "", "two columns 'tp_size'")],
)
def test_a_column_that_is_missing_or_stands_there_twice_is_named(
    tmp_path: Path, changes: dict[str, str], without: str, said: str
) -> None:
    with pytest.raises(PlanError) as caught:
        read_rows(rows(tmp_path, changes, without=without))
    assert codes(caught) == ["ORCH-P090"]
    assert said in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        read_rows(tmp_path / "none.csv")
    assert codes(caught) == ["ORCH-P001"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = rows(tmp_path, {})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [row.id for row in read_rows(path)] == ["a"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"system": ""}, "system of row 'a': it is empty"),
        ({"isl": "  "}, "isl of row 'a': it is empty"),
        ({"silicon_data_source": "measured=2025-13-45"}, "month must be in 1..12"),
        ({"silicon_data_source": "measured=2025-02-30"}, "2025-02-30"),
        ({"silicon_data_source": "silicon_concurrency=" + "7" * 400}, "not a figure this can have"),
        ({"tp_size": "1e400"}, "not a figure this can have"),
        *(({"osl": figure}, "not a figure this can have") for figure in ("nan", "inf", "1e300")),
        ({"tp_size": "1.7"}, "tp_size of row 'a': 1.7 is no whole number"),
        ({"mode": "static"}, "mode of row 'a': 'static' is not known"),
        ({"gemm_quant_mode": "int3"}, "gemm_quant_mode of row 'a': 'int3' is not known"),
    ],
)
def test_what_other_tools_write_is_named_with_its_line(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_rows(rows(tmp_path, {}, changes))
    (problem,) = caught.value.diagnostics
    assert problem.code == "ORCH-P091"
    assert said in problem.message
    assert len(problem.message) < 200
    assert problem.where is not None
    assert problem.where.line == 3


def test_short_and_long_lines_are_named(tmp_path: Path) -> None:
    path = rows(tmp_path, {})
    header, line = path.read_text().splitlines()
    path.write_text(f"{header}\nb,vllm\n{line},more,and more\n")
    with pytest.raises(PlanError) as caught:
        read_rows(path)
    assert [each.where.line for each in caught.value.diagnostics if each.where] == [2, 3]
    assert codes(caught) == ["ORCH-P091"] * 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_that_people_write(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "rows.csv"
    head = ["ID", " backend", "Model path", "system", "mode", "ISL", "osl", "TP size", "batchsize", "note"]
    cells = ["a", "vllm ", "Qwen/Qwen3-8B", "H100_SXM", "Disaggregated", " 1000", "100", "4", "8", ""]
    path.write_text("\n".join(delimiter.join(line) for line in (head, cells, [*cells[:4], "agg", *cells[5:]])) + "\n")
    apart, together = (row.deployment for row in read_rows(path))
    assert (apart.disaggregated, together.disaggregated) == (True, False)
    assert (together.backend, together.isl, together.decode.tp, together.concurrency) == ("vllm", 1000, 4, 8)
