"""What a device holds of a model that is split: consistent over all parallelism, and never less of the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.architecture.attention import Attention
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.models import ModelFacts, bundled, bundled_names
from orchestrator.planner.parallel import Parallel
from orchestrator.planner.serving import Replica
from tests.planner.clusters import gpu, tiny

MODELS = [facts for name in bundled_names() if (facts := bundled(name)) is not None]
HYBRID = tiny(
    attends=(Attention(3, 2, 8, 256, 256, 256), Attention(6, 6, 4, 128, 128, 128, window=512)), state_bytes=10_000_000
)
SIZES = st.sampled_from([1, 2, 4, 8, 16])
ANY_MODEL = st.sampled_from([*MODELS, HYBRID])
TOKENS = st.floats(1, 1e6)


@given(ANY_MODEL, SIZES, SIZES, SIZES, st.booleans(), TOKENS)
def test_devices_together_hold_the_model_and_each_sequence_at_least_once(
    facts: ModelFacts, tp: int, pp: int, dp: int, expert: bool, tokens: float
) -> None:
    at = Parallel.of(tp, pp, dp, expert=expert)
    assert at.devices * at.weight_bytes(facts) >= facts.weight_bytes * (1 - 1e-9)
    assert tp * pp * at.kv_bytes(facts, tokens) >= facts.kv_bytes(tokens) * (1 - 1e-9)
    assert at.kv_copies(facts) >= 1


@given(ANY_MODEL, SIZES, SIZES, SIZES, st.booleans(), TOKENS)
def test_splitting_further_leaves_no_device_more(
    facts: ModelFacts, tp: int, pp: int, dp: int, expert: bool, tokens: float
) -> None:
    at = Parallel.of(tp, pp, dp, expert=expert)
    for more in (Parallel.of(2 * tp, pp, dp, expert=expert), Parallel.of(tp, 2 * pp, dp, expert=expert)):
        assert more.weight_bytes(facts) <= at.weight_bytes(facts)
        assert more.kv_bytes(facts, tokens) <= at.kv_bytes(facts, tokens)
    copies = Parallel.of(tp, pp, 2 * dp, expert=expert)
    assert copies.weight_bytes(facts) <= at.weight_bytes(facts)
    assert copies.kv_bytes(facts, tokens) == at.kv_bytes(facts, tokens)


@given(ANY_MODEL, SIZES, TOKENS)
def test_more_devices_never_hold_fewer_sequences(facts: ModelFacts, tp: int, tokens: float) -> None:
    def capacity(at: Parallel) -> float:
        of = Deployment(facts, gpu(memory_bytes=2e12), "vllm", tokens, 1, 1.0, at, at)
        return of.capacity * at.dp

    one = capacity(Parallel.of(tp))
    assert capacity(Parallel.of(2 * tp)) >= one
    assert capacity(Parallel.of(tp, 2)) >= one
    assert capacity(Parallel.of(tp, 1, 2)) >= 2 * one * (1 - 1e-9)


@given(ANY_MODEL, SIZES, st.sampled_from([1, 2, 4]))
def test_a_replica_has_the_room_that_its_devices_have_between_them(facts: ModelFacts, tp: int, pp: int) -> None:
    at = Parallel.of(tp, pp)
    replica = Replica(facts, gpu(memory_bytes=2e12), tp * pp, at)
    each = 0.9 * 2e12 - at.weight_bytes(facts)
    assert replica.kv_capacity_bytes == pytest.approx(each * tp * pp / at.kv_copies(facts))
    assert replica.kv_capacity_bytes <= replica.usable_bytes - replica.weight_bytes + 1e-3


@given(ANY_MODEL, TOKENS, st.integers(1, 5000), st.integers(1, 8))
def test_samples_share_their_prompt_and_nothing_else(
    facts: ModelFacts, prompt: float, output: int, samples: int
) -> None:
    alone, together = facts.kv_bytes(prompt + output), facts.kv_bytes(prompt, output, samples)
    assert facts.kv_bytes(prompt, output) == pytest.approx(alone)
    assert alone * (1 - 1e-9) <= together <= samples * alone * (1 + 1e-9)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 40))
def test_a_window_counts_the_pairs_that_it_has(new: int, cached: int, window: int) -> None:
    layer = Attention(1, 1, 1, 2, 2, 2, window)
    seen = sum(min(at + 1, window) if window else at + 1 for at in range(cached, cached + new))
    # Each token attends to itself by half on average: the diagonal of the square counts as half.
    assert layer.pairs(new, cached) == pytest.approx(seen, abs=new / 2 + 0.5)


def test_a_latent_is_on_every_device_and_few_heads_on_several() -> None:
    """DeepSeek-R1 has 61 layers with a latent of 576 values; Qwen3-235B-A22B 94 layers with 4 heads."""
    latent, few = bundled("deepseek-r1"), bundled("qwen3-235b-a22b")
    assert latent is not None and few is not None
    assert [Parallel.of(tp).kv_bytes(latent, 1) for tp in (1, 8)] == [61 * 576 * 2] * 2
    assert [Parallel.of(tp).kv_bytes(few, 1) for tp in (1, 2, 4, 8)] == [94 * 256 * 2 * heads for heads in (4, 2, 1, 1)]
    assert Parallel.of(8).kv_copies(latent) == 8
    assert Parallel.of(1, 1, 8, expert=True).kv_copies(latent) == 1


def test_attention_data_parallelism_holds_copies_of_all_but_the_experts() -> None:
    facts = bundled("deepseek-r1")
    assert facts is not None
    dep = Parallel.of(1, 1, 8, expert=True)
    assert dep.weight_bytes(facts) == pytest.approx(
        facts.weight_bytes - facts.routed_weight_bytes + facts.routed_weight_bytes / 8
    )
