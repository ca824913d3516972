"""Widths of weights, as the common tools write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.planner.architecture.configs import PARAMS, YI, facts


@pytest.mark.parametrize(
    ("quantization", "dtype"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "gptq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 3}, "int3"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "awq", "w_bit": 4}, "int4"),
        ({"quant_method": "awq"}, "int4"),
        ({"quant_method": "auto-round", "bits": 2}, "int2"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "int4"),
        ({"quant_method": "bitsandbytes", "_load_in_8bit": True}, "int8"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "NVFP4"}}, "fp4"),
        ({"quant_method": "modelopt_fp4"}, "fp4"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "fp8"),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4, "type": "int"}}}},
            "int4",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "a": {"weights": {"num_bits": 8, "type": "float"}},
                    "b": {"weights": {"num_bits": 4, "type": "float"}},
                },
            },
            "fp4",
        ),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}}, "int4"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "int4"),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8WeightOnlyConfig"}}}, "fp8"),
        ({"quant_method": None}, "bf16"),
        ({}, "bf16"),
    ],
)
def test_widths_of_weights(tmp_path: Path, quantization: dict[str, Any], dtype: str) -> None:
    for config in (
        {**YI, "quantization_config": quantization},
        {"quantization_config": quantization, "text_config": YI},
        {**YI, "compression_config": quantization},
    ):
        found = facts(config, tmp_path)
        assert (found.weight_dtype, found.known) == (dtype, True)
    embeddings = 2 * 64_000 * 2048
    assert found.weight_bytes >= 2 * embeddings
    assert dtype == "bf16" or found.weight_bytes < 2 * embeddings + 1.1 * (PARAMS - embeddings)


def test_a_method_that_nobody_knows_is_a_doubt(tmp_path: Path) -> None:
    found = facts({**YI, "quantization_config": {"quant_method": "ternary-magic"}}, tmp_path)
    assert not found.known
    assert found.spread > 1
    assert "ternary-magic" in found.note


@pytest.mark.parametrize("name", ["quantization_config", "compression_config"])
def test_a_quantisation_that_is_only_named_is_a_doubt(tmp_path: Path, name: str) -> None:
    found = facts({**YI, name: "fp8"}, tmp_path)
    assert not found.known
