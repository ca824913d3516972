"""Render the JSON files of a folder as the tables of ``benchmarks/README.md``.

python -m benchmarks.report DIR            # print
python -m benchmarks.report DIR --update   # and put them between the markers in benchmarks/README.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness.record import OURS, Report, Result, read
from benchmarks.targets import FIRST_AMONG_FRAMEWORKS, NOT_FRAMEWORKS, TARGETS

README = Path(__file__).with_name("README.md")
LEAST_ARMS = 3
"""That a case has to have for a table of its own."""
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def load(folder: Path) -> dict[str, Report]:
    """Every report of a folder by benchmark name."""
    reports = (read(path) for path in sorted(folder.glob("*.json")))
    return {report.benchmark: report for report in reports}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(result: Result) -> str:
    text = _number(result.value)
    if result.low is not None and result.high is not None:
        text += f" ({_number(result.low)}–{_number(result.high)})"
    return text


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(head: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def targets_table(reports: dict[str, Report]) -> list[str]:
    """One row a target: wanted, measured, verdict, observations, command."""
    rows: list[list[str]] = []
    for target in TARGETS:
        name = f"{target.benchmark} `{target.case}` {target.metric}" + (f", {target.arm}" if target.arm != OURS else "")
        wanted = f"{'≤' if target.sense == '<=' else '≥'} {_number(target.value)}"
        report = reports.get(target.benchmark)
        result = report.find(target.case, target.metric, target.arm) if report else None
        if report is None or result is None:
            rows.append([name, wanted, "not measured", "–", "–", "–"])
            continue
        verdict = "met" if target.met(result.value) else "**missed**"
        measured = f"{_cell(result)} {result.unit}"
        rows.append([name, wanted, measured, verdict, str(result.n), f"`{report.command}`"])
    rows.extend(_rank_rows(reports))
    return _table(["figure", "target", "measured (range)", "", "n", "command"], rows)


def _rank_rows(reports: dict[str, Report]) -> list[list[str]]:
    rows: list[list[str]] = []
    for benchmark, case, metric, sense, arm in FIRST_AMONG_FRAMEWORKS:
        report = reports.get(benchmark)
        ours = report.find(case, metric, arm) if report else None
        if report is None or ours is None:
            continue
        peers = [
            r for r in report.results if (r.case, r.metric) == (case, metric) and r.arm not in NOT_FRAMEWORKS
        ]  # fmt: skip
        if not peers:
            continue
        best = min(peers, key=lambda r: r.value) if sense == "<=" else max(peers, key=lambda r: r.value)
        ahead = ours.value < best.value if sense == "<=" else ours.value > best.value
        measured = f"{_number(ours.value)} against {_number(best.value)} ({best.arm})"
        verdict = "met" if ahead else "**missed**"
        rows.append([f"{benchmark} `{case}` rank", "first", measured, verdict, str(ours.n), f"`{report.command}`"])
    return rows


def overhead_table(report: Report) -> list[str]:
    """One row an arm, one column a case."""
    cases = list(dict.fromkeys(result.case for result in report.results))
    columns = [(case, "us_per_step") for case in cases] + [("W4", "efficiency")]
    rows: list[list[str]] = []
    for arm in dict.fromkeys(result.arm for result in report.results):
        found = [report.find(case, metric, arm) for case, metric in columns]
        cells = [(_cell(r) + (f" [{r.note}]" if r.note else "")) if r else "–" for r in found]
        rows.append([arm, *cells])
    head = ["arm", *(f"{case} µs/step" if metric == "us_per_step" else "W4 efficiency" for case, metric in columns)]
    return _table(head, rows)


def detail_table(report: Report) -> list[str]:
    """Every result of a report."""
    rows = [
        [r.case, r.arm, r.metric, _cell(r), r.unit, str(r.n), r.note or ""] for r in report.results
    ]  # fmt: skip
    return _table(["case", "arm", "metric", "value (range)", "unit", "n", "note"], rows)


def case_tables(report: Report) -> list[str]:
    """A table of each case that several arms played, one row an arm and one column a metric; then all other results."""
    arms: dict[str, dict[str, None]] = {}
    for result in report.results:
        arms.setdefault(result.case, {})[result.arm] = None
    lines: list[str] = []
    for case, names in arms.items():
        if len(names) < LEAST_ARMS:
            continue
        found = [result for result in report.results if result.case == case]
        columns = list(dict.fromkeys((result.metric, result.unit) for result in found))
        cells = {(result.arm, result.metric): _cell(result) for result in found}
        notes = {result.arm: f" ({result.note})" for result in found if result.note and result.arm != OURS}
        rows = [[arm + notes.get(arm, ""), *(cells.get((arm, name), "–") for name, _ in columns)] for arm in names]
        head = ["arm", *(f"{name} [{unit}]" for name, unit in columns)]
        lines += [f"#### {report.benchmark} `{case}`", "", *_table(head, rows), ""]
    rest = [result for result in report.results if len(arms[result.case]) < LEAST_ARMS]
    return [*lines, *detail_table(report.model_copy(update={"results": rest}))]


def _conditions(report: Report) -> str:
    machine = report.machine
    load = f"other processes used {machine.busy_before:.0%} of it when the run began"
    if machine.loaded:
        load = f"**loaded**: {load}"
    found = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    seeds = ", ".join(f"{name} {seed}" for name, seed in report.seeds.items()) or "none"
    where = f"{machine.short}, {machine.memory_gib:.0f} GiB"
    return f"`{report.command}` on {where}; {load}. Versions: {found}. Seeds: {seeds}."


TABLES = {"overhead": overhead_table, "durable": case_tables, "kv_ttl": case_tables}
"""Of a benchmark, where its figures are not simply listed."""


def render(reports: dict[str, Report]) -> str:
    """The whole generated part of the README."""
    lines = ["### Targets", "", *targets_table(reports), ""]
    for name, report in reports.items():
        body = TABLES.get(name, detail_table)(report)
        lines += [f"### {name}", "", _conditions(report), "", *body, ""]
        lines += [f"- skipped {skip.arm} {skip.case or ''}: {skip.reason}" for skip in report.skipped]
        lines += [""] if report.skipped else []
    return "\n".join(lines).rstrip() + "\n"


def update(readme: str, figures: str) -> str:
    """The README with what stands between the markers replaced."""
    before, found, rest = readme.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"no {BEGIN} … {END} in the README")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def main(argv: list[str] | None = None) -> int:
    """Print the tables; exits 1 where the folder holds no report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--update", action="store_true", help="also rewrite the figures in benchmarks/README.md")
    options = parser.parse_args(argv)
    reports = load(options.folder)
    if not reports:
        print(f"no benchmark results in {options.folder}", file=sys.stderr)
        return 1
    figures = render(reports)
    print(figures)
    if options.update:
        README.write_text(update(README.read_text(encoding="utf-8"), figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
