"""What follows from the options of a vLLM engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import EngineError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.runtime.engines.registry import parse_options
from orchestrator.runtime.engines.vllm.options import (
    ONE_THREAD_BYTES,
    VllmOptions,
    engine_arguments,
    environment,
    kv_options,
)
from orchestrator.runtime.engines.vllm.structure import grammar
from orchestrator.runtime.kv.retention_options import RetentionOptions


def weights(folder: Path, size: int) -> str:
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(size)
    return str(folder)


@pytest.mark.parametrize(("size", "threads"), [(1_000, "1"), (ONE_THREAD_BYTES, None)])
def test_a_small_model_computes_on_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, threads: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    model = weights(tmp_path, size)
    assert environment(model, VllmOptions(), on_cpu=True).get("OMP_NUM_THREADS") == threads
    assert "OMP_NUM_THREADS" not in environment(model, VllmOptions(), on_cpu=False)


def test_the_users_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in environment(weights(tmp_path, 10), VllmOptions(), on_cpu=True)


def test_a_folder_is_loaded_offline_and_an_id_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert environment(weights(tmp_path, 10), VllmOptions(), on_cpu=True)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment("some/model", VllmOptions(), on_cpu=True)


def test_what_is_not_said_is_left_to_vllm() -> None:
    arguments = engine_arguments("m", VllmOptions(extra={"block_size": 64}), on_cpu=True)
    assert "max_model_len" not in arguments
    assert arguments["block_size"] == 64


def test_kv_is_kept_unless_it_is_switched_off() -> None:
    assert engine_arguments("m", VllmOptions(), on_cpu=True)["scheduler_cls"] == "orchestrator.kv.Scheduler"
    assert "additional_config" not in engine_arguments("m", VllmOptions(), on_cpu=True)
    stock = engine_arguments("m", VllmOptions(kv=False), on_cpu=False)
    assert {"scheduler_cls", "additional_config"}.isdisjoint(stock)


def test_options_of_keeping_kv_are_checked_and_passed_on() -> None:
    spec = EngineSpec(name="main", kind="vllm", model="m", options={"kv": {"budget": 0.25, "ttl_s": 2.0}})
    options = parse_options(VllmOptions, spec)
    given = engine_arguments("m", options, on_cpu=True)["additional_config"]
    assert given == {"orchestrator_kv": {"budget": 0.25, "ttl_s": 2.0}}
    assert kv_options(given) == options.kv
    for wrong, told in (({"budget": 1.5}, "budget is 1.5"), ({"bugdet": 0.5}, "bugdet"), ("yes, please", "kv")):
        with pytest.raises(EngineError, match=told):
            parse_options(VllmOptions, EngineSpec(name="main", kind="vllm", model="m", options={"kv": wrong}))


@pytest.mark.parametrize("additional", [None, {}, {"theirs": 1}, {"orchestrator_kv": {}}, object()])
def test_without_options_the_defaults_hold(additional: object) -> None:
    assert kv_options(additional) == RetentionOptions()


def test_all_that_is_wrong_in_vllms_own_configuration_is_named() -> None:
    for given, told in (
        ({"bugdet": 0.5, "hold": "maybe"}, r"(?s)orchestrator_kv\.hold: .*orchestrator_kv\.bugdet: "),
        ({"budget": 1.5}, "orchestrator_kv: Value error, budget is 1.5: a share"),
        ("yes, please", "orchestrator_kv: Input should be a dictionary"),
    ):
        with pytest.raises(ValueError, match=told):
            kv_options({"orchestrator_kv": given})


def test_another_scheduler_and_other_settings_stay() -> None:
    other = VllmOptions(extra={"scheduler_cls": "their.Scheduler"})
    assert not other.keeps_kv
    assert engine_arguments("m", other, on_cpu=True)["scheduler_cls"] == "their.Scheduler"
    both = VllmOptions(kv=RetentionOptions(budget=0.5), extra={"additional_config": {"theirs": 1}})
    assert engine_arguments("m", both, on_cpu=True)["additional_config"] == {
        "theirs": 1,
        "orchestrator_kv": {"budget": 0.5},
    }


@pytest.mark.vllm
def test_structured_replies_have_the_spaces_of_json_dumps() -> None:
    pytest.importorskip("xgrammar")
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
    }
    written = grammar(schema)
    assert '"\\"a\\"" ": "' in written
    assert '", " "\\"b\\""' in written
