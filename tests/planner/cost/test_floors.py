"""Nothing is predicted to be faster than the hardware, whatever is served on whatever, however it is split."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.planner.catalogue import catalogue
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.floors import least_tpot_s, least_ttft_s
from orchestrator.planner.cost.inputs import shape_of
from orchestrator.planner.cost.rows import as_measured
from orchestrator.planner.cost.steps import peak_flops
from orchestrator.planner.cost.store import of_today, predict, shipped
from orchestrator.planner.interval import Interval
from orchestrator.planner.models import DTYPE_BYTES, ModelFacts, bundled, bundled_names
from orchestrator.planner.parallel import Parallel
from orchestrator.planner.serving import Replica, Serving

GPUS = sorted(name for name, kind in catalogue().items() if kind.kind == "gpu")
POWERS = st.sampled_from([1, 2, 4, 8])
DTYPES = st.sampled_from(["bf16", "fp8", "fp4", "int4"])


@st.composite
def models(draw: st.DrawFn) -> ModelFacts:
    facts = bundled(draw(st.sampled_from(bundled_names())))
    assert facts is not None
    wider = draw(st.sampled_from([0.5, 1.0, 1.7]))
    facts = replace(facts, name="a stranger" if wider != 1 else facts.name, hidden=max(int(facts.hidden * wider), 64))
    return as_measured(replace(facts, weight_dtype=draw(DTYPES)))


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    facts = draw(models())
    tp, pp, dp = draw(POWERS), draw(POWERS), draw(POWERS) if facts.experts else 1
    experts = draw(st.sampled_from([1, tp * dp])) if facts.experts else 1
    at = Parallel(tp, pp, dp, moe_tp=tp * dp // experts if facts.experts else tp, moe_ep=experts)
    return of_today(
        Deployment(
            facts=facts,
            device=catalogue()[draw(st.sampled_from(GPUS))].device("d"),
            backend=draw(st.sampled_from(["vllm", "sglang", "trtllm", "another"])),
            isl=float(draw(st.integers(1, 200_000))),
            osl=float(draw(st.integers(1, 20_000))),
            concurrency=float(draw(st.integers(1, 2000))),
            prefill=at,
            decode=at,
            cached=float(draw(st.sampled_from([0, 1000, 100_000]))),
            weights=facts.weight_dtype,
        )
    )


def weights_read_s(of: Deployment) -> float:
    """The weights that one token needs, on the devices of all stages, read once."""
    facts, at = of.facts, of.decode
    shared = facts.shared_params * DTYPE_BYTES[facts.dense_weight_dtype or facts.weight_dtype] / at.tp
    share = facts.experts_per_token / facts.experts if facts.experts else 0.0
    routed = facts.routed_params * share * DTYPE_BYTES[facts.weight_dtype] / at.expert_shards
    return (shared + routed) / of.device.memory_bytes_per_s


def prompt_s(of: Deployment) -> float:
    """The arithmetic of a prompt in all layers but the embeddings, at the peak of all devices that share a stage."""
    facts, at = of.facts, of.prefill
    layers = max(facts.shared_params - 2 * facts.vocab * facts.hidden, 0.0)
    dense = facts.dense_weight_dtype or facts.weight_dtype
    return 2 * layers * of.isl / at.tp / peak_flops(of.device, dense)


@settings(max_examples=15, deadline=None)
@given(asked=st.lists(deployments(), min_size=8, max_size=8))
def test_no_prediction_is_faster_than_the_weights_the_cache_and_the_prompt_allow(asked: list[Deployment]) -> None:
    runs = shipped(False).runs
    for of, found in zip(asked, predict(asked), strict=True):
        shape = shape_of(runs.asked(of).of)
        doubt = of.facts.spread * (1 + 1e-9)
        cache_s = shape.decode.kv_s  # the batch's, on average over an answer
        for bound in (found.tpot.lo * doubt, found.tpot.mid, found.tpot.hi):
            assert bound * (1 + 1e-9) >= max(least_tpot_s(shape), weights_read_s(of) + cache_s)
        for bound in (found.ttft.lo * doubt, found.ttft.mid, found.ttft.hi):
            assert bound * (1 + 1e-9) >= max(least_ttft_s(shape), prompt_s(of))


def test_a_pipeline_of_more_stages_answers_no_request_alone_sooner() -> None:
    facts = bundled("llama-3.1-70b")
    assert facts is not None
    asked = [
        of_today(
            Deployment(
                facts=as_measured(replace(facts, weight_dtype="fp8")),
                device=catalogue()["h100-sxm"].device("d"),
                backend="vllm",
                isl=1000,
                osl=500,
                concurrency=1,
                prefill=Parallel(2, pp, moe_tp=2),
                decode=Parallel(2, pp, moe_tp=2),
                weights="fp8",
            )
        )
        for pp in (1, 2, 4)
    ]
    read_s = asked[0].facts.params / 2 / 3.35e12
    for each in predict(asked):
        assert each.tpot.mid > read_s
    one, *deeper = [shape_of(of) for of in asked]
    for shape in deeper:
        assert least_tpot_s(shape) == pytest.approx(least_tpot_s(one))
        assert least_ttft_s(shape) == pytest.approx(least_ttft_s(one))


@settings(max_examples=60, deadline=None)
@given(
    facts=models(),
    device=st.sampled_from(GPUS),
    parallel=POWERS,
    prompt=st.integers(1, 200_000),
    output=st.integers(0, 20_000),
    samples=st.sampled_from([1, 4, 64]),
)
def test_no_call_is_faster_than_its_prefill_and_its_reads(
    facts: ModelFacts, device: str, parallel: int, prompt: int, output: int, samples: int
) -> None:
    gpu = catalogue()[device].device("d", count=8)
    serving = Serving(EngineSpec(name="e", kind="vllm", model="m", device="d"), Replica(facts, gpu, parallel))
    n = Interval.exact(prompt)
    found = call_cost(serving, n, n, Interval.exact(output), samples).seconds
    reads_s = output * facts.step_weight_bytes(1) / (gpu.memory_bytes_per_s * parallel)
    cache_s = output * samples * facts.kv_bytes(prompt) / (gpu.memory_bytes_per_s * parallel)
    compute_s = 2 * facts.active_params * prompt / (max(gpu.flops.values()) * parallel)
    assert found.mid * (1 + 1e-9) >= reads_s + cache_s + compute_s
    assert found.lo * facts.spread * (1 + 1e-9) >= reads_s + cache_s + compute_s
