"""``orch plan predict``: TTFT and TPOT of serving configurations from a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.command import Command
from orchestrator.cli.options import check_writable, debug_option, json_option
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.errors import UsageError
from orchestrator.whole_file import write_whole

if TYPE_CHECKING:
    from orchestrator.planner.cost.calibration import Prediction
    from orchestrator.planner.cost.rows import Row

_MOST_NOTES = 20


@click.command(
    cls=Command, name="predict", epilog="Example:  orch plan predict --rows configurations.csv --out predictions.csv"
)
@click.option("--rows", type=click.Path(path_type=Path), required=True, help="CSV file, one configuration a line.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="CSV file to write.")
@json_option
@debug_option
def command(rows: Path, out: Path, as_json: bool, debug: bool) -> None:
    """Predict how fast models are served, without the hardware.

    ROWS has the columns of ai-dynamo/aiconfigurator's silicon measurements (id, backend, model_path, system, mode, isl,
    osl, batch_size, tp_size, …); OUT gets id and, in milliseconds, TTFT and TPOT with the bounds of their 80 %
    intervals. Models and devices that nobody measured are priced from their config and data sheet, with wide intervals.
    """
    from orchestrator.planner.cost.rows import read_rows
    from orchestrator.planner.cost.store import predict

    del debug
    check_writable(out, "--out")
    if out.exists() and rows.exists() and out.samefile(rows):
        raise UsageError(
            "ORCH-U002", f"--out {out} is the file of --rows", fix="name another file: the rows would be lost"
        )
    read = read_rows(rows)
    predictions = predict([row.deployment for row in read])
    _write(out, read, predictions)
    measured = sum(each.measured for each in predictions)
    for note in dict.fromkeys(row.deployment.facts.note for row in read if row.deployment.facts.note):
        say(f"note: {note}")
    too_large = [row for row in read if not row.deployment.fits]
    for row in too_large[:_MOST_NOTES]:
        say(f"note: {_misfit(row)}; its figures are those of a device that is large enough")
    if len(too_large) > _MOST_NOTES:
        say(f"note: {len(too_large) - _MOST_NOTES} more rows do not fit their devices")
    if as_json:
        misfits = {"does_not_fit": [row.id for row in too_large]} if too_large else {}
        deliver_json({"out": str(out), "rows": len(read), "measured_groups": measured} | misfits)
    else:
        rest = len(read) - measured
        note = f"; {rest} of a model, device and backend that were never measured together" if rest else ""
        deliver(f"{len(read)} configuration{'s' * (len(read) != 1)} predicted in {out}{note}")


def _misfit(row: Row) -> str:
    of = row.deployment
    need, have = of.weight_bytes / 1e9, of.device.memory_bytes / 1e9
    held = f"would hold {need:,.0f} GB of weights, and has {have:,.0f} GB"
    return f"row {row.id!r} does not fit: each {of.device.name} {held}"


def _write(out: Path, rows: list[Row], predictions: list[Prediction]) -> None:
    import csv
    import io

    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("id", "ttft_ms", "ttft_lo", "ttft_hi", "tpot_ms", "tpot_lo", "tpot_hi"))
    for row, each in zip(rows, predictions, strict=True):
        figures = (each.ttft.mid, each.ttft.lo, each.ttft.hi, each.tpot.mid, each.tpot.lo, each.tpot.hi)
        writer.writerow((row.id, *(f"{1e3 * seconds:.6g}" for seconds in figures)))
    write_whole(out, table.getvalue())
