"""From a cluster file to simulated replicas."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.study.replicas import DEFAULT_CLUSTER, replicas_of

FILE = """
[[device]]
name = "gpu"
type = "a100-sxm-80gb"
count = 8

[[engine]]
name = "main"
kind = "vllm"
model = "meta-llama/Llama-3.1-70B-Instruct"
device = "gpu"
options = {{ {options} }}
"""


def test_the_default_cluster_has_fast_and_slow_replicas() -> None:
    found = replicas_of(DEFAULT_CLUSTER)
    assert [spec.name for spec in found] == ["on-a100/0", "on-a100/1", "on-l40s", "on-a6000"]
    assert found[0].speed.weight_s < found[2].speed.weight_s < found[3].speed.weight_s


def test_options_are_read_as_vllm_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    options = (
        "tensor_parallel_size = 4, max_num_seqs = 32, max_num_batched_tokens = 4096, enable_prefix_caching = false"
    )
    file.write_text(FILE.format(options=options))
    one, two = replicas_of(file)
    assert (one.name, two.name) == ("main/0", "main/1")
    assert (one.max_batch, one.step_tokens, one.prefix_cache) == (32, 4096, False)
    file.write_text(FILE.format(options="tensor_parallel_size = 4, data_parallel_size = 1, block_size = 32"))
    (single,) = replicas_of(file)
    assert (single.name, single.block_tokens) == ("main", 32)
    assert single.kv_blocks == pytest.approx(one.kv_blocks / 2, rel=0.001)


@pytest.mark.parametrize(
    ("options", "gib"), [("", 1), ("kv_cache_gib = 4", 4), ("gpu_memory_utilization = 0.5", 1), ("block_size = 64", 1)]
)
def test_an_engine_on_a_cpu_has_the_cache_that_a_plan_counts_with(tmp_path: Path, options: str, gib: int) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        f"""
        device = [{{ name = "cpu", type = "x86", cores = 16, memory_bytes = 64e9 }}]

        [[engine]]
        name = "main"
        kind = "vllm"
        model = "meta-llama/Llama-3.1-8B-Instruct"
        device = "cpu"
        options = {{ {options} }}
        """
    )
    (only,) = replicas_of(file)
    assert only.kv_blocks * only.block_tokens * only.kv_bytes_per_token == gib * 2**30


SHOPPING = """
[[device]]
name = "cpu"
type = "x86"
cores = 16
memory_bytes = 64e9

[[device]]
name = "small"
type = "l4"
count = 2

[[device]]
name = "big"
type = "h100-sxm"
count = 8

[[engine]]
name = "main"
kind = "vllm"
model = "meta-llama/Llama-3.1-70B-Instruct"
"""
SERVICE = """
[[engine]]
name = "cloud"
kind = "openai"
model = "large"
"""


def test_an_engine_that_a_plan_would_place_is_on_every_device_that_can_hold_it(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(SHOPPING)
    assert [spec.name for spec in replicas_of(file)] == [f"main on big/{number}" for number in range(4)]
    file.write_text(SHOPPING + "options = { tensor_parallel_size = 8 }\n")
    assert [spec.name for spec in replicas_of(file)] == ["main on big"]
    file.write_text(SHOPPING.replace("Llama-3.1-70B-Instruct", "Llama-3.1-8B-Instruct"))
    assert len(replicas_of(file)) == 2 + 8
    file.write_text(SHOPPING.replace('type = "h100-sxm"\ncount = 8', 'type = "h100-sxm"\ncount = 1'))
    with pytest.raises(PlanError) as caught:
        replicas_of(file)
    assert caught.value.code == "ORCH-P076"
    assert "no accelerator of the file can hold" in str(caught.value)


def test_a_cluster_that_nobody_could_wait_for_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(FILE.format(options="tensor_parallel_size = 4").replace("count = 8", "count = 100000"))
    with pytest.raises(PlanError, match="can be simulated") as caught:
        replicas_of(file)
    assert caught.value.code == "ORCH-P076"


def test_one_of_several_models_can_be_simulated(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(SHOPPING + SERVICE)
    with pytest.raises(PlanError, match="cloud"):
        replicas_of(file)
    assert len(replicas_of(file, "meta-llama/Llama-3.1-70B-Instruct")) == len(replicas_of(file, "main")) == 4
    with pytest.raises(PlanError) as caught:
        replicas_of(file, "other")
    assert caught.value.code == "ORCH-P077"
    assert "name one of meta-llama/Llama-3.1-70B-Instruct, large" in str(caught.value)


def test_all_engines_that_cannot_be_simulated_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    other = '[[engine]]\nname = "other"\nkind = "vllm"\nmodel = "Qwen/Qwen3-8B"\ndevice = "gpu"\n'
    file.write_text(FILE.format(options="tensor_parallel_size = 16") + other)
    with pytest.raises(PlanError) as caught:
        replicas_of(file)
    assert [each.code for each in caught.value.diagnostics] == ["ORCH-P076"] * 2
    reasons = [each.why or "" for each in caught.value.diagnostics]
    assert "tensor_parallel_size is 16" in reasons[0]
    assert "Qwen3-8B" in reasons[1]
