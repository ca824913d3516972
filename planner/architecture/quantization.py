"""The width of a checkpoint's weights, from ``quantization_config`` in the dialects of the common tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.planner.architecture.fields import Fields

_FIXED: Final = {
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "ptpc_fp8": "fp8",
    "deepgemm_fp8": "fp8",
    "modelopt_fp8": "fp8",
    "finegrained_fp8": "fp8",
    "mxfp8": "fp8",
    "modelopt_mxfp8": "fp8",
    "mxfp4": "fp4",
    "gpt_oss_mxfp4": "fp4",
    "nvfp4": "fp4",
    "petit_nvfp4": "fp4",
    "modelopt_fp4": "fp4",
    "fp_quant": "fp4",
    "tpu_int8": "int8",
    "experts_int8": "int8",
    "eetq": "int8",
    "awq": "int4",
    "awq_marlin": "int4",
    "marlin": "int4",
    "gptq_marlin_24": "int4",
    "spqr": "int4",
}
"""Methods of one width, unless the config says how many bits."""
_EXPERTS_ONLY: Final = frozenset({"mxfp4", "gpt_oss_mxfp4", "experts_int8"})
"""Methods that leave everything but the experts in the activations' dtype."""
_TELLING: Final = frozenset({"quark", "torchao", "quanto", "auto-round", "auto_round", "hqq", "inc", "ipex"})
"""Methods whose config names the width somewhere in it."""
_BITS: Final = {2: "int2", 3: "int3", 4: "int4", 5: "int5", 6: "int6", 8: "int8"}


@dataclass(frozen=True, slots=True)
class Weights:
    """How the matrices are stored; embeddings and the output layer keep the activations' dtype."""

    dtype: str
    experts_only: bool = False


def weights_of(fields: Fields) -> Weights | None:
    """None: nothing is quantised. A method that is not understood is a doubt of ``fields``."""
    config = fields.part("quantization_config", "compression_config")
    if not config.given:
        return None
    method = config.word("quant_method") or _producer(config)
    if not method and not _bits(config):
        return None
    dtype = _dtype(method, config)
    if dtype is None:
        fields.doubt(f"weights quantised by {method or 'an unnamed method'}")
        return None
    return Weights(dtype, experts_only=method in _EXPERTS_ONLY)


def quantised_online(method: str) -> Weights | None:
    """How an engine stores weights that it quantises when it loads them, by vLLM's name of the method; None: unknown.

    >>> quantised_online("fp8_per_block"), quantised_online("gptq")
    (Weights(dtype='fp8', experts_only=False), None)
    """
    dtype = "int4" if method == "bitsandbytes" else _named(method) or _FIXED.get(method)
    return None if dtype is None else Weights(dtype, experts_only=method in _EXPERTS_ONLY)


def cache_dtype_of(fields: Fields) -> str | None:
    """What keys and values are cached in, where ModelOpt has said so, which vLLM follows; None: the activations' dtype.

    What other tools say of it takes effect only where the engine is told the same.
    """
    config = fields.part("quantization_config")
    if not (config.word("quant_method") or _producer(config)).startswith("modelopt"):
        return None
    for part in (config.part("quantization"), config):
        for name in ("kv_cache_scheme", "kv_cache_quant_algo"):
            said = part.value(name)
            if isinstance(said, Mapping) and said.get("type") == "float":
                return {"8": "fp8", "4": "fp4"}.get(str(said.get("num_bits")))
            if isinstance(said, str):
                return cache_dtype(said)
    return None


def cache_dtype(name: str) -> str | None:
    """The width of a cache by vLLM's name for it (``fp8_e4m3``, ``nvfp4``); None for ``auto`` and unknown ones.

    >>> cache_dtype("fp8_e4m3"), cache_dtype("int8_per_token_head"), cache_dtype("auto")
    ('fp8', 'int8', None)
    """
    known = {"fp8": "fp8", "nvfp4": "fp4", "int8": "int8", "int4": "int4", "bfloat16": "bf16", "float16": "fp16"}
    return next((dtype for mark, dtype in known.items() if name.lower().startswith(mark)), None)


def _dtype(method: str, config: Fields) -> str | None:
    method = method.replace("compressed_tensors", "compressed-tensors")
    if method == "compressed-tensors":
        return _of_groups(config) or _named(config.word("format"))
    if method.startswith("modelopt") or config.value("quant_algo", "quantization"):
        algorithm = config.word("quant_algo") or config.part("quantization").word("quant_algo")
        return _named(algorithm) or _FIXED.get(method)
    bits = _bits(config)
    if method == "bitsandbytes":
        bits = 8 if config.flag("load_in_8bit", "_load_in_8bit") else 4
    if bits is not None:
        return _BITS.get(bits)
    if method in _TELLING:
        return _named(str(dict(config.given)).lower())
    return _FIXED.get(method)


def _of_groups(config: Fields) -> str | None:
    """compressed-tensors: the narrowest width of its groups of layers, which are the large ones."""
    groups = config.value("config_groups")
    found: list[tuple[int, str]] = []
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping):
            fields = Fields(weights)
            bits, kind = fields.number("num_bits"), fields.word("type")
            if bits == 8:
                found.append((8, "fp8" if kind == "float" else "int8"))
            elif bits == 4:
                found.append((4, "fp4" if kind == "float" else "int4"))
            elif bits in _BITS:
                found.append((bits, _BITS[bits]))
    return min(found)[1] if found else None


def _named(text: str) -> str | None:
    """The first width that a text names: ``W4A16``, ``NVFP4``, ``float-quantized``, ``int8wo``."""
    patterns = (
        (r"fp4|float4|w4a4.*fp|mxfp4", "fp4"),
        (r"w4|int4|uint4|4[-_]?bit|pack-quantized|bits'?: 4", "int4"),
        (r"fp8|float8|e4m3|float-quantized", "fp8"),
        (r"w8|int8|8[-_]?bit|int-quantized|bits'?: 8", "int8"),
    )
    return next((dtype for pattern, dtype in patterns if re.search(pattern, text)), None)


def _bits(config: Fields) -> int | None:
    value: Any = config.value("bits", "w_bit", "wbits", "nbits", "weight_bits", "num_bits")
    if value is None:
        value = config.part("quant_config").part("weight_quant_params").value("nbits")
    return round(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value < 64 else None


def _producer(config: Fields) -> str:
    return config.part("producer").word("name")
