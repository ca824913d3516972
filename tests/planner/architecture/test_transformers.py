"""Every config class is read as transformers builds it, and cached as vLLM allocates it, or said not to be understood.

Slow: transformers builds each model, without its weights.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from orchestrator.planner.architecture import defaults
from orchestrator.planner.architecture.fields import word_set
from orchestrator.planner.models import read_config

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

BUILT = word_set(
    """
    llama qwen2 qwen3 qwen2_moe qwen3_moe qwen3_next gemma gemma2 gemma3_text gemma3 gemma3n_text gemma4_text
    mistral ministral3 mixtral deepseek_v2 deepseek_v3 deepseek_v32 phi phi3 phimoe gpt_oss falcon mpt bloom
    gpt2 gptj gpt_neo gpt_neox gpt_bigcode opt starcoder2 codegen cohere cohere2 jamba mamba2 bamba
    granitemoehybrid granite granitemoe granitemoeshared olmo olmo2 olmo3 olmoe nemotron_h minicpm3 glm glm4
    glm4_moe glm4_moe_lite glm_moe_dsa ernie4_5 ernie4_5_moe llama4_text kimi_linear minimax minimax_m2
    stablelm persimmon seed_oss smollm3 lfm2 falcon_h1 falcon_mamba exaone4 apertus arcee mimo_v2_flash
    recurrent_gemma helium bitnet xglm biogpt llava paligemma zamba2 longcat_flash
    """
)
OTHERWISE = {"gemma3n_text", "gemma4_text", "minicpm3", "mamba2", "bamba", "granitemoehybrid", "falcon_mamba"}
"""Their cache is not `layers x heads x width`: shared by layers, wider in some, whole in spite of a latent, a state."""

RECURRENT = {"linear_attention", "mamba", "recurrent", "conv", "moe", "mlp"}


def saved(kind: str, folder: Path) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(transformers.CONFIG_MAPPING[kind]().to_dict(), default=str))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(BUILT))
def test_parameters_are_those_that_transformers_builds(kind: str, tmp_path: Path) -> None:
    auto = (
        transformers.AutoModelForImageTextToText
        if kind in {"llava", "paligemma"}
        else transformers.AutoModelForCausalLM
    )
    with torch.device("meta"):
        model = auto.from_config(transformers.CONFIG_MAPPING[kind]())
    built = sum(parameter.numel() for parameter in model.parameters())
    facts = read_config(saved(kind, tmp_path), kind)
    understood = facts.params + facts.tower_params == pytest.approx(built, rel=0.02)
    assert understood or not facts.known


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.parametrize("kind", sorted(BUILT - OTHERWISE))
def test_the_cache_is_what_vllm_allocates(kind: str, tmp_path: Path) -> None:
    import vllm.config  # noqa: F401 - the next line imports in a circle without it
    from vllm.transformers_utils.model_arch_config_convertor import (
        MODEL_ARCH_CONFIG_CONVERTORS,
        ModelArchConfigConvertorBase,
    )

    config = transformers.CONFIG_MAPPING[kind]()
    text = config.get_text_config()
    of = MODEL_ARCH_CONFIG_CONVERTORS.get(text.model_type, ModelArchConfigConvertorBase)(config, text)
    width = of.get_head_size() if of.is_deepseek_mla() else 2 * of.get_head_size() * of.get_total_num_kv_heads()
    words = getattr(text, "layer_types", None) or getattr(text, "layers_block_type", None)
    caching = [
        each for each in words or () if each not in {"linear_attention", "mamba", "recurrent", "conv", "moe", "mlp"}
    ]
    facts = read_config(saved(kind, tmp_path), kind)
    assert facts.kv_values_per_token == width * (len(caching) if words else of.get_num_hidden_layers())


@pytest.mark.slow
def test_defaults_are_those_of_the_version_they_name() -> None:
    text = defaults.FILE.read_text(encoding="utf-8")
    if f"transformers {version('transformers')} " not in text:
        pytest.skip("made of another version of transformers")
    assert defaults.text() == text
