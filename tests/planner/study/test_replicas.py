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
