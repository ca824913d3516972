"""The TCO study: its optimum, its constraints, its claims and its files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import planner_tco
from benchmarks.harness.record import read
from benchmarks.tco import claims, figures, study
from benchmarks.tco.speed import SPEEDS
from benchmarks.tco.study import CATALOGUE, TBT_S, TTFT_S, Setting, Workload, decode, device, prefill, workloads
from orchestrator.planner.serving import Replica

BASE = Setting()
SETTINGS = [Setting(speed, figures) for speed in SPEEDS for figures in ("printed", "catalogue")]  # type: ignore[arg-type]
every_workload = pytest.mark.parametrize("workload", workloads(), ids=lambda workload: workload.label)


def test_the_study_is_the_papers() -> None:
    labels = [workload.label for workload in workloads()]
    assert len(set(labels)) == 8
    assert labels[0] == "Llama-3-8B FP16 512/4096"
    assert labels[-1] == "Llama-3-70B FP8 4096/512"
    # KV of a token of Llama-3-70B: 2 * 80 layers * 8 heads * 128 * 2 bytes.
    assert study.llama("Llama-3-70B", "bf16").kv_bytes_per_token == 327_680


def test_printed_figures_are_the_papers_and_the_catalogues_are_dense() -> None:
    assert device("H100", "printed").flops["bf16"] == 1979e12
    assert device("H100", "catalogue").flops["bf16"] == 989e12
    assert device("Gaudi3", "printed").flops == {"bf16": 1678e12, "fp8": 1678e12}
    assert device("A100", "catalogue").flops["fp8"] == 312e12


@every_workload
@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_chosen_meets_the_sla_and_fits(name: str, workload: Workload) -> None:
    on = device(name, "catalogue")
    one, two = prefill(name, workload, BASE), decode(name, workload, BASE)
    assert one is None or one.seconds <= TTFT_S
    assert two is None or two.seconds <= TBT_S
    for phase, tokens in ((one, workload.isl), (two, workload.isl + workload.osl)):
        if phase:
            kv_bytes = phase.batch * tokens * workload.facts.kv_bytes_per_token
            assert kv_bytes + workload.facts.weight_bytes <= 0.9 * on.memory_bytes * phase.parallel
            assert phase.link_share <= 1


@pytest.mark.parametrize("name", ["A100", "B200"])
def test_no_other_batch_or_parallelism_is_cheaper(name: str) -> None:
    workload, on = workloads()[1], device(name, "catalogue")
    chosen = decode(name, workload, BASE)
    assert chosen is not None
    context = workload.isl + workload.osl / 2
    for parallel in study.PARALLEL:
        replica = Replica(workload.facts, on, parallel)
        room = 0.9 * on.memory_bytes * parallel - workload.facts.weight_bytes
        for batch in range(1, int(room / workload.facts.kv_bytes_per_token / (workload.isl + workload.osl)) + 1):
            step_s = SPEEDS["planner"].decode_step_s(replica, context, batch)
            if step_s <= TBT_S:
                assert chosen.device_s <= step_s * workload.osl * parallel / batch * (1 + 1e-9)


@settings(max_examples=30)
@given(st.sampled_from(workloads()), st.sampled_from(list(CATALOGUE)), st.floats(0.3, 2.0), st.floats(1.01, 2.0))
def test_a_device_that_achieves_more_never_needs_more_seconds(
    workload: Workload, name: str, efficiency: float, more: float
) -> None:
    for phase in (prefill, decode):
        slower, faster = phase(name, workload, BASE, efficiency), phase(name, workload, BASE, efficiency * more)
        if slower:
            assert faster is not None
            assert faster.device_s <= slower.device_s * (1 + 1e-9)


@every_workload
def test_links_only_ever_forbid(workload: Workload) -> None:
    for name in CATALOGUE:
        free = decode(name, workload, Setting(links="unlimited"))
        for links in ("sustained", "one step"):
            bound = decode(name, workload, Setting(links=links))  # type: ignore[arg-type]
            assert bound is None or (free is not None and free.device_s <= bound.device_s)


@every_workload
def test_the_break_even_price_is_where_the_pairs_draw_level(workload: Workload) -> None:
    factor = claims.break_even_price(workload, BASE, "operating")
    assert factor is not None
    [[below, above]], _ = figures.wins([workload], BASE, "operating", [factor * 0.999, factor * 1.001], [1.0])
    assert (below, above) == (1, 0)


@pytest.mark.parametrize("basis", claims.BASES)
def test_the_map_agrees_with_the_cells_at_the_listed_figures(basis: study.Basis) -> None:
    counted = claims.tally(claims.cells(workloads(), [BASE], basis))
    newest, every = figures.wins(workloads(), BASE, basis, [1.0], [1.0])
    assert (newest[0, 0], every[0, 0]) == (counted.beats, counted.best)


def test_cells_are_relative_to_h100_h100_and_unknown_where_a_phase_is_too_slow() -> None:
    for cell in claims.cells(workloads(), SETTINGS, "annuity"):
        assert cell.relative(claims.REFERENCE) == 1
    cell = claims.cells(workloads()[5:6], [BASE], "annuity")[0]
    assert cell.workload.label == "Llama-3-70B FP16 4096/512"
    assert cell.relative(("A40", "B200")) is None
    assert cell.best is not None


def cell_of(ours: float, newest: float, mixed: float, other: float) -> claims.Cell:
    tokens: dict[claims.Pair, float | None] = {(p, d): 0.1 for p in CATALOGUE for d in CATALOGUE}
    tokens |= {claims.PUBLISHED_BEST: ours, claims.NEWEST: newest, claims.MIXED_AGE: mixed, ("B200", "MI300X"): other}
    return claims.Cell(workloads()[0], BASE, "operating", tokens)


def test_claims_are_counted_by_hand() -> None:
    found = [cell_of(3, 2, 2.1, 1), cell_of(3, 2, 1.7, 4), cell_of(2, 3, 3.3, 4), cell_of(2, 3, 3.31, 1)]
    assert claims.tally(found) == claims.Tally(n=4, best=1, best_but=2, beats=2, equal=2)
    assert "is not robust" in claims.verdict({"operating": found})[-1]
    assert "is robust" in claims.verdict({"operating": found[:1]})[-1]
    assert "Ahead of B200::B200 it is in 2 of 4 at the operating price" in claims.verdict({"operating": found})[-1]


def test_one_command_writes_the_tables_the_figures_and_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "planner_tco.json"
    assert planner_tco.main(["--quick", "--json", str(target)]) == 0
    report = read(target)
    assert json.loads(capsys.readouterr().out)["benchmark"] == report.benchmark == "planner_tco"
    assert {path.name for path in tmp_path.iterdir()} == {
        "planner_tco.json", "planner_tco.csv", "planner_tco.md", "planner_tco_heatmap.png", "planner_tco_heatmap.svg",
        "planner_tco_sensitivity.png", "planner_tco_sensitivity.svg",
    }  # fmt: skip
    with target.with_suffix(".csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 2 * 4 * 8 * 36
    best = [row for row in table if row["best"] == "1"]
    assert len(best) == 2 * 4 * 8
    counted = report.find("annuity price", "b200_gaudi3_best")
    assert counted is not None
    assert counted.value == sum(row["pair"] == "B200::Gaudi3" for row in best if row["price"] == "annuity")
    assert f"in {counted.value:.0f} of 32 cells" in target.with_suffix(".md").read_text(encoding="utf-8")
