"""``orch run examples/text2sql``: twenty questions about this machine, or yours about your own data."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.app import App, Case, Job
from orchestrator.errors import UsageError

from . import data, machine
from .questions import answerable
from .report import report
from .workflow import answer

MODEL = Path(__file__).resolve().parent / "model"
EXAMPLE = 'orch run examples/text2sql --db shop.db "How many orders are there?"'


def prepare(options: Mapping[str, Any], words: Sequence[str]) -> Job:
    """The questions and the database they are about. Raises ``UsageError``."""
    given = [*options["question"], *([" ".join(words)] if words else [])]
    if any(not question.strip() for question in given):
        raise UsageError("ORCH-U010", "a question without a word in it", fix=EXAMPLE)
    own, files = options["db"], options["csv"]
    if own and files:
        raise UsageError("ORCH-U002", "--db and --csv are two different databases", fix="leave one of them out")
    if (own or files) and not given:
        raise UsageError("ORCH-U010", "there is data, and no question about it", fix=f"add one: {EXAMPLE}")
    if own:
        return _asked(given, own, [], options["limit"])
    with tempfile.TemporaryDirectory(prefix="orch-text2sql-") as folder:
        made = Path(folder) / "data.db"
        notes = data.load_csv(files, made) if files else [_built(machine.build(made))]
        return _asked(given, data.kept(made), notes, options["limit"])


def _asked(questions: Sequence[str], database: Path, notes: list[str], limit: int | None) -> Job:
    schema, tables = data.describe(database, notes)
    shared = {"schema": schema, "database": str(database.absolute())}
    if questions:
        cases = [Case(question, {"question": question, **shared}) for question in questions]
    else:
        cases = [Case(each.question, {"question": each.question, **shared}, each) for each in answerable(tables)]
    return Job(cases[:limit], notes)


def _built(built: machine.MachineDatabase) -> str:
    parts = [f"{built.distributions:,} Python distributions", f"{built.requirements:,} requirements"]
    parts.append(f"{built.packages:,} Debian packages" if built.packages else "no Debian packages")
    return f"built a database of this machine: {', '.join(parts)}"


_FILE = click.Path(path_type=Path)

app = App(
    workflow=answer,
    prepare=prepare,
    report=report,
    model=str(MODEL),
    engine_options={"max_model_len": 2048},
    concurrency=4,
    options=[
        click.Option(["--db"], type=_FILE, metavar="FILE", help="Ask about this SQLite database."),
        click.Option(["--csv"], type=_FILE, multiple=True, metavar="FILE", help="Ask about CSV files, a table each."),
        click.Option(["--question", "-q"], multiple=True, metavar="TEXT", help="A question; WORDS are one, too."),
        click.Option(["--limit"], type=click.IntRange(min=1), metavar="N", help="Only the first N questions."),
    ],
)
