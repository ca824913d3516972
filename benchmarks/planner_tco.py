"""The heterogeneous-TCO study of arXiv 2507.19635 (figures 8 and 9), with both price columns and a sensitivity map.

    python -m benchmarks.planner_tco [--quick] [--json FILE]

Llama-3 8B and 70B in FP16 and FP8, 512/4096 and 4096/512 tokens, every prefill::decode pair of A40, A100, Gaudi 3,
MI300X, H100 and B200, TTFT <= 250 ms and TBT <= 20 ms, tokens/s/$ relative to H100::H100. ``benchmarks/tco/study.py``
has the formulation. Each cell is computed with two prices (the paper's operating price, and an annuity), two device
tables (the paper's as printed, and the catalogue's dense figures) and two cost models (bare peaks, and the planner's).

Beside FILE it writes, under the same name: a table of everything (``.csv``), the text with its counts (``.md``), a heat
map and a sensitivity map over Gaudi 3's price and efficiency (``_heatmap``, ``_sensitivity``; ``.png`` and ``.svg``).
Nothing is random; ``n`` is the number of cells behind a figure.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, OURS, Report, Result
from benchmarks.tco.claims import (
    BASES,
    MIXED_AGE,
    NEWEST,
    PUBLISHED_BEST,
    Cell,
    Tally,
    break_even_price,
    cells,
    settings,
    tally,
    verdict,
)
from benchmarks.tco.study import Basis, Links, Setting, decode, prefill, workloads

BASE = Setting()
"""The planner's cost model with the catalogue's dense figures."""
HEADLINE = (PUBLISHED_BEST, NEWEST, MIXED_AGE, ("B200", "MI300X"))
OTHER_LINKS: tuple[Links, ...] = ("one step", "unlimited")


def rows(found: Sequence[Cell]) -> Iterator[dict[str, object]]:
    """The table: one row a cell and pair."""
    for cell in found:
        for (first, second), value in cell.tokens_per_usd.items():
            one, two = prefill(first, cell.workload, cell.setting), decode(second, cell.workload, cell.setting)
            relative = cell.relative((first, second))
            yield {
                "workload": cell.workload.label,
                "price": cell.basis,
                "cost_model": cell.setting.speed,
                "figures": cell.setting.figures,
                "pair": f"{first}::{second}",
                "tokens_per_usd": "" if value is None else f"{value:.4g}",
                "relative_to_h100_h100": "" if relative is None else f"{relative:.4g}",
                "best": int(cell.best == (first, second)),
                "prefill_parallel": one.parallel if one else "",
                "prefill_batch": one.batch if one else "",
                "ttft_ms": f"{one.seconds * 1e3:.1f}" if one else "",
                "decode_parallel": two.parallel if two else "",
                "decode_batch": two.batch if two else "",
                "tbt_ms": f"{two.seconds * 1e3:.2f}" if two else "",
                "link_share": f"{max(one.link_share, two.link_share):.3f}" if one and two else "",
            }


def results_of(by_basis: dict[Basis, list[Cell]], ahead: dict[Basis, float]) -> Iterator[Result]:
    """The counts for each price, and the headline pairs of each workload in the base setting."""
    for basis, found in by_basis.items():
        counted = tally(found)
        for metric, value in (
            ("b200_gaudi3_best", counted.best),
            ("b200_gaudi3_best_without_mi300x", counted.best_but),
            ("b200_gaudi3_ahead_of_b200_b200", counted.beats),
            ("h100_gaudi3_about_b200_b200", counted.equal),
        ):
            yield Result(case=f"{basis} price", arm=OURS, metric=metric, value=value, unit="cells", n=counted.n)
        share = round(ahead[basis], 4)
        yield Result(case=f"{basis} price", arm=OURS, metric="area_ahead", value=share, unit="share", n=counted.n)
        for cell in (cell for cell in found if cell.setting == BASE):
            case = f"{basis} price, {cell.workload.label}"
            note = f"best: {'::'.join(cell.best)}" if cell.best else "no pair meets the SLA"
            for pair in HEADLINE:
                relative = cell.relative(pair)
                if relative is not None:
                    name = "::".join(pair)
                    value = round(relative, 4)
                    yield Result(case=case, arm=OURS, metric=name, value=value, unit="x H100::H100", n=1, note=note)
            factor = break_even_price(cell.workload, cell.setting, basis)
            if factor is not None:
                value = round(factor, 4)
                yield Result(case=case, arm=OURS, metric="break_even_price_factor", value=value, unit="ratio", n=1)


def text(by_basis: dict[Basis, list[Cell]], ahead: dict[Basis, float], stem: str) -> str:
    """The Markdown file: what holds, the counts behind it, and a table of the base setting."""
    lines = ["# Heterogeneous TCO: the study of arXiv 2507.19635, figures 8 and 9", ""]
    lines += [f"- {sentence}" for sentence in verdict(by_basis)]
    lines += [
        f"- Over factors of 0.4 to 2.5 on Gaudi 3's price and on what it achieves, B200::Gaudi3 is ahead of B200::B200 "
        f"in most workloads on {ahead[basis]:.0%} of the map with {basis} prices."
        for basis in BASES
    ]
    lines += [
        "- Every device is taken to achieve the same share of its peaks in the planner's cost model unless it was "
        "measured, and neither Gaudi 3 nor MI300X was: read the sensitivity map for what that decides.",
    ]
    lines += ["", f"![heat map]({stem}_heatmap.svg)", "", f"![sensitivity]({stem}_sensitivity.svg)", ""]
    lines += ["## Cells in which a claim holds", ""]
    head = [
        "price",
        "cost model",
        "device figures",
        "links",
        "B200::Gaudi3 best",
        "ahead of B200::B200",
        "H100::Gaudi3 about B200::B200",
    ]
    lines += [_row(head), _row(["---"] * len(head))]
    for basis in BASES:
        for setting in settings():
            counted = tally([cell for cell in by_basis[basis] if cell.setting == setting])
            lines.append(_row([basis, setting.speed, setting.figures, setting.links, *_shares(counted)]))
        for links in OTHER_LINKS:
            varied = Setting(links=links)
            counted = tally(cells(workloads(), [varied], basis))
            lines.append(_row([basis, varied.speed, varied.figures, links, *_shares(counted)]))
    lines += ["", "## Tokens per USD, H100::H100 = 1 (planner's cost model, catalogue's figures)", ""]
    head = ["workload", "price", *("::".join(pair) for pair in HEADLINE), "best pair"]
    lines += [_row(head), _row(["---"] * len(head))]
    for basis in BASES:
        for cell in (cell for cell in by_basis[basis] if cell.setting == BASE):
            values = [cell.relative(pair) for pair in HEADLINE]
            shown = ["–" if value is None else f"{value:.2f}" for value in values]
            top = cell.relative(cell.best) if cell.best else None
            best = f"{'::'.join(cell.best)} {top:.2f}" if cell.best and top else "–"
            lines.append(_row([cell.workload.label, basis, *shown, best]))
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the study and write its files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_tco", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a coarser sensitivity map")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "planner_tco.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    from benchmarks.tco.figures import heat_map, sensitivity_map

    machine, begun, target = describe(), time.perf_counter(), options.json
    target.parent.mkdir(parents=True, exist_ok=True)
    by_basis = {basis: cells(workloads(), settings(), basis) for basis in BASES}
    seconds = time.perf_counter() - begun
    shown = [cell for basis in BASES for cell in by_basis[basis] if cell.setting == BASE]
    heat_map(shown, target.with_name(f"{target.stem}_heatmap"))
    sensitivity = target.with_name(f"{target.stem}_sensitivity")
    _, ahead = sensitivity_map(workloads(), BASE, 13 if options.quick else 41, sensitivity)
    table = list(rows([cell for found in by_basis.values() for cell in found]))
    with target.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    target.with_suffix(".md").write_text(text(by_basis, ahead, target.stem), encoding="utf-8")
    timing = Result(case="all cells", arm=OURS, metric="seconds", value=round(seconds, 3), unit="s", n=1)
    report = Report(
        benchmark="planner_tco",
        quick=options.quick,
        command="python -m benchmarks.planner_tco" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "numpy", "matplotlib"),
        results=[*results_of(by_basis, ahead), timing],
    )
    report.write(target)
    print(json.dumps(json.loads(target.read_text(encoding="utf-8"))))
    for sentence in verdict(by_basis):
        print(sentence, file=sys.stderr)
    return 0


def _shares(counted: Tally) -> list[str]:
    return [f"{count} of {counted.n}" for count in (counted.best, counted.best_but, counted.beats, counted.equal)]


def _row(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"


if __name__ == "__main__":
    sys.exit(main())
