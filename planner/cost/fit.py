"""Fit the cost model to serving measurements: ``python -m orchestrator.planner.cost.fit ROWS.csv [FOLDER]``.

Writes ``measurements.csv`` (the rows with only what the model uses) and ``factors.json`` (what was fitted to them) into
FOLDER, by default the one that ships with the planner. Deterministic; some minutes on two cores.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Final

from orchestrator.planner.cost.calibration import calibrate
from orchestrator.planner.cost.rows import read_rows
from orchestrator.planner.cost.store import AGGREGATED, DISAGGREGATED, Factors, data_folder, measurements

SOURCE: Final = (
    "Fitted by orchestrator.planner.cost.fit to measurements.csv: end-to-end measurements published by "
    "ai-dynamo/aiconfigurator (Apache-2.0). Coefficients are seconds per ideal second, or per count, of each term of "
    "planner/cost/inputs.py."
)
ROLES: Final = ("tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
COLUMNS: Final = (
    *("id", "silicon_data_source", "backend", "model_path", "system", "precision", "mode", "isl", "osl"),
    *("gemm_quant_mode", "moe_quant_mode", "batch_size", *ROLES),
    *("prefill_num_workers", *(f"prefill_{name}" for name in ROLES)),
    *("decode_batch_size", "decode_num_workers", *(f"decode_{name}" for name in ROLES)),
    *("silicon_ttft_ms", "silicon_tpot_ms"),
)


def write_measurements(rows: Path, target: Path) -> None:
    """Copy what the model uses of each row."""
    with rows.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, row in enumerate(csv.DictReader(source)):
            kept = re.findall(r"silicon_concurrency=\d+|measured=\d{4}-\d\d-\d\d", row["silicon_data_source"])
            figures = {name: _short(row.get(name) or "") for name in COLUMNS}
            figures |= {"id": str(number), "silicon_data_source": "; ".join(kept)}
            writer.writerow([figures[name] for name in COLUMNS])


def _short(text: str) -> str:
    """Six significant digits of a figure; other text as it is."""
    return f"{float(text):.6g}" if re.fullmatch(r"\d+\.\d{4,}", text) else text


def main(arguments: list[str]) -> int:
    """Fit and write; the exit code."""
    if not arguments:
        print(__doc__)  # noqa: T201 - a script's usage
        return 2
    rows, folder = Path(arguments[0]), Path(arguments[1]) if len(arguments) > 1 else data_folder()
    read_rows(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_measurements(rows, folder / "measurements.csv")
    fitted = {
        name: calibrate(measurements(folder / "measurements.csv", disaggregated=name == DISAGGREGATED))
        for name in (AGGREGATED, DISAGGREGATED)
    }
    (folder / "factors.json").write_text(Factors.of(SOURCE, fitted).to_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
