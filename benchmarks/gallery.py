"""Four workflows of the gallery beside the same in LangGraph: lines of each, and whether they do the same.

    python -m benchmarks.gallery [--quick] [--json FILE] [--venvs DIR]

``lines`` are lines of code: without blank ones, comments and docstrings; every file is formatted by the same rules.
``equal`` is the number of cases (`benchmarks/gallery_cases.py`) in which the program gave the value that it should and
asked the model the same prompts as ours. Nothing is timed; with ``--quick`` LangGraph's programs are only counted.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import subprocess
import sys
import tokenize
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.gallery_cases import CASES, WORKFLOWS, Case
from benchmarks.harness.machine import describe, versions
from benchmarks.harness.process import ROOT
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip
from benchmarks.harness.venvs import VenvError, default_root, venv_python

LANGGRAPH = "langgraph==1.2.24"
PROGRAMS = {
    OURS: ROOT / "examples" / "gallery",
    "langgraph-functional": ROOT / "benchmarks" / "langgraph" / "functional",
    "langgraph-graph": ROOT / "benchmarks" / "langgraph" / "graph",
}
"""The folder of each arm's programs; LangGraph has two ways to write one, and both are counted."""
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def lines_of_code(source: str) -> int:
    """How many lines hold code: a line that is blank, a comment or part of a docstring does not."""
    numbers = {
        number
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in NO_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            numbers.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(numbers)


def lines(arm: str, workflow: str) -> int:
    """The lines of code of one program."""
    return lines_of_code((PROGRAMS[arm] / f"{workflow}.py").read_text(encoding="utf-8"))


def play(case: Case) -> tuple[str, list[str]]:
    """Run one case on our workflow: its value, and the prompts."""
    from orchestrator import run
    from orchestrator.testing import fake

    flow = getattr(import_module(f"examples.gallery.{case.workflow}"), case.workflow)
    answers = {} if case.answer is None else {"approve": case.answer}

    def reply(messages: Any) -> Any:
        return case.script(messages[-1].content)

    with fake({"*": reply}, answers=answers) as engine:
        value = run(flow, case.inputs).value
    return value, [each.messages[-1].content for each in engine.requests]


def played_by_langgraph(root: Path) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """LangGraph's version, and per API what came of each case. Raises VenvError where it cannot be had or fails."""
    python = venv_python(root, "gallery", (LANGGRAPH,))
    done = subprocess.run(
        [str(python), "-m", "benchmarks.langgraph.play"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        raise VenvError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    answer = json.loads(done.stdout)
    return answer["version"], answer["played"]


def equal(case: Case, value: str, prompts: list[str], ours: list[str]) -> bool:
    """Whether a program did what it should, and asked what ours asked; what is asked at once has no order."""
    return value == case.value and len(prompts) == case.calls and sorted(prompts) == sorted(ours)


def results(arm: str, runs: list[tuple[str, list[str]]], ours: list[list[str]]) -> list[Result]:
    """The figures of one arm: of how many cases of each workflow it gave what it should."""
    same = [equal(case, *played, mine) for case, played, mine in zip(CASES, runs, ours, strict=True)]
    found = []
    for name in WORKFLOWS:
        mine = [right for case, right in zip(CASES, same, strict=True) if case.workflow == name]
        found.append(Result(case=name, arm=arm, metric="equal", value=sum(mine), unit="cases", n=len(mine)))
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; exits 1 where a program did not do the same."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="count LangGraph's programs, but do not run them")
    parser.add_argument("--venvs", type=Path, default=default_root(), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "gallery.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    machine = describe()
    mine = [play(case) for case in CASES]
    ours = [prompts for _, prompts in mine]
    figures = [
        Result(case=name, arm=arm, metric="lines", value=lines(arm, name), unit="lines", n=1)
        for name in WORKFLOWS
        for arm in PROGRAMS
    ]
    figures += results(OURS, mine, ours)
    found, skipped = versions("orchestrator", "pydantic"), []
    try:
        if options.quick:
            raise VenvError("not run with --quick")
        found["langgraph"], played = played_by_langgraph(options.venvs)
        for api, runs in played.items():
            figures += results(f"langgraph-{api}", [(each["value"], each["prompts"]) for each in runs], ours)
    except VenvError as error:
        skipped = [Skip(arm=arm, reason=str(error)) for arm in PROGRAMS if arm != OURS]
    report = Report(
        benchmark="gallery",
        quick=options.quick,
        command="python -m benchmarks.gallery" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=found,
        results=figures,
        skipped=skipped,
    )
    report.write(options.json)
    for each in figures:
        print(
            f"{each.case:<20} {each.arm:<21} {each.metric:<6} {each.value:.0f}"
            + f" of {each.n}" * (each.unit == "cases")
        )
    for each in skipped:
        print(f"{each.arm}: {each.reason}", file=sys.stderr)
    return int(any(each.metric == "equal" and each.value != each.n for each in figures))


if __name__ == "__main__":
    sys.exit(main())
