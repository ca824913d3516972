from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.models import ASSUMED_PARAMS, DTYPE_BYTES, facts_of, read_config, unknown
from tests.planner.clusters import LLAMA_8B, config_file


def test_llama_8b(tmp_path: Path) -> None:
    facts = read_config(Path(config_file(tmp_path)), "llama")
    assert facts.params == 8_030_261_248
    assert facts.kv_bytes_per_token == 2 * 32 * 8 * 128 * 2
    assert facts.weight_bytes == 2 * facts.params
    assert facts.known
    assert facts.context_tokens == 131_072


def test_tied_embeddings_count_once(tmp_path: Path) -> None:
    facts = read_config(Path(config_file(tmp_path, tie_word_embeddings=True)), "llama")
    assert facts.params == 8_030_261_248 - 128_256 * 4096


def test_experts_are_read_in_part(tmp_path: Path) -> None:
    mixtral = {"num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32_000}
    facts = read_config(Path(config_file(tmp_path, **mixtral)), "mixtral")
    assert facts.params == pytest.approx(46.7e9, rel=0.001)
    assert facts.active_params == pytest.approx(12.9e9, rel=0.005)


def test_gpt2_names_and_two_matrix_mlp(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}')
    facts = read_config(path, "gpt2")
    assert facts.params == pytest.approx(124.4e6, rel=0.01)
    assert facts.dtype == "bf16"  # what vLLM serves 32 bits in


def test_quantised_weights_and_nested_text_model(tmp_path: Path) -> None:
    fp8 = read_config(Path(config_file(tmp_path, quantization_config={"quant_method": "fp8"})), "llama")
    assert fp8.weight_bytes == fp8.params + 2 * 128_256 * 4096  # the embeddings and the output layer keep 16 bits
    nested = read_config(Path(config_file(tmp_path, text_config={**LLAMA_8B, "num_hidden_layers": 1})), "vision")
    assert nested.layers == 1


def test_a_config_without_its_fields_names_them(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"hidden_size": -1, "vocab_size": 10}')
    with pytest.raises(PlanError) as caught:
        read_config(path, "broken")
    said = str(caught.value)
    assert {each.code for each in caught.value.diagnostics} == {"ORCH-P004", "ORCH-P005"}
    assert "hidden_size" in said
    assert str(path) in said


@pytest.mark.parametrize(
    ("name", "params", "spread"),
    [
        ("Qwen/Qwen3-8B", 8e9, 1.5),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 135e6, 1.5),
        ("Qwen2.5-0.5B", 0.5e9, 1.5),
        ("my-model", ASSUMED_PARAMS, 8.0),
        ("gpt-4b-turbo3", 4e9, 1.5),
    ],
)
def test_an_unknown_model_says_what_is_assumed(name: str, params: float, spread: float) -> None:
    facts = unknown(name)
    assert not facts.known
    assert (facts.params, facts.spread) == (params, spread)
    assert name in facts.note
    assert "assumed" in facts.note


def test_a_model_folder_and_the_local_cache_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    Path(config_file(tmp_path)).rename(tmp_path / "model" / "config.json")
    assert facts_of(EngineSpec(name="e", kind="vllm", model=str(tmp_path / "model"))).known
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "model" / "config.json").rename(snapshot / "config.json")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert facts_of(EngineSpec(name="e", kind="vllm", model="org/name")).known
    assert not facts_of(EngineSpec(name="e", kind="vllm", model="org/other")).known


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"[1, 2]",
        b"null",
        b"{}",
        b'{"hidden_size": 64}',
        b'{"hidden_size": "wide", "num_hidden_layers": 2}',
        b'{"hidden_size": 64, "num_hidden_layers": 99999999999999999999}',
        b'{"hidden_size": 1' + b"0" * 5000 + b"}",
        b"\xff\xfe{",
        b'{"a": ' * 5000 + b"1" + b"}" * 5000,
        b'{"text_config": ' * 9 + b"{}" + b"}" * 9,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    ],
)
def test_a_config_that_says_nothing_stops_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model-3b").mkdir()
    (tmp_path / "model-3b" / "config.json").write_bytes(content)
    for spec in (
        EngineSpec(name="e", kind="vllm", model=str(tmp_path / "model-3b")),
        EngineSpec(name="e", kind="vllm", model="my-3b", config=str(tmp_path / "model-3b" / "config.json")),
    ):
        if content.startswith(b"\xff") and spec.config:
            continue  # no text: as one that is not there
        facts = facts_of(spec)
        assert (facts.known, facts.params) == (False, 3e9)
        assert "config.json" in facts.note


def test_a_config_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    for name in ("loop-1b", "folder-1b", "huge-1b", "gone-1b"):
        (tmp_path / name).mkdir()
    (tmp_path / "loop-1b" / "config.json").symlink_to("config.json")
    (tmp_path / "folder-1b" / "config.json").mkdir()
    with (tmp_path / "huge-1b" / "config.json").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "gone-1b" / "config.json").symlink_to(tmp_path / "nowhere")
    for path in tmp_path.iterdir():
        facts = facts_of(EngineSpec(name="e", kind="vllm", model=str(path)))
        assert (facts.known, facts.params) == (False, 1e9)
        assert "config.json" in facts.note


def test_the_widths_of_a_checkpoint_may_stand_beside_its_config(tmp_path: Path) -> None:
    path = Path(config_file(tmp_path))
    (tmp_path / "hf_quant_config.json").write_text(
        '{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}'
    )
    assert read_config(path, "llama").weight_dtype == "fp4"
    (tmp_path / "hf_quant_config.json").write_text("[")
    assert read_config(path, "llama").weight_dtype == "bf16"


def test_a_named_config_must_exist(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        facts_of(EngineSpec(name="e", kind="vllm", model="m", config=str(tmp_path / "none.json")))
    assert caught.value.code == "ORCH-P001"


@pytest.mark.parametrize(
    ("options", "kv", "weights"),
    [
        ({}, 2.0, 2.0),
        ({"dtype": "auto", "extra": {"kv_cache_dtype": "auto"}}, 2.0, 2.0),
        ({"dtype": "float32"}, 4.0, 4.0),
        ({"dtype": "half"}, 2.0, 2.0),
        ({"kv_cache_dtype": "fp8"}, 1.0, 2.0),
        ({"extra": {"kv_cache_dtype": "fp8_e5m2"}}, 1.0, 2.0),
        ({"dtype": "float32", "kv_cache_dtype": "bfloat16"}, 2.0, 4.0),
    ],
)
def test_the_dtypes_that_an_engine_is_told_to_use_count(
    tmp_path: Path, options: dict[str, JsonValue], kv: float, weights: float
) -> None:
    engine = EngineSpec(name="e", kind="vllm", model="llama", config=config_file(tmp_path), options=options)
    facts = facts_of(engine)
    assert facts.kv_bytes_per_token == 2 * 32 * 8 * 128 * kv
    assert facts.weight_bytes == facts.params * weights


@pytest.mark.parametrize(
    ("method", "dtype"),
    [
        ("fp8", "fp8"), ("fp8_per_block", "fp8"), ("mxfp8", "fp8"), ("bitsandbytes", "int4"),
        ("int8_per_channel_weight_only", "int8"), ("nvfp4_per_token", "fp4"), ("FP8", "fp8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["options", "extra"])
def test_an_engine_may_quantise_weights_that_it_loads(tmp_path: Path, method: str, dtype: str, place: str) -> None:
    options: dict[str, JsonValue] = {"quantization": method}
    given = options if place == "options" else {"extra": options}
    spec = EngineSpec(name="e", kind="vllm", model="llama", config=config_file(tmp_path), options=given)
    facts = facts_of(spec)
    quantised = facts.params - 2 * 128_256 * 4096  # the embeddings and the output layer keep 16 bits
    assert facts.weight_bytes == 2 * 2 * 128_256 * 4096 + quantised * DTYPE_BYTES[dtype]
    assert facts.known


def test_a_method_that_quantises_experts_only_leaves_the_rest(tmp_path: Path) -> None:
    mixtral = config_file(tmp_path, num_local_experts=8, num_experts_per_tok=2)
    options: dict[str, JsonValue] = {"extra": {"quantization": "experts_int8"}}
    facts = facts_of(EngineSpec(name="e", kind="vllm", model="m", config=mixtral, options=options))
    assert facts.weight_bytes == 2 * facts.shared_params + facts.routed_params


@pytest.mark.parametrize("method", ["gptq", "of the future", 8, ["fp8"], {"a": 1}])
def test_a_method_that_is_not_understood_is_a_doubt(tmp_path: Path, method: JsonValue) -> None:
    options: dict[str, JsonValue] = {"extra": {"quantization": method}}
    spec = EngineSpec(name="e", kind="vllm", model="llama", config=config_file(tmp_path), options=options)
    facts = facts_of(spec)
    assert not facts.known
    assert facts.spread >= 4.0
    assert "quantization" in facts.note


@pytest.mark.parametrize("method", [None, "", "none", "auto_awq"])
def test_a_checkpoint_that_is_quantised_stays_as_it_is(tmp_path: Path, method: JsonValue) -> None:
    config = config_file(tmp_path, quantization_config={"quant_method": "awq", "bits": 4})
    options: dict[str, JsonValue] = {"extra": {"quantization": method}}
    facts = facts_of(EngineSpec(name="e", kind="vllm", model="llama", config=config, options=options))
    assert (facts.weight_dtype, facts.known) == ("int4", True)


MODELOPT = {"quant_method": "modelopt", "quant_algo": "FP8"}


@pytest.mark.parametrize(
    ("quantization", "kv"),
    [
        ({**MODELOPT, "kv_cache_quant_algo": "FP8"}, 1.0),
        ({**MODELOPT, "kv_cache_scheme": {"num_bits": 8, "type": "float", "dynamic": False}}, 1.0),
        ({"producer": {"name": "modelopt"}, "quantization": {"kv_cache_quant_algo": "FP8"}}, 1.0),
        ({**MODELOPT, "kv_cache_quant_algo": None}, 2.0),
        ({**MODELOPT, "kv_cache_quant_algo": "of the future"}, 2.0),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, 2.0),
    ],
)
def test_a_cache_is_as_wide_as_the_checkpoint_says_where_the_engine_follows_it(
    tmp_path: Path, quantization: dict[str, object], kv: float
) -> None:
    facts = read_config(Path(config_file(tmp_path, quantization_config=quantization)), "llama")
    assert facts.kv_bytes_per_token == 2 * 32 * 8 * 128 * kv


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 4 * 131_072),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2}}, 2 * 131_072),
        ({"rope_scaling": {"type": "linear", "factor": None}}, 131_072),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}}, 131_072),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131_072),
        ({"rope_scaling": {"type": "linear", "factor": "four"}}, 131_072),
        ({"rope_scaling": None}, 131_072),
        ({"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 131_072),
    ],
)
def test_a_context_that_is_stretched_is_as_long_as_the_engine_makes_it(
    tmp_path: Path, config: dict[str, object], tokens: int
) -> None:
    assert read_config(Path(config_file(tmp_path, **config)), "llama").context_tokens == tokens
