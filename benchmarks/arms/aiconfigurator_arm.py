"""aiconfigurator on rows of serving measurements: its own venv's interpreter runs this file.

    PYTHON aiconfigurator_arm.py ROWS.csv OUT.csv

OUT.csv gets ``id, ttft_ms, tpot_ms, refusal`` for every row; where aiconfigurator answers nothing, the refusal is the
first line of its reason. Rows are asked group by group, so that each of its databases is loaded once.
"""

import csv
import logging
import sys
import warnings

QUANT = {"fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4", "int4_wo": "int4_wo"}


KNOWN_AS = {
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Qwen3-32B-NVFP4": "Qwen/Qwen3-32B",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-ai/DeepSeek-R1",
    "zhipuai/GLM-5": "zai-org/GLM-5",
}
"""Models whose config it ships under another name; without a network it would refuse them for the name alone."""


def number(row, name):
    """A count of the row, or None where the row does not say."""
    text = row.get(name) or ""
    return int(float(text)) if text and float(text) > 0 else None


def arguments(row):
    """Keyword arguments of ``cli_estimate`` for an aggregated row; absent ones keep its defaults."""
    wanted = {
        "isl": number(row, "isl"),
        "osl": number(row, "osl"),
        "batch_size": number(row, "batch_size"),
        "tp_size": number(row, "tp_size"),
        "pp_size": number(row, "pp_size"),
        "attention_dp_size": number(row, "attention_dp_size"),
        "moe_tp_size": number(row, "moe_tp_size"),
        "moe_ep_size": number(row, "moe_ep_size"),
        "gemm_quant_mode": QUANT.get(row["gemm_quant_mode"]),
        "moe_quant_mode": QUANT.get(row["moe_quant_mode"]),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def main(rows_path, out_path):
    """Predict every row."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    from aiconfigurator.cli.api import cli_estimate

    with open(rows_path, newline="") as file:  # noqa: PTH123 - the peer's interpreter has no orchestrator
        rows = list(csv.DictReader(file))
    rows.sort(key=lambda row: (row["system"], row["backend"], row["model_path"]))
    with open(out_path, "w", newline="") as file:  # noqa: PTH123
        writer = csv.writer(file)
        writer.writerow(("id", "ttft_ms", "tpot_ms", "refusal"))
        for row in rows:
            try:
                found = cli_estimate(
                    model_path=KNOWN_AS.get(row["model_path"], row["model_path"]),
                    system_name=row["system"],
                    mode="agg",
                    backend_name=row["backend"],
                    **arguments(row),
                )
                writer.writerow((row["id"], found.ttft, found.tpot, ""))
            except BaseException as refused:  # whatever it raises, also SystemExit, is a refusal
                if isinstance(refused, KeyboardInterrupt):
                    raise
                reason = (str(refused).splitlines() or [type(refused).__name__])[0]
                writer.writerow((row["id"], "", "", f"{type(refused).__name__}: {reason}"[:120]))


if __name__ == "__main__":
    main(*sys.argv[1:3])
